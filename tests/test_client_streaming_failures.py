"""The HTTP client under the real SDK, streamed answers that fail on the way."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from recording_host import MESSAGES, RecordingHost, received, sdk, watch
from scripted_server import (
    CUT,
    DONE,
    GOOD_STREAM,
    OVERLOAD,
    ROLE,
    STOP,
    TOOLS,
    Reply,
    call_chunks,
    chunk,
    failure,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Reject

HALL = '{"place": "hall"}'
CALLED = chunk({}, "tool_calls")

# --- what says nothing ------------------------------------------------------------------------

COMMENT = b": " + b"x" * 65_000 + b"\n\n"


def test_what_says_nothing_is_not_kept_for_ever() -> None:
    """It goes on, at some point, before it is known whether an answer will come."""
    host = RecordingHost()
    reply = stream(*[COMMENT] * 40, ROLE, *text_chunks("It is done."), STOP, DONE)
    with serving(reply) as script, sdk(script, host) as client:
        asked: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
        with client.chat.completions.with_streaming_response.create(**asked) as response:
            pieces = response.iter_bytes()
            seen = next(pieces)
            assert seen.startswith(COMMENT) and host.reports == []
            assert (seen + b"".join(pieces)).endswith(DONE)
    assert len(host.reports) == 1


def test_an_error_behind_what_says_nothing() -> None:
    """The response has begun: the error is an event of it."""
    replies = [stream(*[COMMENT] * 40, ROLE, STOP, DONE), *[failure(503, "Overloaded")] * 9]
    asked: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
    with (
        serving(*replies) as script,
        sdk(script, RecordingHost()) as client,
        client.chat.completions.with_streaming_response.create(**asked) as response,
    ):
        body = response.read()
    assert body.startswith(COMMENT) and not body.endswith(DONE)
    assert b'data: {"error":{' in body.splitlines()[-2] and b"Overloaded" in body


# --- errors -----------------------------------------------------------------------------------


def test_real_errors_stay_what_they_are() -> None:
    raises = pytest.raises(openai.RateLimitError)
    with serving(failure(429, "slow down", retry_after="7")) as script, raises as caught:
        watch(script, RecordingHost())
    assert caught.value.response.headers["retry-after"] == "7"


@pytest.mark.parametrize("before", [(), text_chunks("I look."), call_chunks(0, "look", HALL, "a")])
def test_an_error_inside_the_stream_reaches_the_host(before: Any) -> None:
    host = RecordingHost()
    with serving(stream(*before, OVERLOAD)) as script, pytest.raises(openai.APIError) as caught:
        watch(script, host)
    assert "Overloaded" in caught.value.message
    assert host.reports == []


def test_no_call_of_a_failed_answer_is_passed_on() -> None:
    body = received(stream(*call_chunks(0, "look", HALL, "a"), OVERLOAD), RecordingHost())
    assert body == OVERLOAD


def test_a_connection_that_breaks_is_the_hosts_to_handle() -> None:
    with (
        serving(stream(*text_chunks("I look."), *CUT, lost=99)) as script,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        watch(script, RecordingHost())


@pytest.mark.parametrize("reply", [failure(503, "Overloaded"), stream(OVERLOAD), stream(lost=9)])
def test_an_error_of_a_hidden_request_never_replaces_an_answer(reply: Reply) -> None:
    host = RecordingHost()
    first = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), DONE)
    with serving(first, reply) as script:
        seen = watch(script, host)
    assert seen.text.startswith("I look.\n")
    assert "not run: look" in seen.text
    assert seen.finish == "length"
    outcome = host.report.outcome
    assert outcome is not None and isinstance(outcome.verdict, Reject)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (failure(503, "Overloaded"), openai.APIError),
        (stream(OVERLOAD), openai.APIError),
        (stream(lost=9), openai.APIConnectionError),
    ],
)
def test_without_any_answer_the_later_error_is_the_hosts(
    reply: Reply, error: type[Exception]
) -> None:
    with serving(stream(ROLE, STOP, DONE), reply) as script, pytest.raises(error):
        watch(script, RecordingHost())


@pytest.mark.parametrize("event", [b"data: <html>\n\n", b"data: []\n\n", b"data: 1\n\n"])
def test_streams_of_unknown_shape_are_untouched(event: bytes) -> None:
    host = RecordingHost()
    reply = stream(ROLE, event, *CUT, DONE)
    assert received(reply, host) == reply.body
    assert host.report.error is not None


def test_without_any_answer_and_without_an_error_the_first_bytes_are_left() -> None:
    empty = stream(ROLE, STOP, DONE)
    with serving(empty, stream(b"data: <html>\n\n")) as script:
        seen = watch(script, RecordingHost())
    assert (seen.text, seen.calls, seen.finish) == ("", [], "stop")


# --- this layer breaks ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["defuse", "asking_again", "done", "runnable_tag"])
def test_when_this_layer_breaks_the_host_gets_the_servers_bytes(method: str) -> None:
    host = RecordingHost(broken=frozenset({method}))
    text = "Here:\n```shell\nls\n```\nThat is it." if method == "runnable_tag" else "I look."
    events = {"asking_again": [*CUT, chunk({}, "length")]}.get(method, [STOP])
    reply = stream(ROLE, *text_chunks(text), *events, DONE)
    assert received(reply, host) == reply.body
    assert (host.report.error is None) is (method == "done")


def test_breaking_in_a_re_ask_gives_the_first_answer() -> None:
    class Late(RecordingHost):
        def defuse(self, *args: Any, **kwargs: Any) -> Any:
            raise LookupError

    host = Late()
    first = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), DONE)
    with serving(first, stream(ROLE, *call_chunks(0, "look", HALL, "b"), CALLED, DONE)) as script:
        seen = watch(script, host)
    assert seen.text == "I look."
    assert seen.calls == [("a", "look", '{"place": "ha')]
    assert host.report.error is not None


def test_the_upstream_is_closed_when_the_reader_leaves() -> None:
    with serving(GOOD_STREAM) as script, sdk(script, RecordingHost()) as client:
        given: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
        events = client.chat.completions.create(**given)
        next(iter(events))
        events.close()
        assert events.response.is_closed


@pytest.mark.parametrize("mode", ["on", "observe"])
def test_the_upstream_is_closed_when_nobody_reads(mode: Any) -> None:
    upstream: list[Any] = []

    class Watched(openai.DefaultHttpxClient):
        def send(self, *args: Any, **kwargs: Any) -> Any:
            upstream.append(super().send(*args, **kwargs))
            return upstream[-1]

    host = RecordingHost(answer=Settings("local/tiny", mode))
    with serving(GOOD_STREAM) as script, client_class(Watched)(host, "local") as client:
        body = {"messages": MESSAGES, "tools": TOOLS, "stream": True}
        with client.stream("POST", f"{script.url}/chat/completions", json=body):
            pass
    assert [response.is_closed for response in upstream] == [True]
