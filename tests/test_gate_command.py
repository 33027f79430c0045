"""``gptme-reliability gate``: exit codes, what it names, what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from eval_world import SCENARIOS, native
from gate_world import doing, failing, right
from probe_world import CARD, CHAT, GOOD, LLAMA_CPP, OLLAMA, PLAIN, Ways, drive, error, serving

from gptme_reliability.cli import main
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.evals.tasks.progress import progress
from gptme_reliability.evals.tasks.results import read_results
from gptme_reliability.evals.tasks.smoke import recommended, smoke_scenarios
from gptme_reliability.probe.card import read_card, write_card
from gptme_reliability.probe.context import Context
from gptme_reliability.probe.finding import Finding
from gptme_reliability.probe.worse import losses

STRAY: Final = native([{"name": "delete_file", "arguments": {"path": "notes.txt"}}])

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config directory of the test's own, and no proxy; returns the directory."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GPTME_RELIABILITY_UPSTREAM_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``gate …``: the exit code, what it printed, and its errors."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["gate", *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def worse(out: str) -> list[str]:
    """The reasons that it gives."""
    return re.findall(r"^worse: (.*)$", out, re.MULTILINE)


# --- good and worse -----------------------------------------------------------------------


def test_a_good_server(run: Run, tmp_path: Path, surroundings: Path) -> None:
    """Its card is the baseline of the next run, which has nothing to say against it."""
    card, results = tmp_path / "card.toml", tmp_path / "results.jsonl"
    with serving(doing()) as server:
        code, out, err = run(server.url, "--card", card, "--results", results)
        assert (code, err, worse(out)) == (0, "", [])
        assert "good: no baseline to compare with, 8 of 8 tasks done" in out
        again = run(server.url, "--baseline", card, "--results", results)
    assert (again[0], again[2]) == (0, "")
    assert "good: nothing that the baseline has got lost, 8 of 8 tasks done" in again[1]
    assert read_card(card.read_text("utf-8"), "card").value("native_tools") == "yes"
    played = read_results(results)
    assert [result.scenario for result in played] == [s.id for s in smoke_scenarios()]
    assert {(r.mode, r.arm, r.played.outcome) for r in played} == {
        ("native+stream", "guarded", "done")
    }
    assert not surroundings.exists()


GONE: Final = {
    "drops the tools": (replace(LLAMA_CPP, tools_in_prompt=False), "calls arrive as calls: yes"),
    "reads no calls": (replace(LLAMA_CPP, calls="text"), "calls arrive as calls: yes"),
    "ignores required": (replace(LLAMA_CPP, required="no"), 'tool_choice "required" is honoured'),
    "takes no tools": (replace(LLAMA_CPP, takes_tools=False), "calls arrive as calls: yes"),
    "hides that it cut": (replace(LLAMA_CPP, tells_cut=False), "a cut answer says so: yes"),
    "refuses top_k": (
        replace(LLAMA_CPP, rejects=frozenset({"top_k"})),
        "the sampling parameter top_k: read",
    ),
}


@pytest.mark.parametrize(("ways", "named"), GONE.values(), ids=GONE)
def test_a_server_that_does_less_than_before(
    ways: Ways, named: str, run: Run, tmp_path: Path
) -> None:
    """It is named, with what was before and what is now, even where all tasks are done still."""
    card = tmp_path / "card.toml"
    probed, _ = drive(LLAMA_CPP, "llama.cpp")
    card.write_text(write_card(replace(CARD, found=probed.found, sampling=probed.sampling)))
    with serving(doing(ways)) as server:
        code, out, _ = run(server.url, "--baseline", card)
    assert code == 1
    assert any(reason.startswith(named) and " now" in reason for reason in worse(out)), out
    assert "tasks done" not in out


def test_what_never_worked_is_not_worse(run: Run, tmp_path: Path) -> None:
    """Without a baseline a server that reads no calls fails; with one that was so, it passes."""
    card = tmp_path / "card.toml"
    with serving(doing(PLAIN)) as server:
        code, out, _ = run(server.url, "--card", card)
        assert code == 1 and "calls arrive as calls: leaked" in worse(out)[0]
        assert run(server.url, "--baseline", card)[0] == 0


def test_the_mode_that_the_card_recommends(run: Run) -> None:
    """Tools in the prompt where the server drops them; a mode that is asked for counts first."""
    with serving(doing(replace(LLAMA_CPP, tools_in_prompt=False))) as server:
        _, out, _ = run(server.url)
        assert "prompted+stream, as its card recommends" in out
        _, out, _ = run(server.url, "--modes", "native,prompted")
        assert "native, prompted, as asked for" in out
        assert out.count("\tnative\tdone") == out.count("\tprompted\tdone") == 8


MODES: Final = [
    ({}, "native+stream"),
    ({"streaming": "no"}, "native"),
    ({"stream_calls": "dropped"}, "native"),
    ({"native_tools": "leaked", "stream_calls": "leaked"}, "native+stream"),
    ({"native_tools": "dropped", "stream_calls": "dropped"}, "prompted+stream"),
    ({"native_tools": "rejected", "streaming": "unclear"}, "prompted"),
]


@pytest.mark.parametrize(("differs", "mode"), MODES)
def test_recommended(differs: Mapping[str, str], mode: str) -> None:
    found = {name: Finding(value) for name, value in {**GOOD, **differs}.items()}
    assert recommended(replace(CARD, found=found)).name == mode


LOSSES: Final = [
    ({}, {}, 0),
    ({"talks": "yes"}, {"talks": "unclear"}, 0),
    ({"talks": "yes"}, {"talks": "no"}, 1),
    ({"talks": "no"}, {"talks": "yes"}, 0),
    ({"native_tools": "unclear"}, {"native_tools": "dropped"}, 1),
    ({"native_tools": "leaked"}, {"native_tools": "dropped"}, 0),
    ({"structured": "response_format"}, {"structured": "json_schema"}, 0),
]


@pytest.mark.parametrize(("before", "after", "count"), LOSSES)
def test_losses(before: Mapping[str, str], after: Mapping[str, str], count: int) -> None:
    """Doubt is none, nor is another way to the same; what matters must not be bad."""

    def card(differs: Mapping[str, str]) -> Any:
        found = {name: Finding(value) for name, value in {**GOOD, **differs}.items()}
        return replace(CARD, found=found)

    assert len(losses(card(before), card(after))) == count


def test_a_smaller_context_is_a_loss() -> None:
    small = replace(CARD, context=Context(1024, None, "/props"))
    (loss,) = losses(CARD, small)
    assert (loss.what, loss.before, loss.after) == ("tokens of context", "2048", "1024")
    assert losses(small, CARD) == [] == losses(CARD, replace(CARD, context=Context()))


# --- tasks --------------------------------------------------------------------------------


def test_tasks_that_are_not_done(run: Run) -> None:
    """Too many of them are named; how many may fail is for the user to say."""
    silent: Answer = {"text": "I cannot."}
    with serving(doing(model=failing("steps/mail", "nested/order", by=silent))) as server:
        code, out, _ = run(server.url)
        assert code == 1
        assert worse(out) == [
            "native+stream: 6 of 8 tasks done, at least 80% must be; not done: nested/order, "
            "steps/mail"
        ]
        assert run(server.url, "--min-success", "0.75")[0] == 0


def test_a_wrong_execution(run: Run, tmp_path: Path) -> None:
    """One is too many, however much is done; --max-wrong allows some."""
    own = tmp_path / "own"
    own.mkdir()
    scenario = {
        "id": "keep",
        "user": SCENARIOS["chat/hello"].messages[0]["content"],
        "tools": ["delete_file"],
        "given": {"files": {"notes.txt": "x"}},
        "quiet": True,
    }
    (own / "own.jsonl").write_text(json.dumps(scenario))
    with serving(doing(model=failing("chat/hello", by=STRAY))) as server:
        code, out, _ = run(server.url, "--scenarios", own, "--min-success", "0")
        assert code == 1
        assert worse(out) == [
            "native+stream: wrong executions in 1 of 1 tasks, at most 0 may have one; "
            "keep: delete_file: nothing was to be called"
        ]
        assert run(server.url, "--scenarios", own, "--min-success", "0", "--max-wrong", "1")[0] == 0


def test_as_json(run: Run, tmp_path: Path) -> None:
    """One object with all of it."""
    card = tmp_path / "card.toml"
    card.write_text(write_card(CARD), encoding="utf-8")
    with serving(doing(replace(LLAMA_CPP, required="no"))) as server:
        code, out, err = run(server.url, "--baseline", card, "--json", "--repeat", "2")
    shown = json.loads(out)
    assert (code, err, shown["verdict"]) == (1, "", "worse")
    assert shown["changed"]["tool_choice_required"] == {"before": "yes", "after": "no"}
    assert shown["card"]["found"]["tool_choice_required"] == "no"
    assert [task["ended"] for task in shown["tasks"]] == ["done"] * 16
    assert {task["repeat"] for task in shown["tasks"]} == {0, 1}


def test_what_requests_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, and parameters, with every task."""
    monkeypatch.setenv("GPTME_RELIABILITY_UPSTREAM_KEY", "sk-never-print-this")
    with serving(doing()) as server:
        code, out, err = run(server.url, "--param", "temperature=0", "--param", "max_tokens=77")
        tasks = [ask.body for ask in server.asked if ask.body and ask.body.get("max_tokens") == 77]
        keys = [headers.get("authorization") for headers in server.headers[-len(tasks) :]]
    assert code == 0 and "sk-never" not in out + err
    assert len(tasks) > 8 and all(body["temperature"] == 0 for body in tasks)
    assert set(keys) == {"Bearer sk-never-print-this"}


