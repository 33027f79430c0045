"""Hostile texts of moderate length: nothing raises, and the gate shows no part of a call.

How the time grows with their length is measured by ``benchmarks/bench_check.py``.
"""

from __future__ import annotations

import pytest
from hostile import HOSTILE
from laws import TOOLS, native

from gptme_reliability import Gate, ModelOutput, check
from gptme_reliability.resolve import callable_names

LENGTH = 4_000


@pytest.mark.parametrize("reason", ["stop", "length", None])
@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_gets_a_verdict(unit: str, reason: str | None) -> None:
    text = (unit * (LENGTH // len(unit) + 1))[:LENGTH]
    verdict = check(ModelOutput(text, finish_reason=reason), TOOLS)
    assert all(call.name in callable_names(TOOLS) for call in verdict.calls)
    gate = Gate(callable_names(TOOLS))
    safe = 0
    for start in range(0, LENGTH, 50):
        safe = gate.feed(text[start : start + 50])
    assert verdict.text.startswith(text[:safe]) or not text[:safe].strip()


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_hostile_arguments_get_a_verdict(unit: str) -> None:
    arguments = (unit * (LENGTH // len(unit) + 1))[:LENGTH]
    verdict = check(ModelOutput(tool_calls=[native("shell", arguments)]), TOOLS)
    assert not verdict.calls
