"""A model and Python functions, run until there is an answer."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from scripted_server import Reply, Script, call, completion, completion_body, failure, serving

from gptme_reliability import (
    Event,
    ModelOutput,
    ModelRequest,
    NothingFound,
    Policy,
    Retry,
    RunResult,
    ToolDefinition,
    python_tool,
    run_tools,
    run_tools_async,
)
from gptme_reliability.adapters.openai_history import mend_history
from gptme_reliability.errors import InputError, ReliabilityError
from gptme_reliability.surfaces.tool_calls import LONGEST_ERROR

DONE = ModelOutput("Done.")
Client = Callable[[ModelRequest], Any]


def weather(city: str, days: int = 1) -> str:
    """The weather of a city.

    Args:
        city: Its name.
        days: How many days ahead.
    """
    return f"{city}: sun for {days}"


class Model:
    """Answers from a list, the last one again and again; keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.asked: list[ModelRequest] = []

    def __call__(self, request: ModelRequest) -> Any:
        self.asked.append(request)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def calls(*named: tuple[str, Mapping[str, Any]]) -> ModelOutput:
    """An answer that makes native calls."""
    return ModelOutput(
        tool_calls=[call(name, dict(given), f"c{n}") for n, (name, given) in enumerate(named)]
    )


def contents(result: RunResult) -> list[str]:
    """What the model read as results."""
    return [str(m["content"]) for m in result.messages if m["role"] == "tool"]


def well_formed(result: RunResult) -> bool:
    """Whether a strict server would take the conversation as it stands."""
    return mend_history(result.messages)[1] == ()


def plain_sdk(script: Script) -> openai.OpenAI:
    return openai.OpenAI(base_url=script.url, api_key="none", max_retries=0)


def run_sdk(*replies: Reply, **options: Any) -> tuple[RunResult, Script]:
    with serving(*replies) as script, plain_sdk(script) as client:
        return run_tools(client, "Oslo?", [weather], model="tiny", **options), script


async def run_sdk_async(script: Script, **options: Any) -> RunResult:
    async with openai.AsyncOpenAI(base_url=script.url, api_key="none", max_retries=0) as client:
        return await run_tools_async(client, "Oslo?", [weather], model="tiny", **options)


# --- with the SDK ---------------------------------------------------------------------


def test_a_call_in_text_is_repaired_and_run() -> None:
    """The whole way: tools on the wire, a call as chat, its result, the answer."""
    text = '<tool_call>{"name": "Weather", "arguments": {"city": "Oslo", "days": "3"}}</tool_call>'
    params = {"temperature": 0, "top_k": 1}
    result, script = run_sdk(completion(text), completion("Sun."), params=params)
    first, second = script.bodies()
    assert first["tools"][0]["function"]["name"] == "weather"
    assert (first["model"], first["temperature"], first["top_k"]) == ("tiny", 0, 1)
    asked, answered = second["messages"][1:]
    assert json.loads(asked["tool_calls"][0]["function"]["arguments"]) == {
        "city": "Oslo",
        "days": 3,
    }
    assert answered["content"] == "Oslo: sun for 3"
    assert (result.text, result.stopped) == ("Sun.", "answered")
    assert [r.call.arguments for r in result.calls] == [{"city": "Oslo", "days": 3}]
    assert {repair.rule for repair in result.repairs} >= {"string_to_integer"}
    assert result.usage is not None and result.usage["total_tokens"] == 30
    assert list(result.messages)[:-1] == second["messages"] and well_formed(result)


