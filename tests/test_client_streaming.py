"""The HTTP client under the real SDK, streamed answers."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_host import MESSAGES, RecordingHost, received, watch
from scripted_server import (
    CUT,
    DONE,
    GOOD_STREAM,
    ROLE,
    STOP,
    TOOLS,
    USAGE,
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

from gptme_reliability.adapters.openai_request import read_request
from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.streaming import StreamedAnswer
from gptme_reliability.types import Accept, Policy

HALL = '{"place": "hall"}'
MARKUP = f'<tool_call>\n{{"name": "look", "arguments": {HALL}}}\n</tool_call>'
CALLED = chunk({}, "tool_calls")
FAULT = b'data: {"error": {"message": "does not match the expected peg-native format"}}\n\n'


# --- what is right is untouched ---------------------------------------------------------------

RIGHT = [
    GOOD_STREAM,
    stream(ROLE, *text_chunks("Just text, and { a brace."), STOP, USAGE, DONE),
    stream(*text_chunks("So it", key="reasoning_content"), *text_chunks("is.\n"), STOP, DONE),
    stream(b": keep-alive\n\n", ROLE, *text_chunks("Hello <world"), STOP, DONE, b": bye\n\n"),
    stream(*text_chunks("Cut o"), chunk({}, "length"), DONE),
    stream(*text_chunks("No end marker."), STOP),
    stream(
        *call_chunks(0, "look", '{"place": "a"}', "a"),
        *call_chunks(1, "look", '{"place": "b"}', "b"),
        CALLED,
        USAGE,
        DONE,
    ),
    replace(GOOD_STREAM, body=GOOD_STREAM.body.replace(b"\n\n", b"\r\n\r\n")),
]


@pytest.mark.parametrize("reply", RIGHT)
def test_right_answers_go_on_byte_for_byte(reply: Reply) -> None:
    host = RecordingHost()
    assert received(reply, host) == reply.body
    outcome = host.report.outcome
    assert outcome is not None and isinstance(outcome.verdict, Accept)
    assert host.report.streamed and host.report.error is None
    assert outcome.verdict.calls or outcome.verdict.text


@pytest.mark.parametrize("reply", [*RIGHT, stream(*CUT, CALLED, DONE), stream(*CUT)])
def test_observing_changes_nothing_and_reports(reply: Reply) -> None:
    host = RecordingHost(answer=Settings("local/tiny", "observe"))
    assert received(reply, host) == reply.body
    assert host.report.outcome is not None


def test_text_is_shown_while_the_rest_is_still_to_come() -> None:
    request = read_request({"messages": MESSAGES, "tools": TOOLS})
    answer = StreamedAnswer(request.tools, lambda tag: False)
    first = b"".join([ROLE, *text_chunks("I look around now. ", 5)])
    assert answer.feed(first)
    assert answer.shown("text") == "I look around now."[: len(answer.shown("text"))]
    assert len(answer.shown("text")) >= 15
    before = answer.shown("text")
    for event in text_chunks(MARKUP, 2):
        answer.feed(event)
    assert answer.shown("text").startswith(before)
    assert "<" not in answer.shown("text")


# --- what is wrong is mended ------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_call_in_text_becomes_a_native_one(size: int) -> None:
    host = RecordingHost()
    with serving(stream(ROLE, *text_chunks(f"I will look.\n{MARKUP}", size), STOP, DONE)) as script:
        seen = watch(script, host)
    assert seen.text.strip() == "I will look."
    ((call_id, name, arguments),) = seen.calls
    assert (name, json.loads(arguments)) == ("look", {"place": "hall"})
    assert call_id.startswith("call_")
    assert seen.finish == "tool_calls"


@pytest.mark.parametrize(
    "events",
    [
        call_chunks(0, "look", HALL, None),
        call_chunks(0, "look", HALL, "no/good"),
        [
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "lo"}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"name": "ok", "arguments": HALL}}]}),
        ],
        [
            chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "look"}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": {"place": "hall"}}}]}),
        ],
        [chunk({"tool_calls": [{"function": {"name": "look", "arguments": HALL}}]})],
        [chunk({"function_call": {"name": "look", "arguments": HALL}})],
    ],
)
def test_calls_in_odd_deltas_arrive_whole(events: list[bytes]) -> None:
    with serving(stream(ROLE, *events, STOP, DONE)) as script:
        seen = watch(script, RecordingHost())
    ((call_id, name, arguments),) = seen.calls
    assert (name, json.loads(arguments)) == ("look", {"place": "hall"})
    assert call_id
    assert len(script.requests) == 1


def test_a_broken_call_is_asked_again_behind_the_text() -> None:
    host = RecordingHost()
    first = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), USAGE, DONE)
    again = stream(
        ROLE, *text_chunks("Once more."), *call_chunks(0, "look", HALL, "b"), USAGE, DONE
    )
    with serving(first, again) as script:
        seen = watch(script, host, stream_options={"include_usage": True})
    assert seen.text == "I look.\nOnce more."
    assert [(c[0], c[1], json.loads(c[2])) for c in seen.calls] == [
        ("b", "look", {"place": "hall"})
    ]
    assert seen.usage.total_tokens == 30
    assert host.asked == [(1, 3)]
    assert script.bodies()[1]["stream"] is True
    assert script.bodies()[1]["stream_options"] == {"include_usage": True}


def test_a_re_ask_may_be_answered_whole() -> None:
    first = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), DONE)
    with serving(first, completion(None, [call("look", {"place": "hall"}, "b")])) as script:
        seen = watch(script, RecordingHost())
    assert (seen.text, seen.calls) == ("I look.", [("b", "look", HALL)])


def test_reasoning_stays_one_block_over_a_re_ask() -> None:
    thought = text_chunks("Let me see.", key="reasoning_content")
    first = stream(ROLE, *thought, *CUT, chunk({}, "length"), DONE)
    again = stream(ROLE, *thought, *call_chunks(0, "look", HALL, "b"), CALLED, DONE)
    with serving(first, again) as script:
        seen = watch(script, RecordingHost())
    assert (seen.reasoning, seen.text) == ("Let me see.\nLet me see.", "")
    assert len(seen.calls) == 1


def test_the_budget_ends_in_text_that_says_what_was_not_run() -> None:
    host = RecordingHost(answer=Settings("local/tiny", policy=Policy(retries=1)))
    broken = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), DONE)
    with serving(broken, broken) as script:
        seen = watch(script, host)
    assert seen.text.startswith("I look.\nI look.\n")
    assert seen.text.count("not run: look") == 1
    assert (seen.calls, seen.finish) == ([], "length")


@pytest.mark.parametrize(
    "reply",
    [
        stream(),
        stream(DONE),
        stream(ROLE, STOP, DONE),
        stream(ROLE, *CUT),
        stream(ROLE, *CUT, FAULT),
        stream(FAULT),
        failure(500, "The output does not match the expected peg-native format"),
        completion(None),
    ],
)
def test_answers_that_are_none_are_asked_for_again(reply: Reply) -> None:
    with serving(reply, GOOD_STREAM) as script:
        seen = watch(script, RecordingHost())
    assert seen.text == "I look."
    assert [(c[1], json.loads(c[2])) for c in seen.calls] == [("look", {"place": "hall"})]


def test_text_in_an_error_is_read() -> None:
    with serving(failure(500, f"Failed to parse input at pos 0: {MARKUP}")) as script:
        seen = watch(script, RecordingHost())
    assert [(c[1], json.loads(c[2])) for c in seen.calls] == [("look", {"place": "hall"})]


def test_a_server_that_does_not_stream_is_understood() -> None:
    with serving(completion("I look.", [call("look", {"place": "hall"}, "a")])) as script:
        seen = watch(script, RecordingHost())
    assert (seen.text, seen.calls) == ("I look.", [("a", "look", '{"place": "hall"}')])
    assert seen.usage.total_tokens == 15


def test_text_that_the_host_would_run_is_made_inert() -> None:
    text = "The format is:\n@look(call-1): {...}\nand so on."
    with serving(stream(*text_chunks(text), STOP, DONE)) as script:
        seen = watch(script, RecordingHost())
    assert seen.text == text.replace("@", "\\@")


def test_text_before_a_fault_is_no_whole_answer() -> None:
    host = RecordingHost()
    with serving(stream(*text_chunks("I look."), FAULT), GOOD_STREAM) as script:
        seen = watch(script, host)
    assert seen.text == "I look.\nI look."
    assert len(seen.calls) == 1


def test_compressed_streams_are_read() -> None:
    headers = {**GOOD_STREAM.headers, "content-encoding": "gzip"}
    packed = replace(GOOD_STREAM, body=gzip.compress(GOOD_STREAM.body), headers=headers)
    assert received(packed, RecordingHost()) == GOOD_STREAM.body


# --- any chunking -----------------------------------------------------------------------------

ANSWERS = [
    GOOD_STREAM.body,
    stream(ROLE, *text_chunks(f"I look.\n{MARKUP}"), STOP, DONE).body,
    stream(*text_chunks("a <b> c {d} `e`\n```python\nx\n```\n"), STOP, USAGE, DONE).body,
]


@settings(max_examples=60)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(1, 200), max_size=30))
def test_any_chunking_gives_the_same_answer(body: bytes, sizes: list[int]) -> None:
    request = read_request({"messages": MESSAGES, "tools": TOOLS})

    def pieces() -> Iterator[bytes]:
        at = 0
        for size in [*sizes, len(body)]:
            yield body[at : at + size]
            at += size

    whole = StreamedAnswer(request.tools, lambda tag: tag == "shell")
    parts = StreamedAnswer(request.tools, lambda tag: tag == "shell")
    whole_free = whole.feed(body) + whole.close()
    parts_free = b"".join(map(parts.feed, pieces())) + parts.close()
    assert parts.output() == whole.output()
    assert body.startswith(parts_free)
    assert whole_free == parts_free
    assert (whole.output().text or "").startswith(parts.shown("text"))
    assert all(event.terminated for event in EventReader().feed(parts_free))


@pytest.mark.parametrize("unit", ["word ", "<", " ", "{", "\n@", "```\n"])
def test_a_long_answer_in_small_pieces(unit: str) -> None:
    request = read_request({"messages": MESSAGES, "tools": TOOLS})
    answer = StreamedAnswer(request.tools, lambda tag: False)
    for _ in range(2_000):
        answer.feed(chunk({"content": unit}))
    answer.close()
    assert answer.output().text == unit * 2_000