# --- what cannot be asked -----------------------------------------------------------------


def refusing(status: int, message: str) -> Ways:
    return replace(OLLAMA, down=lambda body: error(status, message))


def test_a_server_that_is_not_there(run: Run) -> None:
    for arguments in ((), ("--model", "tiny")):
        code, out, err = run("http://127.0.0.1:9/v1", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "127.0.0.1:9" in err


def test_a_model_that_is_not_there(run: Run) -> None:
    """By the server's list, and where it has none, by its refusal."""
    with serving(doing(OLLAMA)) as server:
        code, out, err = run(server.url, "--model", "qwen3:8b")
        assert (code, out) == (2, "")
        assert err.endswith("has no model 'qwen3:8b'; it lists: tiny\n")
        assert not any(ask.path == CHAT for ask in server.asked)
        server.ways = replace(refusing(404, "model 'qwen3:8b' not found"), pages={})
        code, out, err = run(server.url, "--model", "qwen3:8b")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "model 'qwen3:8b' not found" in err


def test_names_that_servers_take(run: Run) -> None:
    """Ollama leaves a tag out, llama.cpp answers to any name, gptme puts its provider before."""
    listed = {"/v1/models": {"data": [{"id": "tiny:latest"}]}, "/api/ps": {"models": []}}
    with serving(doing(replace(OLLAMA, pages={**OLLAMA.pages, **listed}))) as server:
        assert run(server.url, "--model", "local/tiny")[0] == 0
        server.ways = doing()
        code, out, _ = run(server.url, "--model", "whatever")
    assert code == 0 and "tiny-q8_0.gguf" in out


def test_a_wrong_key(run: Run) -> None:
    with serving(refusing(401, "no key")) as server:
        code, out, err = run(server.url, "--model", "tiny")
    assert (code, out) == (2, "") and "wants a key" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--baseline", "none.toml"), "there is no baseline none.toml"),
        (("--baseline", "card.toml", "--card", "./card.toml"), "must not replace the baseline"),
        (("--baseline", "broken.toml"), "broken.toml is no capability card"),
        (("--modes", "json"), "no mode 'json'"),
        (("--scenarios", "none.jsonl"), "cannot read none.jsonl"),
        (("--scenarios", "empty"), "holds no .jsonl files"),
        (("--card", "empty"), "cannot write empty"),
        (("--results", "empty"), "cannot write empty"),
    ],
)
def test_files_and_modes_that_are_wrong(
    arguments: tuple[str, ...],
    message: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One line says which."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "card.toml").write_text(write_card(CARD), encoding="utf-8")
    (tmp_path / "broken.toml").write_text("x = [")
    (tmp_path / "empty").mkdir()
    with serving(doing()) as server:
        code, _, err = run(server.url, *arguments)
    assert code == 2 and message in err and err.count("\n") == 1
    assert (tmp_path / "card.toml").read_text(encoding="utf-8") == write_card(CARD)


@pytest.mark.parametrize(
    "arguments",
    [
        *(("--min-success", share) for share in ("1.1", "-1", "all", "nan")),
        *(("--max-wrong", "-1"), ("--param", "top_k"), ("--repeat", "0"), ("--timeout", "0")),
    ],
)
def test_options_that_make_no_sense(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["gate", "http://127.0.0.1:9/v1", *arguments])
    assert ended.value.code == 2


# --- what ends it early -------------------------------------------------------------------


def test_a_server_that_goes_away(run: Run, tmp_path: Path) -> None:
    """What was finished is shown and stands in the file; it is no verdict."""
    results = tmp_path / "results.jsonl"
    gone: Answer = {"status": 404, "error": {"error": "unloaded"}}
    with serving(doing(model=failing("steps/mail", by=gone))) as server:
        code, out, err = run(server.url, "--results", results)
        assert code == 2 and "unloaded" in err and "worse" not in out
        assert out.count("\tdone") == len(read_results(results)) == 4
        shown = json.loads(run(server.url, "--json")[1])
    assert (shown["verdict"], len(shown["tasks"])) == ("unfinished", 4)


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C: the finished tasks are shown and stand in whole lines in the file."""
    card, results = tmp_path / "card.toml", tmp_path / "results.jsonl"
    running: list[subprocess.Popen[str]] = []

    def model(body: Mapping[str, Any]) -> Answer:
        if "Ann" in str(body["messages"][0]["content"]):
            os.kill(running[0].pid, signal.SIGINT)
        return right(body)

    command = [sys.executable, "-m", "gptme_reliability.cli", "gate"]
    with serving(doing(model=model)) as server:
        options = [server.url, "--card", str(card), "--results", str(results)]
        process = subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert 0 < out.count("\tdone") == len(read_results(results)) < 8
    assert read_card(card.read_text("utf-8"), "card").model == "tiny"


def test_a_bar_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what comes now; in a pipe there is nothing."""
    for terminal in (False, True):
        monkeypatch.setenv("FORCE_COLOR", "1") if terminal else monkeypatch.delenv(
            "FORCE_COLOR", raising=False
        )
        with progress() as show:
            show(1, 8, "steps/mail [b]")
            show(2, None, "requests")
        said = capsys.readouterr()
        assert said.out == "" and bool(said.err) is terminal
