"""Many requests with random faults through the proxy: none may hang, none may be lost.

Run ``python tests/benchmarks/soak_proxy.py [--requests 10000] [--seed 1]``.  A request is lost
when its answer is not the one that its fault leads to; the exit code is 1 if any is, or hangs,
or if ``/healthz`` took longer than 100 ms.  A process of its own asks for that, and asks an
idle server in turns with it: what that takes, too, is the machine's doing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))

from health_watch import HEALTHY_MS, watching
from scripted_server import (
    CUT,
    DONE,
    ROLE,
    STOP,
    TOOLS,
    call,
    chunk,
    completion,
    completion_body,
    text_chunks,
)

TOO_LONG_S: Final = 60.0
LARGE_BYTES: Final = 10_000_000
DOWN_S: Final = 0.5
STREAM: Final = b"".join([ROLE, *text_chunks("I look around the hall. "), STOP, DONE])
CUT_STREAM: Final = b"".join([ROLE, *text_chunks("I look. "), *CUT, chunk({}, "length"), DONE])
PROSE: Final = "Nobody has been here for a while. " * (LARGE_BYTES // 34)
LONG_CALL: Final = [call("look", {"place": PROSE})]
NUMBERS: Final = [1] * (LARGE_BYTES // 3)
DENSE: Final = {**completion_body("It is done."), "logprobs": NUMBERS}
JSON: Final = {"content-type": "application/json"}
LONG: Final = {"messages": [{"role": "user", "content": PROSE}]}
Write = Callable[[bytes], Awaitable[None]]


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
END: Final = piece(b"")


async def drip(write: Write) -> None:
    await write(HEAD)
    for at in range(0, len(STREAM), 200):
        await write(piece(STREAM[at : at + 200]))
        await asyncio.sleep(0.005)
    await write(END)


async def endless(write: Write) -> None:
    await write(HEAD + piece(ROLE))
    while True:
        await write(piece(chunk({"content": "and on "})))
        await asyncio.sleep(0.005)


def saying(*parts: bytes) -> Callable[[Write], Awaitable[None]]:
    async def say(write: Write) -> None:
        for part in parts:
            await write(part)

    return say


def said(text: str) -> Callable[[Write], Awaitable[None]]:
    return saying(whole(completion(text).body))


@dataclass(frozen=True)
class Fault:
    """What the upstream does, what the client may see, and how often it is chosen.

    ``asks`` is what the request says beside what all do.
    """

    does: Callable[[Write], Awaitable[None]]
    seen: frozenset[object]
    stream: bool = False
    weight: int = 20
    asks: Mapping[str, Any] = field(default_factory=dict)


def fault(does: Callable[[Write], Awaitable[None]], *seen: object, **more: Any) -> Fault:
    return Fault(does, frozenset(seen), **more)


CALL: Final = completion(calls=[call("look", {"place": "hall"})]).body
BUSY: Final = b'{"error": {"message": "busy"}}'
GARBAGE: Final = ROLE + b"data: <html>\n\n\x00\xff"
FAULTS: Final = {
    "text": fault(said("It is done."), 200),
    "call": fault(saying(whole(CALL)), 200),
    "busy": fault(saying(whole(BUSY, "503 Busy")), 503),
    "fails": fault(saying(whole(BUSY, "500 Internal Server Error")), 500),
    "wrong": fault(saying(whole(BUSY, "400 Bad Request")), 400),
    "limited": fault(saying(whole(BUSY, "429 Too Many Requests")), 429),
    "reset": fault(saying(), 502),
    "half": fault(saying(whole(CALL)[:90]), 502),
    "hostile brackets": fault(said("<tool_call>{" + '{"a":[' * 20_000), 200, weight=2),
    "hostile names": fault(said("look(" * 100_000), 200, weight=2),
    "hostile fences": fault(said("```json\n" * 20_000), 200, weight=2),
    "large text": fault(said(PROSE), 200, weight=1),
    "large call": fault(saying(whole(completion(calls=LONG_CALL).body)), 200, weight=1),
    "large request": fault(said("It is done."), 200, weight=1, asks=LONG),
    "dense answer": fault(saying(whole(json.dumps(DENSE).encode())), 200, weight=1),
    "dense request": fault(said("It is done."), 413, weight=1, asks={"logit_bias": NUMBERS}),
    "stream": fault(saying(HEAD, piece(STREAM), END), 200, stream=True),
    "drip": fault(drip, 200, stream=True),
    "cut": fault(saying(HEAD, piece(STREAM[:700])), "broken", 502, stream=True),
    "asked again": fault(saying(HEAD, piece(CUT_STREAM), END), 200, stream=True),
    "garbage": fault(saying(HEAD, piece(GARBAGE), END), 200, stream=True),
    "leaving": fault(endless, "left", stream=True),
}
BREAKS: Final = frozenset({"reset", "half", "cut"})
DOWN: Final = frozenset({502, "broken"})
"""What any client may see while the upstream starts again."""


class Upstream:
    """Does what the model of a request says, and can be started again."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        # Bound and not listening: nobody else gets the port while the upstream is gone.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port: int = self._place.getsockname()[1]
        self.endless = 0
        self.restarts = 0
        self.doubtful = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(
            self._answer, "127.0.0.1", self.port, limit=2**20, reuse_port=True
        )

    async def restart(self) -> None:
        """Break all that is under way, be gone for a while, and come back."""
        assert self._server is not None
        self.doubtful = True
        self._server.close()
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.sleep(DOWN_S)
        await self.start()
        self.restarts += 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):  # the proxy asks whether anybody is there
                    await write(whole(b"{}"))
                    continue
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                name = _model(await reader.readexactly(length))
                self.endless += name == "leaving"
                try:
                    await FAULTS[name].does(write)
                finally:
                    self.endless -= name == "leaving"
                if name in BREAKS:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


