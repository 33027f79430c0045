"""Asking again: what is said on which channel, and when it stops."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import TOOLS, native, texts, valid_calls
from laws import outputs as written

from gptme_reliability import Accept, ModelOutput, Policy, Reject
from gptme_reliability.adapters.openai_request import write_request
from gptme_reliability.budget import Budget
from gptme_reliability.errors import RequestRefused
from gptme_reliability.exchange import drive, drive_async, exchange
from gptme_reliability.ladder import Learned
from gptme_reliability.refusals import final_text
from gptme_reliability.types import RUNGS, ModelFacts, ModelRequest

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
    assert all(len(text) <= Policy().feedback_chars for text in said)


def test_async_and_blocking_drivers_agree() -> None:
    """Both drivers come to the same outcome."""
    answers = (ModelOutput(""), GOOD)
    model = Model(*answers)

    async def send(request: ModelRequest) -> ModelOutput:
        return model(request)

    assert asyncio.run(drive_async(exchange(REQUEST), send)) == drive(
        exchange(REQUEST), Model(*answers)
    )


def test_the_drivers_let_the_waiting_time_pass() -> None:
    """Only a re-ask waits, and only where somebody waits."""
    answers = (ModelOutput(""), ModelOutput(tool_calls=[native("nosuch", {}, "x")]), GOOD)
    waited: list[float] = []

    async def send(request: ModelRequest) -> ModelOutput:
        return model(request)

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    drive(exchange(REQUEST), Model(*answers), waited.append)
    model = Model(*answers)
    asyncio.run(drive_async(exchange(REQUEST), send, wait))
    assert waited == [waited[0]] * 2 and 0.1 <= waited[0] < 0.2
    assert [request.wait_s for request in model.asked] == [0, 0, waited[0]]


def test_waiting_can_be_broken_off() -> None:
    """What the waiting raises ends the exchange, and nothing more is sent."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    model = Model(ModelOutput(""), ModelOutput(tool_calls=[native("nosuch", {}, "x")]), GOOD)
    with pytest.raises(KeyboardInterrupt):
        drive(exchange(REQUEST), model, interrupt)
    assert len(model.asked) == 2


@pytest.mark.parametrize("failed", ["keep", "rewind"])
def test_the_same_failure_is_asked_about_differently(failed: Any) -> None:
    """Without the failed answers in sight, in other words, and not a third time."""
    bad = ModelOutput(tool_calls=[native("count_lines", {"path": "a", "unit": "pages"}, "x")])
    model = Model(bad)
    policy = Policy(retries=9, failed=failed, rungs=("re_ask",))
    outcome = drive(exchange(REQUEST, policy), model)
    assert len(model.asked) == 3
    (last,) = model.asked[2].messages
    assert "same fault twice" in last["content"] and '"unit": "<lines or bytes>"' in last["content"]
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reason.endswith("after 3 attempts; it failed in the same way 3 times")


def test_a_question_asked_before_goes_on_where_it_ended() -> None:
    """With a spent budget the model gets one chance, and no re-ask."""
    bad = ModelOutput(tool_calls=[native("nosuch", {}, "x")])
    budget = Budget(Policy(retries=1))
    drive(exchange(REQUEST, Policy(retries=1), budget=budget), Model(bad))
    model = Model(bad)
    again = Budget(Policy(retries=1), budget.spent)
    outcome = drive(exchange(REQUEST, Policy(retries=1), budget=again), model)
    assert len(model.asked) == 1
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.reason.endswith("; it was asked for again once before")


def test_what_nests_too_deeply_is_asked_about() -> None:
    """Whatever a server hands over as arguments, nothing raises."""
    deep: Any = "x"
    for _ in range(5_000):
        deep = {"command": deep}
    raw = {"id": "a", "type": "function", "function": {"name": "nosuch", "arguments": deep}}
    model = Model(ModelOutput(tool_calls=[raw]))
    outcome = drive(exchange(REQUEST), model)
    assert isinstance(outcome.verdict, Reject) and len(model.asked) == 4


ids = st.sampled_from(["call_0", "call_1", "", "a b"])
arguments = st.one_of(
    valid_calls().map(lambda call: json.dumps(call[1])),
    st.sampled_from(['{"command": "ls', "", "[]", "{}", '{"a": NaN}', '"x"', '{"command": 5}']),
    st.just('{"command": "\\ud800"}'),
)
names = st.sampled_from(["shell", "Shell", "nosuch", "count_lines", "a b", ""])
raw_calls = st.builds(native, names, arguments, ids) | st.sampled_from([None, {}, {"id": "call_0"}])
outputs = st.builds(
    ModelOutput,
    st.none() | texts | written,
    st.lists(raw_calls, max_size=3),
    st.none() | texts,
    st.sampled_from(["stop", "length", None]),
)
EARLIER = (
    {"role": "user", "content": "list the files"},
    {"role": "assistant", "tool_calls": [native("shell", {"command": "ls"}, "call_0")]},
    {"role": "tool", "tool_call_id": "call_0", "content": "README.md"},
)


