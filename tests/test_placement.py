"""Telling calls from their quotations: many wordings of both."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scenario_tables import CASES, GPTME_TOOLS

from gptme_reliability import Accept, ModelOutput, check
from gptme_reliability.types import Verdict


def rows(name: str) -> list[dict[str, Any]]:
    text = (CASES / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def judge(row: dict[str, Any]) -> Verdict:
    output = ModelOutput(row["raw"], finish_reason=row.get("finish_reason"))
    return check(output, GPTME_TOOLS, messages=row.get("messages", ()))


@pytest.mark.parametrize("row", rows("quoted.jsonl"), ids=lambda row: row["id"])
def test_quoted(row: dict[str, Any]) -> None:
    """What is quoted, reported, planned, declined or only shown never runs.

    Where it is plain that nothing is to run, nothing is asked either.
    """
    verdict = judge(row)
    assert verdict.calls == ()
    if row.get("plain"):
        assert isinstance(verdict, Accept)


@pytest.mark.parametrize("row", rows("announced.jsonl"), ids=lambda row: row["id"])
def test_announced(row: dict[str, Any]) -> None:
    """What stands alone or is announced runs as written."""
    verdict = judge(row)
    assert isinstance(verdict, Accept)
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in verdict.calls]
    assert calls == row["calls"]
