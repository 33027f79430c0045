"""How the time of the readers beside ``check()`` grows with what they are given.

Run ``python tests/benchmarks/bench_growth.py [--only WORD]``.  Each row is measured at lengths
that grow fourfold; the exit code is 1 where the mean growth is that of no line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import geometric_mean
from typing import Any, Final, TypeAlias

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_check import MEASURABLE_S, MOST_GROWTH, growths
from hostile import HOST_OPENING, HOST_PIECES
from laws import TOOLS, native
from scripted_server import chunk

from gptme_reliability import ModelOutput, check
from gptme_reliability.adapters.openai_stream import StreamReader
from gptme_reliability.adapters.server_errors import model_fault
from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.dialects.host_formats import decode_markdown, decode_xml
from gptme_reliability.schemas import as_meant
from gptme_reliability.surfaces.streaming import StreamedAnswer

Work: TypeAlias = Callable[[], object]
Prepare: TypeAlias = Callable[[int], Work]
"""Makes what is to be read, of a length; reading it is what is measured."""

LENGTHS: Final = 3
LONGEST: Final = 1_000_000
CALL: Final = '<tool_call>\n{"name": "shell", "arguments": {"command": "make t%d"}}\n</tool_call>'


def event_by_bytes(length: int) -> Work:
    """One event, a byte at a time."""
    pieces = [bytes([byte]) for byte in b"data: " + b"x" * length + b"\n\n"]
    return partial(feed_all, EventReader().feed, pieces)


def streamed_answer(unit: str, length: int) -> Work:
    """An answer as the client passes it on, a chunk for every unit."""
    answer = StreamedAnswer(TOOLS, lambda tag: False)
    return partial(feed_all, answer.feed, [chunk({"content": unit})] * length)


def deltas_of_a_call(arguments: str, length: int) -> Work:
    """Deltas that go on with the same call."""
    function = {"name": "shell", "arguments": arguments}
    said = {"tool_calls": [{"index": 0, "id": "i", "function": function}]}
    delta = {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}
    return partial(feed_all, StreamReader(["shell"]).feed, [delta] * length)


def server_error(unit: bytes, length: int) -> Work:
    """What a server says when it fails."""
    return partial(model_fault, 500, unit * (length // len(unit)))


def host_format(decode: Callable[..., object], piece: str, length: int) -> Work:
    """An answer in one of gptme's own text formats."""
    return partial(decode, HOST_OPENING + piece * (length // len(piece)), TOOLS)


def wide_schema(length: int) -> Work:
    """A tool with many arguments, each with a type as Python writes it."""
    properties = {f"p{number}": {"type": "str"} for number in range(length)}
    return partial(as_meant, {"type": "object", "properties": properties})


def conversation(unit: str, length: int) -> Work:
    """Calls in text, compared with all that was quoted before."""
    text = unit * (length // len(unit))
    messages = ({"role": "user", "content": text}, {"role": "tool", "content": text})
    calls = "\n".join(CALL % number for number in range(64))
    return partial(check, ModelOutput(calls), TOOLS, messages=messages)


def repeated_calls(length: int) -> Work:
    """A call made often before, each time with a large result."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "go on"}]
    for number in range(length // 1_000):
        call = native("shell", {"command": "ls"}, f"call_{number}")
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        result = json.dumps("x" * 1_000)
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    output = ModelOutput(tool_calls=[native("shell", {"command": "ls"}, "new")])
    return partial(check, output, TOOLS, messages=messages)


def feed_all(feed: Callable[[Any], object], pieces: list[Any]) -> None:
    """Feed one piece after the other."""
    for piece in pieces:
        feed(piece)


def rows() -> Iterator[tuple[str, Prepare]]:
    """What is measured, by name."""
    yield "event by bytes", event_by_bytes
    for unit in ("word ", "<", " ", "{", "\n@", "```\n"):
        yield f"streamed answer {unit!r}", partial(streamed_answer, unit)
    for arguments in ("}", "{}", '{"a":1}', "{", "x"):
        yield f"deltas {arguments!r}", partial(deltas_of_a_call, arguments)
    for filler in (b"error pars", b"tool call ", b"raw='", b"x"):
        yield f"server error {filler.decode()!r}", partial(server_error, filler)
    for piece in HOST_PIECES:
        yield f"markdown {piece[:16]!r}", partial(host_format, decode_markdown, piece)
        yield f"xml {piece[:16]!r}", partial(host_format, decode_xml, piece)
    yield "wide schema", wide_schema
    for unit in ("<file>x</data>\n", "`a` > b ~~~\n", "> > quoted\n", "```\n", "<log>", "[{(\\\"'"):
        yield f"conversation {unit!r}", partial(conversation, unit)
    yield "repeated calls", repeated_calls


def seconds(work: Work) -> float:
    """The processor time of one piece of work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(prepare: Prepare) -> tuple[int, list[float]]:
    """The first length that takes a time, and the times from there on."""
    length = 1_000
    while (taken := seconds(prepare(length))) < MEASURABLE_S and length < LONGEST:
        length *= 4
    return length, [taken, *(seconds(prepare(length * 4**step)) for step in range(1, LENGTHS))]


def main(only: str) -> bool:
    """Print how each time grows; whether all of them grow like a line."""
    print(f"{'what':<34}{'length':>10}{'seconds, each length fourfold':>32}  growth")
    bad: list[str] = []
    for name, prepare in rows():
        if only not in name:
            continue
        length, times = measured(prepare)
        steps = growths(times)
        if steps and geometric_mean(steps) > MOST_GROWTH:
            bad.append(name)
        shown = " ".join(f"{taken:.3f}" for taken in times)
        print(f"{name:<34}{length:>10}{shown:>32}  ", end="")
        print(" ".join(f"{step:.1f}" for step in steps) or "-", flush=True)
    print(f"no line: {', '.join(bad) or 'none'}")
    return not bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the names of the rows to measure")
    sys.exit(not main(parser.parse_args().only))
