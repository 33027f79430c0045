"""Outputs written to break the decoder: quotations that must not run, calls that must.

A row with ``calls`` runs exactly these; any other row runs nothing, and one with ``asked`` is
an attempt that the verdict must not pass over in silence; where it is ``plain`` that nothing
is to run, nothing is asked.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from scenario_tables import CASES, GPTME_TOOLS

from gptme_reliability import Accept, ModelOutput, check

ROWS = [
    json.loads(line)
    for line in (CASES / "adversary.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_adversary(row: dict[str, Any]) -> None:
    output = ModelOutput(row["raw"], finish_reason=row.get("finish_reason"))
    verdict = check(output, GPTME_TOOLS, messages=row.get("messages", ()))
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in verdict.calls]
    assert calls == row.get("calls", [])
    if "calls" in row or row.get("plain"):
        assert isinstance(verdict, Accept)
    if row.get("asked"):
        assert not isinstance(verdict, Accept) or verdict.refused
