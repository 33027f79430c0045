"""What an exchange asks of whoever drives it: all of its I/O, one piece at a time.

A surface yields these and bytes for the host, and is sent what comes of them; a connection that
fails is thrown in.  So the same steps run under a blocking client and on an event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from gptme_reliability.adapters.sse import BLANK

# Some servers send empty lines while they think; whoever sends more than that sends nothing else.
_MOST_BLANK: Final = 1024 * 1024


class Response(Protocol):
    """A server's response; ``content`` is there once it was read."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def content(self) -> bytes:
        """All of its body."""

    def close(self) -> None:
        """Let go of the connection; nothing more is read."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request with this body; gives the opened response.

    None is the host's own request, exactly as it came.
    """

    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Read all of a response, so that it has its ``content``."""

    response: Response


@dataclass(frozen=True, slots=True)
class Next:
    """Gives the next bytes of a response; None behind the last."""

    response: Response


class Turn:
    """Much may follow, and nothing is asked for: whoever drives may go on with it elsewhere."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the server something beside the exchange, at a path from its root.

    By POST if there is a body, else by GET.  Gives the ``served.Answer``, or None where the
    server is not near, or says nothing in time; never fails.
    """

    path: str
    body: Mapping[str, Any] | None = None


TURN: Final = Turn()

Effect: TypeAlias = Send | Read | Next | Turn | Wait | Ask


class Body:
    """The bytes of a response, the first of which may have been looked at."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._seen: deque[bytes] = deque()

    def next(self) -> Generator[Effect, Any, bytes | None]:
        """The next bytes; None behind the last."""
        if self._seen:
            return self._seen.popleft()
        chunk: bytes | None = yield Next(self._response)
        return chunk

    def in_one_piece(self) -> Generator[Effect, Any, bool]:
        """Whether this is one JSON object and no stream.

        The first byte tells, for servers send streams under any content type: JSON begins with
        a brace, and no event does.
        """
        blank = 0
        while blank <= _MOST_BLANK and (chunk := (yield Next(self._response))) is not None:
            self._seen.append(chunk)
            if start := chunk.lstrip(BLANK):
                return bool(start.startswith(b"{"))
            blank += len(chunk)
        return False

    def rest(self) -> Generator[bytes | Effect, Any, None]:
        """All that is left, as bytes for the host."""
        while (chunk := (yield from self.next())) is not None:
            yield chunk

    def collected(self, most: int) -> Generator[Effect, Any, bytes]:
        """All that is left, in one piece, or a little more than ``most`` bytes."""
        whole = bytearray()
        while len(whole) <= most and (chunk := (yield from self.next())) is not None:
            whole += chunk
        return bytes(whole)
