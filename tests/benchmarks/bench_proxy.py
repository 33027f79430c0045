"""What the proxy costs: added latency, throughput and the first text, against the bare upstream.

Run ``python tests/benchmarks/bench_proxy.py [--seconds 4]``.  The upstream is a canned server in
a process of its own, the proxy another, the load this one; all figures come from one run.

Another proxy is measured beside it with ``--upstream-port 9100 --peer NAME=http://host:port/v1``,
once it was started in front of ``http://127.0.0.1:9100/v1``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripted_server import DONE, ROLE, STOP, TOOLS, call, completion, text_chunks

TEXT: Final = "The hall is long and dark, and nobody has been here for a while. " * 4
FIRST_S: Final = 0.05
"""How long the upstream waits behind the first text of a stream."""

MESSAGES: Final = [{"role": "user", "content": "look around"}]
REQUESTS: Final[dict[str, dict[str, object]]] = {
    "text, no tools": {"messages": MESSAGES, "user": "text"},
    "text, tools": {"messages": MESSAGES, "tools": TOOLS, "user": "text"},
    "call, tools": {"messages": MESSAGES, "tools": TOOLS, "user": "call"},
    "stream, no tools": {"messages": MESSAGES, "user": "stream", "stream": True},
    "stream, tools": {"messages": MESSAGES, "tools": TOOLS, "user": "stream", "stream": True},
}
SLOW: Final[dict[str, object]] = {
    "messages": MESSAGES,
    "tools": TOOLS,
    "user": "slow",
    "stream": True,
}
EVENTS: Final = [ROLE, *text_chunks(TEXT, 12), STOP, DONE]
JSON: Final = "application/json"


def response(body: bytes, kind: str = JSON) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


WHOLE: Final = {
    b'"text"': response(completion(TEXT).body),
    b'"call"': response(completion(calls=[call("look", {"place": "hall"})]).body),
    b'"stream"': response(b"".join(EVENTS), "text/event-stream"),
}


class Canned(asyncio.Protocol):
    """The upstream: reads requests as far as it must, and answers from a table."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(x[15:]) for x in lines if x.startswith(b"content-length:"))
        if len(body) < length:
            return
        self._buffer = b""
        if b'"slow"' in body:
            self._slowly()
        else:
            self._transport.write(next(v for k, v in WHOLE.items() if k in body))

    def _slowly(self) -> None:
        kind = b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        first, rest = b"".join(EVENTS[:3]), b"".join(EVENTS[3:])
        self._transport.write(b"HTTP/1.1 200 OK\r\n" + kind + b"%x\r\n%s\r\n" % (len(first), first))
        end = b"%x\r\n%s\r\n0\r\n\r\n" % (len(rest), rest)
        asyncio.get_running_loop().call_later(FIRST_S, self._transport.write, end)


def upstream(ready: Connection, port: int = 0) -> None:
    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", port)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


