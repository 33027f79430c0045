"""An evaluation: every scenario in every mode and arm, one result each."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final
from zlib import crc32

from gptme_reliability import __version__
from gptme_reliability.errors import InputError
from gptme_reliability.evals.interrupts import uninterrupted
from gptme_reliability.evals.tasks.modes import HOSTS_OWN, Mode, makes_sense
from gptme_reliability.evals.tasks.play import Connection, play
from gptme_reliability.evals.tasks.progress import progress
from gptme_reliability.evals.tasks.results import Key, Result, Setup, read_results, results_file
from gptme_reliability.evals.tasks.scenario import Scenario
from gptme_reliability.evals.tasks.summary import print_summary

_INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; all seeds come from ``seed``."""

    scenarios: Sequence[Scenario]
    modes: Sequence[Mode]
    arms: Sequence[str]
    repeats: int = 1
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """One task to be played."""

    scenario: Scenario
    mode: Mode
    arm: str
    repeat: int

    @property
    def key(self) -> Key:
        """What its result is a result of."""
        return self.scenario.id, self.mode.name, self.arm, self.repeat

    @property
    def words(self) -> str:
        """What is being played, for people."""
        return f"{self.scenario.id} {self.mode.name} {self.arm}"


def seed_of(job: Job, seed: int) -> int:
    """The seed of a task: the same in all modes and arms, another for each scenario and repeat.

    Under one seed a model draws its first token alike in all tasks: all would share one luck.
    """
    return crc32(f"{seed} {job.repeat} {job.scenario.id}".encode()) >> 2


def jobs_of(plan: Plan) -> list[Job]:
    """The tasks in order: all arms of a scenario in turn, so that a part of them can be paired.

    A host on its own knows no ``force`` and ``respond``: its modes are those without them.
    """
    jobs = [
        Job(scenario, mode.bare if arm in HOSTS_OWN else mode, arm, repeat)
        for repeat in range(plan.repeats)
        for scenario in plan.scenarios
        for mode in plan.modes
        for arm in plan.arms
    ]
    sensible = [job for job in jobs if makes_sense(job.arm, job.mode)]
    return list({job.key: job for job in sensible}.values())


def chosen(scenarios: Sequence[Scenario], only: str) -> list[Scenario]:
    """The scenarios whose id or category fits a pattern.

    Raises:
        InputError: there are none, or two have one id.
    """
    if len({scenario.id for scenario in scenarios}) < len(scenarios):
        raise InputError("two scenarios have one id")
    found = [s for s in scenarios if fnmatchcase(s.id, only) or fnmatchcase(s.category, only)]
    if not found:
        raise InputError(f"no scenario is like {only!r}")
    return found


def evaluate(
    plan: Plan, connection: Connection, backend: str, results: Path | None, *, resume: bool
) -> int:
    """Run what has no result yet, and print what came out; results are appended as they come.

    Returns the exit code: 0; 1 when this package itself failed at a request; 130 on Ctrl-C.

    Raises:
        InputError: the server cannot be asked, or the results are of another evaluation.
    """
    params = dict(connection.params or {})
    setup = Setup(connection.model, backend, params, plan.seed, __version__)
    jobs = jobs_of(plan)
    found = read_results(results) if resume and results and results.exists() else []
    _require_same(found, setup, jobs)
    have = {result.key for result in found}
    interrupted = False
    with ExitStack() as stack:
        write = stack.enter_context(results_file(results, resume=resume))
        show = stack.enter_context(progress())
        try:
            for number, job in enumerate(jobs):
                show(number, len(jobs), job.words)
                if job.key in have:
                    continue
                result = result_of(job, setup, connection)
                with uninterrupted():
                    write(result)
                    found.append(result)
        except KeyboardInterrupt:
            interrupted = True
    print_summary(found)
    if interrupted:
        goes_on = f"; go on with --results {results} --resume" if results else ""
        print(f"interrupted after {len(found)} of {len(jobs)} tasks{goes_on}", file=sys.stderr)
        return _INTERRUPTED
    return int(any(result.played.broken for result in found))


def result_of(job: Job, setup: Setup, connection: Connection) -> Result:
    """Play a task.

    Raises:
        InputError: the server cannot be asked at all.
    """
    scenario = job.scenario
    played = play(scenario, job.mode, job.arm, connection, seed_of(job, setup.seed))
    return Result(
        *(setup, scenario.id, scenario.category, scenario.digest),
        *(job.mode.name, job.arm, job.repeat, played),
    )


def _require_same(found: Sequence[Result], setup: Setup, jobs: Sequence[Job]) -> None:
    digests: Mapping[str, str] = {job.scenario.id: job.scenario.digest for job in jobs}
    for result in found:
        if result.setup != setup:
            raise InputError(f"the results are of another run: {result.setup}, not {setup}")
        if digests.get(result.scenario, result.digest) != result.digest:
            raise InputError(f"scenario {result.scenario!r} was another one in these results")
