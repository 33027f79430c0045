"""How fast ``check()`` is: against json_repair on typical outputs, and its growth on hostile ones.

Run ``python tests/benchmarks/bench_check.py``.  It prints two tables and asserts nothing.
Ratios compare medians measured in the same run on the same text; below 1 means faster.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import json_repair

sys.path.insert(0, str(Path(__file__).parent.parent))

from laws import TOOLS, native

from gptme_reliability import ModelOutput, check

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

HOSTILE = {
    "open braces": "{",
    "open brackets": "[",
    "nested objects": '{"name":',
    "nested envelopes": '{"name":"shell","arguments":',
    "open strings": '{"name": "',
    "quotes": '"',
    "backslashes": "\\",
    "broken calls": '{"name": "shell", "arguments": {"command": "ls} ',
    "single-quoted": "{'name': 'shell', 'arguments': {'command': 'a'b'}} ",
    "good calls": CALL + "\n",
    "hermes openers": "<tool_call>",
    "hermes with junk": "<tool_call>{x",
    "mistral openers": "[TOOL_CALLS]",
    "mistral names": "[TOOL_CALLS]shell[ARGS]{",
    "python lists": "[shell(",
    "python arguments": "[shell(command=\t",
    "python lines": "shell(command='ls'\n",
    "think openers": "<think>",
    "think pairs": "<think></think>",
    "orphan ends": "x</think>",
    "fences": "```json\n",
    "fence lines": "```\n",
    "tool lines": "@shell(a): {\n",
    "spaces behind a brace": "{" + " " * 60,
    "white space": " \n",
    "almost keys": '{"nam": ',
    "commas": '{"name": "shell", "arguments": [,,,',
    "comments": "{/*",
}


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


def once_s(text: str) -> float:
    start = time.perf_counter()
    check(ModelOutput(text, finish_reason="stop"), TOOLS)
    return time.perf_counter() - start


def hostile() -> None:
    print(f"{'hostile pattern':<24}{'10 KB s':>10}{'100 KB s':>10}{'1 MB s':>10}{'growth':>14}")
    worst = 0.0
    for name, unit in HOSTILE.items():
        sizes = (10_000, 100_000, 1_000_000)
        times = [once_s((unit * (size // len(unit) + 1))[:size]) for size in sizes]
        steps = [later / max(earlier, 1e-4) for earlier, later in pairwise(times)]
        worst = max(worst, times[-1])
        growth = " ×".join(f"{step:.1f}" for step in steps)
        print(f"{name:<24}{times[0]:>10.4f}{times[1]:>10.4f}{times[2]:>10.3f}{'×' + growth:>14}")
    print(f"slowest 1 MB: {worst:.2f} s")


if __name__ == "__main__":
    typical()
    hostile()
