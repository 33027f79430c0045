"""How much guessing may stand behind a call that runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from laws import SAVE, SHELL, native, tool

from gptme_reliability import Accept, ModelOutput, Policy, Retry, check
from gptme_reliability.confidence import cost_of_repairs
from gptme_reliability.types import Repair

FETCH = tool(
    "fetch_page",
    {"address": {"type": "string"}, "depth": {"type": "integer"}, "style": {"type": "string"}},
    ["address"],
)
TOOLS = (SHELL, SAVE, FETCH)
READING = (*(SHELL, SAVE), replace(FETCH, read_only=True))

ORDINARY = [
    ("bash", {"command": "ls"}),
    ("Shell", {"cmd": "ls"}),
    ("functions.shell", {"command": "ls", "why": "to see"}),
    ("save", {"filename": "a", "text": "b"}),
    ("fetch_pages", {"address": "x"}),
    ("fetch_page", {"adress": "x", "depth": "2"}),
    ("fetch_page", {"adress": "x", "mood": "calm"}),
]
STACKS = [
    ("bash", {"cmd": "ls"}),
    ("fetch_page", {"adress": "x", "dept": "2"}),
    ("fetch_page", {"adress": "x", "mood": "calm", "tone": "dry"}),
]


def raw(name: str, arguments: dict[str, Any]) -> ModelOutput:
    return ModelOutput(tool_calls=[native(name, arguments)])


@pytest.mark.parametrize(("name", "arguments"), ORDINARY)
def test_an_ordinary_repair_runs(name: str, arguments: dict[str, Any]) -> None:
    """One guess, and any spelling, is what repairs are for."""
    verdict = check(raw(name, arguments), TOOLS)
    assert isinstance(verdict, Accept), verdict
    assert len(verdict.calls) == 1


@pytest.mark.parametrize(("name", "arguments"), STACKS)
def test_a_stack_of_guesses_is_asked_about(name: str, arguments: dict[str, Any]) -> None:
    """Each guess may be right, all of them together nobody wrote; the model sees the reading."""
    verdict = check(raw(name, arguments), TOOLS)
    assert isinstance(verdict, Retry)
    assert verdict.calls == () and verdict.repairs == ()
    assert [violation.rule for violation in verdict.violations] == ["guessed"]
    assert "did you mean" in verdict.feedback
    assert "write the call again" in verdict.feedback


def test_the_reading_is_shown_and_is_no_call() -> None:
    """What the model is shown does not run when it is only repeated."""
    verdict = check(raw("bash", {"cmd": "ls -l"}), TOOLS)
    assert isinstance(verdict, Retry)
    shown = 'shell with {"command": "ls -l"}'
    assert shown in verdict.feedback
    assert check(ModelOutput(shown), TOOLS).calls == ()
    assert check(ModelOutput(verdict.feedback), TOOLS).calls == ()


@pytest.mark.parametrize(("name", "arguments"), STACKS[1:])
def test_what_only_reads_may_be_guessed_more(name: str, arguments: dict[str, Any]) -> None:
    """A wrong look costs less than a wrong change."""
    assert isinstance(check(raw(name, arguments), READING), Accept)


def test_the_policy_says_how_much() -> None:
    """No guessing at all, or any amount of it."""
    strict, lax = Policy(max_cost_writing=0), Policy(max_cost_writing=100)
    for name, arguments in ORDINARY:
        assert isinstance(check(raw(name, arguments), TOOLS, strict), Retry)
    for name, arguments in STACKS:
        assert isinstance(check(raw(name, arguments), TOOLS, lax), Accept)
    valid = raw("shell", {"command": "ls"})
    assert isinstance(check(valid, TOOLS, strict), Accept)
    lossless = ModelOutput(tool_calls=[native("shell", "{'command': 'ls',}")])
    assert isinstance(check(lossless, TOOLS, strict), Accept)


def test_the_place_counts_too() -> None:
    """Without a marker around it the same reading is less sure."""
    body = json.dumps({"name": "fetch_page", "arguments": {"adress": "x", "mood": "calm"}})
    assert isinstance(check(ModelOutput(f"<tool_call>{body}</tool_call>"), TOOLS), Accept)
    bare = check(ModelOutput(body), TOOLS)
    assert isinstance(bare, Retry)
    assert [violation.rule for violation in bare.violations] == ["guessed"]


def test_far_above_it_is_text() -> None:
    """What takes a tower of guesses to be a call is none, unless a marker says that it is."""
    body = json.dumps(
        {
            "name": "fetch_page",
            "arguments": {"adress": "x", "dept": 2, "stlye": "y", "mood": "calm", "tone": "dry"},
        }
    )
    assert check(ModelOutput(body), TOOLS) == Accept(text=body)
    assert isinstance(check(ModelOutput(f"<tool_call>{body}</tool_call>"), TOOLS), Retry)


def test_prices() -> None:
    """A habit of spelling costs once, a guess every time, a lossless change nothing."""
    habit = Repair("missing_comma", "$", "", ",", "inferred")
    guess = Repair("parameter_edit", "$.a", "b", "a", "inferred")
    spelling = Repair("single_quotes", "$", "'a'", '"a"', "lossless")
    assert cost_of_repairs([spelling] * 9) == 0
    assert cost_of_repairs([habit] * 9) == 1
    assert cost_of_repairs([guess] * 2) == 2 * cost_of_repairs([guess])
    assert cost_of_repairs([]) == 0


@pytest.mark.parametrize(
    "keys",
    [
        '"name": "shell", "argumets": {"command": "ls"}, "argments": {"command": "rm x"}',
        '"name": "shell", "Arguments": {"command": "ls"}, "arguments": {"command": "rm x"}',
        '"name": "shell", "arguments": {"command": "ls"}, "ARGUMENTS": {"command": "rm x"}',
        '"name": "shell", "arguments": {"command": "ls"}, "parameters": {"command": "rm x"}',
        '"name": "shell", "Name": "save", "arguments": {"command": "ls"}',
        '"name": "shell", "function": "save", "arguments": {"command": "ls"}',
    ],
)
@pytest.mark.parametrize("form", ["<tool_call>{%s}</tool_call>", "{%s}"])
def test_a_tie_is_no_reading(keys: str, form: str) -> None:
    """Two keys that may be the same one and disagree: neither of them is chosen."""
    verdict = check(ModelOutput(form % keys), TOOLS)
    assert isinstance(verdict, Retry)
    assert "two readings" in verdict.feedback


def test_two_spellings_that_agree_are_one() -> None:
    """The same arguments under two spellings of their key leave one reading."""
    arguments = '{"command": "ls"}'
    text = f'{{"name": "shell", "Arguments": {arguments}, "arguments": {arguments}}}'
    assert [call.arguments for call in check(ModelOutput(text), TOOLS).calls] == [{"command": "ls"}]
