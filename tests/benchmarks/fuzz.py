"""Fuzzes the core: ``python tests/benchmarks/fuzz.py --minutes 10 [--seed 1]``.

Every finding is printed once, with the smallest input that was found for it; the exit code is
1 when there is any.  The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import re
import sys
import time
from typing import Any, Final

from fuzz_inputs import Seed, output, seeds, strange_tools
from fuzz_properties import Case, cut_short, examine

_REASONS: Final = (None, "stop", "length", "tool_calls", "STOP ", "content_filter", "", 5, "eos")
_POLICIES: Final[tuple[dict[str, Any], ...]] = (
    {"partial": "hold"},
    {"allow": ["lossless"]},
    {"allow": []},
    {"aliases": False, "max_calls": 2},
    {"max_chars": 40, "max_calls": 0},
    {"echo_guard": False, "max_cost_reading": 0, "max_cost_writing": 99},
)
_MINIMISING_S: Final = 20.0


def make(number: int, seed: int, known: list[Seed]) -> Case:
    """The case with this number."""
    rnd = random.Random(seed * 1_000_003 + number)
    text, tools = output(rnd, known)
    if rnd.random() < 0.3:
        tools = strange_tools(rnd, tools)
    reason = rnd.choice(_REASONS) if rnd.random() < 0.5 else "stop"
    policy = rnd.choice(_POLICIES) if rnd.random() < 0.2 else {}
    messages: tuple[Any, ...] = ()
    if rnd.random() < 0.15:
        quoted = rnd.choice((text, rnd.choice(known).raw))
        role = rnd.choice(("tool", "user", "system", "assistant"))
        parts = [{"type": "text", "text": quoted}]
        content = rnd.choice((quoted, f"```\n{quoted}\n```", parts, None))
        messages = ({"role": "user", "content": "go"}, {"role": role, "content": content})
    calls: tuple[Any, ...] = ()
    if rnd.random() < 0.2:
        calls = tuple(_native(rnd, text, tools) for _ in range(rnd.randint(1, 3)))
    return Case(text, tools, reason, calls, messages, policy, number)


def _native(rnd: random.Random, text: str, tools: tuple[Any, ...]) -> Any:
    named = [tool.get("function", tool).get("name") for tool in tools] or ["shell"]
    name = rnd.choice((*named, rnd.choice(named), "Shell", "bash", "", None, text[:20]))
    start = text.find("{")
    arguments: Any = rnd.choice(
        (text, text[max(0, start) :], '{"command": "ls"}', "", None, {"command": 5}, [], 7, "[{}]")
    )
    function = {"name": name, "arguments": arguments}
    entry = {"id": rnd.choice(("c1", "", None, 3)), "function": function}
    return rnd.choice((entry, entry, entry, function, text[:9], None, {}))


def minimised(case: Case, kind: str) -> Case:
    """The case with as little text, tools and company as still fails in the same way."""
    end = time.monotonic() + _MINIMISING_S

    def fails(other: Case) -> bool:
        found = examine(other, timed=kind.startswith("slow"))
        return found is not None and _kind(found) == kind

    plain: dict[str, Any]
    for plain in ({"messages": ()}, {"policy": {}}, {"finish_reason": None}, {"tool_calls": ()}):
        smaller = dataclasses.replace(case, **plain)
        case = smaller if fails(smaller) else case
    for index in range(len(case.tools) - 1, -1, -1):
        smaller = dataclasses.replace(case, tools=case.tools[:index] + case.tools[index + 1 :])
        case = smaller if fails(smaller) else case
    step = max(1, len(case.text) // 2)
    while time.monotonic() < end:
        position, before = 0, len(case.text)
        while position < len(case.text) and time.monotonic() < end:
            text = case.text[:position] + case.text[position + step :]
            smaller = dataclasses.replace(case, text=text)
            if fails(smaller):
                case = smaller
            else:
                position += step
        if step == 1 and len(case.text) == before:
            break
        step = max(1, step // 2)
    return case


def _kind(finding: str) -> str:
    """What is the same about two findings of one fault."""
    name, _, rest = finding.partition(":")
    return f"{name}:{re.sub('[^A-Za-z_]', '', rest)[:40]}" if name == "raises" else name


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most", type=int, default=40, help="stop after so many findings")
    options = parser.parse_args()
    known = seeds()
    end = time.monotonic() + options.minutes * 60
    found: dict[str, int] = {}
    number = 0
    while time.monotonic() < end and sum(min(n, 3) for n in found.values()) < options.most:
        case = make(number, options.seed, known)
        finding = examine(case)
        if finding is None and number % 5 == 0:
            sound = random.Random(number).choice(known)
            case = Case(sound.raw, sound.tools, seed=number)
            finding = cut_short(case, number // 5 * 7919 % (len(sound.raw) + 1))
        number += 1
        if finding is None:
            continue
        kind = _kind(finding)
        found[kind] = found.get(kind, 0) + 1
        if found[kind] <= 3:
            print(f"--- case {number - 1}: {finding[:700]}")
            if not kind.startswith("cut"):
                case = minimised(case, kind)
                print(f"    {(examine(case) or 'gone')[:700]}")
            print(f"    {json.dumps(dataclasses.asdict(case), default=str)[:3000]}", flush=True)
    print(f"{number} cases, findings: {found or 'none'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
