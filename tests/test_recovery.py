"""Calls in the many spellings of models that were never shown one, and what only looks like it."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from scenario_tables import CASES

from gptme_reliability import Accept, Gate, ModelOutput, Retry, ToolDefinition, check
from gptme_reliability.resolve import callable_names

ROWS: Final[list[dict[str, Any]]] = [
    json.loads(line) for line in (CASES / "recovery.jsonl").read_text(encoding="utf-8").splitlines()
]


def tool(name: str, required: str, **parameters: Any) -> ToolDefinition:
    """A tool with these parameters, the required ones named in one string."""
    return ToolDefinition(
        name, {"type": "object", "properties": parameters, "required": required.split()}
    )


TEXT: Final = {"type": "string"}
TOOLS: Final = [
    tool("weather.report", "city", city=TEXT, days={"type": "integer"}),
    tool("mail_send", "to subject", to=TEXT, subject=TEXT, body=TEXT),
    tool("add_numbers", "a b", a={"type": "number"}, b={"type": "number"}),
    tool("store", "record", record={"type": "object"}),
    tool(
        "tag_note",
        "note tags",
        note=TEXT,
        tags={"type": "array", "items": {"type": "string", "enum": ["home", "work", "urgent"]}},
    ),
]


def ids(row: dict[str, Any]) -> str:
    return str(row["id"])


@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_row(row: dict[str, Any]) -> None:
    """The calls of a row run as it says, its repairs are on record, and no other runs."""
    verdict = check(ModelOutput(row["raw"]), TOOLS)
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in verdict.calls]
    assert calls == row["calls"]
    assert isinstance(verdict, Retry if row.get("verdict") == "retry" else Accept), verdict
    assert set(row.get("repairs", ())) <= {repair.rule for repair in verdict.repairs}


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("row", ROWS, ids=ids)
def test_shown_text_is_no_part_of_a_call(row: dict[str, Any], size: int) -> None:
    """Streamed in pieces, nothing is shown that the verdict takes out of the text."""
    raw = row["raw"]
    gate = Gate(callable_names(TOOLS))
    safe = 0
    for start in range(0, len(raw), size):
        safe = gate.feed(raw[start : start + size])
    text = check(ModelOutput(raw), TOOLS).text
    assert text.startswith(raw[:safe]) or not raw[:safe].strip()


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["calls"] and "goes_on" not in row], ids=ids
)
def test_cut_off_is_asked_for(row: dict[str, Any]) -> None:
    """Said to be cut off at its end, an answer without a marker does not run its last call."""
    verdict = check(ModelOutput(row["raw"].rstrip(), finish_reason="length"), TOOLS)
    calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in verdict.calls]
    assert row["calls"][-1] not in calls
