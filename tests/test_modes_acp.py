"""The real ``gptme-acp`` with the plugin on, over JSON-RPC on its stdin and stdout.

gptme speaks its markdown format there, always streamed.  One agent holds all sessions of this
module, one after the other: its tools work in the agent's own directory.  Needs ``gptme[acp]``.
A sample of the rows runs by default; ``RELIABILITY_MODES=all pytest -s
tests/test_modes_acp.py`` runs all, and tells the figures.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import pytest
from mode_rows import ROWS, Figures, explain, name, picked
from mode_runs import END

from gptme_reliability.evals.gptme_run import ToolFormat
from gptme_reliability.evals.scenarios import Scenario

pytest.importorskip("acp", reason="gptme[acp] is not installed")

from mode_acp import Agent, connected  # needs what is looked for above

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

JOBS = picked(("markdown",), 10)
OTHER_MODES = """
[plugin.reliability.models."local/observed-*"]
mode = "observe"

[plugin.reliability.models."local/off-*"]
enabled = false
"""
FULL_TRACE = {"GPTME_RELIABILITY_TRACE": "full"}
# An answer that cannot be run, and a model that never gives another.
STUBBORN = {"text": "```shell\n\n```"}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """An agent for all tests."""
    with connected(tmp_path_factory.mktemp("acp"), OTHER_MODES, FULL_TRACE) as agent:
        yield agent


@pytest.fixture(scope="module")
def figures() -> Iterator[Figures]:
    """What came of all rows."""
    figures = Figures("gptme-acp")
    yield figures
    figures.tell()


@pytest.mark.parametrize(("form", "row"), JOBS, ids=map(name, JOBS))
def test_row(form: ToolFormat, row: Scenario, agent: Agent, figures: Figures) -> None:
    """gptme with the plugin does what the row says, and nothing else."""
    run = figures.note(agent.play(row))
    assert not run.faults, explain(run)


def markdown(name: str) -> Scenario:
    """A row of the format."""
    return next(row for row in ROWS["markdown"] if row.id == name)


def test_observing_changes_nothing(agent: Agent) -> None:
    """What gptme does alone happens, wrong as it is, and the trace holds the verdict."""
    row = markdown("docs/yourself")
    before = len(agent.traced())
    alone = agent.play(row, model="off-#")
    assert alone.outcome == "wrong"
    assert len(agent.traced()) == before
    observed = agent.play(row, model="observed-#")
    assert (observed.outcome, observed.requests) == (alone.outcome, alone.requests)
    named = re.compile(r"local/\S+|project-\d+")
    assert named.sub("", observed.stdout) == named.sub("", alone.stdout)
    assert {entry["mode"] for entry in agent.traced()[before:]} == {"observe"}


def test_every_decision_is_traced(agent: Agent) -> None:
    """A call that was asked for again is on record, as fully as the environment says."""
    before = len(agent.traced())
    assert agent.play(markdown("shell/empty")).told
    first, last = agent.traced()[before:]
    assert [attempt["verdict"] for attempt in first["attempts"]] == ["retry", "accept"]
    assert last["attempts"][0]["text"] == END["text"]


def test_budgets_are_of_one_session(agent: Agent) -> None:
    """Who gave up in one session is asked as often in the next that begins alike."""
    row = Scenario("stubborn", "stubborn", "asks", STUBBORN, again=STUBBORN)
    asked = []
    for _ in range(2):
        run = agent.play(row, model="stubborn", end=STUBBORN)
        asked.append(run.requests + run.repeats)
        assert run.files == {}
    assert asked[0] == asked[1] > 2


def test_sessions_go_side_by_side(agent: Agent) -> None:
    """Two turns at once get what is theirs; both work in the agent's directory."""
    files = {"one": "RUN\n", "two": "RUN\n"}
    mended = {"text": "```shell\necho RUN >> one\n"}
    told = {"text": "```shell\necho RUN >> two\n```"}
    runs = agent.play_at_once(
        [
            Scenario("unclosed", "two", "executes", mended, files=files),
            Scenario("empty", "two", "asks", STUBBORN, again=told, files=files),
        ]
    )
    assert [run.outcome for run in runs] == ["executed", "asked"], list(map(explain, runs))


def test_the_command_answers_where_it_was_asked(agent: Agent) -> None:
    """``/reliability`` tells the state in the session."""
    session = agent.session("asking")
    assert agent.result(agent.prompt(session, "/reliability"))["stopReason"] == "end_turn"
    assert "all OpenAI-compatible clients are wrapped" in agent.said(session)


def test_stdout_holds_nothing_but_the_protocol(agent: Agent) -> None:
    """Notices and status lines go elsewhere: one line on stdout would break the editor."""
    agent.play(markdown("shell/empty"))
    assert agent.lines
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in agent.lines)
    assert not any(b"reliability: " in line for line in agent.lines)
    assert "reliability: " in agent.stderr