def strict_server(messages: Sequence[Mapping[str, Any]]) -> None:
    """What servers refuse: a call without its result, an id used twice, arguments or names that
    are none, a role that follows itself."""
    waiting: list[str] = []
    seen: set[str] = set()
    before = None
    for message in messages:
        role = message["role"]
        if role == "tool":
            waiting.remove(message["tool_call_id"])
            assert isinstance(message["content"], str)
        else:
            assert not waiting and role != before
        for call in message.get("tool_calls") or ():
            assert call["id"] not in seen and call["type"] == "function"
            assert re.fullmatch(r"[\w-]{1,64}", call["function"]["name"], re.ASCII)
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            assert "NaN" not in call["function"]["arguments"]
            seen.add(call["id"])
            waiting.append(call["id"])
        assert message.get("content") or message.get("tool_calls")
        json.dumps(message, ensure_ascii=False).encode()
        before = role
    assert not waiting


@settings(deadline=None, max_examples=200)
@given(
    st.lists(outputs, min_size=1, max_size=8),
    st.integers(0, 5),
    st.sampled_from(["keep", "rewind"]),
    st.sampled_from(["stand", "hold"]),
    st.booleans(),
)
def test_however_a_model_answers(
    answers: list[ModelOutput], retries: int, failed: Any, partial: Any, begun: bool
) -> None:
    """It ends within the budget, asks nothing twice, and every request is one that strict
    servers take."""
    policy = Policy(retries=retries, failed=failed, partial=partial)
    budget = Budget(policy)
    model = Model(*answers)
    request = replace(REQUEST, messages=EARLIER) if begun else REQUEST
    outcome = drive(exchange(request, policy, budget=budget), model)
    assert len(model.asked) == len(outcome.attempts) <= retries + 2
    assert budget.spent.format_faults <= retries and budget.spent.tool_errors <= 1
    asked = [json.dumps(write_request(request)) for request in model.asked]
    assert len(set(asked)) == len(asked)
    for sent in model.asked:
        strict_server(sent.messages)


class Picky(Model):
    """Refuses the requests at some positions, for their tools or for no reason it tells."""

    def __init__(self, answers: list[ModelOutput], refused: dict[int, bool]) -> None:
        super().__init__(*answers)
        self.refused = refused

    def __call__(self, request: ModelRequest) -> ModelOutput:
        output = super().__call__(request)
        position = len(self.asked) - 1
        if position in self.refused:
            raise RequestRefused(tools=self.refused[position])
        return output


ENDINGS = (
    *("I will use the shell tool.", '{"name": "respond", "arguments": {"text": "Hi."}}'),
    *('{"name": "shell", "arguments": {"command": 5}}', "Hello.", ""),
)
policies = st.builds(
    Policy,
    retries=st.integers(0, 6),
    failed=st.sampled_from(["keep", "rewind"]),
    partial=st.sampled_from(["stand", "hold"]),
    rungs=st.lists(st.sampled_from(RUNGS), unique=True).map(tuple),
    respond=st.sampled_from([None, True, False]),
    force=st.sampled_from([None, True, False]),
    language=st.sampled_from(["en", "zh"]),
)
described = st.builds(
    ModelFacts,
    size_b=st.sampled_from([None, 3, 70]),
    family=st.sampled_from([None, "qwen2.5", "llama-3.1", "mistral", "qwen3-coder"]),
    native_tools=st.sampled_from([None, True, False]),
    tool_choice=st.sampled_from([None, False]),
    response_format=st.sampled_from([None, False]),
    structured=st.sampled_from([None, "json_schema", "structured_outputs", "format"]),
)
SCHEMAS = ("response_format", "json_schema", "structured_outputs", "format")


@settings(deadline=None, max_examples=300)
@given(
    st.lists(outputs | st.sampled_from(ENDINGS).map(ModelOutput), min_size=1, max_size=8),
    policies,
    described,
    st.dictionaries(st.integers(0, 5), st.booleans(), max_size=4),
    st.booleans(),
    st.sampled_from([{}, {"temperature": 0}, {"temperature": 0, "top_p": 0.1, "seed": 1}]),
)
def test_on_every_rung(
    answers: list[ModelOutput],
    policy: Policy,
    facts: ModelFacts,
    refused: dict[int, bool],
    begun: bool,
    params: dict[str, Any],
) -> None:
    """Whatever a model answers and a server refuses: it ends within the budget, asks nothing
    twice, never sends tools beside a schema, and forces nobody who cannot talk instead."""
    model, learned = Picky(answers, refused), Learned()
    request = replace(REQUEST, messages=EARLIER if begun else REQUEST.messages, params=params)
    budget = Budget(policy)
    steps = exchange(request, policy, facts, budget=budget, learned=learned)
    try:
        verdict = drive(steps, model).verdict
    except RequestRefused:
        verdict = None
    assert len(model.asked) <= policy.retries + 2
    assert budget.spent.format_faults <= policy.retries
    bodies = [write_request(sent) for sent in model.asked]
    written = [json.dumps(body) for body in bodies]
    assert len(set(written)) == len(written)
    for body in bodies:
        strict_server([message for message in body["messages"] if message["role"] != "system"])
        assert not body.get("tools") or not any(key in body for key in SCHEMAS)
        if body.get("tool_choice") == "required":
            assert any(tool["function"]["name"] == "respond" for tool in body["tools"])
    if verdict is not None:
        assert {call.name for call in verdict.calls} <= {tool.name for tool in request.tools}
