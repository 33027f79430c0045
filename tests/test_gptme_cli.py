"""The scenarios of the tables through the real ``gptme -n`` with the plugin on.

The proof is what lies in the workspace afterwards.  The runs go several at a time in the
background, and each test waits for its own.  They start warm, in forks of one process; that
this changes nothing is tested here on a sample, and every run of the demo starts cold.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

import pytest
from scenario_tables import DEFECTS, MUST_NOT_EXECUTE

from gptme_reliability.evals.gptme_run import Run, run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

Job: TypeAlias = tuple[Scenario, bool]
Runs: TypeAlias = dict[tuple[str, bool], "Future[Run]"]

# A run of gptme takes seconds: of the rows that differ in little but their wording, a sample.
SAMPLE = 60
JOBS = [
    (scenario, streamed)
    for scenario in (
        *DEFECTS,
        *(MUST_NOT_EXECUTE[i * len(MUST_NOT_EXECUTE) // SAMPLE] for i in range(SAMPLE)),
    )
    for streamed in (False, True)
    if streamed or not scenario.only_streamed
]
# Half of a run is waiting: for the server, for its shell, for its end.
AT_A_TIME = min(2 * (os.cpu_count() or 1), 8)
COLD = 12


def job_id(job: Job) -> str:
    """The name of a test, by the row and how its answers come."""
    scenario, streamed = job
    return f"{scenario.id}-{'streamed' if streamed else 'whole'}"


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
        if item.fspath == request.node.fspath and "scenario" in params:
            scenario, streamed = params["scenario"], params["streamed"]
            found[scenario.id, streamed] = pool.submit(
                run_gptme, scenario, streamed=streamed, plugin=True, launcher=launcher
            )
    yield found
    launcher.kill()
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("scenario", "streamed"),
    JOBS,
    ids=map(job_id, JOBS),
)
def test_scenario(scenario: Scenario, streamed: bool, runs: Runs) -> None:
    """gptme with the plugin does what the row says, and nothing else."""
    run = runs[scenario.id, streamed].result()
    assert not run.faults, explain(run)


@pytest.mark.parametrize("job", [JOBS[i * len(JOBS) // COLD] for i in range(COLD)], ids=job_id)
def test_a_warm_start_changes_nothing(job: Job, launcher: Launcher) -> None:
    """gptme started as a user starts it does, says and is told the same."""
    scenario, streamed = job
    with ThreadPoolExecutor(2) as pool:
        warm, cold = pool.map(
            lambda launcher: run_gptme(scenario, streamed=streamed, plugin=True, launcher=launcher),
            (launcher, Launcher()),
        )
    assert seen(cold) == seen(warm), explain(cold)


def by_id(scenario_id: str) -> Scenario:
    """A scenario of the tables."""
    return next(s for s in (*DEFECTS, *MUST_NOT_EXECUTE) if s.id == scenario_id)


@pytest.mark.parametrize(
    ("scenario_id", "outcome"),
    [
        ("valid/shell", "executed"),
        ("docs/shell-fence", "wrong"),
        ("argument/missing-command", "empty command"),
        ("hermes/closed", "not run"),
        ("shape/object", "crash"),
        ("tool/unknown", "silent"),
    ],
)
def test_the_harness_sees_what_gptme_does_alone(
    scenario_id: str, outcome: str, launcher: Launcher
) -> None:
    """Without the plugin the same runs tell wrong executions, crashes and silence apart."""
    run = run_gptme(by_id(scenario_id), streamed=True, plugin=False, launcher=launcher)
    assert run.outcome == outcome, explain(run)


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
