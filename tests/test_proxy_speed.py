"""What makes the proxy quick: few writes, nothing loaded late, no long searches in one piece."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import sys
from typing import Any

import pytest
from recording_host import RecordingHost
from scripted_server import DONE, ROLE, STOP, TOOLS, call_chunks, chunk, text_chunks

from gptme_reliability.dialects import openers
from gptme_reliability.dialects.openers import OPENERS, find_opener
from gptme_reliability.surfaces.effects import Next
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.prepare import prepare
from gptme_reliability.surfaces.proxy.corking import Corked
from gptme_reliability.surfaces.serving import Serving

CALLED = chunk({}, "tool_calls")


class Transport(asyncio.Transport):
    """Keeps what is done with it, in order."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.did: list[Any] = []

    def write(self, data: Any) -> None:
        self.did.append(bytes(data))

    def is_closing(self) -> bool:
        return "closed" in self.did or "aborted" in self.did

    def close(self) -> None:
        self.did.append("closed")

    def abort(self) -> None:
        self.did.append("aborted")


LARGE = b"x" * 70_000
ROWS: dict[str, tuple[list[Any], list[Any]]] = {
    "one turn is one write": ([b"head", b"body", b"end"], [b"headbodyend"]),
    "each turn has its own": ([b"one", "turn", b"two"], [b"one", b"two"]),
    "what is large goes at once": ([b"head", LARGE, "look"], [b"head" + LARGE]),
    "what is written goes out before the end": ([b"body", "close"], [b"body", "closed"]),
    "an abort drops it": ([b"body", "abort", "turn"], ["aborted"]),
    "nothing is written behind the end": (["close", b"late", "turn"], ["closed"]),
}


@pytest.mark.parametrize(("steps", "did"), ROWS.values(), ids=ROWS)
def test_writes_of_one_turn_are_one(steps: list[Any], did: list[Any]) -> None:
    async def run() -> list[Any]:
        transport = Transport()
        corked = Corked(transport, asyncio.get_running_loop())
        for step in steps:
            if isinstance(step, bytes):
                corked.write(step)
            elif step == "turn":
                await asyncio.sleep(0)
            elif step != "look":
                getattr(corked, step)()
        if steps[-1] != "look":
            await asyncio.sleep(0)
        return transport.did

    assert asyncio.run(run()) == did


def test_what_is_no_write_is_the_transports() -> None:
    async def run() -> Any:
        corked = Corked(Transport(), asyncio.get_running_loop())
        return corked.get_extra_info("peername")

    assert asyncio.run(run()) == ("127.0.0.1", 1)


WARM = """
import gc, sys
from gptme_reliability import ModelOutput, ToolDefinition, check
from gptme_reliability.surfaces.proxy.warming import warm_up
warm_up()
before = set(sys.modules)
tool = ToolDefinition(name="look", parameters={
    "type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]})
for text in ('[TOOL_CALLS][{"name": "look", "arguments": {"at": 5, "b": 1}}', "{name: [1,}"):
    check(ModelOutput(text=text), (tool,))
late = [name for name in set(sys.modules) - before if not name.startswith("gptme_reliability")]
print(gc.get_freeze_count() > 1000, sorted(late))
"""


def test_nothing_is_loaded_by_the_first_broken_answer() -> None:
    done = subprocess.run([sys.executable, "-c", WARM], capture_output=True, text=True, timeout=60)
    assert done.stdout == "True []\n", done.stderr


PIECES = (
    "look(",
    "\n",
    '{"name": ',
    "```json\n",
    "<tool_call>",
    "words and words ",
    "[look(",
    "@a(b): {",
    "`" * 3000,
    " " * 30,
    "</think>",
    "[TOOL_CALLS]",
    "Action: ",
    "x" * 90,
    "\r",
)


@pytest.mark.parametrize("seed", range(4))
def test_a_search_in_windows_finds_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openers, "_WINDOW", 300)
    text = "".join(random.Random(seed).choices(PIECES, k=400))
    position, found = 0, 0
    while match := OPENERS.search(text, position):
        windowed = find_opener(text, position)
        assert windowed is not None
        assert (windowed.span(), windowed.groupdict()) == (match.span(), match.groupdict())
        position, found = match.end(), found + 1
    assert find_opener(text, position) is None
    assert found > 20


class Response:
    """An opened response with one chunk."""

    status_code = 200
    content = b""

    def __init__(self, chunk: bytes) -> None:
        self.left: list[bytes | None] = [None, chunk]

    def close(self) -> None:
        self.left = [None]


def serve(events: bytes) -> list[bytes]:
    """What the host of a streamed request is shown."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "look"}]}
    task = prepare(RecordingHost(), "local", {**body, "tools": TOOLS}, Memory())
    assert task is not None
    response = Response(events)
    serving = Serving(task, ConnectionError).run()
    next(serving)
    try:
        serving.send(response)
    except StopIteration as stop:
        steps = stop.value.steps
    shown: list[bytes] = []
    given: bytes | None = None
    while True:
        try:
            step = steps.send(given)
        except StopIteration:
            return shown
        shown += [step] if isinstance(step, bytes) else []
        given = response.left.pop() if isinstance(step, Next) else None


@pytest.mark.parametrize(
    "events",
    [
        b"".join([ROLE, *text_chunks("Nobody is here."), STOP, DONE]),
        b"".join([ROLE, *call_chunks(0, "look", '{"place": "hall"}', "c1"), CALLED, DONE]),
    ],
    ids=["text", "call"],
)
def test_an_answer_leaves_nothing_to_the_collector(events: bytes) -> None:
    """All other requests wait while it looks for what holds itself."""
    assert b"".join(serve(events)) == events
    gc.collect()
    gc.disable()
    try:
        serve(events)
        assert gc.collect() == 0
    finally:
        gc.enable()
