"""``eval run``: modes and arms, what they make of weak models, and what a run leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from eval_world import SCENARIOS, WRITERS, connected, native, scenarios_of, solver, tagged
from local_http import SilentHandler, listening

from gptme_reliability.cli import main
from gptme_reliability.errors import InputError
from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.evals.tasks.modes import (
    ABLATION,
    FORMATS,
    GUARDED,
    makes_sense,
    policy_of,
    read_arms,
    read_mode,
)
from gptme_reliability.evals.tasks.play import Played, play
from gptme_reliability.evals.tasks.results import read_results
from gptme_reliability.evals.tasks.run import Plan, jobs_of, seed_of
from gptme_reliability.evals.tasks.scenario import read_scenario
from gptme_reliability.evals.tasks.wire import Wire, gathered, usage_in
from gptme_reliability.types import Policy

Model = Callable[[Mapping[str, Any]], Answer]


def played(model: Model, name: str, mode: str = "native", arm: str = GUARDED) -> Played:
    with FaultyServer(model) as server:
        return play(SCENARIOS[name], read_mode(mode), arm, connected(server.url), 1)


# --- right models -------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["bare", "strict", GUARDED])
@pytest.mark.parametrize("mode", [*FORMATS, *(f"{form}+stream" for form in FORMATS)])
def test_a_right_model_does_its_tasks(mode: str, arm: str) -> None:
    """In every shape, with nothing added: each answer is one request, nothing is changed."""
    form = read_mode(mode).format
    for name in ("steps/mail", "recovery/ambiguous-edit", "chat/hello", "long/json"):
        result = played(solver(WRITERS[form]), name, mode, arm)
        assert (result.outcome, result.wrong, result.broken) == ("done", (), 0)
        assert result.requests == result.answers
        if form != "prompted":  # there the guard takes calls out of the text
            assert result.repairs == 0
        tokens = (result.tokens_read, result.tokens_written, result.uncounted)
        assert tokens == (10 * result.requests, 5 * result.requests, 0)


@pytest.mark.parametrize("mode", ["native+respond", "native+force", "native"])
def test_what_the_guard_adds_to_requests(mode: str) -> None:
    """A tool for talking, and the duty to call: only where the mode says so."""
    with FaultyServer(solver(native)) as server:
        scenario = SCENARIOS["single/delete"]
        result = play(scenario, read_mode(mode), GUARDED, connected(server.url), 7)
        (first, *_) = server.requests
    assert result.outcome == "done"
    offered = [tool["function"]["name"] for tool in first.get("tools", [])]
    assert ("respond" in offered) == (mode != "native")
    assert first.get("tool_choice") == ("required" if "force" in mode else None)
    assert first["seed"] == 7 and first["model"] == "tiny"


# --- weak models --------------------------------------------------------------------------


def once(change: Callable[[list[dict[str, Any]]], Answer]) -> Model:
    """Writes its first answer badly; errors do not make it better."""
    right = solver(native)

    def answer(body: Mapping[str, Any]) -> Answer:
        if any(message["role"] == "tool" for message in body["messages"]):
            return {"text": "Done."}
        return change([dict(call) for call in _first(body)])

    def _first(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = right({**body, "messages": body["messages"][:1]})["calls"]
        return [{**call, "arguments": json.loads(call["arguments"])} for call in calls]

    return answer


def retyped(calls: list[dict[str, Any]]) -> Answer:
    arguments = {key: str(value) for key, value in calls[0]["arguments"].items()}
    return native([{**calls[0], "arguments": arguments}])


def renamed(calls: list[dict[str, Any]]) -> Answer:
    return native([{**calls[0], "name": calls[0]["name"].title().replace("_", "")}])


def unclosed(calls: list[dict[str, Any]]) -> Answer:
    return {"calls": [{**calls[0], "arguments": json.dumps(calls[0]["arguments"])[:-1]}]}


def cut_off(calls: list[dict[str, Any]]) -> Answer:
    half = json.dumps(calls[0]["arguments"])[:-5]
    return {"calls": [{**calls[0], "arguments": half}], "finish_reason": "length"}


def silent(calls: list[dict[str, Any]]) -> Answer:
    return {"text": ""}


def broken(calls: list[dict[str, Any]]) -> Answer:
    return {"status": 400, "error": {"error": {"message": "no"}}}


@pytest.mark.parametrize(
    ("change", "name", "bare", "strict", "guarded"),
    [
        (native, "single/event", "done", "done", "done"),
        (tagged, "single/event", "no call", "no call", "done"),
        (retyped, "single/event", "wrong", "no call", "done"),
        (renamed, "single/cancel", "no call", "no call", "done"),
        (unclosed, "single/cancel", "no call", "no call", "done"),
        (cut_off, "single/stock", "no call", "no call", "refused"),
        (silent, "chat/hello", "no answer", "no answer", "refused"),
        (broken, "single/stock", "server", "server", "server"),
    ],
)
def test_weak_models(
    change: Callable[[list[dict[str, Any]]], Answer],
    name: str,
    bare: str,
    strict: str,
    guarded: str,
) -> None:
    """What each arm makes of one fault."""

    def model(body: Mapping[str, Any]) -> Answer:
        return change([]) if name == "chat/hello" else once(change)(body)

    found = [played(model, name, arm=arm).outcome for arm in ("bare", "strict", GUARDED)]
    assert found == [bare, strict, guarded]


def test_a_model_without_end() -> None:
    """It is stopped when its answers are used up; reading does no harm."""
    look = native([{"name": "list_files", "arguments": {}}])
    result = played(lambda body: look, "single/write", arm="bare")
    assert (result.outcome, result.answers, result.wrong) == ("endless", 8, ())


def test_errors_go_back_to_the_model() -> None:
    """As results of its calls, so that it can do better."""
    wrong = native([{"name": "delete_file", "arguments": {"path": "old.txt"}}])
    answers: list[Answer] = [wrong, {"calls": [{"name": "delete_file", "arguments": "{"}]}]
    told: list[str] = []

    right = solver(native)

    def model(body: Mapping[str, Any]) -> Answer:
        told.extend(m["content"] for m in body["messages"][-1:] if m["role"] == "tool")
        given: int = sum(message["role"] == "assistant" for message in body["messages"])
        if given < len(answers):
            return answers[given]
        # From here on as if nothing had been before.
        return right({**body, "messages": body["messages"][: given - 1]})

    result = played(model, "single/delete", arm="strict")
    assert told[0].startswith("error: Impossible: there is no 'old.txt'")
    assert told[1].startswith("error: the arguments are no JSON")
    assert (result.outcome, result.executed, told[2]) == ("done", 1, "deleted")


ODD: list[tuple[str, dict[str, Any]]] = [
    ("no content", {"message": {"content": None}}),
    ("content in parts", {"message": {"content": [{"type": "text", "text": "Hi."}]}}),
    ("calls that are none", {"message": {"tool_calls": [None, "ls", {"function": None}]}}),
    ("calls in an object", {"message": {"tool_calls": {"name": "ls"}}}),
    ("no choices", {"choices": []}),
    ("tags that never end", {"text": "<tool_call>" * 9 + "<tool-use>" * 9 + "```x\n" * 9}),
]


@pytest.mark.parametrize("mode", [*FORMATS, "native+stream"])
@pytest.mark.parametrize("answer", [pytest.param(row[1], id=row[0]) for row in ODD])
def test_odd_answers(answer: Answer, mode: str) -> None:
    """Whatever comes, a task ends with a result, and nothing was done."""
    for arm in ("bare", GUARDED):
        result = played(lambda body: answer, "single/delete", mode, arm)
        assert result.outcome != "done" and result.executed == 0


@pytest.mark.parametrize(
    ("arm", "outcome", "requests"),
    [(GUARDED, "done", 2), ("no-repair", "no call", 2), ("no-asking", "done", 2)],
)
def test_a_stage_switched_off(arm: str, outcome: str, requests: int) -> None:
    """Without repair a call of another type is asked about, and this model gives up then."""
    result = played(once(retyped), "single/event", arm=arm)
    assert (result.outcome, result.requests) == (outcome, requests)


def test_each_switch_makes_another_guard() -> None:
    """Where it makes a difference at all; everything else stays as it is."""
    native_mode, markdown = read_mode("native+respond"), read_mode("markdown")
    policies = [policy_of(arm, native_mode) for arm in (GUARDED, *ABLATION)]
    assert len({repr(policy) for policy in policies}) == len(policies)
    assert policy_of(GUARDED, read_mode("native")) == Policy()
    left_out = {arm for arm in ABLATION if not makes_sense(arm, markdown)}
    assert left_out == {"no-force", "no-structure", "no-prompt", "no-respond"}
    assert not makes_sense("no-respond", read_mode("native"))
    assert makes_sense("no-structure", read_mode("prompted"))
    assert not makes_sense("no-prompt", read_mode("prompted"))
    assert not makes_sense("bare", read_mode("native+force"))


@pytest.mark.parametrize("text", ["json", "native+fast", "xml+force", "prompted+respond", ""])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(repr(text))):
        read_mode(text)


def test_names_of_modes_and_arms() -> None:
    """They read as they are written."""
    for name in ("native", "native+stream+force", "prompted+stream", "xml+stream"):
        assert read_mode(name).name == name
    assert read_arms("bare, ablation,no-force") == ["bare", *ABLATION]
    with pytest.raises(InputError, match="no arm 'naked'"):
        read_arms("naked")


def test_the_plan() -> None:
    """A host on its own is run once for all that only the guard does; arms stand together."""
    modes = [read_mode(name) for name in ("native", "native+force", "xml")]
    plan = Plan(scenarios_of("chat"), modes, ["bare", GUARDED, "no-force"], repeats=2)
    jobs = jobs_of(plan)
    assert len(jobs) == len({job.key for job in jobs}) == 2 * 5 * (2 + 3 + 2)
    assert [(job.mode.name, job.arm) for job in jobs[:7]] == [
        ("native", "bare"),
        ("native", GUARDED),
        ("native", "no-force"),
        ("native+force", GUARDED),
        ("native+force", "no-force"),
        ("xml", "bare"),
        ("xml", GUARDED),
    ]


def test_seeds() -> None:
    """Each task has its own luck, and the same in every mode and arm."""
    modes = [read_mode("native"), read_mode("xml")]
    jobs = jobs_of(Plan(list(SCENARIOS.values()), modes, ["bare", GUARDED], repeats=2))
    seeds = {(job.scenario.id, job.repeat, seed_of(job, 1)) for job in jobs}
    assert len(seeds) == len({seed for *_, seed in seeds}) == 2 * len(SCENARIOS)
    assert all(0 <= seed < 2**31 - 100 for *_, seed in seeds)
    assert seed_of(jobs[0], 1) != seed_of(jobs[0], 2)
    with FaultyServer(solver(native)) as server:
        play(SCENARIOS["steps/sum"], modes[0], "bare", connected(server.url), 7)
        assert [body["seed"] for body in server.requests] == [7, 8, 9, 10]


# --- the wire -----------------------------------------------------------------------------


def test_streams() -> None:
    """Pieces are put together; what is no text is left out; the last count counts."""
    events: list[Any] = [
        {"choices": [{"delta": {"content": "a"}}], "usage": {"total_tokens": 1}},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]},
        {"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": {}}}]}}]},
        {"choices": [], "usage": {"total_tokens": 9}},
        "[DONE]",
    ]
    raw = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    message = gathered(raw)
    functions = [call["function"] for call in message["tool_calls"]]
    assert message["content"] == "a"
    assert functions == [{"name": "f", "arguments": "{}"}, {"name": "", "arguments": ""}]
    assert usage_in(raw) == {"total_tokens": 9} and usage_in(b"{}") is None


@pytest.mark.parametrize(
    ("event", "content"),
    [
        ({"error": None, "choices": [{"delta": {"content": "a"}}]}, "a"),
        ({"choices": [{"delta": {"content": [{"type": "text", "text": "a"}]}}]}, "a"),
        ({"choices": [None]}, ""),
        ({"choices": {"delta": {}}}, ""),
        ({"choices": [{"delta": "a"}]}, ""),
        ({"choices": [{"delta": {"tool_calls": {"name": "f"}}}]}, ""),
        ({"choices": [{"delta": {"tool_calls": [None, "f"]}}]}, ""),
    ],
)
def test_what_is_no_piece_of_an_answer_is_left_out(event: Any, content: str) -> None:
    raw = b"data: " + json.dumps(event).encode() + b"\n\n"
    assert gathered(raw) == {"role": "assistant", "content": content}


def test_pieces_of_calls_without_a_place_are_calls_of_their_own() -> None:
    pieces = [{"index": None, "function": {"name": "f"}}, {"index": [1], "function": "g"}]
    raw = b"data: " + json.dumps({"choices": [{"delta": {"tool_calls": pieces}}]}).encode()
    names = [call["function"]["name"] for call in gathered(raw)["tool_calls"]]
    assert names == ["f", ""]


def test_connections_are_not_kept() -> None:
    """One that the server closes as the next request goes out would look like its failure."""
    peers: list[Any] = []

    class Handler(SilentHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            peers.append(self.client_address)
            self.rfile.read(int(self.headers["content-length"]))
            body = b'{"choices": [{"message": {"content": "Hi."}}]}'
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as url:
        wire = Wire(f"{url}/v1", "none", {}, 20.0, None)
        said = [wire.ask({"messages": []}, streamed=False)["content"] for _ in range(3)]
        wire.close()
    assert said == ["Hi."] * 3 and len(set(peers)) == 3
    assert (wire.spent.requests, wire.spent.uncounted) == (3, 3)


# --- the command --------------------------------------------------------------------------


def run(url: str, *arguments: str, only: str = "chat") -> int:
    return main(["eval", "run", "--endpoint", url, "--model", "tiny", "--only", only, *arguments])


def test_a_run_and_its_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Silent but for the figures; a result a line; what is done is not done again."""
    file = str(tmp_path / "results.jsonl")
    with FaultyServer(solver(native)) as server:
        assert run(server.url, "--results", file, "--repeat", "2", "--temperature", "0.5") == 0
        asked = len(server.requests)
        assert {body["temperature"] for body in server.requests} == {0.5}
        said = capsys.readouterr()
        assert said.err == ""
        assert re.search(r"native +bare +10 +100% \[57%, 100%\] +0% \[0%, 43%\]", said.out)
        arguments = ("--results", file, "--repeat", "2", "--temperature", "0.5", "--resume")
        assert run(server.url, *arguments) == 0
        assert len(server.requests) == asked
        assert capsys.readouterr().out == said.out
        assert run(server.url, "--results", file) == 2
        assert "exists; go on with --resume" in capsys.readouterr().err
        assert run(server.url, "--results", file, "--resume") == 2
        assert "results are of another run" in capsys.readouterr().err
    results = read_results(Path(file))
    assert len(results) == 20 and all(result.done for result in results)