class Client(asyncio.Protocol):
    """One connection that asks one thing at a time."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._first: asyncio.Future[float] | None = None
        self._whole: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(exc or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self._got += data
        if self._first is not None and not self._first.done() and b'"content": "The' in self._got:
            self._first.set_result(time.perf_counter())
        if self._whole is not None and not self._whole.done() and self._complete():
            self._whole.set_result(None)

    def _complete(self) -> bool:
        head, found, body = bytes(self._got).partition(b"\r\n\r\n")
        if not found:
            return False
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(body) >= int(line[15:])
        return body.endswith(b"0\r\n\r\n")

    async def ask(self, request: bytes) -> tuple[float, float | None]:
        """Seconds for all of the answer, and until its first text where there was one."""
        loop = asyncio.get_running_loop()
        self._got.clear()
        self._first, self._whole = loop.create_future(), loop.create_future()
        began = time.perf_counter()
        self._transport.write(request)
        await self._whole
        ended = time.perf_counter()
        if not self._got.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(bytes(self._got[:300]).decode(errors="replace"))
        return ended - began, self._first.result() - began if self._first.done() else None


@dataclass(frozen=True)
class Place:
    """Where requests go: a host, a port, and the path before ``/chat/completions``."""

    name: str
    host: str
    port: int
    path: str = "/v1"

    def request(self, body: dict[str, object]) -> bytes:
        raw = json.dumps({"model": "tiny", **body}).encode()
        head = (
            f"POST {self.path}/chat/completions HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"content-type: {JSON}\r\nauthorization: Bearer x\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw

    async def connect(self) -> Client:
        _, client = await asyncio.get_running_loop().create_connection(Client, self.host, self.port)
        return client


async def latency_ms(
    places: Sequence[Place], body: dict[str, object], seconds: float
) -> list[float]:
    """Medians at concurrency 1, asked in turns, so that all places meet the same machine."""
    clients = [await place.connect() for place in places]
    times: list[list[float]] = [[] for _ in places]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for position, place in enumerate(places):
            took, _ = await clients[position].ask(place.request(body))
            times[position].append(took * 1000)
    return [statistics.median(one[len(one) // 10 :]) for one in times]


async def first_text_ms(places: Sequence[Place], rounds: int) -> list[float]:
    """Medians until the first text of a stream that goes on later."""
    clients = [await place.connect() for place in places]
    times: list[list[float]] = [[] for _ in places]
    for _ in range(rounds):
        for position, place in enumerate(places):
            _, first = await clients[position].ask(place.request(SLOW))
            times[position].append((first or float("inf")) * 1000)
    return [statistics.median(one[1:]) for one in times]


async def throughput(place: Place, body: dict[str, object], width: int, seconds: float) -> float:
    """Requests a second with ``width`` of them open at any time."""
    done = 0
    until = time.perf_counter() + seconds
    request = place.request(body)

    async def keep_asking() -> None:
        nonlocal done
        client = await place.connect()
        while time.perf_counter() < until:
            await client.ask(request)
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*[keep_asking() for _ in range(width)])
    return done / (time.perf_counter() - began)


async def measure(places: Sequence[Place], seconds: float) -> None:
    names = [place.name for place in places]
    print(f"\n{'':18}" + "".join(f"{name:>26}" for name in names))
    print("p50 at concurrency 1, ms (added over direct)")
    for what, body in REQUESTS.items():
        found = await latency_ms(places, body, seconds)
        cells = [f"{found[0]:.2f}"] + [f"{ms:.2f} (+{ms - found[0]:.2f})" for ms in found[1:]]
        print(f"  {what:16}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    print("requests a second at concurrency 32 (of direct)")
    for what, body in REQUESTS.items():
        rates = [await throughput(place, body, 32, seconds) for place in places]
        cells = [f"{rates[0]:.0f}"] + [f"{r:.0f} ({r / rates[0]:.2f})" for r in rates[1:]]
        print(f"  {what:16}" + "".join(f"{cell:>26}" for cell in cells), flush=True)
    found = await first_text_ms(places, 30)
    cells = [f"{found[0]:.2f}"] + [f"{ms:.2f} (+{ms - found[0]:.2f})" for ms in found[1:]]
    print("first text of a slow stream with tools, ms")
    print(f"  {'':16}" + "".join(f"{cell:>26}" for cell in cells))


async def growth(place: Place, pid: int) -> list[float]:
    """The resident memory of the proxy in MB, before and behind each 2,500 requests."""
    sizes = [resident_mb(pid)]
    clients = [await place.connect() for _ in range(8)]
    for _ in range(4):
        for request in [place.request(REQUESTS["stream, tools"])] * 313:
            await asyncio.gather(*[client.ask(request) for client in clients])
        sizes.append(resident_mb(pid))
    return sizes


def resident_mb(pid: int) -> float:
    """As Linux says it; 0 elsewhere."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def place_of(text: str) -> Place:
    """A peer as ``NAME=http://host:port/v1``."""
    name, _, url = text.partition("=")
    host, _, path = url.removeprefix("http://").partition("/")
    return Place(name, host.partition(":")[0], int(host.partition(":")[2]), "/" + path.rstrip("/"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--peer", action="append", default=[], help="NAME=http://host:port/v1")
    parser.add_argument("--upstream-port", type=int, default=0, help="default: any free one")
    arguments = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(
        target=upstream, args=(theirs, arguments.upstream_port), daemon=True
    )
    server.start()
    port = ours.recv()
    base = f"http://127.0.0.1:{port}/v1"
    print(f"upstream: {base}")
    command = [sys.executable, "-m", "gptme_reliability.cli", "proxy", "--quiet", "--port", "0"]
    with subprocess.Popen(
        [*command, "--upstream", base], stderr=subprocess.PIPE, text=True
    ) as proxy:
        assert proxy.stderr is not None
        own = place_of("proxy=" + proxy.stderr.readline().split(" -> ")[0])
        places = [Place("direct", "127.0.0.1", port), own, *map(place_of, arguments.peer)]
        try:
            asyncio.run(measure(places, arguments.seconds))
            print("memory of the proxy while 10,000 requests go through")
            print("  " + " ".join(f"{size:.1f} MB" for size in asyncio.run(growth(own, proxy.pid))))
        finally:
            proxy.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
