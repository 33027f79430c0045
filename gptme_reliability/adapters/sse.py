"""Server-sent events, read incrementally; every event keeps the bytes it came in.

The sum of all ``raw`` is the sum of all bytes fed, so that whoever changes nothing can pass
on exactly what arrived.  Linear in the input for any chunking.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# An event as nearly all are: one line of data, and the empty line behind it.
_PLAIN: Final = re.compile(rb"data: ?([^\r\n]*)\n\n")
# What says nothing, in one piece: servers keep connections alive with it, broken ones endlessly.
_EMPTY: Final = re.compile(rb"(?:[\r\n]|:[^\r\n]*\n\n)+")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

DONE: Final = "[DONE]"
"""The data of the event that ends an OpenAI stream."""


BLANK: Final = b" \t\r\n\xef\xbb\xbf"
"""What may stand before the first byte that tells what it is."""

_BEGINNINGS: Final = (b":", b"data", b"event", b"id", b"retry")
TELLING: Final = max(map(len, _BEGINNINGS))
"""How many bytes tell whether they begin an event stream."""


def is_no_event(raw: bytes) -> bool:
    """Whether bytes begin with what is no line of an event stream."""
    start = raw.lstrip(BLANK)
    return bool(start) and not start.startswith(_BEGINNINGS)


class Event(NamedTuple):
    """One event.

    ``data`` is None for a block without a ``data`` field (comments, keep-alives).
    ``terminated`` is False for bytes that the stream ended in the middle of.
    """

    raw: bytes
    data: str | None
    name: str | None = None
    terminated: bool = True

    @property
    def done(self) -> bool:
        """Whether this event says that the stream is over."""
        return self.data is not None and self.data.startswith(DONE)


class EventReader:
    """Turns chunks of bytes into events."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._line = 0  # where the current line begins in the buffer
        self._scanned = 0  # up to where the current line was searched for its end
        self._data: list[bytes] = []
        self._name: bytes | None = None
        self._first_line = True
        self._lone_return = False  # the last chunk ended in one half, perhaps, of "\r\n"

    def feed(self, chunk: bytes) -> list[Event]:
        """Add bytes; return the events they completed."""
        if not chunk:
            return []
        if self._lone_return and chunk.startswith(b"\n"):
            self._buffer += b"\n"
            self._line = self._scanned = len(self._buffer)
            chunk = chunk[1:]
        self._lone_return = chunk.endswith(b"\r")
        self._buffer += chunk
        events = self._plain()
        while match := _LINE_END.search(self._buffer, self._scanned):
            line = bytes(self._buffer[self._line : match.start()])
            self._line = self._scanned = match.end()
            if self._take(line):
                events.append(self._complete())
                events += self._plain()
        self._scanned = len(self._buffer)
        return events

    def close(self) -> list[Event]:
        """The stream ended: what is left, as an unterminated event, if anything is."""
        if not self._buffer:
            return []
        if self._line < len(self._buffer):
            self._take(bytes(self._buffer[self._line :]))
        self._line = len(self._buffer)
        return [self._complete(terminated=False)]

    def _plain(self) -> list[Event]:
        """Take the plain events that stand at the front, if an event begins there."""
        events: list[Event] = []
        if self._scanned:  # each event is only tried once, for any chunking
            return events
        end = 0
        while match := _PLAIN.match(self._buffer, end) or _EMPTY.match(self._buffer, end):
            data = match[1].decode(errors="replace") if match.re is _PLAIN else None
            events.append(Event(match[0], data))
            end = match.end()
        if end:
            self._first_line = False
            del self._buffer[:end]
        return events

    def _take(self, line: bytes) -> bool:
        """Read one line; return whether it ends an event."""
        if self._first_line:
            self._first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return True
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value
        return False

    def _complete(self, *, terminated: bool = True) -> Event:
        event = Event(
            raw=bytes(self._buffer[: self._line]),
            data=b"\n".join(self._data).decode(errors="replace") if self._data else None,
            name=None if self._name is None else self._name.decode(errors="replace"),
            terminated=terminated,
        )
        del self._buffer[: self._line]
        self._line = self._scanned = 0
        self._data = []
        self._name = None
        return event


def encode_event(data: str) -> bytes:
    """One event as bytes; ``data`` must be a single line, as compact JSON is."""
    return b"data: " + data.encode() + b"\n\n"
