"""A sample of the rows in gptme's formats markdown and xml through the real ``gptme -n``.

The proof is what lies in the workspace afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from scenario_tables import CASES

from gptme_reliability.evals.gptme_run import Run, run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario, read_scenarios

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

SAMPLE = {
    "markdown": (
        *("valid/lead", "fence/unclosed-lead", "fence/tildes", "tag/bash-announced"),
        *("save/no-path", "json/in-shell", "native/truncated", "docs/yourself", "docs/four-ticks"),
        *("reasoning/channel", "hermes/lead"),
    ),
    "xml": (
        *("valid/lead", "body/redirect", "lead/ampersand", "section/missing-lead", "tag/unclosed"),
        *("save/no-path", "native/call", "docs/ticks", "docs/yourself", "reasoning/channel"),
    ),
}
ROWS = {form: {row.id: row for row in read_scenarios(CASES / f"{form}.jsonl")} for form in SAMPLE}
JOBS = [
    (form, ROWS[form][name], bool(position % 2))
    for form, names in SAMPLE.items()
    for position, name in enumerate(names)
]
IDS = [f"{form}-{row.id}-{'streamed' if streamed else 'whole'}" for form, row, streamed in JOBS]


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts gptme, and leaves none behind."""
    launcher = Launcher(warm=True)
    yield launcher
    launcher.kill()


@pytest.mark.parametrize(("form", "row", "streamed"), JOBS, ids=IDS)
def test_row(form: Any, row: Scenario, streamed: bool, launcher: Launcher) -> None:
    """gptme with the plugin does what the row says, and nothing else."""
    run = run_gptme(row, streamed=streamed, plugin=True, launcher=launcher, tool_format=form)
    assert not run.faults, explain(run)


@pytest.mark.parametrize(
    ("form", "name", "outcome"),
    [
        ("markdown", "valid/lead", "executed"),
        ("markdown", "docs/yourself", "wrong"),
        ("markdown", "fence/unclosed-lead", "not run"),
    ],
)
def test_the_harness_sees_what_gptme_does_alone(
    form: Any, name: str, outcome: str, launcher: Launcher
) -> None:
    """Without the plugin the same runs tell wrong executions and silence apart."""
    row = ROWS[form][name]
    run = run_gptme(row, streamed=True, plugin=False, launcher=launcher, tool_format=form)
    assert run.outcome == outcome, explain(run)


def explain(run: Run) -> str:
    """What there is to know of a run that went wrong."""
    log = "\n".join(f"  {m.get('role')}: {str(m.get('content'))[:600]}" for m in run.messages[-6:])
    return f"{run.outcome}: {run.faults}\nfiles {run.files}\n{log}\n{run.stderr[-1500:]}"
