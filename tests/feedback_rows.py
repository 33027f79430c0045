"""The answers of ``cases/feedback.jsonl``, the tools they are judged by, and what comes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from laws import SAVE, SHELL, STRING, native, tool

from gptme_reliability import ModelOutput, Policy, Retry, check
from gptme_reliability.types import Language, ModelRequest

INTEGER = {"type": "integer"}
DRAW = tool(
    "draw",
    {
        "shape": {
            "type": "object",
            "properties": {"kind": {"enum": ["dot", "line"]}, "size": INTEGER},
            "required": ["kind", "size"],
        }
    },
    ["shape"],
)
PLAN = tool(
    "plan",
    {
        "hours": {"type": "integer", "minimum": 1, "maximum": 24},
        "limit": {"type": ["integer", "null"]},
        "kind": {"enum": ["small", "large"]},
        "rate": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "step": {"type": "integer", "multipleOf": 5},
        "title": {"type": "string", "minLength": 4, "maxLength": 12, "pattern": "^[A-Z]"},
        "tags": {
            "type": "array",
            "items": STRING,
            "minItems": 1,
            "maxItems": 3,
            "uniqueItems": True,
        },
        "extra": {"type": "object", "minProperties": 1, "maxProperties": 2},
        "mode": {"const": "fast"},
        "target": {"anyOf": [INTEGER, {"type": "boolean"}]},
        "span": {"anyOf": [{"type": "integer", "maximum": 3}, {"enum": ["all"]}]},
        "either": {"oneOf": [INTEGER, {"type": "number"}]},
        "colour": {"not": {"const": "red"}},
        "never": False,
    },
    ["hours"],
)
TOOLS = (SHELL, SAVE, DRAW, PLAN)
ASKED = ({"role": "user", "content": "Go on."},)
ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "feedback.jsonl").read_text("utf-8").splitlines()
]
LANGUAGES: tuple[Language, ...] = ("en", "zh")


def answer_of(row: dict[str, Any]) -> ModelOutput:
    """The answer of a row as a server delivers it."""
    said = row["answer"]
    calls = [native(name, given, f"c{n}") for n, (name, given) in enumerate(said.get("calls", []))]
    return ModelOutput(
        text=said.get("text"),
        tool_calls=said.get("raw_calls") or calls,
        reasoning=said.get("reasoning"),
        finish_reason=said.get("finish_reason"),
    )


def judged(row: dict[str, Any], **policy: Any) -> tuple[ModelRequest, ModelOutput, Retry, Policy]:
    """The answer of a row and what ``check`` says about it."""
    offered = row.get("offered")
    tools = tuple(one for one in TOOLS if offered is None or one.name in offered)
    request = ModelRequest(tuple(row.get("messages") or ASKED), tools)
    given = {**row.get("policy", {}), **policy}
    if "allow" in given:
        given["allow"] = frozenset(given["allow"])
    rules = Policy(**given)
    output = answer_of(row)
    verdict = check(output, tools, rules, messages=request.messages)
    assert isinstance(verdict, Retry), verdict
    return request, output, verdict, rules


def told(request: ModelRequest, before: int) -> list[str]:
    """What was said to the model behind the first messages."""
    return [m["content"] for m in request.messages[before:] if m["role"] != "assistant"]


each_row = pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
