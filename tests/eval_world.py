"""Scripted models for whole tasks: the right calls of each scenario, written well or badly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.evals.tasks.play import Connection
from gptme_reliability.evals.tasks.scenario import Scenario, shipped_scenarios

CASES: Final = Path(__file__).parent / "cases"
SCENARIOS: Final = {scenario.id: scenario for scenario in shipped_scenarios()}
SOLUTIONS: Final[Mapping[str, list[list[dict[str, Any]]]]] = {
    row["id"]: row["turns"]
    for row in map(json.loads, (CASES / "eval_solutions.jsonl").read_text("utf-8").splitlines())
}
"""For each scenario the calls of each answer that do what is wanted."""

_BY_WORDS: Final = {str(s.messages[0]["content"]): s.id for s in SCENARIOS.values()}

Writer: TypeAlias = Callable[[list[dict[str, Any]]], Answer]
"""How a model writes calls."""


def native(calls: list[dict[str, Any]]) -> Answer:
    """As the API has them."""
    return {"calls": [{**call, "arguments": json.dumps(call["arguments"])} for call in calls]}


def tagged(calls: list[dict[str, Any]]) -> Answer:
    """In tags."""
    return {"text": "\n".join(f"<tool_call>\n{json.dumps(c)}\n</tool_call>" for c in calls)}


def fenced(calls: list[dict[str, Any]]) -> Answer:
    """In blocks."""
    return {
        "text": "\n\n".join(f"```{c['name']}\n{json.dumps(c['arguments'])}\n```" for c in calls)
    }


def in_xml(calls: list[dict[str, Any]]) -> Answer:
    """In XML."""
    bodies = [
        f"<{c['name']}>{json.dumps(c['arguments']).replace('&', '&amp;').replace('<', '&lt;')}"
        f"</{c['name']}>"
        for c in calls
    ]
    return {"text": "\n".join(f"<tool-use>\n{body}\n</tool-use>" for body in bodies)}


WRITERS: Final[Mapping[str, Writer]] = {
    "native": native,
    "prompted": tagged,
    "markdown": fenced,
    "xml": in_xml,
}


def task_of(body: Mapping[str, Any]) -> str:
    """The id of the scenario that a request is about."""
    said = (str(message["content"]) for message in body["messages"] if message["role"] == "user")
    return _BY_WORDS[next(said)]


def solver(write: Writer) -> Callable[[Mapping[str, Any]], Answer]:
    """A model that does each task, an answer of its solution after the other."""

    def answer(body: Mapping[str, Any]) -> Answer:
        turns = SOLUTIONS[task_of(body)]
        given = sum(message["role"] == "assistant" for message in body["messages"])
        return write(turns[given]) if given < len(turns) else {"text": "All done."}

    return answer


def connected(url: str) -> Connection:
    """To a scripted server."""
    return Connection(url, "tiny", timeout=20.0)


def scenarios_of(category: str) -> list[Scenario]:
    """The shipped scenarios of a category."""
    return [scenario for scenario in SCENARIOS.values() if scenario.category == category]
