"""Anthropic's API and the bridge to OpenAI's, without any I/O."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from anthropic_world import OFFER, begin, blocks, end, event, text, thinking, use
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import DONE, ROLE, USAGE, call_chunks, chunk, text_chunks

from gptme_reliability.adapters.anthropic_adapter import Anthropic
from gptme_reliability.adapters.anthropic_response import stop_word
from gptme_reliability.adapters.anthropic_stream import AnthropicReader
from gptme_reliability.adapters.bridge_answer import Translator, to_error, to_message
from gptme_reliability.adapters.bridge_request import to_openai
from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.errors import InputError
from gptme_reliability.surfaces.streaming import StreamedAnswer
from gptme_reliability.types import Accept, Call, ToolDefinition

WORDS = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=3,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=3)
IDS = st.sampled_from(["toolu_1", "toolu_2", "toolu_3"])
BLOCKS = st.one_of(
    WORDS.map(text),
    st.builds(lambda given, name, call_id: use(name, given, call_id), OBJECTS, WORDS, IDS),
    WORDS.map(thinking),
    st.builds(
        lambda content, call_id: {
            "type": "tool_result",
            "tool_use_id": call_id,
            "content": content,
            "cache_control": {"type": "ephemeral"},
        },
        WORDS | st.lists(WORDS.map(text), max_size=2),
        IDS,
    ),
    st.just({"type": "never_heard_of", "x": [1]}),
)
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": WORDS | st.lists(BLOCKS, max_size=4),
    },
    optional={"odd": JSON},
)
CHOICES = st.sampled_from(
    [{"type": "auto"}, {"type": "any"}, {"type": "none"}, {"type": "tool", "name": "look"}]
)
BODIES = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGES, max_size=4), "model": WORDS, "max_tokens": st.integers(1, 9)},
    optional={
        "system": st.just("You look.") | st.just([{**text("You look."), "odd": 1}]),
        "tools": st.just([*OFFER, {"type": "web_search_20250305", "name": "web_search"}]),
        "temperature": st.floats(0, 1),
        "odd": JSON,
    },
)


@given(BODIES, CHOICES)
def test_what_is_not_changed_is_written_as_it_was_read(body: dict[str, Any], choice: Any) -> None:
    if "tools" in body:
        body["tool_choice"] = {**choice, "disable_parallel_tool_use": True}
    adapter = Anthropic()
    assert adapter.write_request(adapter.read_request(body)) == body


@given(st.lists(JSON | st.dictionaries(st.sampled_from(["role", "content"]), JSON), max_size=3))
def test_strange_messages_are_refused_or_read(messages: list[Any]) -> None:
    adapter = Anthropic()
    try:
        request = adapter.read_request({"messages": messages})
    except (InputError, KeyError):
        return
    assert adapter.write_request(request)["messages"] == messages


KINDS = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "ping", "odd"),
    ]
)
TYPES = st.sampled_from(["text", "thinking", "tool_use", "redacted_thinking", "server_tool_use"])
DELTAS = st.sampled_from(
    ["text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "x"]
)
EVENTS = st.fixed_dictionaries(
    {"type": KINDS},
    optional={
        "index": st.integers(0, 2) | JSON,
        "message": OBJECTS | JSON,
        "usage": OBJECTS | JSON,
        "content_block": st.fixed_dictionaries(
            {"type": TYPES}, optional={"text": JSON, "id": JSON, "name": JSON, "input": JSON}
        )
        | JSON,
        "delta": st.fixed_dictionaries(
            {"type": DELTAS},
            optional={
                "text": JSON,
                "thinking": JSON,
                "partial_json": JSON,
                "signature": JSON,
                "stop_reason": st.sampled_from(["end_turn", "tool_use", "pause_turn"]) | JSON,
            },
        )
        | JSON,
    },
)


@given(st.lists(EVENTS, max_size=8))
def test_no_event_breaks_the_reader_or_the_writer(events: list[dict[str, Any]]) -> None:
    adapter = Anthropic()
    reader, writer = adapter.reader(()), adapter.writer("m", 0)
    for chunk_ in events:
        reader.hear(chunk_)
    writer.passed(reader, b"".join(map(event, events)))
    output = reader.output()
    writer.said({}, reader, [("text", "a"), ("reasoning", "b")])
    raw = writer.end({}, reader, output, (Call("look", {}, "x"),), None)
    assert b"tool_use" in raw and raw.endswith(b"\n\n")


ANSWER = b"".join(
    [
        *begin(),
        *blocks([thinking("Hm."), text("I look é around now."), use("look", {"place": "hall"})]),
        *end("tool_use"),
    ]
)


@given(st.lists(st.integers(0, len(ANSWER)), max_size=6))
def test_any_pieces_give_the_same_answer(cuts: list[int]) -> None:
    tools = [ToolDefinition("look")]
    answer = StreamedAnswer(tools, lambda tag: False, adapter=Anthropic())
    places = [0, *sorted(cuts), len(ANSWER)]
    free = b"".join(answer.feed(ANSWER[a:b]) for a, b in pairwise(places))
    assert ANSWER.startswith(free) and answer.shown("text").startswith("I look")
    output = answer.output()
    assert output.text == "I look é around now." and output.reasoning == "Hm."
    (call,) = output.tool_calls
    assert json.loads(call["function"]["arguments"]) == {"place": "hall"}
    assert output.finish_reason == "tool_use" and answer.ended and answer.host_readable


def test_many_blocks_and_deltas_take_linear_work() -> None:
    """Deltas for the first of very many blocks; quadratic work would be felt."""
    reader = AnthropicReader()
    for index in range(20_000):
        block = {"type": "text", "text": ""}
        reader.hear({"type": "content_block_start", "index": index, "content_block": block})
        delta = {"type": "text_delta", "text": "x"}
        reader.hear({"type": "content_block_delta", "index": 0, "delta": delta})
    assert reader.output().text == "x" * 20_000


# --- the bridge ---------------------------------------------------------------------------

STREAMS = {
    "plain": [ROLE, *text_chunks("I look."), *call_chunks(0, "look", '{"place": "a"}', "a")],
    "same_index": [
        *call_chunks(0, "look", '{"place": "a"}', "a"),
        *call_chunks(0, "look", '{"place": "b"}', "b"),
    ],
    "name_in_pieces": [
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "lo"}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"name": "ok", "arguments": "{}"}}]}),
    ],
    "legacy": [chunk({"function_call": {"name": "look", "arguments": "{}"}})],
    "no_id": [chunk({"tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]})],
    "broken": [*call_chunks(0, "look", '{"place": "a', "a")],
    "no_name": [*call_chunks(0, "", '{"place": "a"}', "a")],
    "text_last": [*call_chunks(0, "look", "{}", "a"), *text_chunks("So.")],
    "twice": [*call_chunks(0, "look", '{"place": "a", "place": "b"}', "a")],
}


@pytest.mark.parametrize("finish", [b"", chunk({}, "tool_calls"), chunk({}, "length")])
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("name", STREAMS)
def test_the_bridge_loses_nothing_of_a_stream(name: str, size: int, finish: bytes) -> None:
    """What is read behind it is what would be read before it."""
    raw = b"".join(STREAMS[name]) + finish + (USAGE + DONE if finish else b"")
    before, after = OPENAI.reader(["look"]), AnthropicReader()
    for one in EventReader().feed(raw):
        if one.data and not one.done:
            before.hear(json.loads(one.data))
    translator, events = Translator(["look"]), EventReader()
    written = b"".join(translator.feed(raw[at : at + size]) for at in range(0, len(raw), size))
    ended = False
    for one in events.feed(written + translator.close()):
        ended = after.hear(json.loads(one.data or "")).ended or ended
    was, is_now = before.output(), after.output()
    assert (is_now.text, is_now.reasoning) == (was.text, was.reasoning)
    assert [_said(call) for call in is_now.tool_calls] == [_said(call) for call in was.tool_calls]
    assert ended is bool(finish)
    words = {None: None, "tool_calls": "tool_use", "length": "max_tokens"}
    assert is_now.finish_reason == words[was.finish_reason]


def _said(call: Any) -> tuple[Any, Any, Any]:
    return call["id"] or None, call["function"]["name"] or "", call["function"]["arguments"]


@given(st.lists(OBJECTS | EVENTS, max_size=6), st.booleans())
def test_no_chunk_breaks_the_bridge(chunks: list[dict[str, Any]], done: bool) -> None:
    raw = b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
    translator = Translator()
    written = translator.feed(raw + (DONE if done else b"")) + translator.close()
    for one in EventReader().feed(written):
        assert one.data is None or json.loads(one.data)["type"] == one.name


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ('{"place": "a"}', {"place": "a"}),
        ({"place": "a"}, {"place": "a"}),
        ('{"place": "a', '{"place": "a'),
        ('{"place": "a", "place": "b"}', '{"place": "a", "place": "b"}'),
        ("{'place': 'a'}", "{'place': 'a'}"),
        ("[1]", "[1]"),
        (None, None),
    ],
)
def test_arguments_are_an_object_where_they_are_nothing_else(arguments: Any, given: Any) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": arguments}}
    message = to_message({"choices": [{"message": {"tool_calls": [call]}}]})
    assert message is not None
    (block,) = message["content"]
    assert block["input"] == given
    (read,) = Anthropic().read_answer(message).tool_calls
    assert Anthropic().host_readable(message) is isinstance(given, dict)
    assert read["id"] == "a"


@pytest.mark.parametrize(
    ("finish", "calls", "expected"),
    [
        ("max_tokens", 1, "tool_use"),
        ("max_tokens", 0, "max_tokens"),
        ("length", 0, "max_tokens"),
        ("aborted", 0, "max_tokens"),
        ("content_filter", 0, "refusal"),
        ("stop_sequence", 0, "stop_sequence"),
        ("tool_use", 0, "end_turn"),
        (None, 0, "end_turn"),
    ],
)
def test_the_stop_reason_says_what_is_there(finish: Any, calls: int, expected: str) -> None:
    assert stop_word(finish, (Call("look", {}, "a"),) * calls) == expected


@pytest.mark.parametrize(
    ("raw", "openai", "anthropic"),
    [
        (b'{"error": {"message": "m"}}', {"message": "m"}, {"message": "m"}),
        (b'\xef\xbb\xbf{"error": {"message": "m"}}', {"message": "m"}, {"message": "m"}),
        (b'{"error": "m"}', "m", {"type": "api_error", "message": "{'error': 'm'}"}),
        (b"<html>", {"message": "<html>"}, {"type": "api_error", "message": "<html>"}),
        (b"x" * 9_000, {"message": "x" * 4096}, {"type": "api_error", "message": "x" * 4096}),
    ],
)
def test_an_error_is_an_event_that_the_sdk_raises_from(
    raw: bytes, openai: Any, anthropic: dict[str, Any]
) -> None:
    (one,) = EventReader().feed(OPENAI.error_event(raw))
    (other,) = EventReader().feed(Anthropic().error_event(raw))
    assert json.loads(one.data or "") == {"error": openai}
    assert other.name == "error"
    assert json.loads(other.data or "") == {"type": "error", "error": anthropic}


@given(JSON)
def test_no_body_breaks_the_bridge(body: Any) -> None:
    to_message(body)
    to_error(500, json.dumps(body).encode())
    to_message({"choices": [{"message": body, "finish_reason": body}], "usage": body})


@given(BODIES | OBJECTS, st.lists(OBJECTS, max_size=2))
def test_every_request_is_translated_or_refused(body: dict[str, Any], tools: list[Any]) -> None:
    try:
        written = to_openai({**body, "tools": tools} if tools else body)
    except InputError as error:
        assert str(error)
        return
    OPENAI.read_request(written)


def test_cached_tokens_are_counted_apart() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    message = to_message({"choices": [{"message": {"content": "a"}}], "usage": usage})
    assert message is not None
    found = message["usage"]
    assert (found["input_tokens"], found["cache_read_input_tokens"]) == (2, 8)


def test_a_changed_text_keeps_the_parts_that_still_hold() -> None:
    cited = {**text("The sky is blue."), "citations": [{"url": "u"}]}
    other = {"type": "web_search_tool_result", "content": []}
    body = {"content": [cited, other, text(" And <leaked>")], "stop_reason": "end_turn"}
    written = Anthropic().write_answer(
        body, Accept((), "The sky is blue. And"), "The sky is blue. And", None, None, "m"
    )
    assert written["content"] == [cited, other, text(" And")]