def test_a_faulty_call_is_asked_for_again() -> None:
    """The model is told its fault; the conversation goes on as if it had been right at once."""
    events: list[Event] = []
    faulty = completion(calls=[call("weather", {"town": {}}, "a")])
    right = completion(calls=[call("weather", {"city": "Bergen"}, "b")])
    result, script = run_sdk(faulty, right, completion("Rain."), on_event=events.append)
    assert "city" in json.dumps(script.bodies()[1]["messages"][1:])
    kinds = ["asked", "asked", "called", "returned", "asked", "answered"]
    assert [event.kind for event in events] == kinds
    assert [event.number for event in events] == [1, 1, 1, 1, 2, 2]
    assert not events[0].text and "city" in events[1].text
    assert events[-1].result == result
    assert len(result.attempts) == 3 and len(result.messages) == 4
    assert contents(result) == ["Bergen: sun for 1"]


def test_what_never_gets_right_is_rejected() -> None:
    """Nothing runs; the text says what was not run."""
    faulty = [completion(calls=[call("nosuch", {}, f"x{n}")]) for n in range(4)]
    result, script = run_sdk(*faulty)
    assert len(script.requests) == 4
    assert (result.stopped, result.calls) == ("rejected", ())
    assert result.text.startswith("(not run: nosuch")
    assert well_formed(result)


def test_an_error_that_is_the_models_fault_is_an_answer() -> None:
    """What the server could not parse is read here; other errors are the caller's."""
    said = 'Failed to parse input at pos 0: <tool_call>{"name": "weather", "arguments": {"city": '
    result, _ = run_sdk(failure(500, said + '"Oslo"}}</tool_call>'), completion("Sun."))
    assert contents(result) == ["Oslo: sun for 1"]
    with pytest.raises(openai.AuthenticationError):
        run_sdk(failure(401, "who are you?"))


def test_the_async_sdk() -> None:
    """The same over ``AsyncOpenAI``."""
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}'
    faulty = completion(calls=[call("weather", {}, "a")])
    with serving(faulty, completion(text), completion("Sun.")) as script:
        result = asyncio.run(run_sdk_async(script, params={"seed": 1}))
    assert (result.text, contents(result)) == ("Sun.", ["Oslo: sun for 1"])
    assert len(result.attempts) == 3 and script.bodies()[2]["seed"] == 1
    with serving(failure(401, "no")) as script, pytest.raises(openai.AuthenticationError):
        asyncio.run(run_sdk_async(script))


def test_clients_of_the_wrong_kind() -> None:
    """A blocking client works on a loop; an asynchronous one does not without a loop."""
    with serving(completion("Hi.")) as script, plain_sdk(script) as client:
        assert asyncio.run(run_tools_async(client, "hi", [weather], model="x")).text == "Hi."
    with pytest.raises(InputError, match="run_tools_async"):
        run_tools(openai.AsyncOpenAI(api_key="none"), "hi", [weather], model="x")


# --- with a function ------------------------------------------------------------------


