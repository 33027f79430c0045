"""Calls that may run, run: side by side, with a time limit each, and every one gets a result.

Nothing runs here but functions that the user handed in.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Final, Protocol

from pydantic_core import PydanticSerializationError, to_json

from gptme_reliability.errors import NothingFound
from gptme_reliability.surfaces.python_tools import PythonTool
from gptme_reliability.types import Call

LONGEST_ERROR: Final = 1_000
"""Characters of an exception's message that the model gets to read."""
_MAY_HAVE_ACTED: Final = "whether it had an effect is not known"


@dataclass(frozen=True, slots=True)
class CallResult:
    """A call and what the model reads as its result; ``failed`` when that is an error."""

    call: Call
    content: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A call to be run: its position in the answer, its tool, its time limit in seconds."""

    position: int
    call: Call
    tool: PythonTool
    timeout: float | None


class Watcher(Protocol):
    """Who is told; always in the thread of the one who runs the jobs."""

    def called(self, job: Job) -> None:
        """A job is about to run."""

    def ended(self, job: Job, result: CallResult) -> None:
        """A job has its result."""


def interrupted(call: Call) -> CallResult:
    """The result of a call that nobody waited for."""
    return CallResult(call, f"interrupted before it returned; {_MAY_HAVE_ACTED}", failed=True)


def not_run(call: Call) -> CallResult:
    """The result of a call that never began."""
    return CallResult(call, "not run: interrupted before its turn came", failed=True)


def _late(job: Job) -> CallResult:
    content = f"{job.call.name} did not return within {job.timeout:g} seconds; {_MAY_HAVE_ACTED}"
    return CallResult(job.call, content, failed=True)


def _batches(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs that may run side by side: a tool that is known to write or run has its time alone."""
    batch: list[Job] = []
    for job in jobs:
        if job.tool.definition.read_only is False:
            if batch:
                yield batch
            yield [job]
            batch = []
        else:
            batch.append(job)
    if batch:
        yield batch


# --- blocking -------------------------------------------------------------------------


def run_jobs(jobs: Sequence[Job], most: int, watcher: Watcher) -> None:
    """Run jobs in threads, at most so many at a time.

    A thread cannot be ended from outside: one whose time is over is left behind, as a daemon,
    and what it returns later is dropped.
    With ``most`` 1 a job without a time limit runs in the caller's own thread.
    """
    for batch in _batches(jobs):
        if most == 1 and all(job.timeout is None for job in batch):
            for job in batch:
                watcher.called(job)
                watcher.ended(job, _result(job))
        else:
            _run_batch(batch, most, watcher)


def _run_batch(batch: Sequence[Job], most: int, watcher: Watcher) -> None:
    waiting = deque(batch)
    running: dict[int, tuple[Job, float]] = {}  # with the time at which it ends
    returned: SimpleQueue[tuple[int, CallResult]] = SimpleQueue()
    while waiting or running:
        while waiting and len(running) < most:
            job = waiting.popleft()
            watcher.called(job)
            running[job.position] = (job, _deadline(job))
            _start(partial(_deliver, job, returned))
        try:
            position, result = returned.get(timeout=_patience(running.values()))
        except Empty:
            now = monotonic()
            for job, deadline in list(running.values()):
                if deadline <= now:
                    del running[job.position]
                    watcher.ended(job, _late(job))
            continue
        if position in running:
            job, _ = running.pop(position)
            watcher.ended(job, result)


def _deadline(job: Job) -> float:
    return float("inf") if job.timeout is None else monotonic() + job.timeout


def _patience(running: Iterable[tuple[Job, float]]) -> float | None:
    """Seconds until the first of the running jobs is late; None when none ever is."""
    first = min(deadline for _, deadline in running)
    return None if first == float("inf") else max(0.0, first - monotonic())


def _start(work: Callable[[], None]) -> None:
    """Begin work in a thread that holds up nobody who wants to leave."""
    context = contextvars.copy_context()
    Thread(target=context.run, args=(work,), daemon=True).start()


def _deliver(job: Job, returned: SimpleQueue[tuple[int, CallResult]]) -> None:
    """Run a job and hand over a result whatever happens: without one it would be waited for."""
    try:
        result = _result(job)
    except BaseException as error:
        result = _told(job.call, error)
    returned.put((job.position, result))


def _result(job: Job) -> CallResult:
    try:
        value = job.tool.invoke(job.call.arguments)
        if inspect.isawaitable(value):
            if isinstance(value, Coroutine):
                value.close()
            raise TypeError(f"{job.call.name} is asynchronous; it needs run_tools_async")
        return CallResult(job.call, _said(value))
    except (Exception, SystemExit) as error:
        return _told(job.call, error)


# --- asynchronous ---------------------------------------------------------------------


async def run_jobs_async(jobs: Sequence[Job], most: int, watcher: Watcher) -> None:
    """The same on an event loop; functions that are no coroutines run in threads.

    A coroutine whose time is over is cancelled, and not waited for.
    """
    for batch in _batches(jobs):
        slots = asyncio.Semaphore(most)
        tasks = [asyncio.ensure_future(_in_turn(job, slots, watcher)) for job in batch]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()


async def _in_turn(job: Job, slots: asyncio.Semaphore, watcher: Watcher) -> None:
    async with slots:
        watcher.called(job)
        watcher.ended(job, await _in_time(job))


async def _in_time(job: Job) -> CallResult:
    task = asyncio.ensure_future(_result_async(job))
    try:
        await asyncio.wait({task}, timeout=job.timeout)
        if not task.done():
            return _late(job)
        if task.cancelled():
            return _told(job.call, asyncio.CancelledError("the tool was cancelled"))
        return task.result()
    finally:
        task.cancel()


async def _result_async(job: Job) -> CallResult:
    def invoke() -> Any:
        return job.tool.invoke(job.call.arguments)

    try:
        value = invoke() if job.tool.is_async else await _in_thread(invoke)
        if inspect.isawaitable(value):
            value = await value
        return CallResult(job.call, _said(value))
    except (Exception, SystemExit) as error:
        return _told(job.call, error)


async def _in_thread(work: Callable[[], Any]) -> Any:
    """What work returns or raises, from a thread of its own.

    Those of the loop's executor are waited for at the end, however long they hang.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((value, error))

    def run() -> None:
        value, error = None, None
        try:
            value = work()
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, value, error)

    _start(run)
    value, error = await future
    if error is not None:
        raise error
    return value


# --- what the model reads -------------------------------------------------------------


def _told(call: Call, error: BaseException) -> CallResult:
    """What the model reads of an exception: its type and message, and nothing of the code."""
    try:
        message = str(error)
    except Exception:  # an exception's own code may be broken too
        message = ""
    if isinstance(error, NothingFound):
        return CallResult(call, _writable(message) or "nothing was found")
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    shown = text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 1] + "…"
    return CallResult(call, _writable(shown), failed=True)


def _said(value: Any) -> str:
    """What a function returned, as text: a string as it is, nothing in words, the rest as JSON."""
    if value is None:
        return "(it returned nothing)"
    if isinstance(value, str):
        return _writable(value)
    try:
        return to_json(value, fallback=str).decode()
    except PydanticSerializationError:
        return _writable(str(value))


def _writable(text: str) -> str:
    """Text that can go out as UTF-8, which has no lone surrogates."""
    return text.encode(errors="replace").decode()
