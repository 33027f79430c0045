"""What is left of an attempt that failed, and what the host is told about it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from recording_host import MESSAGES, RecordingHost, ask, sdk, watch
from scripted_server import (
    CUT,
    DONE,
    GOOD_STREAM,
    OVERLOAD,
    ROLE,
    STOP,
    TOOLS,
    Reply,
    call,
    call_chunks,
    chunk,
    completion,
    failure,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Policy, Reject

HALL = '{"place": "hall"}'
HA = '{"place": "ha'
CALLED = chunk({}, "tool_calls")
FAULT = "Failed to parse the tool call"


def streamed(text: str, arguments: str, reasoning: str = "", size: int = 5) -> Reply:
    """An answer with a call, cut off when its arguments are."""
    end = CALLED if arguments == HALL else chunk({}, "length")
    thought = text_chunks(reasoning, size, "reasoning_content")
    calls = call_chunks(0, "look", arguments, "b")
    return stream(ROLE, *thought, *text_chunks(text, size), *calls, end, DONE)


def whole(text: str, arguments: str, reasoning: str = "") -> Reply:
    finish = "tool_calls" if arguments == HALL else "length"
    extra = {"reasoning_content": reasoning} if reasoning else {}
    return completion(text or None, [call("look", arguments, "b")], finish, **extra)


# --- the text of a failed attempt stays -------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("Sentence one.\n\n", "Now.", "Sentence one.\nNow."),
        ("Look at <", "Now.", "Look at\nNow."),
        ("I look:\n```shell\nls\n```\n", "Now.", "I look:\nNow."),
        ("", "Now.", "Now."),
        ("@user hi\n", "Now.", "@user hi\nNow."),
        ("Sentence one.", "", "Sentence one."),
        ("One two three four. ", "\nFive.", "One two three four.\n\nFive."),
    ],
)
def test_what_was_clear_of_it_is_kept_whole_and_streamed(
    first: str, second: str, expected: str, size: int
) -> None:
    with serving(whole(first, HA), whole(second, HALL)) as script:
        answer = ask(script, RecordingHost()).parse().choices[0].message
    with serving(streamed(first, HA, size=size), streamed(second, HALL, size=size)) as script:
        seen = watch(script, RecordingHost())
    assert (answer.content or "") == seen.text == expected
    assert len(seen.calls) == len(answer.tool_calls) == 1


def test_reasoning_is_kept_whole_and_streamed() -> None:
    with serving(whole("", HA, "So it is."), whole("Now.", HALL, "Or not.")) as script:
        answer = ask(script, RecordingHost()).parse().choices[0].message
    first, second = streamed("", HA, "So it is."), streamed("Now.", HALL, "Or not.")
    with serving(first, second) as script:
        seen = watch(script, RecordingHost())
    assert answer.reasoning_content == seen.reasoning == "So it is.\nOr not."
    assert answer.content == seen.text == "Now."


def test_nothing_closes_the_reasoning_before_more_of_it() -> None:
    """A chunk without content ends gptme's reasoning block."""
    body = b""
    first, second = streamed("", HA, "So it is."), streamed("Now.", HALL, "Or not.")
    base = openai.DefaultHttpxClient
    with serving(first, second) as script, client_class(base)(RecordingHost(), "local") as client:
        given = {"messages": MESSAGES, "tools": TOOLS, "stream": True}
        body = client.post(f"{script.url}/chat/completions", json=given).content
    events = [json.loads(e[6:]) for e in body.split(b"\n\n") if e and e[6:] != b"[DONE]"]
    deltas = [event["choices"][0]["delta"] for event in events]
    thinking = [bool(delta.get("reasoning_content")) for delta in deltas]
    assert all(thinking[thinking.index(True) : thinking.index(False, 1)])
    assert "".join(d.get("reasoning_content") or "" for d in deltas) == "So it is.\nOr not."
    assert not any(thinking[thinking.index(False, 1) :])


def test_the_host_knows_what_stands_before_a_further_answer() -> None:
    host = RecordingHost()
    with serving(streamed("Look:\n```text\nQuux zork!", HA), streamed("So it is.", HALL)) as script:
        watch(script, host)
    assert "".join(text for _, text in host.shown) == "Look:\n```text\nQuux zork!\n"
    assert {channel for channel, _ in host.shown} == {"text"}
    assert host.answered >= 1


def test_a_notice_comes_behind_the_text() -> None:
    seen: list[str] = []

    class Asking(RecordingHost):
        def done(self, report: Any) -> None:
            seen.append("done")

    markup = f"I will look.\n<tool_call>{{not json}}</tool_call>\n{HALL}"
    host = Asking(answer=Settings("local/tiny", policy=Policy(retries=0)))
    with serving(stream(ROLE, *text_chunks(markup), STOP, DONE)) as script, sdk(script, host) as c:
        given: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
        for event in c.chat.completions.create(**given):
            if event.choices and event.choices[0].delta.content:
                seen.append("text")
    assert "text" in seen
    assert seen[-1] == "done"