def simple(value: Any) -> Any:
    """Nested plain objects, as small SDKs return them."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: simple(member) for key, member in value.items()})
    return [simple(member) for member in value] if isinstance(value, list) else value


BODY = completion_body("Hello.")


@pytest.mark.parametrize(
    "answer",
    [
        ModelOutput("Hello."),
        BODY,
        ChatCompletion.model_validate(BODY),
        ChatCompletion.model_construct(**BODY),
        simple(BODY),
    ],
    ids=["output", "dict", "sdk object", "unchecked sdk object", "plain objects"],
)
def test_answers_of_every_form(answer: Any) -> None:
    """Whatever shape a function gives an answer in."""
    assert run_tools(Model(answer), "hi", [weather]).text == "Hello."

    async def model(request: ModelRequest) -> Any:
        return answer

    assert asyncio.run(run_tools_async(model, "hi", [weather])).text == "Hello."
    assert asyncio.run(run_tools_async(Model(answer), "hi", [weather])).text == "Hello."


def test_a_broken_call_of_an_sdk_object_is_read() -> None:
    """The SDK does not check what it reads, and nobody warns of it."""
    broken = completion_body(calls=[{"id": None, "function": {"name": "weather"}}])
    broken["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = {"city": "Rome"}
    model = Model(ChatCompletion.model_construct(**broken), DONE)
    assert contents(run_tools(model, "hi", [weather])) == ["Rome: sun for 1"]


@pytest.mark.parametrize("answer", [None, "Hello.", {"error": {"message": "no"}}, 3, [BODY]])
def test_answers_of_no_form(answer: Any) -> None:
    """What is no answer is an error, not an empty answer."""
    with pytest.raises(ReliabilityError, match="shape"):
        run_tools(lambda request: answer, "hi", [weather])


@pytest.mark.parametrize(
    ("client", "options", "message"),
    [
        ("gpt", {}, "an OpenAI client or a function, not str"),
        (openai.OpenAI(api_key="none"), {}, "give model="),
        (Model(DONE), {"params": {"stream": True}}, "leave 'stream' out"),
        (Model(DONE), {"max_parallel": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_run(client: Any, options: Any, message: str) -> None:
    """One line says what to change."""
    with pytest.raises(InputError, match=message):
        run_tools(client, "hi", [weather], **options)
    with pytest.raises(InputError, match=message):
        asyncio.run(run_tools_async(client, "hi", [weather], **options))
    with pytest.raises(InputError, match="messages"):
        run_tools(Model(DONE), ["hi"], [weather])  # type: ignore[list-item]


def test_a_conversation_goes_on_from_a_result() -> None:
    """Ids that a server uses again and again are told apart; the given messages stay."""
    model = Model(calls(("weather", {"city": "A"})), DONE)
    first = run_tools(model, [{"role": "user", "content": "A?"}], [weather])
    again = Model(calls(("weather", {"city": "B"})), calls(("weather", {"city": "C"})), DONE)
    second = run_tools(again, [*first.messages, {"role": "user", "content": "B?"}], [weather])
    assert contents(second) == [f"{name}: sun for 1" for name in "ABC"]
    assert well_formed(second) and len(first.messages) == 4
    assert [repair.rule for repair in second.repairs] == ["call_id", "call_id"]


def test_surrogates_reach_no_encoder() -> None:
    """Neither from the model nor from a tool."""
    result, script = run_sdk(
        completion("Look: \ud800", calls=[call("weather", {"city": "\ud800"}, "a")]),
        completion("Sun."),
    )
    assert contents(result) == ["?: sun for 1"]
    assert "Look: ?" in json.dumps(script.bodies()[1])


def test_good_calls_run_and_the_faulty_one_is_told_with_their_results() -> None:
    """``Policy.partial``: with ``stand`` at once, with ``hold`` all or none."""
    mixed = calls(("weather", {"city": "Oslo"}), ("weather", {"city": {}}))
    result = run_tools(Model(mixed, DONE), "hi", [weather])
    (content,) = contents(result)
    assert content.startswith("Oslo: sun for 1\n\n") and "city" in content
    held = run_tools(Model(mixed), "hi", [weather], policy=Policy(partial="hold", retries=1))
    assert (held.stopped, held.calls, len(held.attempts)) == ("rejected", (), 2)


def test_the_budget_for_asking_again() -> None:
    """What the server says it used counts; each turn has a budget of its own."""
    faulty = [completion(calls=[call("weather", {}, f"x{n}")]) for n in range(2)]
    right = completion(calls=[call("weather", {"city": "Oslo"}, "a")])
    policy = Policy(max_added_tokens=20, backoff=0)
    result, _ = run_sdk(faulty[0], right, faulty[1], completion("Sun."), policy=policy)
    assert (result.stopped, len(result.attempts)) == ("answered", 4)
    result, script = run_sdk(*faulty, policy=policy)
    assert (result.stopped, len(script.requests)) == ("rejected", 2)
    assert isinstance(verdict := result.attempts[-1].verdict, Retry) and verdict.feedback


def test_no_tools() -> None:
    """Then it is one question and its answer."""
    model = Model(ModelOutput('{"name": "weather", "arguments": {}}'))
    assert run_tools(model, "hi", []).text == '{"name": "weather", "arguments": {}}'
    assert model.asked[0].tools == ()


def test_a_call_without_an_offer_is_no_silence() -> None:
    model = Model(calls(("weather", {"city": "Oslo"})))
    result = run_tools(model, "hi", [])
    assert result.text == "(not run: weather - no tools were on offer)"
    assert not result.calls and well_formed(result)


def test_max_answers() -> None:
    """A model that never answers is stopped, its last results in the conversation."""
    model = Model(*(calls(("weather", {"city": name})) for name in "ABCDE"))
    result = run_tools(model, "hi", [weather], max_answers=3)
    assert (result.stopped, len(model.asked), len(result.calls)) == ("max_answers", 3, 3)
    assert well_formed(result) and result.messages[-1]["role"] == "tool"


arguments = st.one_of(
    st.dictionaries(
        st.sampled_from(["city", "days", "town", "x"]),
        st.one_of(st.text(max_size=5), st.integers(), st.none(), st.lists(st.integers())),
        max_size=3,
    ),
    st.sampled_from(['{"city": "Os', '{"city": "Oslo",}', "Oslo", "", "[]", "null"]),
    st.none(),
)
native_calls = st.builds(call, st.sampled_from(["weather", "Wether", "x", None]), arguments)
outputs = st.builds(
    ModelOutput,
    st.one_of(st.none(), st.text(max_size=30), arguments.map(json.dumps)),
    st.lists(st.one_of(native_calls, st.text(max_size=5)), max_size=3),
    finish_reason=st.sampled_from([None, "stop", "length"]),
)


@given(st.lists(outputs, min_size=1, max_size=4))
def test_whatever_a_model_writes(answers: list[ModelOutput]) -> None:
    """Functions get what their signature promises; the conversation is always well-formed."""
    got: list[tuple[Any, Any]] = []

    def weather(city: str, days: int = 1) -> None:
        got.append((city, days))

    policy = Policy(backoff=0)
    result = run_tools(Model(*answers, DONE), "hi", [weather], policy=policy)
    assert all(type(city) is str and type(days) is int for city, days in got)
    assert well_formed(result)


# --- what tools return and raise ------------------------------------------------------


def one_call(function: Callable[[], Any], **options: Any) -> str:
    """What the model reads of a function's only call."""
    definition = ToolDefinition("f", {"type": "object", "properties": {}})
    (content,) = contents(
        run_tools(Model(calls(("f", {})), DONE), "hi", [(definition, function)], **options)
    )
    return content


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        ("", ""),
        (None, "(it returned nothing)"),
        ({"ä": [1, 2.5, True]}, '{"ä":[1,2.5,true]}'),
        (ToolDefinition("x", {}), '{"name":"x","parameters":{},"description":"","read_only":null}'),
        (b"\xff", "b'\\xff'"),
        ("\ud800", "?"),
        (float("inf"), "Infinity"),
    ],
)
def test_what_a_function_returns(value: Any, content: str) -> None:
    """Text as it is, everything else as JSON."""
    assert one_call(lambda: value) == content


