"""How fast ``check()`` is: against json_repair on typical outputs, and its growth on hostile ones.

Run ``python tests/benchmarks/bench_check.py [--largest 10000000]``.  Ratios in the first table
compare medians measured in the same run on the same text; below 1 means faster.  The second
shows how the time grows when a hostile text gets four times as long; the exit code is 1 where
that is no line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import json_repair

sys.path.insert(0, str(Path(__file__).parent.parent))

from hostile import HOSTILE, hostile_text
from laws import TOOLS, native

from gptme_reliability import Gate, ModelOutput, check
from gptme_reliability.resolve import callable_names

COMMAND = "find . -name '*.py' -newer setup.cfg | xargs grep -n \\\"TODO\\\" | head -20"
CALL = f'{{"name": "shell", "arguments": {{"command": "{COMMAND}"}}}}'
SAVE = json.dumps(
    {"name": "save", "arguments": {"path": "a.py", "content": "def f(x):\n    return x\n" * 20}}
)
TYPICAL = {
    "hermes call": f"<tool_call>\n{CALL}\n</tool_call>",
    "hermes, long argument": f"I'll write the file.\n<tool_call>\n{SAVE}\n</tool_call>",
    "bare JSON": CALL,
    "fenced JSON": f"I'll look for them:\n```json\n{CALL}\n```",
    "single quotes": "{'name': 'shell', 'arguments': {'command': 'ls -la'}}",
    "missing brackets": '<tool_call>{"name": "shell", "arguments": {"command": "ls -la"',
    "trailing commas": '{"name": "shell", "arguments": {"command": "ls -la",},}',
    "mistral": f"[TOOL_CALLS][{CALL}, {CALL}]",
    "python list": "[shell(command='ls -la'), shell(command='pwd')]",
    "prose": "The build failed because two tests need the network. " * 12,
    "prose with code": "Use a list:\n\n```python\nx = [1, 2, {'a': 3}]\nprint(x)\n```\n" * 4,
}

SIZES = (10_000, 40_000, 160_000, 640_000, 2_560_000, 10_000_000)
GATED = (40_000, 160_000)
LONGEST_S = 20.0
MOST_GROWTH, MEASURABLE_S = 6.0, 0.05
"""Beyond this growth for a fourfold length, in times that can be measured, a time is no line."""


def median_us(call: Callable[[], object], repeats: int = 60) -> float:
    """The median time of a call in microseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def typical() -> None:
    print(f"{'typical output':<24}{'check() µs':>12}{'json_repair µs':>16}{'ratio':>8}")
    ratios = []
    for name, text in TYPICAL.items():
        output = ModelOutput(text, finish_reason="stop")
        ours = median_us(partial(check, output, TOOLS))
        theirs = median_us(partial(json_repair.loads, text))
        ratios.append(ours / theirs)
        print(f"{name:<24}{ours:>12.0f}{theirs:>16.0f}{ours / theirs:>8.2f}")
    raw = ModelOutput(tool_calls=[native("shell", {"command": "ls -la"})])
    arguments = '{"command": "ls -la"}'
    ours = median_us(lambda: check(raw, TOOLS))
    theirs = median_us(lambda: json_repair.loads(arguments))
    print(f"{'native call':<24}{ours:>12.0f}{theirs:>16.0f}{ours / theirs:>8.2f}")
    print(f"{'median ratio':<52}{statistics.median(ratios):>8.2f}\n")


def check_s(text: str) -> float:
    start = time.process_time()
    check(ModelOutput(text, finish_reason="stop"), TOOLS)
    return time.process_time() - start


def gate_s(text: str) -> float:
    start = time.process_time()
    gate = Gate(callable_names(TOOLS))
    for position in range(0, len(text), 50):
        gate.feed(text[position : position + 50])
    return time.process_time() - start


def growths(times: Sequence[float]) -> list[float]:
    """How much longer each length takes than the one before, where that can be measured."""
    return [later / early for early, later in pairwise(times) if early >= MEASURABLE_S]


def hostile(largest: int) -> bool:
    """Print how the time grows with the length; whether all of it grows like a line."""
    sizes = [size for size in SIZES if size <= largest]
    print(f"{'hostile pattern':<26}" + "".join(f"{size // 1000:>7} KB" for size in sizes), end="")
    print("  growth, check and gate")
    bad: list[str] = []
    for name in HOSTILE:
        times: list[float] = []
        for size in sizes:
            if times and times[-1] * MOST_GROWTH > LONGEST_S:
                break
            times.append(check_s(hostile_text(name, size)))
        gated = [gate_s(hostile_text(name, size)) for size in GATED]
        steps, gate_steps = growths(times), growths(gated)
        if max((*steps, *gate_steps), default=0.0) > MOST_GROWTH:
            bad.append(name)
        shown = " ".join(f"{step:.1f}" for step in steps)
        print(f"{name:<26}" + "".join(f"{taken:>10.3f}" for taken in times), end="")
        print(" " * 10 * (len(sizes) - len(times)), end="")
        print(
            f"  {shown or '-'} | {' '.join(f'{step:.1f}' for step in gate_steps) or '-'}",
            flush=True,
        )
    print(f"no line: {', '.join(bad) or 'none'}")
    return not bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=int, default=640_000, help="characters (default 640000)")
    options = parser.parse_args()
    typical()
    sys.exit(not hostile(options.largest))
