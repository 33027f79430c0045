"""Wrong objects from whoever uses the library: one line that says what is wanted."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from gptme_reliability import ModelOutput, Order, Policy, ToolDefinition, check
from gptme_reliability.types import ALL_RUNGS

TOOL = ToolDefinition("ping")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"allow": "lossless"}, "a frozenset of"),
        ({"allow": {"lossles"}}, "not {'lossles'}"),
        ({"partial": "x"}, '"stand" or "hold", not \'x\''),
        ({"partial": None}, '"stand" or "hold", not None'),
        ({"partial": ["stand"]}, "not ['stand']"),
        ({"retries": -1}, "a whole number, 0 or more, not -1"),
        ({"retries": 1.5}, "a whole number"),
        ({"retries": True}, "a whole number"),
        ({"retries": None}, "a whole number"),
        ({"max_added_tokens": "100"}, "a whole number, 0 or more, or None"),
        ({"max_added_seconds": -0.1}, "a number, 0 or more, or None"),
        ({"backoff": float("nan")}, "a number"),
        ({"backoff": None}, "a number"),
        ({"loops": "3"}, "a whole number"),
        ({"resolve": 1}, "True or False"),
        ({"aliases": "false"}, "True or False"),
        ({"max_calls": 2.0}, "a whole number"),
        ({"max_chars": -1}, "a whole number"),
        ({"max_cost_reading": None}, "a whole number"),
        ({"max_cost_writing": None}, "a whole number"),
        ({"echo_guard": None}, "True or False"),
        ({"failed": "kept"}, '"keep" or "rewind"'),
        ({"feedback_chars": "2000"}, "a whole number"),
        ({"language": "fr"}, '"en" or "zh", not \'fr\''),
        ({"rungs": "re_ask"}, "a tuple of"),
        ({"rungs": ("re_ask", "shout")}, "'shout'"),
        ({"respond": "yes"}, "True or False, or None"),
        ({"force": 1}, "True or False, or None"),
        ({"order": {"required": ["read"]}}, "an Order, or None"),
    ],
)
def test_what_is_no_policy(given: dict[str, Any], said: str) -> None:
    """The line names the field, what may stand there and what did."""
    (name,) = given
    with pytest.raises(ValueError, match=f"^Policy: {name} must be ") as raised:
        Policy(**given)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_every_field_of_a_policy_is_looked_at() -> None:
    for field in dataclasses.fields(Policy):
        with pytest.raises(ValueError, match=f"^Policy: {field.name} must be "):
            Policy(**{field.name: object()})  # type: ignore[arg-type]


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ValueError) as raised:
        Policy(language="x" * 10_000)  # type: ignore[arg-type]
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"allow": frozenset()},
        {"allow": {"lossless", "presentation"}},
        {"retries": 0, "loops": 0, "max_calls": 0, "max_chars": 0},
        {"backoff": 0, "max_added_seconds": 2.5, "max_added_tokens": 0},
        {"rungs": ()},
        {"rungs": list(ALL_RUNGS)},
        {"respond": True, "force": False, "order": Order()},
    ],
)
def test_what_is_a_policy(given: dict[str, Any]) -> None:
    assert dataclasses.replace(Policy(**given)) == Policy(**given)


@pytest.mark.parametrize(
    ("arguments", "named", "said"),
    [
        (("text", [TOOL]), {}, "check: output must be a ModelOutput, not str; ModelOutput(text)"),
        ((None, [TOOL]), {}, "check: output must be a ModelOutput, not NoneType"),
        (({"choices": []}, [TOOL]), {}, "check: output must be a ModelOutput, not dict"),
        ((ModelOutput("x"), TOOL), {}, "check: tools must be a list of ToolDefinitions, not"),
        ((ModelOutput("x"), None), {}, "check: tools must be a list of ToolDefinitions, not"),
        ((ModelOutput("x"), {"ping": TOOL}), {}, "check: tools must be a list of ToolDefinitions"),
        (
            (ModelOutput("x"), [TOOL, {"function": {"name": "a"}}]),
            {},
            "check: tools[1] must be a ToolDefinition, not dict; ToolDefinition.from_openai(tool)",
        ),
        ((ModelOutput("x"), [len]), {}, "check: tools[0] must be a ToolDefinition, not builtin"),
        (
            (ModelOutput("x"), [TOOL], {"retries": 1}),
            {},
            "check: policy must be a Policy, not dict",
        ),
        ((ModelOutput("x"), [TOOL], None), {}, "check: policy must be a Policy, not NoneType"),
        (
            (ModelOutput("x"), [TOOL]),
            {"messages": "hi"},
            "check: messages must be a list of messages, not str",
        ),
        (
            (ModelOutput("x"), [TOOL]),
            {"messages": {"role": "user"}},
            "check: messages must be a list of messages, not dict",
        ),
        (
            (ModelOutput("x"), [TOOL]),
            {"facts": {"size_b": 1}},
            "check: facts must be ModelFacts or None, not dict",
        ),
    ],
)
def test_what_check_cannot_read(
    arguments: tuple[Any, ...], named: dict[str, Any], said: str
) -> None:
    with pytest.raises(TypeError) as raised:
        check(*arguments, **named)
    assert str(raised.value).startswith(said) and "\n" not in str(raised.value)


@pytest.mark.parametrize("tools", [[], (), [TOOL], (TOOL,)])
def test_what_check_can_read(tools: Any) -> None:
    """Whatever a list is to the caller."""
    assert check(ModelOutput("Hello."), tools, messages=json.loads("[]")).text == "Hello."