class Silent(Exception):
    """An exception that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException) -> Callable[[], Any]:
    def function() -> Any:
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "content"),
    [
        (FileNotFoundError(2, "No such file"), "FileNotFoundError: [Errno 2] No such file"),
        (SystemExit(2), "SystemExit: 2"),
        (StopIteration(), "StopIteration"),
        (Silent(), "Silent"),
        (NothingFound("no file matches *.txt"), "no file matches *.txt"),
        (NothingFound(), "nothing was found"),
        (ValueError("x" * 9999), f"ValueError: {'x' * 987}…"),
    ],
)
def test_what_a_function_raises(error: BaseException, content: str) -> None:
    """Type and message, no traceback, no novel; nothing found is no error."""
    assert one_call(raising(error)) == content
    assert one_call(raising(error), max_parallel=1, timeout=None) == content
    assert len(content) <= LONGEST_ERROR


def test_failures_in_a_row_end_the_run() -> None:
    """One that succeeds, or that rightly found nothing, begins the count anew."""

    def find(what: str) -> str:
        if what == "bug":
            raise OSError("disk on fire")
        raise NothingFound(f"there is no {what}")

    policy = Policy(loops=0)
    bug, pin = calls(("find", {"what": "bug"})), calls(("find", {"what": "pin"}))
    result = run_tools(Model(bug, pin, bug, bug), "hi", [find], max_failures=2, policy=policy)
    assert (result.stopped, len(result.calls)) == ("rejected", 4)
    assert result.text == "(stopped: all calls of 2 answers in a row failed)"
    assert [r.failed for r in result.calls] == [True, False, True, True]
    patient = run_tools(
        Model(pin, pin, pin, pin, DONE), "hi", [find], max_failures=1, policy=policy
    )
    assert patient.stopped == "answered"


def test_what_passed_the_schema_but_not_pydantic_is_told() -> None:
    """The function does not run; the model reads where and why."""
    import datetime

    def note(day: datetime.date) -> str:
        raise AssertionError("must not run")

    note.__annotations__ = {"day": datetime.date}
    result = run_tools(Model(calls(("note", {"day": "soon"})), DONE), "hi", [note])
    (content,) = contents(result)
    assert content.startswith("ValueError: $.day: Input should be a valid date")


# --- side by side, and in time --------------------------------------------------------


def work(name: str) -> str:
    """Set by each test."""
    raise NotImplementedError


def three_at_once(function: Callable[[str], Any], **options: Any) -> RunResult:
    """A run whose first answer calls ``work`` three times, with a, b and c."""
    definition = ToolDefinition("work", python_tool(work).definition.parameters)
    model = Model(calls(*(("work", {"name": name}) for name in "abc")), DONE)
    tool = python_tool(function, definition, read_only=options.pop("read_only", None))
    return run_tools(model, "hi", [tool], **options)


class Crowd:
    """Counts how many are inside at once; nobody leaves before so many were expected."""

    def __init__(self, expected: int) -> None:
        self.most = self._inside = 0
        self._expected = expected
        self._reached = threading.Event()
        self._lock = threading.Lock()

    def visit(self, name: str) -> str:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        if self.most >= self._expected:
            self._reached.set()
        self._reached.wait(10)
        time.sleep(0.02)
        with self._lock:
            self._inside -= 1
        return name


@pytest.mark.parametrize(
    ("options", "most"),
    [({}, 3), ({"max_parallel": 2}, 2), ({"max_parallel": 1}, 1), ({"read_only": False}, 1)],
)
def test_calls_of_one_answer_run_side_by_side(options: Any, most: int) -> None:
    """As many as allowed, and those that write one after the other; results in order."""
    crowd = Crowd(most)
    result = three_at_once(crowd.visit, **options)
    assert contents(result) == ["a", "b", "c"]
    assert crowd.most == most


def test_one_at_a_time_without_a_limit_needs_no_thread() -> None:
    """What is bound to its thread (a database) can be used."""
    threads: set[str] = set()

    def work(name: str) -> None:
        threads.add(threading.current_thread().name)

    three_at_once(work, max_parallel=1, timeout=None)
    assert threads == {threading.current_thread().name}


def test_a_tool_that_hangs_is_left_behind() -> None:
    """The others have their results; what it returns later is dropped."""
    release = threading.Event()
    returned: list[str] = []

    def work(name: str) -> str:
        if name == "b":
            release.wait(30)
        returned.append(name)
        return name

    result = three_at_once(work, timeout=0.5)
    assert "b" not in returned
    first, second, third = contents(result)
    assert (first, third) == ("a", "c")
    assert second == (
        "work did not return within 0.5 seconds; whether it had an effect is not known"
    )
    assert [r.failed for r in result.calls] == [False, True, False]
    release.set()


def test_a_tool_has_its_own_time() -> None:
    """Longer or shorter than that of the run; a slot is free again when time is over."""
    release = threading.Event()

    def hang(name: str) -> bool:
        return release.wait(30)

    tool = python_tool(hang, ToolDefinition("hang"), timeout=0.01)
    model = Model(calls(*(("hang", {"name": name}) for name in "abc")), DONE)
    result = run_tools(model, "hi", [tool], max_parallel=1)
    assert [r.failed for r in result.calls] == [True] * 3
    release.set()


def test_a_hanging_thread_does_not_hold_up_the_end_of_the_program() -> None:
    """Left behind means left behind, with and without a loop; and no SDK is needed for it."""
    code = """