def test_half_a_line(tmp_path: Path) -> None:
    """What a crash left of a result is cut off, and run again."""
    file = tmp_path / "results.jsonl"
    with FaultyServer(solver(native)) as server:
        assert run(server.url, "--results", str(file)) == 0
        data = file.read_bytes()
        file.write_bytes(data[:-40])
        assert len(read_results(file)) == 9
        assert run(server.url, "--results", str(file), "--resume") == 0
    assert len(read_results(file)) == 10 and file.read_bytes().startswith(data[: len(data) // 2])
    file.write_bytes(data + b"something else")
    with pytest.raises(InputError, match="its last line is no result"):
        read_results(file)
    file.write_bytes(b"{}\n" + data)
    with pytest.raises(InputError, match="line 1: no result"):
        read_results(file)


def test_a_changed_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Results of what it was before are not mixed with those of what it is."""
    own, file = tmp_path / "own.jsonl", str(tmp_path / "results.jsonl")
    row: dict[str, Any] = {"id": "hi", "category": "chat", "user": "Hello!", "quiet": True}
    own.write_text(json.dumps(row))
    with FaultyServer(lambda body: {"text": "Hi."}) as server:
        arguments = ("--scenarios", str(own), "--results", file)
        assert run(server.url, *arguments) == 0
        own.write_text(json.dumps({**row, "user": "Hi!"}))
        assert run(server.url, *arguments, "--resume") == 2
    assert "scenario 'hi' was another one" in capsys.readouterr().err
    assert read_scenario(row).tools == ()


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends it at once; the finished work stands in the file and in the figures."""
    file = tmp_path / "results.jsonl"
    running: list[subprocess.Popen[str]] = []
    right = solver(native)

    def model(body: Mapping[str, Any]) -> Answer:
        if len(running) == 1 and len(server.requests) == 6:
            os.kill(running[0].pid, signal.SIGINT)
        return right(body)

    command = [sys.executable, "-m", "gptme_reliability.cli", "eval", "run", "--model", "tiny"]
    with FaultyServer(model) as server:
        options = ["--endpoint", server.url, "--only", "chat", "--results", str(file)]
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        out, err = process.communicate(timeout=60)
        done = len(read_results(file))
        assert process.returncode == 130 and 0 < done < 10
        assert f"interrupted after {done} of 10 tasks; go on with" in err and "native" in out
        assert run(server.url, "--results", str(file), "--resume") == 0
    assert len(read_results(file)) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "nothing"), "no scenario is like 'nothing'"),
        (("--modes", "native,json"), "no mode 'json'"),
        (("--arms", "naked"), "no arm 'naked'"),
        (("--scenarios", "none.jsonl"), "cannot read none.jsonl"),
    ],
)
def test_wrong_options(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says which."""
    with FaultyServer(solver(native)) as server:
        assert run(server.url, *arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("--resume",), ("--repeat", "0"), ("--param", "top_k"), ("--key-env", "NO_SUCH_NAME_HERE")],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run("http://127.0.0.1:9", *arguments)
    assert ended.value.code == 2


def test_a_server_that_cannot_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said at once, not counted as a failure of the model."""
    assert run("http://127.0.0.1:9/v1") == 2
    assert "cannot be asked" in capsys.readouterr().err
    with FaultyServer(lambda body: {"status": 401, "error": {"error": "key?"}}) as server:
        assert run(server.url) == 2
    assert "answers 401" in capsys.readouterr().err
