"""An upstream that answers from a table, in a process of its own, and counts what it is asked.

The last word of the first message says which answer; whether it is streamed is up to whoever
asks, for a proxy may ask in another way than its client did.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripted_server import DONE, ROLE, STOP, call, call_chunks, chunk, completion, text_chunks

TEXT: Final = "The hall is long and dark, and nobody has been here for a while. " * 4
FIRST_S: Final = 0.05
"""How long a slow answer takes behind its first text."""

_CALLED: Final = chunk({}, "tool_calls")
_EVENTS: Final = {
    b"#text": [ROLE, *text_chunks(TEXT, 12), STOP, DONE],
    b"#call": [ROLE, *call_chunks(0, "look", '{"place": "hall"}', "call_abc"), _CALLED, DONE],
}


def _response(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_WHOLE: Final = {
    b"#text": _response(completion(TEXT).body),
    b"#call": _response(completion(calls=[call("look", {"place": "hall"})]).body),
}
_STREAMED: Final = {
    word: _response(b"".join(events), "text/event-stream") for word, events in _EVENTS.items()
}
_MODELS: Final = b'{"object": "list", "data": [{"id": "tiny", "object": "model"}]}'
_SLOW_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


class _Canned(asyncio.Protocol):
    """Reads requests as far as it must; the first part of a path says who asks."""

    asked: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        self._buffer = b""
        path = head.split(b" ", 2)[1].decode()
        if not head.startswith(b"POST"):
            counts = json.dumps(self.asked).encode()
            self._transport.write(_response(counts if path == "/counts" else _MODELS))
            return
        self.asked[path.split("/")[1]] += 1
        streamed = b'"stream": true' in body or b'"stream":true' in body
        if b"#slow" in body:
            self._slowly(streamed)
        else:
            self._transport.write((_STREAMED if streamed else _WHOLE)[_word(body)])

    def _slowly(self, streamed: bool) -> None:
        rest = _WHOLE[b"#text"]
        if streamed:
            events = _EVENTS[b"#text"]
            self._transport.write(_SLOW_HEAD + _piece(b"".join(events[:3])))
            rest = _piece(b"".join(events[3:])) + b"0\r\n\r\n"
        asyncio.get_running_loop().call_later(FIRST_S, self._transport.write, rest)


def _word(body: bytes) -> bytes:
    return next(word for word in _WHOLE if word in body)


def _piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _serve(ready: Connection) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(_Canned, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def canned_upstream() -> Iterator[int]:
    """The port of a running one."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()