import asyncio, sys, threading
sys.modules["openai"] = None
from gptme_reliability import ModelOutput, run_tools, run_tools_async
def hang() -> None:
    threading.Event().wait(60)
call = {"id": "a", "type": "function", "function": {"name": "hang", "arguments": "{}"}}
def model(request):
    done = request.messages[-1]["role"] == "tool"
    return ModelOutput("Done.") if done else ModelOutput(tool_calls=[call])
print(run_tools(model, "hi", [hang], timeout=0.1).text)
print(asyncio.run(run_tools_async(model, "hi", [hang], timeout=0.1)).text)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("Done.\nDone.\n", "")


def test_tools_see_the_callers_context() -> None:
    """Context variables go along into threads."""
    import contextvars

    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    user.set("ada")
    assert contents(three_at_once(lambda name: user.get())) == ["ada"] * 3


# --- on a loop ------------------------------------------------------------------------


def three_async(function: Callable[[str], Any], **options: Any) -> RunResult:
    """``three_at_once`` on a loop."""
    definition = ToolDefinition("work", python_tool(work).definition.parameters)
    model = Model(calls(*(("work", {"name": name}) for name in "abc")), DONE)
    return asyncio.run(run_tools_async(model, "hi", [(definition, function)], **options))


def test_coroutines_run_side_by_side() -> None:
    """They wait for each other here, so that one after the other would take forever."""
    here = 0

    async def work(name: str) -> str:
        nonlocal here
        here += 1
        while here < 3:
            await asyncio.sleep(0)
        return name

    assert contents(three_async(work, timeout=10)) == ["a", "b", "c"]