def _model(body: bytes) -> str:
    name: str = json.loads(body)["model"]
    return name


@cache
def body_of(name: str) -> bytes:
    fault = FAULTS[name]
    messages = [{"role": "user", "content": "look around"}]
    body = {"model": name, "messages": messages, "tools": TOOLS, "stream": fault.stream}
    return json.dumps({**body, **fault.asks}).encode()


async def ask(session: aiohttp.ClientSession, url: str, name: str) -> object:
    """What the client sees: a status, a broken connection, or nothing for it left."""
    try:
        async with session.post(
            f"{url}/chat/completions", data=body_of(name), headers=JSON
        ) as response:
            if name == "leaving" and response.status == 200:
                await response.content.readany()
                response.close()
                return "left"
            await response.read()
            return response.status
    except asyncio.TimeoutError:
        return "hangs"
    except aiohttp.ClientError:
        return "broken"


@asynccontextmanager
async def proxying(upstream: str) -> AsyncIterator[str]:
    """The base URL of a proxy."""
    command = [
        sys.executable,
        "-m",
        "gptme_reliability.cli",
        "proxy",
        "--quiet",
        "--contracts",
        "off",
        "--port",
        "0",
    ]
    proxy = await asyncio.create_subprocess_exec(
        *command, "--upstream", upstream, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert proxy.stderr is not None
        yield (await proxy.stderr.readline()).decode().split(" -> ")[0]
    finally:
        if proxy.returncode is None:
            proxy.terminate()
        await proxy.wait()


class Soak:
    """All requests, and what came of them."""

    def __init__(self, count: int, seed: int, restarts: int) -> None:
        weights = [fault.weight for fault in FAULTS.values()]
        self._names = random.Random(seed).choices(list(FAULTS), weights, k=count)
        self._count = count
        self._restarts = restarts
        self._upstream = Upstream()
        self.seen: Counter[tuple[str, object, bool]] = Counter()

    async def run(self, width: int) -> int:
        """The exit code."""
        await self._upstream.start()
        timeout = aiohttp.ClientTimeout(total=TOO_LONG_S)
        began = time.monotonic()
        async with proxying(f"http://127.0.0.1:{self._upstream.port}/v1") as url:
            root = url.removesuffix("/v1")
            async with aiohttp.ClientSession(timeout=timeout) as session:
                with watching(root) as health:
                    works = [self._work(session, url) for _ in range(width)]
                    await asyncio.gather(self._restart(), *works)
                took = time.monotonic() - began
                await asyncio.sleep(0.2)
                left = self._upstream.endless
                async with session.get(f"{root}/metrics") as response:
                    open_line = (await response.text()).splitlines()[-1]
        print(f"{self._count / took:.0f} requests a second, {self._restarts} restarts")
        return report(self.seen, health.took, open_line, left)

    async def _work(self, session: aiohttp.ClientSession, url: str) -> None:
        upstream = self._upstream
        while self._names:
            name, doubtful, before = self._names.pop(), upstream.doubtful, upstream.restarts
            what = await ask(session, url, name)
            down = doubtful or upstream.doubtful or before != upstream.restarts
            self.seen[(name, what, down)] += 1

    async def _restart(self) -> None:
        upstream = self._upstream
        for left in range(self._restarts, 0, -1):
            while len(self._names) > self._count * left // (self._restarts + 1):
                await asyncio.sleep(0.05)
            await upstream.restart()
            await asyncio.sleep(0.1)
            upstream.doubtful = False


def report(
    seen: Counter[tuple[str, Any, bool]],
    took: Mapping[str, Sequence[float]],
    open_line: str,
    left: int,
) -> int:
    wrong = 0
    for (name, what, down), times in sorted(seen.items(), key=str):
        good = what in FAULTS[name].seen or (down and what in DOWN)
        wrong += 0 if good else times
        note = " while the upstream started again" if down else ""
        print(f"{name:18} {what!s:8} {times:6} {'' if good else 'WRONG'}{note}")
    print(f"{sum(seen.values())} requests, {wrong} lost or hanging; {open_line}")
    print(f"{left} answers still written by the upstream though their client left")
    slowest = {name: max(times, default=0.0) for name, times in took.items()}
    late = sum(ms > HEALTHY_MS for ms in took["proxy"])
    print(
        f"/healthz took {slowest['proxy']:.0f} ms at most, {late} of {len(took['proxy'])} more "
        f"than {HEALTHY_MS:.0f} ms; an idle server took {slowest['idle']:.0f} ms at most"
    )
    return int(wrong > 0 or left > 0 or late > 0 or not open_line.endswith(" 0"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=16, help="requests at a time")
    parser.add_argument("--restarts", type=int, default=3, help="of the upstream")
    arguments = parser.parse_args()
    soak = Soak(arguments.requests, arguments.seed, arguments.restarts)
    return asyncio.run(soak.run(arguments.width))


if __name__ == "__main__":
    sys.exit(main())
