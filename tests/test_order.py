"""The order in which tools must be called: what is held back, and what is said about it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import TOOLS, native, outputs, valid_calls
from test_loops import history

from gptme_reliability import (
    Accept,
    ModelOutput,
    ModelRequest,
    Order,
    Policy,
    Prerequisite,
    Reject,
    Retry,
    ToolDefinition,
    check,
    run_tools,
)
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.types import Verdict

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases/orders.jsonl").read_text("utf-8").splitlines()
]
STRING = {"type": "string"}
TAKES: dict[str, dict[str, Any]] = {
    **{"tests": {"suite": STRING}, "lint": {}, "complete": {}, "submit": {}},
    **{"read": {"path": STRING}, "save": {"path": STRING, "content": STRING}},
    **{"shell": {"command": STRING}, "build": {"target": STRING}, "deploy": {}},
    **{"open": {"id": {}}, "close": {"id": {}}},
}
REQUIRES = {"read": ["path"], "save": ["path", "content"], "shell": ["command"]}
FINISH = Order(required=("tests",), terminal=("complete",))
READ_FIRST = Order(before=(Prerequisite("save", "read", same="path"),))


def offered(*names: str, read_only: tuple[str, ...] = ()) -> list[ToolDefinition]:
    """These tools, or all of them."""
    return [
        ToolDefinition(
            name,
            {"type": "object", "properties": TAKES[name], "required": REQUIRES.get(name, [])},
            read_only=True if name in read_only else None,
        )
        for name in names or TAKES
    ]


def order_of(written: dict[str, Any]) -> Order:
    return Order(
        tuple(written.get("required", ())),
        tuple(written.get("terminal", ())),
        tuple(Prerequisite(*row) for row in written.get("before", ())),
    )


def judged(case: dict[str, Any], *, in_text: bool) -> Verdict:
    calls = case["calls"]
    output = ModelOutput(tool_calls=[native(n, a, f"new_{i}") for i, (n, a) in enumerate(calls)])
    if in_text:
        bodies = [json.dumps({"name": name, "arguments": given}) for name, given in calls]
        output = ModelOutput("\n".join(f"<tool_call>{body}</tool_call>" for body in bodies))
    tools = offered(read_only=tuple(case.get("read_only", ())))
    policy = Policy(order=order_of(case["order"]))
    return check(output, tools, policy, messages=history(case["made"]))


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
@pytest.mark.parametrize("in_text", [False, True])
def test_cases(case: dict[str, Any], in_text: bool) -> None:
    """Which calls stand, what is said of the others, and which are refused without a word."""
    verdict = judged(case, in_text=in_text)
    calls = case["calls"]
    assert [[c.name, dict(c.arguments)] for c in verdict.calls] == [calls[i] for i in case["stand"]]
    violations = [] if isinstance(verdict, Accept) else verdict.violations
    assert [f"{v.tool}: {v.message}" for v in violations] == case["said"]
    late = [one for one in verdict.refused if one.reason.startswith("it stands behind")]
    assert [one.name for one in late] == [calls[i][0] for i in case["late"]]
    # Nothing is lost: each call stands, is refused, or repeats one that stands.
    assert len(calls) == len(verdict.refused) + sum(
        c in (calls[i] for i in case["stand"]) for c in calls
    )


# --- what is said -----------------------------------------------------------------------------


def told(order: Order, *calls: tuple[str, dict[str, Any]], **options: Any) -> str:
    """The feedback on an answer that makes these calls first of all."""
    output = ModelOutput(tool_calls=[native(n, a, f"c{i}") for i, (n, a) in enumerate(calls)])
    names = options.pop("names", ())
    verdict = check(output, offered(*names), Policy(order=order, **options))
    assert isinstance(verdict, Retry)
    return verdict.feedback


SAVE = ("save", {"path": "a.py", "content": "print(1)"})


def test_the_missing_step_is_named_and_shown() -> None:
    """The example is of the call that is missing, not of the one that is held."""
    assert told(READ_FIRST, SAVE).splitlines() == [
        "This fault was found:",
        "- save $.path: call read with path=a.py first",
        'Correct arguments of read: {"path": "..."}',
        "Take the missing step first; make this call after its result.",
    ]


def test_the_same_in_chinese() -> None:
    assert told(READ_FIRST, SAVE, language="zh").splitlines() == [
        "发现以下错误：",
        "- save $.path：请先用 path=a.py 调用 read",
        'read 的正确参数： {"path": "..."}',
        "请先完成缺少的步骤，得到结果后再进行此调用。",
    ]


def test_what_is_not_on_offer_is_not_shown() -> None:
    """Nobody is sent to call what cannot be called."""
    feedback = told(FINISH, ("complete", {}), names=["complete"])
    assert "complete: tests has to be called first, and is not on offer" in feedback
    assert "Correct arguments" not in feedback
    assert feedback.endswith("Do something else, or answer in text.")


def test_beside_another_fault() -> None:
    """The words for faults are said where there is one."""
    feedback = told(FINISH, ("shell", {}), ("complete", {}))
    assert "required argument 'command' is missing" in feedback
    assert "call tests first" in feedback
    assert "Correct arguments of shell" in feedback and "Correct arguments of tests" in feedback
    assert feedback.endswith("Call the tool again with the fault corrected.")


# --- asking again -----------------------------------------------------------------------------


def exchanged(*answers: ModelOutput, order: Order = FINISH) -> tuple[Any, list[ModelRequest]]:
    asked: list[ModelRequest] = []

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return answers[min(len(asked), len(answers)) - 1]

    request = ModelRequest(({"role": "user", "content": "go on"},), tuple(offered()))
    return drive(exchange(request, Policy(order=order)), send), asked


COMPLETE = ModelOutput(tool_calls=[native("complete", {}, "c1")])


def test_the_missing_step_is_taken() -> None:
    outcome, asked = exchanged(COMPLETE, ModelOutput(tool_calls=[native("tests", {}, "t1")]))
    assert [call.name for call in outcome.verdict.calls] == ["tests"]
    assert "call tests first" in asked[1].messages[-1]["content"]


def test_who_does_not_take_it_is_refused_and_never_made_to_call() -> None:
    """Being held to calling would not bring another plan."""
    outcome, asked = exchanged(COMPLETE)
    assert isinstance(outcome.verdict, Reject) and not outcome.verdict.calls
    assert len(asked) == 3
    assert not any({"tool_choice", "response_format"} & set(one.params) for one in asked)
    assert all(len(one.tools) == len(TAKES) for one in asked)


def test_calls_behind_a_terminal_one_are_named_with_its_result() -> None:
    """No question is asked, and the model is told."""
    two = ModelOutput(
        tool_calls=[
            native("tests", {}, "t"),
            native("complete", {}, "c"),
            native("shell", {"command": "ls"}, "s"),
        ]
    )
    outcome, asked = exchanged(two)
    assert len(asked) == 1
    assert [call.name for call in outcome.verdict.calls] == ["tests", "complete"]
    assert outcome.pending is not None
    assert "shell: it stands behind complete" in outcome.pending


# --- the library ------------------------------------------------------------------------------


def test_run_tools_keeps_the_order() -> None:
    """Held back, asked again, failed, made good, and only then the end."""
    results: Iterator[ValueError | str] = iter([ValueError("2 failed"), "5 passed"])
    ran: list[str] = []

    def tests() -> str:
        """Run the tests."""
        ran.append("tests")
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    def complete() -> str:
        """End the work."""
        ran.append("complete")
        return "ended"

    asked: list[ModelRequest] = []
    answers = ["complete", "tests", "complete", "tests", "complete", None]

    def model(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        name = answers[len(asked) - 1]
        made = [] if name is None else [native(name, {}, f"call_{len(asked)}")]
        return ModelOutput("Done." if name is None else None, tool_calls=made)

    result = run_tools(model, "Finish it.", [tests, complete], policy=Policy(order=FINISH))
    assert (result.text, result.stopped) == ("Done.", "answered")
    assert ran == ["tests", "tests", "complete"]
    assert "call tests first; the last time it failed" in asked[3].messages[-1]["content"]


def test_run_tools_runs_one_call_after_the_other() -> None:
    """A step that an answer brings along has ended before the call that needs it begins."""
    ran: list[str] = []
    begun = threading.Event()

    def tests() -> str:
        """Run the tests."""
        begun.wait(0.1)  # as long as the other needs to begin beside it
        ran.append("tests")
        return "5 passed"

    def complete() -> str:
        """End the work."""
        ran.append("complete")
        begun.set()
        return "ended"

    both = [native("tests", {}, "t"), native("complete", {}, "c")]
    answers = iter([ModelOutput(tool_calls=both), ModelOutput("Done.")])
    run_tools(lambda _: next(answers), "Finish it.", [tests, complete], policy=Policy(order=FINISH))
    assert ran == ["tests", "complete"]


# --- properties -------------------------------------------------------------------------------

NAMES = ("tests", "lint", "complete", "read", "save", "shell")
ALL = Order(
    required=("tests", "lint"),
    terminal=("complete",),
    before=(Prerequisite("save", "read", same="path"), Prerequisite("lint", "shell")),
)


@st.composite
def made_calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    name = draw(st.sampled_from(NAMES))
    given: dict[str, Any] = {}
    for argument in REQUIRES.get(name, ()):
        given[argument] = draw(st.sampled_from(["a", "b"]))
    faulty = draw(st.integers(0, 9)) == 0
    return name, {} if faulty else given


results = st.sampled_from(["fine", "Error: no", None])
past = st.lists(
    st.tuples(made_calls(), results).map(lambda one: [*one[0], one[1]]) | st.just("go on"),
    max_size=8,
)
answered = st.lists(made_calls(), max_size=6)


def verdict_on(calls: list[Any], made: list[Any], order: Order | None) -> Verdict:
    output = ModelOutput(tool_calls=[native(n, a, f"n{i}") for i, (n, a) in enumerate(calls)])
    return check(output, offered(), Policy(order=order, loops=0), messages=history(made))


@given(answered, past)
def test_no_call_stands_before_what_it_needs(calls: list[Any], made: list[Any]) -> None:
    """Told from the conversation and the verdict alone; a terminal call is the last of all."""
    since = max((i for i, one in enumerate(made) if one == "go on"), default=-1) + 1
    done = [(name, given) for name, given, result in made[since:] if result == "fine"]
    verdict = verdict_on(calls, made, ALL)
    for position, call in enumerate(verdict.calls):
        names = {name for name, _ in done}
        if call.name == "complete":
            assert {"tests", "lint"} <= names
            assert position == len(verdict.calls) - 1
        if call.name == "lint":
            assert "shell" in names
        if call.name == "save":
            assert ("read", {"path": call.arguments["path"]}) in done
        done.append((call.name, dict(call.arguments)))


@given(answered, past)
def test_an_order_only_ever_takes_calls_away(calls: list[Any], made: list[Any]) -> None:
    """What stands with it stands without; what does not is asked about or refused, by name."""
    free, kept = verdict_on(calls, made, None), verdict_on(calls, made, ALL)
    assert said(kept) <= said(free)
    stand_or_refused = {call.id for call in kept.calls} | {one.id for one in kept.refused}
    assert {call.id for call in free.calls} <= stand_or_refused


def said(verdict: Verdict) -> set[str]:
    """The calls that stand, without their ids."""
    return {f"{call.name} {json.dumps(dict(call.arguments))}" for call in verdict.calls}


@given(answered, past)
def test_what_stands_stands_again(calls: list[Any], made: list[Any]) -> None:
    """Checking what stands once more changes nothing."""
    first = verdict_on(calls, made, ALL)
    assert first == verdict_on(calls, made, ALL)
    kept = [(call.name, dict(call.arguments)) for call in first.calls]
    if not kept:
        return
    again = verdict_on(kept, made, ALL)
    assert isinstance(again, Accept) and not again.changed
    assert [(call.name, dict(call.arguments)) for call in again.calls] == kept


@given(st.one_of(outputs, st.lists(valid_calls(), max_size=3)))
def test_an_order_of_other_tools_changes_nothing(written: Any) -> None:
    """Native calls and texts of every kind are judged as if there were none."""
    if isinstance(written, str):
        output = ModelOutput(written, finish_reason="stop")
    else:
        made = [native(n, a, f"c{i}") for i, (n, a) in enumerate(written)]
        output = ModelOutput("", tool_calls=made)
    others = Order(("tests",), ("complete",), (Prerequisite("deploy", "build", "target"),))
    assert check(output, TOOLS, Policy(order=others)) == check(output, TOOLS)
    assert check(output, TOOLS, Policy(order=Order())) == check(output, TOOLS)


oddities = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
    optional={"content": oddities, "tool_calls": oddities, "tool_call_id": oddities},
)


@given(st.lists(messages, max_size=12))
def test_no_conversation_raises(conversation: list[dict[str, Any]]) -> None:
    """Whatever a host has stored holds no step."""
    verdict = check(COMPLETE, offered(), Policy(order=FINISH), messages=conversation)
    assert isinstance(verdict, Retry) and verdict.violations[0].rule == "order"