def test_blocking_functions_do_not_block_the_loop() -> None:
    """They run in threads; one that returns something to be awaited is fine too."""
    barrier = threading.Barrier(3)

    def work(name: str) -> Awaitable[str]:
        barrier.wait(10)

        async def later() -> str:
            return name

        return later()

    assert contents(three_async(work)) == ["a", "b", "c"]
    assert all("needs run_tools_async" in content for content in contents(three_at_once(work)))


def test_coroutines_that_hang_fail_or_are_cancelled() -> None:
    """Each has its result."""

    async def work(name: str) -> str:
        if name == "a":
            await asyncio.sleep(60)
        if name == "b":
            raise asyncio.CancelledError
        raise KeyError(name)

    late, cancelled, failed = contents(three_async(work, timeout=0.1))
    assert late.startswith("work did not return within 0.1 seconds")
    assert cancelled.startswith("CancelledError")
    assert failed == "KeyError: 'c'"


# --- watching and interrupting --------------------------------------------------------


def test_what_a_callback_raises_ends_the_run_before_the_call() -> None:
    """A caller can forbid a call."""
    ran: list[str] = []

    def veto(event: Event) -> None:
        if event.kind == "called" and event.call and event.call.arguments["name"] == "b":
            raise PermissionError("not b")

    with pytest.raises(PermissionError):
        three_at_once(lambda name: ran.append(name), on_event=veto, max_parallel=1, timeout=None)
    assert ran == ["a"]

    async def work(name: str) -> None:
        ran.append(name)

    with pytest.raises(PermissionError):
        three_async(work, on_event=veto)
    assert "b" not in ran


