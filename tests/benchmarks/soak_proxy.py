"""Many requests with random faults through the proxy: none may hang, none may be lost.

Run ``python tests/benchmarks/soak_proxy.py [--requests 10000] [--seed 1]``.  A request is lost
when its answer is not the one that its fault leads to; the exit code is 1 if any is, or hangs,
or if ``/healthz`` took longer than 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent))

from scripted_server import CUT, DONE, ROLE, STOP, TOOLS, call, chunk, completion, text_chunks

TOO_LONG_S: Final = 60.0
HEALTHY_MS: Final = 100.0
STREAM: Final = b"".join([ROLE, *text_chunks("I look around the hall. "), STOP, DONE])
CUT_STREAM: Final = b"".join([ROLE, *text_chunks("I look. "), *CUT, chunk({}, "length"), DONE])
HOSTILE: Final = completion("<tool_call>{" + '{"a":[' * 20_000).body
LARGE: Final = completion("word " * 400_000).body
Write = Callable[[bytes], Awaitable[None]]


def whole(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def piece(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAMED: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: "
HEAD: Final = STREAMED + b"chunked\r\n\r\n"
END: Final = piece(b"")


async def drip(write: Write) -> None:
    await write(HEAD)
    for at in range(0, len(STREAM), 200):
        await write(piece(STREAM[at : at + 200]))
        await asyncio.sleep(0.005)
    await write(END)


def saying(*parts: bytes) -> Callable[[Write], Awaitable[None]]:
    async def say(write: Write) -> None:
        for part in parts:
            await write(part)

    return say


CALL: Final = completion(calls=[call("look", {"place": "hall"})]).body
BUSY: Final = b'{"error": {"message": "busy"}}'
# What the upstream does, whether a stream is asked for, and what the client may see.
FAULTS: Final[dict[str, tuple[Callable[[Write], Awaitable[None]], bool, set[object]]]] = {
    "text": (saying(whole(completion("It is done.").body)), False, {200}),
    "call": (saying(whole(CALL)), False, {200}),
    "hostile": (saying(whole(HOSTILE)), False, {200}),
    "large": (saying(whole(LARGE)), False, {200}),
    "busy": (saying(whole(BUSY, "503 Busy")), False, {503}),
    "wrong": (saying(whole(BUSY, "400 Bad Request")), False, {400}),
    "reset": (saying(), False, {502}),
    "half": (saying(whole(CALL)[:90]), False, {502}),
    "stream": (saying(HEAD, piece(STREAM), END), True, {200}),
    "drip": (drip, True, {200}),
    "cut": (saying(HEAD, piece(STREAM[:700])), True, {"broken", 502}),
    "asked again": (saying(HEAD, piece(CUT_STREAM), END), True, {200}),
    "garbage": (saying(HEAD, piece(ROLE + b"data: <html>\n\n\x00\xff"), END), True, {200}),
    "leaving": (drip, True, {"left"}),
}


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Do what the last word of the request's model says."""

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"GET "):  # the proxy asks whether anybody is there
                await write(whole(b"{}"))
                continue
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            name = json.loads(await reader.readexactly(length))["model"]
            await FAULTS[name][0](write)
            if name in ("reset", "half", "cut"):
                break
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def ask(session: aiohttp.ClientSession, url: str, name: str) -> object:
    """What the client sees: a status, a broken connection, or nothing for it left."""
    messages = [{"role": "user", "content": "look around"}]
    body = {"model": name, "messages": messages, "tools": TOOLS, "stream": FAULTS[name][1]}
    try:
        async with session.post(f"{url}/chat/completions", json=body) as response:
            if name == "leaving":
                await response.content.readany()
                response.close()
                return "left"
            await response.read()
            return response.status
    except asyncio.TimeoutError:
        return "hangs"
    except aiohttp.ClientError:
        return "broken"


async def watch(session: aiohttp.ClientSession, root: str, slowest: list[float]) -> None:
    while True:
        began = time.perf_counter()
        async with session.get(f"{root}/healthz") as response:
            await response.read()
        slowest[0] = max(slowest[0], (time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.05)


async def soak(count: int, seed: int, width: int) -> int:
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, limit=2**20)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    command = [sys.executable, "-m", "gptme_reliability.cli", "proxy", "--quiet", "--port", "0"]
    proxy = await asyncio.create_subprocess_exec(
        *command, "--upstream", base, stderr=asyncio.subprocess.PIPE
    )
    assert proxy.stderr is not None
    url = (await proxy.stderr.readline()).decode().split(" -> ")[0]
    root = url.removesuffix("/v1")
    chosen = random.Random(seed)
    names = [chosen.choice(list(FAULTS)) for _ in range(count)]
    seen: Counter[tuple[str, object]] = Counter()
    slowest = [0.0]
    timeout = aiohttp.ClientTimeout(total=TOO_LONG_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        watching = asyncio.ensure_future(watch(session, root, slowest))

        async def work() -> None:
            while names:
                name = names.pop()
                seen[(name, await ask(session, url, name))] += 1

        await asyncio.gather(*[work() for _ in range(width)])
        watching.cancel()
        async with session.get(f"{root}/metrics") as response:
            open_line = (await response.text()).splitlines()[-1]
    proxy.terminate()
    await proxy.wait()
    server.close()
    return report(seen, slowest[0], open_line)


def report(seen: Counter[tuple[str, Any]], slowest: float, open_line: str) -> int:
    wrong = 0
    for (name, what), times in sorted(seen.items(), key=str):
        good = what in FAULTS[name][2]
        wrong += 0 if good else times
        print(f"{name:12} {what!s:8} {times:6} {'' if good else 'WRONG'}")
    print(f"{sum(seen.values())} requests, {wrong} lost or hanging; {open_line}")
    print(f"/healthz took {slowest:.0f} ms at most")
    return int(wrong > 0 or slowest > HEALTHY_MS or not open_line.endswith(" 0"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--width", type=int, default=16, help="requests at a time")
    arguments = parser.parse_args()
    return asyncio.run(soak(arguments.requests, arguments.seed, arguments.width))


if __name__ == "__main__":
    sys.exit(main())
