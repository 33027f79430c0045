"""Fewer writes: what one turn of the event loop says goes to the socket at once."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_MOST: Final = 64 * 1024


class Corked:
    """A transport that gathers what is written until the event loop's next turn.

    Head and body, or last bytes and end, are written apart, and a write to a socket costs more
    than most that is done about an answer.  Whatever is no write goes to ``transport``.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Write it, at the next turn at the latest."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MOST:  # many turns' worth: whoever writes must be made to wait
            self._flush()

    def close(self) -> None:
        """Close it behind what was written."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._parts and not self._transport.is_closing():
            self._transport.write(b"".join(self._parts))
        self._parts.clear()
        self._size = 0
