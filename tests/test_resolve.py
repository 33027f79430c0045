"""Which tool or parameter was meant: the tables of names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from laws import TOOLS

from gptme_reliability import Accept, ModelOutput, Policy, Retry, ToolDefinition, check
from gptme_reliability.in_text import check_in_text
from gptme_reliability.resolve import resolve_parameters, resolve_tool
from gptme_reliability.types import HostFormat
from gptme_reliability.validate import validate

CASES = Path(__file__).parent / "cases"


def rows(name: str) -> list[dict[str, Any]]:
    text = (CASES / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("row", rows("names.jsonl"), ids=json.dumps)
def test_tool_names(row: dict[str, Any]) -> None:
    """A name resolves to one tool by the rule of its row, or to none."""
    offered = [ToolDefinition(name) for name in row["offered"]] if "offered" in row else TOOLS
    found = resolve_tool(row["written"], row.get("arguments", {}), offered)
    assert (found and found.name) == row["tool"]
    if found:
        assert found.rule == row["rule"]


@pytest.mark.parametrize("row", rows("parameters.jsonl"), ids=json.dumps)
def test_parameter_names(row: dict[str, Any]) -> None:
    """Unknown arguments stand for the parameters of their row, or for none."""
    tool = next(tool for tool in TOOLS if tool.name == row["tool"])
    found = resolve_parameters(row["arguments"], tool)
    assert {key: meant.name for key, meant in found.items()} == row["becomes"]


def call(name: str, arguments: dict[str, Any]) -> ModelOutput:
    text = json.dumps({"name": name, "arguments": arguments})
    return ModelOutput(f"<tool_call>{text}</tool_call>")


def test_two_guesses_on_a_writing_tool_are_asked_about() -> None:
    """Neither the alias of a tool nor that of its parameter may lean on the other."""
    assert isinstance(check(call("bash", {"command": "ls"}), TOOLS), Accept)
    assert isinstance(check(call("shell", {"cmd": "ls"}), TOOLS), Accept)
    assert isinstance(check(call("bash", {"cmd": "ls"}), TOOLS), Retry)
    reading = [ToolDefinition(t.name, t.parameters, read_only=True) for t in TOOLS]
    assert isinstance(check(call("bash", {"cmd": "ls"}), reading), Accept)


def test_aliases_can_be_switched_off() -> None:
    """Without aliases another word for a tool is an unknown tool."""
    policy = Policy(aliases=False)
    assert isinstance(check(call("bash", {"command": "ls"}), TOOLS, policy), Retry)
    assert isinstance(check(call("shell", {"cmd": "ls"}), TOOLS, policy), Retry)
    assert isinstance(check(call("Shell", {"command": "ls"}), TOOLS, policy), Accept)


FILTERED = ToolDefinition(
    "find",
    {
        "type": "object",
        "properties": {
            "filters": {
                "type": "object",
                "properties": {"maker": {"type": "string"}, "full title": {"type": "string"}},
                "required": ["full title"],
                "additionalProperties": False,
            }
        },
        "required": ["filters"],
        "additionalProperties": False,
    },
)


@pytest.mark.parametrize(
    ("extra", "hint"),
    [("makr", "; did you mean 'maker'?"), ("colour", ""), ("filter", "")],
)
def test_a_hint_names_an_argument_of_the_same_object(extra: str, hint: str) -> None:
    verdict = check(call("find", {"filters": {"full title": "x", extra: "y"}}), [FILTERED])
    assert isinstance(verdict, Retry)
    (violation,) = verdict.violations
    assert violation.message == f"there is no argument {extra!r}{hint}"


def test_a_missing_argument_has_the_path_that_it_would_have() -> None:
    (missing,) = validate({"filters": {}}, FILTERED)
    (wrong,) = validate({"filters": {"full title": 1}}, FILTERED)
    assert missing.rule == "missing"
    assert missing.path == wrong.path == '$.filters["full title"]'


def test_names_of_signs_alone_are_no_spellings_of_each_other() -> None:
    parameters = {"type": "object", "properties": {"_": {"type": "string"}}}
    assert resolve_parameters({"-": "x"}, ToolDefinition("ask", parameters)) == {}


def test_names_as_they_are_written() -> None:
    """Where names are not resolved, neither spellings nor other words stand for them."""
    policy = Policy(resolve=False)
    for name, arguments in (
        ("shell", {"cmd": "ls"}),
        ("shell", {"Command": "ls"}),
        ("bash", {"command": "ls"}),
        ("Shell", {"command": "ls"}),
    ):
        assert isinstance(check(call(name, arguments), TOOLS), Accept)
        verdict = check(call(name, arguments), TOOLS, policy)
        assert isinstance(verdict, Retry) and verdict.calls == ()
    assert check(call("shell", {"command": "ls"}), TOOLS, policy).calls


@pytest.mark.parametrize("tag", ["Shell", "run_command"])
def test_tags_as_they_are_written(tag: str) -> None:
    """The same for a host that reads calls in the text."""
    host = HostFormat("markdown", {"shell": "shell"}, {"shell": "json"})
    output = ModelOutput(f'```{tag}\n{{"command": "ls"}}\n```')
    understood = check_in_text(output, TOOLS, host)
    assert [made.name for made in understood.calls] == ["shell"]
    assert check_in_text(output, TOOLS, host, Policy(resolve=False)).calls == ()
