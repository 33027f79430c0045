"""The response as the client gets it: bytes in order, comments while nothing comes, and an end to
clients that stop reading."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from gptme_reliability.surfaces.proxy.inlet import Inlet

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A piece at a time, so that others get their turn between them.
_PIECE: Final = 256 * 1024
COMMENT: Final = b": working on it\n\n"
# A length in such a head is that of a body which does not come.
_WITHOUT_BODY: Final = frozenset({204, 304})
_EVENT_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Outlet:
    """One response.

    ``status`` is None until it begins.  Made for one task that writes; ``Ticker`` looks after it
    while that task waits.
    """

    def __init__(self, send: Send, task: asyncio.Task[Any] | None = None) -> None:
        self._send = send
        self._task = task
        self._lock = asyncio.Lock()
        self._promised: list[tuple[bytes, bytes]] | None = None
        self._between_events = True
        self._began = self._moved = time.monotonic()
        self._writing = False
        self.status: int | None = None
        self.stalled = False
        self.overdue = False

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status and headers."""
        async with self._lock:
            await self._start(status, headers)

    async def write(self, chunk: bytes) -> None:
        """Send bytes of the body."""
        if chunk:
            async with self._lock:
                await self._body(chunk)

    async def finish(self, chunk: bytes = b"") -> None:
        """Send the last bytes."""
        async with self._lock:
            self._promised = None
            if len(chunk) > _PIECE:
                await self._body(chunk)
                chunk = b""
            await self._out({"type": "http.response.body", "body": chunk})

    async def whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a response in one piece."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.finish(body)

    def promise(self, headers: list[tuple[bytes, bytes]]) -> None:
        """This is going to be a stream with these headers: it may begin, and be kept alive."""
        self._promised = headers

    def tick(
        self, now: float, keep_alive: float, stall: float, longest: float
    ) -> Awaitable[None] | None:
        """What is to be done about it, if anything: a comment where it is quiet; who does not
        read is left, and what takes too long is ended."""
        if now - self._began > longest and self._task is not None and not self.overdue:
            self.overdue = True
            self._task.cancel()
            return None
        waited = now - self._moved
        if self._writing:
            if waited > stall and self._task is not None and not self.stalled:
                self.stalled = True
                self._task.cancel()
            return None
        quiet = self._promised is not None and self._between_events and waited >= keep_alive
        return self._comment() if quiet and not self._lock.locked() else None

    async def _comment(self) -> None:
        async with self._lock:
            if self._promised is None or not self._between_events:
                return
            if self.status is None:
                await self._start(200, self._promised)
            await self._body(COMMENT)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        if status in _WITHOUT_BODY:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        await self._out({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, chunk: bytes) -> None:
        self._between_events = chunk.endswith(_EVENT_ENDS)
        for at in range(0, len(chunk), _PIECE):
            piece = chunk[at : at + _PIECE]
            await self._out({"type": "http.response.body", "body": piece, "more_body": True})

    async def _out(self, message: MutableMapping[str, Any]) -> None:
        if self.status in _WITHOUT_BODY and "body" in message:
            message["body"] = b""
        self._writing, self._moved = True, time.monotonic()
        try:
            await self._send(message)
        finally:
            self._writing, self._moved = False, time.monotonic()


class Ticker:
    """Looks after all bodies and responses that are under way."""

    def __init__(self, keep_alive: float, stall: float, longest: float) -> None:
        self._keep_alive = keep_alive
        self._stall = stall
        self._longest = longest
        self._comments: set[asyncio.Future[None]] = set()
        self.inlets: set[Inlet] = set()
        self.outlets: set[Outlet] = set()

    async def run(self) -> None:
        """Until it is cancelled."""
        pause = min(1.0, self._keep_alive / 2, self._stall / 2, self._longest / 2)
        while True:
            await asyncio.sleep(pause)
            now = time.monotonic()
            for inlet in tuple(self.inlets):
                inlet.tick(now)
            for outlet in tuple(self.outlets):
                wanted = outlet.tick(now, self._keep_alive, self._stall, self._longest)
                if wanted is not None:
                    comment = asyncio.ensure_future(wanted)
                    self._comments.add(comment)
                    comment.add_done_callback(self._done)

    def _done(self, comment: asyncio.Future[None]) -> None:
        self._comments.discard(comment)
        if not comment.cancelled():
            comment.exception()  # the writing task meets the same fault
