"""What the proxy costs: added latency, throughput, first text and memory, beside its peers.

Run ``python tests/benchmarks/bench_proxy.py [--forge PYTHON] [--litellm PYTHON]``, where PYTHON
is the interpreter of an environment with ``forge-guardrails`` or ``litellm[proxy]``; it takes
less than five minutes.  Upstream, proxies and load are processes of their own on one machine;
all places are asked in turns, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from canned_upstream import canned_upstream
from proxy_peers import KEY, Running, proxy
from scripted_server import TOOLS

WIDTH: Final = 32
_IN_A_ROW: Final = 20
SLICE_S: Final = 0.5
BUSY: Final = 0.1
"""The share of the processors that others may use before the figures are doubtful."""

MOST_ADDED_MS: Final = 0.8
OF_BETTER_PEER: Final = 0.25
TIMES_FORGE: Final = 8.0
FIRST_WITHIN_MS: Final = 10.0
MOST_GROWTH_MB: Final = 1.0


def body(word: str, **more: object) -> dict[str, object]:
    return {"model": "tiny", "messages": [{"role": "user", "content": f"look #{word}"}], **more}


CHECKED: Final = {
    "text": body("text", tools=TOOLS),
    "call": body("call", tools=TOOLS),
    "text, streamed": body("text", tools=TOOLS, stream=True),
    "call, streamed": body("call", tools=TOOLS, stream=True),
}
REQUESTS: Final = {"no tools": body("text"), **CHECKED}
SLOW: Final = body("slow", tools=TOOLS, stream=True)


@dataclass(frozen=True)
class Place:
    """Where requests go; ``running`` is None for the upstream itself."""

    name: str
    port: int
    path: str
    running: Running | None = None

    def request(self, asked: Mapping[str, object]) -> bytes:
        raw = json.dumps(asked).encode()
        head = (
            f"POST {self.path}/v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"content-type: application/json\r\nauthorization: Bearer {KEY}\r\n"
            f"content-length: {len(raw)}\r\n\r\n"
        )
        return head.encode() + raw

    def cpu_s(self) -> float:
        return self.running.cpu_s() if self.running else 0.0


class Connection(asyncio.Protocol):
    """One connection that carries one answer at a time."""

    def __init__(self) -> None:
        self.got = bytearray()
        self.lost = False
        self.first: float | None = None
        self.whole: asyncio.Future[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.whole is not None and not self.whole.done():
            self.whole.set_exception(exc or ConnectionError("closed"))

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self.first is None and b"The hall" in self.got:
            self.first = time.perf_counter()
        if self.whole is not None and not self.whole.done() and self._complete():
            self.whole.set_result(None)

    def _complete(self) -> bool:
        if self.got.endswith(b"0\r\n\r\n"):
            return True
        head, found, answer = bytes(self.got).partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        return bool(found and length and len(answer) >= length[0])


class Client:
    """Asks one thing at a time, over one connection as long as the other side keeps it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connection: Connection | None = None

    async def ask(self, request: bytes) -> tuple[float, float]:
        """Seconds for all of the answer, and until its first text."""
        began = time.perf_counter()
        while True:
            kept = self._connection
            connection = kept if kept and not kept.lost else await self._connect()
            connection.got.clear()
            connection.first = None
            connection.whole = asyncio.get_running_loop().create_future()
            connection.transport.write(request)
            try:
                await connection.whole
            except ConnectionError:
                if connection is kept and not connection.got:  # it was closed in between
                    continue
                raise
            break
        ended = time.perf_counter()
        if not connection.got.startswith(b"HTTP/1.1 200") or b'{"error' in connection.got:
            raise RuntimeError(f"{self._place.name}: {bytes(connection.got[:600])!r}")
        if b"connection: close" in bytes(connection.got[:400]).lower():
            connection.transport.close()
            self._connection = None
        return ended - began, (connection.first or ended) - began

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._place.port)
        self._connection = connection
        return connection