def test_what_the_client_raises_leaves_the_conversation() -> None:
    """The error is the caller's, and so is all that was done before it."""
    told: list[Event] = []
    calls = completion(calls=[call("weather", {"city": "Oslo"}, "a")])
    with pytest.raises(openai.AuthenticationError):
        run_sdk(calls, failure(401, "expired"), on_event=told.append)
    (result,) = [event.result for event in told if event.result]
    assert result.stopped == "interrupted"
    assert contents(result) == ["Oslo: sun for 1"] and well_formed(result)


def test_a_server_without_tools() -> None:
    """The functions are told in the prompt, in this turn and in all that follow."""
    text = '<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call>'
    refused = failure(400, "tiny does not support tools")
    result, script = run_sdk(refused, completion(text), completion("Sun."))
    assert (result.text, contents(result)) == ("Sun.", ["Oslo: sun for 1"])
    assert ["tools" in body for body in script.bodies()] == [True, False, False]
    assert well_formed(result)


def interrupted(*, after: str, nth: int = 1) -> Callable[[Event], None]:
    """A callback that interrupts after the nth event of a kind."""
    left = [nth]

    def on_event(event: Event) -> None:
        left[0] -= event.kind == after
        if event.kind == after and left[0] == 0:
            raise KeyboardInterrupt

    return on_event


@pytest.mark.parametrize(
    ("after", "nth", "results"),
    [
        ("asked", 1, []),
        ("called", 1, ["not run"] * 3),
        ("called", 2, ["a", "not run: interrupted before its turn came", "not run"]),
        ("returned", 1, ["a", "not run: interrupted before its turn came", "not run"]),
        ("returned", 3, ["a", "b", "c"]),
        ("asked", 2, ["a", "b", "c"]),
    ],
)
def test_an_interrupted_run_leaves_a_conversation(
    after: str, nth: int, results: Sequence[str]
) -> None:
    """Every call has a result that says what became of it."""
    limits = {"max_parallel": 1, "timeout": None, "max_failures": 1}
    on_event = interrupted(after=after, nth=nth)
    result = three_at_once(lambda name: name, on_event=on_event, **limits)
    assert result.stopped == "interrupted" and well_formed(result)
    assert len(contents(result)) == len(results)
    for content, expected in zip(contents(result), results, strict=True):
        assert content.startswith(expected)


def test_ctrl_c_while_a_tool_runs() -> None:
    """The signal reaches whoever waits; the tool is left behind."""
    release = threading.Event()

    def work(name: str) -> str:
        if name == "c":
            os.kill(os.getpid(), signal.SIGINT)
            release.wait(30)
        return name

    result = three_at_once(work)
    assert result.stopped == "interrupted" and well_formed(result)
    assert contents(result)[2].startswith("interrupted before it returned")
    release.set()


def test_ctrl_c_while_the_model_is_asked_again() -> None:
    """The attempt so far is told."""
    answers = iter([ModelOutput(tool_calls=[call("weather", {}, "a")])])

    def model(request: ModelRequest) -> ModelOutput:
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    result = run_tools(model, "hi", [weather])
    assert (result.stopped, len(result.attempts), len(result.messages)) == ("interrupted", 1, 1)


def test_a_cancelled_run_tells_its_conversation() -> None:
    """Cancelling cancels; the last event has what there is."""
    events: list[Event] = []

    async def work(name: str) -> str:
        if name == "b":
            await asyncio.sleep(60)
        return name

    async def main() -> None:
        definition = python_tool(work).definition
        model = Model(calls(*(("work", {"name": name}) for name in "ab")), DONE)
        running = run_tools_async(model, "hi", [(definition, work)], on_event=events.append)
        await asyncio.wait_for(running, 0.5)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert events[-1].kind == "stopped" and events[-1].result
    assert events[-1].result.stopped == "interrupted" and well_formed(events[-1].result)
    first, second = contents(events[-1].result)
    assert first == "a" and second.startswith("interrupted before it returned")
