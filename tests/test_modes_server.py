"""The real ``gptme-server`` with the plugin on, over its HTTP API, streamed and whole.

One server holds all conversations of this module, one after the other: gptme changes its
working directory for each.  Needs ``gptme[server]``.  A sample of the rows runs by default;
``RELIABILITY_MODES=all pytest -s tests/test_modes_server.py`` runs all, and tells the figures.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mode_rows import ROWS, Figures, explain, name, picked
from mode_runs import END

from gptme_reliability.evals.gptme_run import ToolFormat
from gptme_reliability.evals.scenarios import Scenario

pytest.importorskip("flask", reason="gptme[server] is not installed")

from mode_server import Server, serving  # needs what is looked for above

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

# ``complete`` ends no conversation that has a user in it, so what it does cannot be seen.
JOBS = [
    (form, row, row.only_streamed or bool(position % 2))
    for position, (form, row) in enumerate(
        picked(("tool", "markdown", "xml"), 6, without=("complete",))
    )
]
OTHER_MODES = """
[plugin.reliability.models."local/observed-*"]
mode = "observe"

[plugin.reliability.models."local/off-*"]
enabled = false
"""
FULL_TRACE = {"GPTME_RELIABILITY_TRACE": "full"}
# A model that never mends its call.
STUBBORN = {"calls": [{"name": "shell", "arguments": '{"command": "echo RUN >'}]}
GOOD = {"id": "call_0", "name": "shell", "arguments": '{"command": "echo RUN >> marker"}'}
BAD = {"id": "call_1", "name": "shell", "arguments": "{}"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests."""
    with serving(tmp_path_factory.mktemp("server"), OTHER_MODES, FULL_TRACE) as server:
        yield server


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    """What came of all rows."""
    figures = Figures("gptme-server")
    yield figures
    figures.tell()


@pytest.mark.parametrize(("form", "row", "streamed"), JOBS, ids=map(name, JOBS))
def test_row(
    form: ToolFormat, row: Scenario, streamed: bool, server: Server, figures: Figures
) -> None:
    """gptme with the plugin does what the row says, and nothing else."""
    run = figures.note(server.play(row, streamed=streamed, form=form))
    assert not run.faults, explain(run)


def defect(name: str) -> Scenario:
    """A row of native calls."""
    return next(row for row in ROWS["tool"] if row.id == name)


@pytest.mark.parametrize("name", ["docs/shell-fence", "argument/missing-command"])
def test_observing_changes_nothing(name: str, server: Server) -> None:
    """What gptme does alone happens, wrong as it is, and the trace holds the verdict."""
    row = defect(name)
    alone = server.play(row, streamed=True, form="tool", model="off-#")
    assert alone.faults
    assert not server.traced(alone)
    observed = server.play(row, streamed=True, form="tool", model="observed-#")
    assert (observed.outcome, observed.requests) == (alone.outcome, alone.requests)
    assert observed.stdout == alone.stdout
    assert {entry["mode"] for entry in server.traced(observed)} == {"observe"}


def test_every_decision_is_traced_under_its_conversation(server: Server) -> None:
    """The trace names the conversation by its log, and is as full as the environment says."""
    run = server.play(defect("tool/unknown"), streamed=True, form="tool")
    first, last = server.traced(run)
    assert first["conversation"] == last["conversation"] == str(server.log(run))
    assert [attempt["verdict"] for attempt in first["attempts"]] == ["retry", "accept"]
    assert last["attempts"][0]["text"] == END["text"]


@pytest.mark.parametrize("form", ["tool", "markdown", "xml"])
def test_titles_pass_untouched(form: ToolFormat, server: Server) -> None:
    """What gptme asks beside the conversation gets the model's answer, whatever it looks like."""
    answer = "The answer is 42, as everybody knows who has read the book to its end."
    row = Scenario("plain", "plain", "text", {"text": answer})
    title = '{"name": "shell", "arguments": {}}'
    server.script.aside_answer = {"text": title}
    before = len(server.script.aside)
    run = server.play(row, streamed=False, form=form)
    body = server.awaited(lambda: server.script.aside[before:])[0]
    assert set(body) <= {"model", "messages", "temperature", "top_p", "max_tokens", "stream"}
    assert len(server.traced(run)) == 1
    conversation = server.log(run).name
    config = server.awaited(lambda: server.request("GET", f"{conversation}/config"))
    assert config["chat"]["name"] == title
    assert len(server.script.aside) == before + 1


def test_the_command_answers_where_it_was_asked(server: Server) -> None:
    """``/reliability`` in the web UI is a message there, with what happened in this place."""
    run = server.play(defect("tool/unknown"), streamed=False, form="tool")
    conversation = server.log(run).name
    body = {"role": "user", "content": "/reliability"}
    assert server.request("POST", conversation, body)["responses"] == 1
    *_, asked, answer = server.request("GET", conversation)["log"]
    assert asked["content"] == "/reliability"
    assert "1 re-asks" in answer["content"]


def test_budgets_are_of_one_conversation(server: Server) -> None:
    """Who gave up in one conversation is asked as often in the next that begins alike."""
    row = Scenario("stubborn", "stubborn", "asks", STUBBORN, again=STUBBORN)
    asked = []
    for _ in range(2):
        run = server.play(row, streamed=False, form="tool", model="stubborn", end=STUBBORN)
        asked.append(run.requests + run.repeats)
        assert run.files == {}
    assert asked[0] == asked[1] > 2