async def p50_ms(
    places: Sequence[Place], asked: Mapping[str, object], seconds: float, *, first: bool = False
) -> list[float]:
    """Medians at concurrency 1 of the time to the end, or to the first text.

    A client asks some times in a row: a process that was left alone for long answers late at
    first, and how long depends on who else is measured.
    """
    in_a_row = 1 if first else _IN_A_ROW
    asking = [(Client(place), place.request(asked)) for place in places]
    times: list[list[float]] = [[] for _ in places]
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times[0]) < 10:
        for (client, request), mine in zip(asking, times, strict=True):
            taken = [(await client.ask(request))[first] * 1000 for _ in range(in_a_row)]
            mine += taken[in_a_row // 10 :]
    return [statistics.median(mine[len(mine) // 10 :]) for mine in times]


async def throughput(
    places: Sequence[Place], asked: Mapping[str, object], slices: int
) -> tuple[list[float], list[float]]:
    """Requests a second with ``WIDTH`` open at any time, and CPU milliseconds for each."""
    done, spent, cpu = [[0.0] * len(places) for _ in range(3)]
    clients = [[Client(place) for _ in range(WIDTH)] for place in places]
    for _ in range(slices):
        for at, place in enumerate(places):
            began, used = time.perf_counter(), place.cpu_s()
            request = place.request(asked)
            done[at] += sum(
                await asyncio.gather(*[keep_asking(one, request, began) for one in clients[at]])
            )
            spent[at] += time.perf_counter() - began
            cpu[at] += place.cpu_s() - used
    rates = [n / s for n, s in zip(done, spent, strict=True)]
    return rates, [1000 * c / n for c, n in zip(cpu, done, strict=True)]


async def keep_asking(client: Client, request: bytes, began: float) -> int:
    done = 0
    while time.perf_counter() < began + SLICE_S:
        await client.ask(request)
        done += 1
    return done


async def growth_mb(place: Place) -> list[float]:
    """The resident memory of the proxy, before and behind each 2,500 requests."""
    assert place.running is not None
    sizes = [place.running.resident_mb()]
    asking = [
        (client, place.request(asked))
        for asked in CHECKED.values()
        for client in (Client(place), Client(place))
    ]
    for _ in range(4):
        for _ in range(313):
            await asyncio.gather(*[client.ask(request) for client, request in asking])
        sizes.append(place.running.resident_mb())
    return sizes


async def asked_of(upstream: Place) -> dict[str, int]:
    """How many requests the upstream got from each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", upstream.port)
    writer.write(b"GET /counts HTTP/1.1\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    counts: dict[str, int] = json.loads(await reader.readexactly(length))
    writer.close()
    return counts


async def requests_for_one(places: Sequence[Place]) -> dict[str, list[int]]:
    """How often each asks the upstream for one answer, for each kind of request."""
    found: dict[str, list[int]] = {}
    for what, asked in REQUESTS.items():
        row = []
        for place in places:
            before = await asked_of(places[0])
            await Client(place).ask(place.request(asked))
            row.append((await asked_of(places[0]))[place.name] - before.get(place.name, 0))
        found[what] = row
    return found


def line(label: str, cells: Sequence[str]) -> None:
    print(f"  {label:18}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def aim(said: str, figure: float, met: bool, unit: str = "") -> None:
    print(f"  {'met   ' if met else 'MISSED'} {said}: {figure:.2f}{unit}")


async def measure(places: Sequence[Place], seconds: float) -> None:
    for place in places:  # the first answer takes longer than any behind it
        await p50_ms([place], CHECKED["call"], 0.2)
    line("", [place.name for place in places])
    print("requests to the upstream for one answer")
    for what, counts in (await requests_for_one(places)).items():
        line(what, [str(count) for count in counts])
    print("p50 at concurrency 1, ms (added to direct)")
    added: dict[str, list[float]] = {}
    for what, asked in REQUESTS.items():
        found = await p50_ms(places, asked, seconds)
        added[what] = [ms - found[0] for ms in found]
        line(what, [f"{ms:.2f} (+{ms - found[0]:.2f})" for ms in found])
    print(f"requests a second at concurrency {WIDTH} (CPU ms of the proxy for each)")
    rates: dict[str, list[float]] = {}
    for what, asked in REQUESTS.items():
        rates[what], cpu = await throughput(places, asked, max(1, round(seconds)))
        line(what, [f"{r:.0f} ({c:.2f})" for r, c in zip(rates[what], cpu, strict=True)])
    first = await p50_ms(places, SLOW, seconds, first=True)
    print("p50 of the first text of a slow stream, ms")
    line("", [f"{ms:.2f} (+{ms - first[0]:.2f})" for ms in first])
    sizes = await growth_mb(places[1])
    print("memory of our proxy over 10,000 requests, MB")
    line("", [" ".join(f"{size:.1f}" for size in sizes)])
    print("aims")
    judge([place.name for place in places], added, rates)
    aim(
        f"first text within {FIRST_WITHIN_MS:.0f} ms of direct",
        first[1] - first[0],
        first[1] - first[0] <= FIRST_WITHIN_MS,
        " ms",
    )
    growth = sizes[-1] - sizes[1]
    aim("memory grows by nothing behind the first 2,500", growth, growth < MOST_GROWTH_MB, " MB")


def judge(
    names: Sequence[str], added: Mapping[str, Sequence[float]], rates: Mapping[str, Sequence[float]]
) -> None:
    """Latency and throughput against the aims; the worst kind of request counts."""
    worst = max(added[what][1] for what in CHECKED)
    aim(f"added at most {MOST_ADDED_MS} ms", worst, worst <= MOST_ADDED_MS, " ms")
    if len(names) > 2:
        share = max(added[what][1] / min(added[what][2:]) for what in CHECKED)
        aim(f"at most {OF_BETTER_PEER} of the better peer's", share, share <= OF_BETTER_PEER)
    if "forge" in names:
        forge = names.index("forge")
        times = min(rates[what][1] / rates[what][forge] for what in CHECKED)
        aim(f"at least {TIMES_FORGE:.0f} x forge's throughput", times, times >= TIMES_FORGE)


def busy_share(seconds: float = 1.0) -> float:
    """How much of the processors others use now, as Linux says it; 0 elsewhere."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    total = sum(after) - sum(before)
    idle = sum(after[3:5]) - sum(before[3:5])
    return 1 - idle / total if total else 0.0


def _ticks() -> list[int]:
    stat = Path("/proc/stat")
    return [int(one) for one in stat.read_text().split()[1:9]] if stat.exists() else []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0, help="for each latency measured")
    parser.add_argument("--forge", metavar="PYTHON", help="one that has forge-guardrails")
    parser.add_argument("--litellm", metavar="PYTHON", help="one that has litellm[proxy]")
    arguments = parser.parse_args()
    share = busy_share()
    if share > BUSY:
        print(f"THE MACHINE IS BUSY: others use {share:.0%} of it; measure again when it is quiet")
    with ExitStack() as stack:
        port = stack.enter_context(canned_upstream())
        places = [Place("direct", port, "/direct")]
        peers = {"ours": sys.executable, "forge": arguments.forge, "litellm": arguments.litellm}
        for name, python in peers.items():
            if python:
                running = stack.enter_context(proxy(name, python, port))
                places.append(Place(name, running.port, "", running))
        asyncio.run(measure(places, arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
