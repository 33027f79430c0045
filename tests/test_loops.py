"""Calls that lead nowhere: what is one, what is none, and what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import native

from gptme_reliability import Accept, ModelOutput, Policy, Reject, Retry, ToolDefinition, check
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.nudges import is_nudge
from gptme_reliability.refusals import final_text
from gptme_reliability.types import ModelRequest

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases/loops.jsonl").read_text("utf-8").splitlines()
]
USER: dict[str, Any] = {"role": "user", "content": "go on"}
MADE = {"command": "ls docs"}
LS = ["shell", MADE, "index.md is there"]


def history(made: list[Any]) -> list[dict[str, Any]]:
    """A conversation with these calls and results; a text is what the user or the host says."""
    messages = [USER]
    for number, entry in enumerate(made):
        if isinstance(entry, str):
            messages.append({"role": "user", "content": entry})
            continue
        name, arguments, result = entry
        call = native(name, arguments, f"call_{number}")
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        if result is not None:
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
    return messages


def tools(*names: str, read_only: tuple[str, ...] = ()) -> list[ToolDefinition]:
    return [ToolDefinition(n, read_only=True if n in read_only else None) for n in names]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.parametrize("in_text", [False, True])
def test_cases(case: dict[str, Any], in_text: bool) -> None:
    """The verdict on a call behind a conversation, native or in text."""
    name, arguments = case["call"]
    written = json.dumps({"name": name, "arguments": arguments})
    output = ModelOutput(tool_calls=[native(name, arguments, "new")])
    if in_text:
        output = ModelOutput(f"<tool_call>{written}</tool_call>")
    offered = tools(name, read_only=tuple(case.get("read_only", ())))
    policy = Policy(loops=case.get("loops", 3))
    verdict = check(output, offered, policy, messages=history(case["made"]))
    if case["fault"] is None:
        assert isinstance(verdict, Accept) and len(verdict.calls) == 1
        return
    assert isinstance(verdict, Retry) and not verdict.calls
    (violation,) = verdict.violations
    assert violation.rule == "loop" and case["fault"] in violation.message
    assert "Do something else" in verdict.feedback and "correct" not in verdict.feedback


def test_a_loop_is_asked_about_once_and_then_refused() -> None:
    """The second time the call does not run, and the host is told."""
    request = ModelRequest(tuple(history([LS] * 3)), tuple(tools("shell")))
    again = ModelOutput("Again.", tool_calls=[native("shell", MADE, "call_new")])
    asked: list[ModelRequest] = []

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return again

    outcome = drive(exchange(request, Policy(retries=5)), send)
    assert len(asked) == 2
    assert isinstance(outcome.verdict, Reject) and not outcome.verdict.calls
    assert "(not run: shell - this call was made 3 times" in final_text(outcome.verdict)


def test_something_else_ends_the_loop() -> None:
    """The answer to the question is taken as any other is."""
    request = ModelRequest(tuple(history([LS] * 3)), tuple(tools("shell")))
    answers = [
        ModelOutput(tool_calls=[native("shell", MADE, "a")]),
        ModelOutput("There is one file."),
    ]
    outcome = drive(exchange(request), lambda _: answers.pop(0))
    assert outcome.verdict == Accept(text="There is one file.")


def test_a_loop_does_not_use_up_the_attempts_for_faults() -> None:
    """What a tool answers is counted apart from how calls are written."""
    request = ModelRequest(tuple(history([LS] * 3)), tuple(tools("shell")))
    fault = [ModelOutput(tool_calls=[native(name, {}, "b")]) for name in ("nosuch", "neither")]
    answers = [ModelOutput(tool_calls=[native("shell", MADE, "a")]), *fault, ModelOutput("Done.")]
    outcome = drive(exchange(request, Policy(retries=2)), lambda _: answers.pop(0))
    assert outcome.verdict == Accept(text="Done.")


def test_the_other_calls_of_the_answer_stand() -> None:
    """Only the call that leads nowhere is left out, and the model is told with the results."""
    other = native("shell", {"command": "cat docs/index.md"}, "b")
    output = ModelOutput(tool_calls=[native("shell", MADE, "a"), other])
    request = ModelRequest(tuple(history([LS] * 3)), tuple(tools("shell")))
    outcome = drive(exchange(request), lambda _: output)
    assert [call.id for call in outcome.verdict.calls] == ["b"]
    assert outcome.pending is not None and "3 times in a row" in outcome.pending


@pytest.mark.parametrize(
    "result",
    ["no match", "nothing found", "Error: nothing found", "", "[]", "Return code: 1"],
)
def test_a_tool_that_finds_nothing_costs_no_attempt(result: str) -> None:
    """Results are never read as faults of the call: the next answer has the whole budget."""
    messages = history([["find", {"text": f"word {n}"}, result] for n in range(12)])
    request = ModelRequest(tuple(messages), tuple(tools("find")))
    fault = ModelOutput(tool_calls=[native("nosuch", {}, "b")])
    answers = [fault, ModelOutput(""), ModelOutput(tool_calls=[native("find", {"text": "z"}, "c")])]
    outcome = drive(exchange(request, Policy(retries=2)), lambda _: answers.pop(0))
    assert isinstance(outcome.verdict, Accept) and len(outcome.verdict.calls) == 1


def test_only_the_last_messages_are_looked_at() -> None:
    """A long conversation costs no more than a short one: of 400 calls the last 20 are seen."""
    large = "x" * 500_000 + "Error: "
    messages = history([["shell", {"command": "ls docs"}, large]] * 400)
    output = ModelOutput(tool_calls=[native("shell", MADE, "new")])
    verdict = check(output, tools("shell"), messages=messages)
    assert isinstance(verdict, Retry) and "made 20 times" in verdict.violations[0].message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<system>No tool call detected.</system>", True),
        (" \n<system>\nstuck\n</system>\n", True),
        ([{"type": "text", "text": "<system>x</system>"}], True),
        ("<system>x</system> and what do you think?", False),
        ("hello", False),
        (None, False),
        (7, False),
    ],
)
def test_nudges(content: Any, expected: bool) -> None:
    """All of a message must be the host's."""
    assert is_nudge({"role": "user", "content": content}) is expected
    assert not is_nudge({"role": "tool", "content": content})


