"""A call that says that none is made is no call: at most it is asked for words."""

from __future__ import annotations

import json

import pytest
from laws import SAVE, SHELL, native

from gptme_reliability import Accept, ModelOutput, Reject, Retry, ToolDefinition, check
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.types import ModelRequest, Policy

TOOLS = (SHELL, SAVE)
ALONE = '<function_call> {"name": "no_function", "arguments": {}}'
CALL = '<tool_call>\n{"name": "shell", "arguments": {"command": "ls"}}\n</tool_call>'
NONE = '<tool_call>\n{"name": "no_tool_call", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize(
    "answer",
    [
        ALONE,
        NONE,
        f"{NONE}\n{NONE}",
        f"<think>nothing fits</think>\n{ALONE}",
        '{"name": "none", "arguments": {}}',
    ],
)
def test_where_nothing_else_is_said_words_are_asked_for(answer: str) -> None:
    verdict = check(ModelOutput(answer), TOOLS)
    assert isinstance(verdict, Retry), verdict
    assert {violation.rule for violation in verdict.violations} == {"no_tool"}
    assert verdict.refused and not verdict.attempted


def test_a_native_one_is_no_other() -> None:
    verdict = check(ModelOutput(tool_calls=(native("no_function", {}),)), TOOLS)
    assert isinstance(verdict, Retry), verdict
    assert verdict.violations[0].rule == "no_tool"


def test_beside_a_call_it_is_left_out() -> None:
    verdict = check(ModelOutput(f"{CALL}\n{NONE}"), TOOLS)
    assert isinstance(verdict, Accept), verdict
    assert [call.name for call in verdict.calls] == ["shell"]
    assert [refused.name for refused in verdict.refused] == ["no_tool_call"]


def test_beside_words_it_is_left_out() -> None:
    output = ModelOutput("It is 4.", tool_calls=(native("no_function", {}),))
    verdict = check(output, TOOLS)
    assert isinstance(verdict, Accept), verdict
    assert (verdict.text, verdict.calls) == ("It is 4.", ())
    assert [refused.name for refused in verdict.refused] == ["no_function"]


def test_beside_a_faulty_call_that_one_is_asked_about() -> None:
    output = ModelOutput(tool_calls=(native("shell", {}, "a"), native("no_function", {}, "b")))
    verdict = check(output, TOOLS)
    assert isinstance(verdict, Retry), verdict
    assert {violation.rule for violation in verdict.violations} == {"missing"}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("no_function", {"command": "ls"}), ("no_such_tool", {}), ("nothing_else", {})],
)
def test_what_says_more_is_a_call_of_an_unknown_tool(name: str, arguments: object) -> None:
    answer = json.dumps({"name": name, "arguments": arguments})
    verdict = check(ModelOutput(f"<tool_call>\n{answer}\n</tool_call>"), TOOLS)
    assert isinstance(verdict, Retry), verdict
    assert {violation.rule for violation in verdict.violations} == {"unknown_tool"}


def test_a_tool_of_that_name_is_called() -> None:
    """Some hosts offer one."""
    tool = ToolDefinition("no_function", {"type": "object", "properties": {}})
    verdict = check(ModelOutput(ALONE), (*TOOLS, tool))
    assert isinstance(verdict, Accept), verdict
    assert [call.name for call in verdict.calls] == ["no_function"]


@pytest.mark.parametrize(("second", "text"), [("It is 4.", "It is 4."), (ALONE, "")])
def test_it_is_asked_about_once_and_no_call_is_forced(second: str, text: str) -> None:
    asked: list[ModelRequest] = []

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return ModelOutput(ALONE if len(asked) == 1 else second, finish_reason="stop")

    request = ModelRequest(({"role": "user", "content": "What is 2 + 2?"},), TOOLS)
    outcome = drive(exchange(request, Policy(retries=3)), send)
    assert len(asked) == 2
    assert all(one.params.get("tool_choice") in (None, "auto") for one in asked)
    assert isinstance(outcome.verdict, Accept if text else Reject)
    assert (outcome.verdict.text.strip(), outcome.verdict.calls) == (text, ())
