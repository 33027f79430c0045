"""The tool for talking: on offer where it helps, out of sight everywhere else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from laws import native
from scenario_tables import GPTME_TOOLS

from gptme_reliability import Accept, ModelFacts, ModelOutput, Policy, Reject, ToolDefinition
from gptme_reliability.exchange import Outcome, drive, exchange
from gptme_reliability.refusals import with_refusals
from gptme_reliability.respond import voice
from gptme_reliability.types import ModelRequest

TOOLS = tuple(GPTME_TOOLS)
REQUEST = ModelRequest(({"role": "user", "content": "hello"},), TOOLS)
ON = Policy(respond=True)


def ask(
    *outputs: ModelOutput, policy: Policy = ON, request: ModelRequest = REQUEST, **known: Any
) -> tuple[Outcome, list[ModelRequest]]:
    asked: list[ModelRequest] = []

    def send(sent: ModelRequest) -> ModelOutput:
        asked.append(sent)
        return outputs[min(len(asked), len(outputs)) - 1]

    return drive(exchange(request, policy, ModelFacts(**known)), send), asked


def says(arguments: str | dict[str, Any], name: str = "respond", **rest: Any) -> ModelOutput:
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"id": "a", "type": "function", "function": {"name": name, "arguments": written}}
    return ModelOutput(tool_calls=[call], **rest)


@pytest.mark.parametrize(
    ("policy", "known", "offered"),
    [
        (Policy(), {}, False),
        (Policy(), {"size_b": 3}, True),
        (Policy(), {"size_b": 7.6}, True),
        (Policy(), {"size_b": 8}, False),
        (Policy(), {"size_b": 70}, False),
        (Policy(respond=True), {}, True),
        (Policy(respond=True), {"size_b": 70}, True),
        (Policy(respond=False), {"size_b": 3}, False),
    ],
)
def test_it_is_offered_to_small_models(
    policy: Policy, known: dict[str, Any], offered: bool
) -> None:
    """A size that nobody knows counts as none; the policy has the last word."""
    _, (asked,) = ask(ModelOutput("hi"), policy=policy, **known)
    names = [tool.name for tool in asked.tools]
    assert ("respond" in names) is offered
    assert names[: len(TOOLS)] == [tool.name for tool in TOOLS]


@pytest.mark.parametrize(
    "choice", ["none", "required", {"type": "function", "function": {"name": "shell"}}]
)
def test_what_the_host_forces_is_the_hosts(choice: Any) -> None:
    """Who asked for a call does not want words instead."""
    request = replace(REQUEST, params={"tool_choice": choice})
    _, asked = ask(ModelOutput(tool_calls=[native("shell", {"command": "ls"})]), request=request)
    assert asked == [request]


@pytest.mark.parametrize(
    "output",
    [
        says({"text": "Hello!"}),
        says({"message": "Hello!"}),
        says('{"text": "Hello!"'),
        ModelOutput('<tool_call>{"name": "respond", "arguments": {"text": "Hello!"}}</tool_call>'),
        ModelOutput('{"name": "respond", "arguments": {"text": "Hello!"}}'),
        replace(says({"text": "Hello!"}), text="Hello!"),
    ],
    ids=["native", "another name", "no end", "hermes", "json", "said twice"],
)
def test_what_is_said_is_the_answer(output: ModelOutput) -> None:
    """The host gets words, as if the model had just written them."""
    outcome, asked = ask(output)
    assert len(asked) == 1
    assert isinstance(outcome.verdict, Accept)
    assert (outcome.verdict.text, outcome.verdict.calls) == ("Hello!", ())
    assert outcome.verdict.refused == ()
    assert "respond" in {repair.rule for repair in outcome.verdict.repairs}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"text": "It goes on and', "It goes on and"),
        ('{"text": "a \\"word\\" and \\u00e', 'a "word" and '),
        ('{"text": "half \\', "half "),
        ('{"text": "two\\\\', "two\\"),
        ('{"text": "a "word" in quotes"}', 'a "word" in quotes'),
        ('{"text": "use {a}', "use {a}"),
        ('{"message": "line\nbreak"}', "line\nbreak"),
    ],
)
def test_words_that_were_cut_off_are_words(written: str, text: str) -> None:
    """Text runs nothing, so that no more is asked about it than about any other."""
    outcome, asked = ask(says(written, finish_reason="length"))
    assert len(asked) == 1
    assert isinstance(outcome.verdict, Accept)
    assert outcome.verdict.text == text


def test_words_that_were_cut_off_in_a_dialect_are_words() -> None:
    text = '<tool_call>\n{"name": "respond", "arguments": {"text": "It goes on and'
    outcome, asked = ask(ModelOutput(text, finish_reason="length"))
    assert len(asked) == 1
    assert isinstance(outcome.verdict, Accept)
    assert outcome.verdict.text == "It goes on and" and not outcome.verdict.refused


def test_words_that_were_cut_off_may_speak_of_the_tool() -> None:
    said = 'To respond, write {\\"respond\\": \\"x'
    text = '<tool_call>\n{"name": "respond", "arguments": {"text": "' + said
    outcome, asked = ask(ModelOutput(text, finish_reason="length"))
    assert len(asked) == 1 and isinstance(outcome.verdict, Accept)
    assert outcome.verdict.text == 'To respond, write {"respond": "x'


def test_nobody_is_told_of_a_tool_that_the_host_does_not_have() -> None:
    text = '<tool_call>\n{"name": "respond", "arguments": {"te'
    outcome, _ = ask(ModelOutput(text, finish_reason="length"))
    assert isinstance(outcome.verdict, Reject)
    assert {refused.name for refused in outcome.verdict.refused} == {None}
    assert "respond" not in with_refusals(outcome.verdict)


def test_words_and_calls() -> None:
    """Both are kept, and the words come behind what the answer said by itself."""
    call = native("shell", {"command": "ls"}, "b")
    outcome, _ = ask(replace(says({"text": "One moment."}), text="Fine.", tool_calls=[
        *says({"text": "One moment."}).tool_calls, call
    ]))  # fmt: skip
    assert isinstance(outcome.verdict, Accept)
    assert [made.name for made in outcome.verdict.calls] == ["shell"]
    assert outcome.verdict.text == "Fine.\n\nOne moment."


def test_words_beside_a_broken_call() -> None:
    """The call is asked for again; the words do not make an answer of it."""
    broken = native("count_lines", {"path": 5}, "b")
    both = ModelOutput(tool_calls=[*says({"text": "Counting."}).tool_calls, broken])
    outcome, asked = ask(both, ModelOutput("Never mind."))
    assert len(asked) == 2
    assert isinstance(outcome.verdict, Accept) and outcome.verdict.text == "Never mind."


@pytest.mark.parametrize("arguments", [{"text": ""}, {}, "[]", ""])
def test_nothing_said_is_asked_about(arguments: Any) -> None:
    """An answer without words is no answer."""
    outcome, asked = ask(says(arguments), ModelOutput("Hello!"))
    assert len(asked) == 2
    assert isinstance(outcome.verdict, Accept) and outcome.verdict.text == "Hello!"


def test_a_plain_answer_is_an_answer() -> None:
    """Nobody has to use the tool."""
    outcome, asked = ask(ModelOutput("Hello!"))
    assert len(asked) == 1
    assert outcome.verdict == Accept(text="Hello!")


def names(tools: Sequence[str]) -> tuple[ToolDefinition, ...]:
    return tuple(ToolDefinition(name) for name in tools)


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ((), "respond"),
        (("respond",), "respond_in_words"),
        (("Respond",), "respond_in_words"),
        (("respond", "respondInWords"), "say_to_user"),
        (("respond", "respond_in_words", "say_to_user", "respond_2"), "respond_3"),
    ],
)
def test_a_name_of_its_own(taken: Sequence[str], name: str) -> None:
    """A real tool keeps its name."""
    assert voice(names(taken), Policy()).name == name


def test_a_real_tool_of_that_name_is_called() -> None:
    """The host's own ``respond`` runs, and never becomes text."""
    real = ToolDefinition(
        "respond",
        {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    )
    request = replace(REQUEST, tools=(*TOOLS, real))
    outcome, (asked,) = ask(says({"text": "to the ticket"}), request=request)
    assert [tool.name for tool in asked.tools][-2:] == ["respond", "respond_in_words"]
    assert isinstance(outcome.verdict, Accept)
    assert [call.name for call in outcome.verdict.calls] == ["respond"]
    assert outcome.verdict.text == ""


def test_where_it_is_not_offered_it_is_no_tool() -> None:
    """A model that calls it out of the blue is told which tools there are."""
    outcome, asked = ask(says({"text": "Hello!"}), policy=Policy(respond=False, retries=0))
    assert len(asked) == 1
    assert isinstance(outcome.verdict, Reject)
