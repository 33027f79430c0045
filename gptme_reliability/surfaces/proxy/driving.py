"""Drives the steps of an exchange on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

from gptme_reliability.surfaces.effects import Effect
from gptme_reliability.surfaces.proxy.upstream import UpstreamFailed

_Result = TypeVar("_Result")

HEAVY: Final = 64 * 1024
"""Bytes from which on a thread works on them, so that other requests go on."""

# One thread: more would only take turns, and the event loop its turn among them.
WORKER: Final = ThreadPoolExecutor(1, "reliability")


class Drive(Generic[_Result]):
    """The bytes that steps show, with everything else they ask for done on the way.

    ``asked`` is the size of the request in bytes; ``result`` is there behind the last bytes.
    """

    result: _Result

    def __init__(
        self,
        steps: Generator[bytes | Effect, Any, _Result] | Generator[Effect, Any, _Result],
        perform: Callable[[Effect], Awaitable[Any]],
        asked: int,
    ) -> None:
        self._steps = steps
        self._perform = perform
        self._asked = asked
        self._taken = 0
        self._working: asyncio.Future[Any] | None = None

    async def piece(self) -> bytes | None:
        """The next bytes; None behind the last.

        Raises:
            UpstreamFailed: the steps make nothing of it.
        """
        step = await self._resume(None)
        while step is not None and not isinstance(step, bytes):
            try:
                value = await self._perform(step)
            except UpstreamFailed as error:
                step = await self._step(self._steps.throw, error, self._asked)
            else:
                step = await self._resume(value)
        return step

    def close(self) -> None:
        """Nobody wants the rest."""
        if self._working is not None and not self._working.done():
            # Steps that run in a thread cannot be closed while they do.
            self._working.add_done_callback(self._close_behind)
        else:
            self._steps.close()

    async def _resume(self, value: Any) -> bytes | Effect | None:
        # An answer gives its bytes or, read at once, their number.
        self._taken += len(value) if isinstance(value, bytes) else 0
        self._taken += value if isinstance(value, int) else 0
        # Pieces of an answer have nothing to do with the request, all other steps may.
        asked = 0 if isinstance(value, bytes) else self._asked
        return await self._step(self._steps.send, value, asked)

    async def _step(
        self, advance: Callable[[Any], bytes | Effect], given: Any, asked: int
    ) -> bytes | Effect | None:
        if self._taken + asked <= HEAVY:
            return self._advance(advance, given)
        loop = asyncio.get_running_loop()
        self._working = loop.run_in_executor(WORKER, self._advance, advance, given)
        step: bytes | Effect | None = await asyncio.shield(self._working)
        return step

    def _close_behind(self, working: asyncio.Future[Any]) -> None:
        if not working.cancelled():
            working.exception()  # it is nobody's any more
        self._steps.close()

    def _advance(
        self, advance: Callable[[Any], bytes | Effect], given: Any
    ) -> bytes | Effect | None:
        try:
            return advance(given)
        except StopIteration as stop:
            self.result = stop.value
            return None