oddities = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={"content": oddities, "tool_calls": oddities, "tool_call_id": oddities},
)


@settings(deadline=None)
@given(st.lists(messages, max_size=12))
def test_no_conversation_raises(conversation: list[dict[str, Any]]) -> None:
    """Whatever a host has stored, the call gets its verdict."""
    output = ModelOutput(tool_calls=[native("shell", MADE, "new")])
    assert isinstance(check(output, tools("shell"), messages=conversation), Accept)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=30))
def test_three_different_steps_are_no_loop(steps: list[tuple[str, str]]) -> None:
    """What is found is really there: the same ends, as often as it says."""
    made = [["do", {"step": step}, f"result {result}"] for step, result in steps]
    output = ModelOutput(tool_calls=[native("do", {"step": "a"}, "new")])
    verdict = check(output, tools("do"), messages=history(made))
    ends = steps[-3:] == [steps[-1]] * 3 if len(steps) >= 3 else False
    run = ends and steps[-1][0] == "a"
    assert isinstance(verdict, Retry) is (run or _pairs(steps) >= 3)


def _pairs(steps: list[tuple[str, str]]) -> int:
    """How often ``a`` and one other step were made at the end, each with one result."""
    for length in range(len(steps), 0, -1):
        end = steps[-length:]
        names = [name for name, _ in end]
        if "a" in names and len(set(names)) == len(set(end)) == 2:
            return min(names.count(name) for name in set(names))
    return 0