def test_what_is_to_be_told_is_of_one_conversation(server: Server) -> None:
    """Feedback on a call goes to the model that made it, not to one that began alike."""
    both = Scenario("both", "pending", "asks", {"calls": [GOOD, BAD]}, files={"marker": "RUN\n"})
    one = Scenario("one", "pending", "executes", {"calls": [GOOD]}, files={"marker": "RUN\n"})
    told = server.play(both, streamed=False, form="tool")
    assert "$.command" in told.results
    innocent = server.play(one, streamed=False, form="tool")
    assert innocent.outcome == "executed", explain(innocent)
    assert "$.command" not in innocent.results


def test_a_workspace_cannot_loosen_the_checks(server: Server, tmp_path: Path) -> None:
    """Neither its ``.env``, which gptme puts into the server's environment, nor its config."""
    row = defect("docs/shell-fence")
    loose = {
        ".env": "GPTME_RELIABILITY_ENABLED=0\nGPTME_RELIABILITY_MODE=observe\n",
        "gptme.toml": '[plugin.reliability]\nmode = "observe"\n',
    }
    run = server.play(row, streamed=True, form="tool", beside=loose)
    assert not run.faults, explain(run)
    elsewhere = server.play(row, streamed=True, form="tool")
    assert not elsewhere.faults, explain(elsewhere)


def test_a_project_may_tighten_its_own_conversations(server: Server) -> None:
    """Each conversation is held to the config of its own workspace."""
    row = defect("json/missing-brace")
    strict = {"gptme.toml": '[plugin.reliability.policy]\nallow = ["lossless"]\n'}
    tightened = server.play(row, streamed=False, form="tool", beside=strict)
    assert tightened.told
    assert server.play(row, streamed=False, form="tool").outcome == "executed"


def test_conversations_go_side_by_side(server: Server) -> None:
    """One waits for its model, is interrupted, and goes on; others are served meanwhile."""
    go_on = threading.Event()

    def slow() -> Iterator[Mapping[str, Any]]:
        yield {"content": "I will take a long and thorough look at it first, for this is hard."}
        go_on.wait(60)
        arguments = json.dumps({"command": "echo RUN >> marker"})
        function = {"name": "Shell", "arguments": arguments}
        yield {"tool_calls": [{"index": 0, "id": "call_0", "function": function}]}

    row = Scenario("slow", "slow", "text", {"deltas": slow()})
    workspace = server.root / "slow"
    talk = server.script.conversation(row, workspace, streamed=True, form="tool")
    with talk as (model, run):
        conversation = server.new(workspace, model, form="tool", prompt="Please do the task.")
        with server.listening(conversation) as events:
            server.step(conversation, events, streamed=True)
            assert events.wait(lambda events: "look at it" in events.text)
            other = server.play(defect("tool/unknown"), streamed=True, form="tool")
            assert not other.faults, explain(other)
            path = f"{conversation}/interrupt"
            server.request("POST", path, {"session_id": events.session})
            go_on.set()
            assert events.wait(lambda events: events.count("interrupted"))
            again = server.play(defect("tool/unknown"), streamed=True, form="tool")
            assert not again.faults, explain(again)
            assert run.requests == 1
            assert not events.count("tool_pending")
            assert not list(workspace.iterdir())
            server.request("POST", conversation, {"role": "user", "content": "Go on."})
            server.step(conversation, events, streamed=True)
            assert events.wait(lambda events: END["text"] in events.text)


@pytest.mark.parametrize("streamed", [False, True])
def test_of_several_calls_in_a_text_the_first_runs(streamed: bool, server: Server) -> None:
    """That is gptme's doing, and the user can see it."""
    text = "```shell\necho RUN >> marker\n```\n\n```shell\necho TWICE >> marker\n```\n"
    row = Scenario("two", "several", "executes", {"text": text}, files={"marker": "RUN\n"})
    run = server.play(row, streamed=streamed, form="markdown")
    assert not run.faults, explain(run)
    body = {"role": "user", "content": "/reliability"}
    server.request("POST", server.log(run).name, body)
    *_, answer = server.request("GET", server.log(run).name)["log"]
    assert "gptme runs only the first of 2 calls in one text" in answer["content"]


def test_a_confirmation_is_still_asked_for(server: Server) -> None:
    """A call that was mended waits for the user like any other."""
    row = defect("tool/capital")
    workspace = server.root / "confirmed"
    talk = server.script.conversation(row, workspace, streamed=True, form="tool")
    with talk as (model, _):
        conversation = server.new(workspace, model, form="tool", prompt=row.prompt)
        with server.listening(conversation) as events:
            server.step(conversation, events, streamed=True, confirm=False)
            assert events.wait(lambda events: events.count("tool_pending"))
            assert events.wait(lambda events: events.count("step_complete"))
            assert not list(workspace.iterdir())
            pending = next(e for e in events.seen if e["type"] == "tool_pending")
            body = {
                "session_id": events.session,
                "tool_id": pending["tool_id"],
                "action": "confirm",
            }
            server.request("POST", f"{conversation}/tool/confirm", body)
            assert events.wait(lambda events: events.over)
    assert (workspace / "marker").read_text(encoding="utf-8") == "RUN\n"
