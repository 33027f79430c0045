"""The scenarios of the tables through the real ``gptme -n`` with the plugin on, in all formats.

The proof is what lies in the workspace afterwards.  The runs go several at a time in the
background, and each test waits for its own.  They start warm, in forks of one process; that
this changes nothing is tested here on a sample.

A run takes seconds, so that without more only a sample is run; ``pytest -m full`` runs the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import pytest
from scenario_tables import CASES, DEFECTS, MUST_NOT_EXECUTE

from gptme_reliability.evals.gptme_run import Run, ToolFormat, run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario, read_scenarios

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]


class Job(NamedTuple):
    """A run: in which of gptme's formats, what the model does, and how its answers come."""

    form: ToolFormat
    scenario: Scenario
    streamed: bool

    @property
    def name(self) -> str:
        """What a test of it is called."""
        return f"{self.form}-{self.scenario.id}-{'streamed' if self.streamed else 'whole'}"


Runs: TypeAlias = dict[str, "Future[Run]"]

TABLES: dict[ToolFormat, list[Scenario]] = {
    "tool": [*DEFECTS, *MUST_NOT_EXECUTE],
    "markdown": read_scenarios(CASES / "markdown.jsonl"),
    "xml": read_scenarios(CASES / "xml.jsonl"),
}
JOBS = [
    Job(form, scenario, streamed)
    for form, scenarios in TABLES.items()
    for scenario in scenarios
    for streamed in (False, True)
    if streamed or not scenario.only_streamed
]
# Neighbouring rows differ in little but their wording, and whole and streamed take turns.
EVERY: dict[ToolFormat, int] = {"tool": 9, "markdown": 9, "xml": 9}
SAMPLE = {
    job.name
    for form, step in EVERY.items()
    for job in [job for job in JOBS if job.form == form][::step]
}
# Half of a run is waiting: for the server, for its shell, for its end.
AT_A_TIME = min(2 * (os.cpu_count() or 1), 8)
COLD = 6


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts gptme, and leaves none behind."""
    launcher = Launcher(warm=True)
    yield launcher
    launcher.kill()


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, launcher: Launcher) -> Iterator[Runs]:
    """The runs of all tests that were selected, under way."""
    pool = ThreadPoolExecutor(AT_A_TIME)
    found: Runs = {}
    for item in request.session.items:
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        if item.fspath == request.node.fspath and isinstance(job := params.get("job"), Job):
            found[job.name] = pool.submit(run, job, launcher)
    yield found
    launcher.kill()
    pool.shutdown(cancel_futures=True)


def run(job: Job, launcher: Launcher, *, plugin: bool = True) -> Run:
    """Let gptme talk to the model until there is an end."""
    return run_gptme(
        job.scenario,
        streamed=job.streamed,
        plugin=plugin,
        launcher=launcher,
        tool_format=job.form,
    )


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(job, id=job.name, marks=() if job.name in SAMPLE else pytest.mark.full)
        for job in JOBS
    ],
)
def test_scenario(job: Job, runs: Runs) -> None:
    """gptme with the plugin does what the row says, and nothing else."""
    run = runs[job.name].result()
    assert not run.faults, explain(run)


@pytest.mark.parametrize("name", sorted(SAMPLE)[:: len(SAMPLE) // COLD])
def test_a_warm_start_changes_nothing(name: str, launcher: Launcher) -> None:
    """gptme started as a user starts it does, says and is told the same."""
    (job,) = [job for job in JOBS if job.name == name]
    with ThreadPoolExecutor(2) as pool:
        warm, cold = pool.map(lambda launcher: run(job, launcher), (launcher, Launcher()))
    assert seen(cold) == seen(warm), explain(cold)


@pytest.mark.parametrize(
    ("form", "scenario_id", "outcome"),
    [
        ("tool", "valid/shell", "executed"),
        ("tool", "docs/shell-fence", "wrong"),
        ("tool", "argument/missing-command", "empty command"),
        ("tool", "hermes/closed", "not run"),
        ("tool", "shape/object", "crash"),
        ("tool", "tool/unknown", "silent"),
        ("markdown", "valid/lead", "executed"),
        ("markdown", "docs/yourself", "wrong"),
        ("markdown", "fence/unclosed-lead", "not run"),
    ],
)
def test_the_harness_sees_what_gptme_does_alone(
    form: ToolFormat, scenario_id: str, outcome: str, launcher: Launcher
) -> None:
    """Without the plugin the same runs tell wrong executions, crashes and silence apart."""
    (scenario,) = [row for row in TABLES[form] if row.id == scenario_id]
    alone = run(Job(form, scenario, streamed=True), launcher, plugin=False)
    assert alone.outcome == outcome, explain(alone)


def seen(run: Run) -> tuple[object, ...]:
    """What can be seen of a run, without the names and times that differ in every one."""
    said = [(message["role"], message["content"]) for message in run.messages[1:]]
    return run.outcome, run.exit_code, run.requests, run.files, run.told, said


def explain(run: Run) -> str:
    """All there is to know of a run that went wrong."""
    log = "\n".join(f"  {m.get('role')}: {str(m.get('content'))[:600]}" for m in run.messages[-6:])
    told = "\n".join(f"  {text[:1000]}" for text in run.told)
    return (
        f"{run.scenario.id}: {run.outcome}: {'; '.join(run.faults)}\n"
        f"exit code {run.exit_code}, {run.requests} requests, {run.nudges} nudges, "
        f"files {run.files}\ntold:\n{told}\nlog:\n{log}\nstderr:\n{run.stderr[-1500:]}"
    )
