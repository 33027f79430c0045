"""Asking again: what is said on which channel, and when it stops."""

from __future__ import annotations

import asyncio
import json

from laws import TOOLS, native

from gptme_reliability import Accept, ModelOutput, Policy, Reject
from gptme_reliability.exchange import drive, drive_async, exchange
from gptme_reliability.feedback import LONGEST, final_text
from gptme_reliability.types import ModelRequest

REQUEST = ModelRequest(({"role": "user", "content": "list the files"},), TOOLS, "tiny")
GOOD = ModelOutput(tool_calls=[native("shell", {"command": "ls"}, "good")])


class Model:
    """Answers from a list, the last one again and again, and remembers what it was asked."""

    def __init__(self, *answers: ModelOutput) -> None:
        self.answers = list(answers)
        self.asked: list[ModelRequest] = []

    def __call__(self, request: ModelRequest) -> ModelOutput:
        self.asked.append(request)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def test_a_good_answer_needs_one_request() -> None:
    """The request that is sent is the very one that came in."""
    model = Model(GOOD)
    outcome = drive(exchange(REQUEST), model)
    assert model.asked[0] is REQUEST
    assert isinstance(outcome.verdict, Accept) and not outcome.verdict.changed
    assert outcome.pending is None


def test_a_faulty_native_call_is_answered_on_the_tool_channel() -> None:
    """The feedback is tied to the call's id, and names fault, path and what is allowed."""
    bad = native("count_lines", {"path": "a", "unit": "pages"}, "call_7")
    model = Model(ModelOutput(tool_calls=[bad]), GOOD)
    outcome = drive(exchange(REQUEST), model)
    assert isinstance(outcome.verdict, Accept)
    assistant, tool = model.asked[1].messages[1:]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] == "call_7"
    assert tool["role"] == "tool"
    for fragment in ("count_lines", "$.unit", "pages", "lines, bytes"):
        assert fragment in tool["content"]


def test_what_cannot_be_parsed_is_never_replayed() -> None:
    """Broken JSON stays out of the conversation; a user message says what was wrong."""
    broken = native("shell", '{"command": "ls', "call_8")
    model = Model(ModelOutput("Let me see.", tool_calls=[broken]), GOOD)
    drive(exchange(REQUEST), model)
    added = model.asked[1].messages[1:]
    assert [message["role"] for message in added] == ["assistant", "user"]
    assert "tool_calls" not in added[0]
    assert '{"command": "ls' not in json.dumps(added[0])
    assert "shell" in added[1]["content"]


def test_the_budget_ends_in_a_reject() -> None:
    """After the budget the host gets text and one inert line per refused call."""
    model = Model(ModelOutput("Hm.", tool_calls=[native("nosuch", {}, "x")]))
    outcome = drive(exchange(REQUEST, Policy(retries=2)), model)
    assert len(model.asked) == 3
    assert isinstance(outcome.verdict, Reject)
    assert final_text(outcome.verdict).startswith("Hm.\n\n(not run: nosuch - there is no tool")


def test_no_retries_means_one_request() -> None:
    """With a budget of none nothing is asked again."""
    model = Model(ModelOutput(""))
    outcome = drive(exchange(REQUEST, Policy(retries=0)), model)
    assert len(model.asked) == 1
    assert isinstance(outcome.verdict, Reject) and final_text(outcome.verdict)


def test_good_calls_stand_while_bad_ones_are_asked_for() -> None:
    """With ``stand`` the good call runs now; what was wrong is kept for its result."""
    mixed = ModelOutput(
        tool_calls=[native("shell", {"command": "ls"}, "a"), native("nosuch", {}, "b")]
    )
    model = Model(mixed)
    outcome = drive(exchange(REQUEST), model)
    assert len(model.asked) == 1
    assert [call.id for call in outcome.verdict.calls] == ["a"]
    assert outcome.pending is not None and "nosuch" in outcome.pending


def test_hold_means_all_or_none() -> None:
    """With ``hold`` nothing runs until the whole answer is right."""
    mixed = ModelOutput(
        tool_calls=[native("shell", {"command": "ls"}, "a"), native("nosuch", {}, "b")]
    )
    model = Model(mixed)
    outcome = drive(exchange(REQUEST, Policy(partial="hold", retries=1)), model)
    assert len(model.asked) == 2
    assert isinstance(outcome.verdict, Reject) and not outcome.verdict.calls


def test_feedback_is_capped() -> None:
    """A flood of faults does not become a flood of words."""
    calls = [native("x" * 500, {"a": "y" * 500}, f"c{i}") for i in range(60)]
    model = Model(ModelOutput(tool_calls=calls), GOOD)
    drive(exchange(REQUEST), model)
    said = [m["content"] for m in model.asked[1].messages[1:] if m["role"] != "assistant"]
    assert all(len(text) <= LONGEST for text in said)


def test_async_and_blocking_drivers_agree() -> None:
    """Both drivers come to the same outcome."""
    answers = (ModelOutput(""), GOOD)
    model = Model(*answers)

    async def send(request: ModelRequest) -> ModelOutput:
        return model(request)

    assert asyncio.run(drive_async(exchange(REQUEST), send)) == drive(
        exchange(REQUEST), Model(*answers)
    )
