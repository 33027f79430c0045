"""How long a run of gptme is waited for, and what is said of one that was given up."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field

import pytest

from gptme_reliability.evals.gptme_run import Outcome, Run, _outcome
from gptme_reliability.evals.patience import GivenUp, Patience, Processor, processor, wait
from gptme_reliability.evals.scenarios import demo_scenarios

PATIENCE = Patience(still=30, spinning=60, most=300)


@dataclass
class Process:
    """A process on a clock of its own: in each second it runs and queues for so long.

    It ends after ``ends`` seconds and sends a request in each second of ``sends``; where
    ``told`` is False, the system does not say what it does.
    """

    ran: float
    queued: float
    ends: float = float("inf")
    sends: range = range(0)
    told: bool = True
    pid: int = 1
    now: float = field(default=0.0, init=False)

    def wait(self, timeout: float) -> int | None:
        self.now += timeout
        return 0 if self.now >= self.ends else None

    def sent(self) -> int:
        return sum(second <= self.now for second in self.sends)

    def measure(self, pid: int) -> Processor | None:
        return Processor(self.ran * self.now, self.queued * self.now) if self.told else None

    def end(self) -> int | GivenUp:
        return wait(self, PATIENCE, self.sent, measure=self.measure, clock=lambda: self.now)


@pytest.mark.parametrize(
    ("process", "end", "seconds"),
    [
        pytest.param(Process(1, 0, ends=4), 0, 4, id="quick"),
        pytest.param(Process(0.1, 0.9, ends=200), 0, 200, id="starved, and ends"),
        pytest.param(Process(0, 1, ends=200), 0, 200, id="gets nothing for minutes, and ends"),
        pytest.param(Process(0.1, 0.9), "late", 301, id="starved, and does not end"),
        pytest.param(Process(0, 0), "still", 31, id="sleeps"),
        pytest.param(Process(0.01, 0.02), "still", 31, id="sleeps, and a timer wakes it"),
        pytest.param(Process(0, 0, sends=range(0, 61, 20)), "still", 91, id="sleeps in the end"),
        pytest.param(Process(0, 0, ends=90, sends=range(0, 90, 20)), 0, 90, id="waits, and ends"),
        pytest.param(Process(1, 0), "spinning", 61, id="computes without end"),
        pytest.param(Process(0.5, 0.5), "spinning", 121, id="the same, on half of a processor"),
        pytest.param(Process(1, 0, ends=90, sends=range(0, 90, 50)), 0, 90, id="computes much"),
        pytest.param(Process(0, 0, ends=200, told=False), 0, 200, id="not told, and ends"),
        pytest.param(Process(0, 0, told=False), "late", 301, id="not told, and does not end"),
    ],
)
def test_wait(process: Process, end: int | GivenUp, seconds: float) -> None:
    """A run that moves is waited for, however slow; one that does not is not."""
    assert (process.end(), process.now) == (end, seconds)


@pytest.mark.parametrize(
    ("given_up", "repeats", "exit_code", "outcome"),
    [
        ("still", 0, None, "stuck"),
        ("spinning", 0, None, "stuck"),
        ("still", 1, None, "hung"),
        ("late", 0, None, "unjudged"),
        ("late", 1, None, "unjudged"),
        ("late", 3, None, "hung"),
        (None, 3, -signal.SIGKILL, "hung"),
        (None, 0, -signal.SIGKILL, "unjudged"),
        (None, 0, -signal.SIGSEGV, "crash"),
        (None, 0, 1, "crash"),
    ],
)
def test_what_is_said_of_a_run_that_did_not_end_well(
    given_up: GivenUp | None, repeats: int, exit_code: int | None, outcome: Outcome
) -> None:
    """Slowness is never called a fault of gptme or the plugin."""
    run = Run(demo_scenarios()[0], streamed=False, plugin=True)
    run.files = dict(run.scenario.given)
    run.given_up, run.repeats, run.exit_code = given_up, repeats, exit_code
    assert _outcome(run) == outcome


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="Linux only")
def test_processor() -> None:
    """This process has run; one that is not there tells nothing."""
    mine = processor(os.getpid())
    assert mine is not None and mine.ran > 0
    assert processor(2**30) is None
