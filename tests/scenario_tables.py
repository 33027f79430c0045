"""The tables of scenarios that the tests share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from gptme_reliability import ToolDefinition
from gptme_reliability.evals.scenarios import Scenario, read_scenarios

CASES = Path(__file__).parent / "cases"

DEFECTS = read_scenarios(CASES / "defects.jsonl")
MUST_NOT_EXECUTE = read_scenarios(CASES / "must_not_execute.jsonl")
# As the plugin hands them on: gptme says which of its tools only read.
GPTME_TOOLS = [
    replace(ToolDefinition.from_openai(tool), read_only=tool["function"]["name"] in ("read",))
    for tool in json.loads((CASES / "gptme_tools.json").read_text(encoding="utf-8"))
]


def names(scenarios: list[Scenario]) -> list[str]:
    """The ids, for pytest."""
    return [scenario.id for scenario in scenarios]
