"""Hostile texts of moderate length, and what fuzzing found: nothing raises or shows a call early.

How the time grows with their length is measured by ``benchmarks/bench_check.py``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE, hostile_text
from laws import TOOLS, native

from gptme_reliability import Gate, ModelOutput, check
from gptme_reliability.resolve import callable_names

LENGTH = 4_000


@pytest.mark.parametrize("reason", ["stop", "length", None])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_gets_a_verdict(name: str, reason: str | None) -> None:
    text = hostile_text(name, LENGTH)
    verdict = check(ModelOutput(text, finish_reason=reason), TOOLS)
    assert all(call.name in callable_names(TOOLS) for call in verdict.calls)
    gate = Gate(callable_names(TOOLS))
    safe = 0
    for start in range(0, len(text), 50):
        safe = gate.feed(text[start : start + 50])
    assert verdict.text.startswith(text[:safe]) or not text[:safe].strip()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_arguments_get_a_verdict(name: str) -> None:
    verdict = check(ModelOutput(tool_calls=[native("shell", hostile_text(name, LENGTH))]), TOOLS)
    assert len(verdict.calls) <= 1


ROWS = (Path(__file__).parent / "cases" / "fuzzed.jsonl").read_text("utf-8").splitlines()


@pytest.mark.parametrize("row", [pytest.param(row, id=row["id"]) for row in map(json.loads, ROWS)])
def test_what_fuzzing_found(row: dict[str, Any]) -> None:
    if "pieces" in row:
        gate = Gate(callable_names(TOOLS))
        assert [gate.feed(piece) for piece in row["pieces"]][-1] == row["shown"]
        return
    verdict = check(ModelOutput(row["raw"], finish_reason=row.get("finish_reason", "stop")), TOOLS)
    assert type(verdict).__name__ == row["verdict"]
    assert [{"name": c.name, "arguments": c.arguments} for c in verdict.calls] == row["calls"]
    assert [repair.rule for repair in verdict.repairs] == row.get("repairs", [])