# --- a failure of a hidden request ------------------------------------------------------------


def test_status_and_headers_of_a_failed_re_ask_reach_the_host() -> None:
    host = RecordingHost()
    slow = failure(429, "slow down", retry_after="7")
    raises = pytest.raises(openai.RateLimitError)
    with serving(stream(ROLE, STOP, DONE), slow) as script, raises as caught:
        watch(script, host)
    assert caught.value.response.headers["retry-after"] == "7"
    outcome = host.report.outcome
    assert outcome is not None and isinstance(outcome.verdict, Reject)
    assert "HTTP 429" in outcome.verdict.reason


def test_the_report_of_a_failed_re_ask_is_made_whole_too() -> None:
    host = RecordingHost()
    with (
        serving(completion(None), failure(429, "slow down")) as script,
        pytest.raises(openai.RateLimitError),
    ):
        ask(script, host)
    outcome = host.report.outcome
    assert outcome is not None and "HTTP 429" in outcome.verdict.reason  # type: ignore[union-attr]


@pytest.mark.parametrize("stream_it", [False, True])
def test_errors_without_a_word_of_the_model_stay_errors(stream_it: bool) -> None:
    host = RecordingHost()
    raises = pytest.raises(openai.UnprocessableEntityError)  # which nobody tries again
    with serving(*[failure(500, FAULT, x_number="1")] * 4) as script, raises as caught:
        (watch if stream_it else ask)(script, host)
    assert FAULT in caught.value.message
    assert caught.value.response.headers["x-number"] == "1"
    assert len(script.requests) == 4
    assert host.report.faults == (500, 500, 500, 500)


@pytest.mark.parametrize("stream_it", [False, True])
def test_an_error_that_was_read_is_named_in_the_report(stream_it: bool) -> None:
    host = RecordingHost()
    good = GOOD_STREAM if stream_it else completion(None, [call("look", HALL)])
    with serving(failure(500, FAULT), good) as script:
        (watch if stream_it else ask)(script, host)
    assert host.report.faults == (500,)


def test_a_reader_that_leaves_is_recorded() -> None:
    host = RecordingHost()
    with serving(GOOD_STREAM) as script, sdk(script, host) as client:
        given: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
        events = client.chat.completions.create(**given)
        next(iter(events))
        events.close()
    assert host.report.interrupted and host.report.outcome is None


@pytest.mark.parametrize("stream_it", [False, True])
def test_an_interrupted_re_ask_is_recorded_with_its_attempts(stream_it: bool) -> None:
    class Interrupting(openai.DefaultHttpxClient):
        sent = 0

        def send(self, *args: Any, **kwargs: Any) -> Any:
            self.sent += 1
            if self.sent > 1:
                raise KeyboardInterrupt
            return super().send(*args, **kwargs)

    host = RecordingHost()
    first = streamed("I look.", HA) if stream_it else whole("I look.", HA)
    with (
        serving(first) as script,
        client_class(Interrupting)(host, "local") as client,
        pytest.raises(KeyboardInterrupt),
    ):
        given = {"messages": MESSAGES, "tools": TOOLS, "stream": stream_it}
        client.post(f"{script.url}/chat/completions", json=given)
    assert host.report.interrupted
    outcome = host.report.outcome
    assert outcome is not None and len(outcome.attempts) == 1


# --- what servers send besides answers --------------------------------------------------------


