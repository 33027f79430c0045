"""How long a run is waited for: by what it does, not by the clock alone.

On a busy machine a run of four seconds may take a minute, and is right all the same.  So a run
is given up only when it neither does anything nor wants to, or computes without end.  What is
merely slow ends as *late*, and no verdict on it is possible.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from gptme_reliability.evals.launch import Handle

GivenUp: TypeAlias = Literal["still", "spinning", "late"]
"""Why a run was not waited for any longer.

``still``: it slept, and sent nothing. ``spinning``: it computed, and sent nothing.
``late``: it was at work when all the time was over, or nobody can tell whether it was.
"""

_NANOSECONDS: Final = 1e-9
_ASLEEP: Final = 0.25  # of a processor; who works wants one nearly all the time, had or not


@dataclass(frozen=True, slots=True)
class Patience:
    """When a run is given up; all in seconds.

    ``still`` without a request and without wanting a processor, ``spinning`` of processor time
    without a request, ``most`` by the clock in any case.
    """

    still: float = 30.0
    spinning: float = 120.0
    most: float = 300.0
    look: float = 1.0


@dataclass(frozen=True, slots=True)
class Processor:
    """What a process had and wanted of the processors so far, in seconds."""

    ran: float
    queued: float


def processor(pid: int) -> Processor | None:
    """The processor time of a process, all threads; None where the system does not say.

    From ``/proc/PID/task/*/schedstat`` of Linux (Documentation/scheduler/sched-stats).
    """
    ran = queued = 0
    found = False
    for thread in Path("/proc", str(pid), "task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # a thread may end meanwhile
            on, waiting, _ = thread.read_text("ascii").split()
            ran, queued, found = ran + int(on), queued + int(waiting), True
    return Processor(ran * _NANOSECONDS, queued * _NANOSECONDS) if found else None


def wait(
    handle: Handle,
    patience: Patience,
    sent: Callable[[], int],
    *,
    measure: Callable[[int], Processor | None] = processor,
    clock: Callable[[], float] = time.monotonic,
) -> int | GivenUp:
    """The exit code of a run, or why it is not waited for any longer.

    ``sent`` counts the requests that it sent so far.
    """
    begun = moved = clock()
    before = measure(handle.pid)
    requests, spun = sent(), 0.0
    while (code := handle.wait(patience.look)) is None:
        now, since = clock(), measure(handle.pid)
        ran, wanted = _between(before, since)
        spun += ran
        if sent() != requests:
            requests, spun, moved = sent(), 0.0, now
        elif since is None or wanted > _ASLEEP * patience.look:
            moved = now
        before = since
        if now - moved > patience.still:
            return "still"
        if spun > patience.spinning:
            return "spinning"
        if now - begun > patience.most:
            return "late"
    return code


def _between(before: Processor | None, since: Processor | None) -> tuple[float, float]:
    """How long it ran from one look to the next, and how long it ran or wanted to."""
    if before is None or since is None:
        return 0.0, 0.0
    ran = max(0.0, since.ran - before.ran)  # a thread that ended takes its time along
    return ran, ran + max(0.0, since.queued - before.queued)
