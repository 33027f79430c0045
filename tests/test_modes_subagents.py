"""Subagents of a real ``gptme -n`` with the plugin on: in threads, and as processes.

The scripted server tells parent and children apart by the models that they ask for.  A sample
of the rows runs by default; ``RELIABILITY_MODES=all pytest -s tests/test_modes_subagents.py``
runs all, and tells the figures.  Children in threads answer whole, those in processes streamed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from mode_rows import FULL, Figures, explain, picked
from mode_subagents import Family, Kind, raise_children

from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

# Children have the tools that gptme gives them, and ``read`` is not among these.
ROWS = [row for _, row in picked(("tool",), 8, without=("read",))]
AT_ONCE = 24


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts the parents, and leaves none behind."""
    launcher = Launcher(warm=True)
    yield launcher
    launcher.kill()


def chosen(kind: Kind) -> list[Scenario]:
    """The rows for a kind of child; a process costs seconds, so of these there are fewer."""
    if kind == "thread":
        return [row for row in ROWS if not row.only_streamed]
    if FULL:
        return ROWS[::3]
    return [next(row for row in ROWS if row.expect == wanted) for wanted in ("executes", "asks")]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_rows(kind: Kind, launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Children with the plugin do what the rows say; the parent starts and ends them."""
    rows, figures = chosen(kind), Figures(f"subagents ({kind})")
    wrong: list[str] = []
    for first in range(0, len(rows), AT_ONCE):
        root = tmp_path_factory.mktemp("family")
        family = raise_children(root, rows[first : first + AT_ONCE], kind, launcher)
        assert family.exit_code == 0, family.stderr[-3000:]
        check_traces(family)
        wrong += [explain(run) for run in map(figures.note, family.children) if run.faults]
    figures.tell()
    assert not wrong, "\n\n".join(wrong)


def check_traces(family: Family) -> None:
    """Parent and children wrote their decisions into one trace, under their own logs, and as
    fully as the environment of the parent says."""
    places: dict[str, set[str]] = {}
    for entry in family.traces:
        places.setdefault(entry["model"], set()).add(entry["conversation"])
        assert all("text" in attempt for attempt in entry["attempts"])
    assert len(places) == 1 + len(family.children)
    assert all(len(conversations) == 1 for conversations in places.values()), places
    assert len(set.union(*places.values())) == len(places)


OTHER_MODES = """
[plugin.reliability.models."local/m1"]
mode = "observe"
"""


def test_observing_changes_nothing(
    launcher: Launcher, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A child that is only observed does what gptme does alone; its sibling is checked."""
    text = {"text": "You can do it yourself:\n\n```shell\necho RUN >> marker\n```\n\nGood luck."}
    row = Scenario("docs", "observed", "text", text)
    root = tmp_path_factory.mktemp("family")
    family = raise_children(root, [row, row], "thread", launcher, OTHER_MODES)
    observed, checked = family.children
    assert observed.outcome == "wrong", explain(observed)
    assert checked.outcome in ("text", "asked for nothing"), explain(checked)
    modes = {entry["model"]: entry["mode"] for entry in family.traces}
    assert (modes["local/m1"], modes["local/m2"]) == ("observe", "on")
