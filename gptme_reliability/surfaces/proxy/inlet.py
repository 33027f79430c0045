"""The request as it comes in: its body, within bounds, and whether the client is still there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from gptme_reliability.adapters.density import MOST_MARKS, too_dense
from gptme_reliability.surfaces.proxy.headers import Headers, value_of
from gptme_reliability.surfaces.proxy.refusing import Refused

# A byte now and then is no body that comes.
_DRIPPING: Final = 10

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Gone(Exception):
    """The client left."""


class Inlet:
    """The body of one request, as it comes.

    Made for one task that reads it; ``Ticker`` looks after it while that task waits.
    """

    def __init__(self, receive: Receive, task: asyncio.Task[Any], stall: float) -> None:
        self._receive = receive
        self._task = task
        self._stall = stall
        self._began = self._moved = time.monotonic()
        self._late = False

    def tick(self, now: float) -> None:
        """End it where nothing came for ``stall`` seconds, or it took many times as long."""
        silent = now - self._moved > self._stall
        if not self._late and (silent or now - self._began > _DRIPPING * self._stall):
            self._late = True
            self._task.cancel()

    async def body(self, headers: Headers, most: int) -> bytes | None:
        """The body of the request; None where it has none.

        Raises:
            Refused: it is larger than ``most`` bytes, did not come in time, or is in a transfer
                coding of which the next would not know.
            Gone: the client left.
        """
        declared = value_of(headers, b"content-length")
        coding = value_of(headers, b"transfer-encoding")
        if declared is None and coding is None:
            return None
        if coding is not None and coding.strip().lower() != b"chunked":
            raise Refused(501, "transfer_coding", "only chunked is taken as Transfer-Encoding")
        if declared is not None and int(declared) > most:
            raise too_large(most)
        try:
            return await self._all(most)
        except asyncio.CancelledError:
            if not self._late:
                raise
            uncancel(self._task)
            raise Refused(408, "request_timeout", "the request's body did not come") from None

    async def _all(self, most: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            self._moved = time.monotonic()
            part = message.get("body", b"")
            size += len(part)
            if size > most:
                raise too_large(most)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


def check_density(body: bytes) -> None:
    """Let a body pass that can be read without holding up all other requests.

    Raises:
        Refused: there is too much JSON outside its strings.
    """
    if too_dense(body):
        message = (
            f"the request's body has more than {MOST_MARKS} characters outside its JSON strings,"
            " white space aside: send fewer tools, or long lists as text"
        )
        raise Refused(413, "request_too_dense", message)


def too_large(most: int) -> Refused:
    """The error for a body of more than ``most`` bytes."""
    return Refused(413, "request_too_large", f"the request's body is larger than {most} bytes")


class Departure:
    """Cancels a task when its client leaves; ``gone`` says that it did.

    ``waiting`` are those to be told by the client's connection.
    """

    def __init__(self, waiting: set[Departure], task: asyncio.Task[Any]) -> None:
        self._waiting = waiting
        self._task = task
        self.gone = False
        waiting.add(self)

    def leave(self) -> None:
        """The client left."""
        self.gone = True
        self._task.cancel()

    def stop(self) -> None:
        """The response is finished."""
        self._waiting.discard(self)


def uncancel(task: asyncio.Task[Any]) -> None:
    """The cancellation was ours and is over; Python 3.10 does not count them."""
    counted = getattr(task, "uncancel", None)
    if counted is not None:
        counted()