@pytest.mark.parametrize(
    "extra",
    [
        {"type": "ping"},
        {"id": "c", "object": "chat.completion.chunk", "choices": None},
        {"id": "c", "usage": {"total_tokens": 3}},
        {"choices": [None]},
        {"choices": [{"index": 0, "delta": None}]},
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_events_without_an_answer_turn_nothing_off(extra: Any, late: bool) -> None:
    event = b"data: " + json.dumps(extra).encode() + b"\n\n"
    events = [*call_chunks(0, "Look", HALL, "b"), CALLED]
    events = [*events[:1], event, *events[1:]] if late else [event, *events]
    host = RecordingHost()
    base = openai.DefaultHttpxClient
    with (
        serving(stream(*events, DONE)) as script,
        client_class(base)(host, "local") as client,
    ):
        given = {"messages": MESSAGES, "tools": TOOLS, "stream": True}
        body = client.post(f"{script.url}/chat/completions", json=given).content
    assert host.report.error is None and host.report.outcome is not None
    assert b'"name":"look"' in body
    assert b'"object":"chat.completion.chunk"' in body


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/plain"])
def test_a_stream_is_known_by_its_first_byte(kind: str) -> None:
    host = RecordingHost()
    events = [*call_chunks(0, "Look", HALL, "b"), CALLED, DONE]
    with serving(Reply(b"\n" + b"".join(events), headers={"content-type": kind})) as script:
        seen = watch(script, host)
    assert seen.calls == [("b", "look", HALL)]


def test_a_whole_answer_is_known_by_its_first_byte() -> None:
    odd = Reply(b" " + whole("Now.", HALL).body, headers={"content-type": "text/event-stream"})
    with serving(odd) as script:
        seen = watch(script, RecordingHost())
    assert (seen.text, seen.calls) == ("Now.", [("b", "look", HALL)])


@pytest.mark.parametrize(
    "choices",
    [
        [None],
        [1],
        [{}],
        [{"message": None}],
        [{"message": "x"}],
        [{"message": {"content": 5}}],
        [{"message": {"content": None, "tool_calls": "x", "function_call": 7}}],
        [{"message": {"content": [None, {"text": 4}]}, "finish_reason": [1]}],
        [{"message": {"content": {}, "tool_calls": [None, 4, {"function": 3}]}}],
    ],
)
def test_odd_completions_are_asked_again(choices: Any) -> None:
    host = RecordingHost()
    odd = {"object": "chat.completion", "choices": choices, "usage": 7, "model": 5}
    with serving(Reply(json.dumps(odd).encode()), whole("Now.", HALL)) as script:
        answer = ask(script, host).parse().choices[0].message
    assert len(answer.tool_calls) == 1
    assert host.report.error is None


def test_unknown_bodies_are_reported() -> None:
    host = RecordingHost()
    with serving(Reply(b'{"data": []}')) as script:
        ask(script, host)
    assert host.report.error is not None


# --- ids and late feedback --------------------------------------------------------------------


def answered(made: Any, content: str = "a hall") -> list[dict[str, Any]]:
    """The conversation that a host goes on with after a call."""
    name, arguments = made.function.name, json.dumps(json.loads(made.function.arguments))
    return [
        {"role": "assistant", "tool_calls": [call(name, arguments, made.id)]},
        {"role": "tool", "tool_call_id": made.id, "content": content},
    ]


def test_an_id_that_is_taken_in_the_conversation_is_replaced() -> None:
    reply = completion(None, [call("look", {"place": "b"}, "call_0")])
    before = [call("look", {"place": "a"}, "call_0")]
    history = [
        *MESSAGES,
        {"role": "assistant", "tool_calls": before},
        {"role": "tool", "tool_call_id": "call_0", "content": "x"},
    ]
    host = RecordingHost()
    with serving(reply) as script:
        (made,) = ask(script, host, messages=history).parse().choices[0].message.tool_calls
    assert made.id.startswith("call_") and made.id != "call_0"
    assert [repair.rule for repair in host.report.repairs] == ["call_id"]


def test_late_feedback_stays_with_its_call_in_its_conversation() -> None:
    host = RecordingHost()
    both = completion(
        None, [call("look", {"place": "a"}, "call_0"), call("look", {"times": 2}, "call_1")]
    )
    again = completion(None, [call("look", {"place": "a"}, "call_0")])
    with serving(both, again, again, again) as script, sdk(script, host) as client:

        def made(messages: Any) -> Any:
            given: Any = {"model": "tiny", "messages": messages, "tools": TOOLS}
            return client.chat.completions.create(**given).choices[0].message.tool_calls[0]

        first = [*MESSAGES, *answered(made(MESSAGES))]
        second = [*first, *answered(made(first))]
        made(second)
        other: list[Any] = [{"role": "user", "content": "something else"}]
        made([*other, *second[1:]])
    told = [
        [m["content"] for m in body["messages"] if m["role"] == "tool"] for body in script.bodies()
    ]
    assert told[1][0].startswith("a hall\n\n")
    assert told[2][0].startswith("a hall\n\n") and told[2][1] == "a hall"
    assert told[3] == ["a hall", "a hall"]


def test_new_ids_differ_between_conversations() -> None:
    reply = completion(None, [call("look", {"place": "a"}, None)])

    def made(content: str) -> str:
        with serving(reply) as script:
            messages = [{"role": "user", "content": content}]
            answer = ask(script, RecordingHost(), messages=messages).parse().choices[0].message
        call_id: str = answer.tool_calls[0].id
        return call_id

    assert made("a") == made("a") != made("b")


# --- mending ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "requests"),
    [("CUDA out of memory", 1), ("error in chat template: bad messages", 2)],
)
def test_a_server_that_fails_is_not_asked_with_the_original(message: str, requests: int) -> None:
    poisoned = [*MESSAGES, {"role": "assistant", "tool_calls": [call("look", HA, "x")]}]
    with (
        serving(failure(500, message), failure(500, message)) as script,
        pytest.raises(openai.InternalServerError),
    ):
        ask(script, RecordingHost(), messages=poisoned)
    assert len(script.requests) == requests


def test_no_invented_end_when_the_stream_itself_fails() -> None:
    host = RecordingHost()
    with serving(stream(ROLE, *CUT), stream(OVERLOAD)) as script:
        seen = watch(script, host)
    assert "not run: look" in seen.text
