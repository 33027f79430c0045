"""Streamed chat completions: deltas of every shape, and chunks written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability.adapters.openai_response import read_response
from gptme_reliability.adapters.openai_stream import StreamReader, write_delta, write_end
from gptme_reliability.types import Call

# --- streams ----------------------------------------------------------------------------------


def delta(*calls: dict[str, Any], **rest: Any) -> dict[str, Any]:
    said = {**rest, **({"tool_calls": list(calls)} if calls else {})}
    return {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}


def piece(
    name: Any = None, arguments: Any = None, index: Any = 0, call_id: Any = None
) -> dict[str, Any]:
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    entry = {"index": index, "id": call_id, "function": function}
    return {k: v for k, v in entry.items() if v is not None}


A, B = '{"place": "a"}', '{"place": "b"}'

STREAMS: list[tuple[str, list[dict[str, Any]], list[tuple[Any, Any]], bool]] = [
    ("plain", [delta(piece("look", "", 0, "i")), delta(piece(None, A))], [("look", A)], True),
    (
        "two in order",
        [delta(piece("look", A, 0, "i")), delta(piece("look", B, 1, "j"))],
        [("look", A), ("look", B)],
        True,
    ),
    (
        "interleaved",
        [
            delta(piece("look", A[:4], 0, "i")),
            delta(piece("look", B[:4], 1, "j")),
            delta(piece(None, A[4:], 0), piece(None, B[4:], 1)),
        ],
        [("look", A), ("look", B)],
        False,
    ),
    ("no id", [delta(piece("look", A, 0))], [("look", A)], False),
    (
        "id later",
        [delta(piece("look", "", 0)), delta(piece(None, A, 0, "i"))],
        [("look", A)],
        False,
    ),
    (
        "split name",
        [delta(piece("lo", "", 0, "i")), delta(piece("ok", "")), delta(piece(None, A))],
        [("look", A)],
        False,
    ),
    (
        "repeated name",
        [delta(piece("look", A[:3], 0, "i")), delta(piece("look", A[3:], 0, "i"))],
        [("look", A)],
        False,
    ),
    (
        "growing name",
        [delta(piece("lo", "", 0, "i")), delta(piece("look", A, 0))],
        [("look", A)],
        False,
    ),
    (
        "a new id with every piece",
        [delta(piece("look", A[:3], 0, "i")), delta(piece(None, A[3:], 0, "j"))],
        [("look", A)],
        True,
    ),
    (
        "all at index 0",
        [delta(piece("look", A, 0, "i")), delta(piece("look", B, 0, "j"))],
        [("look", A), ("look", B)],
        True,
    ),
    (
        "all at index 0 without ids",
        [delta(piece("look", A, 0)), delta(piece("shell", B, 0))],
        [("look", A), ("shell", B)],
        False,
    ),
    (
        "no index",
        [delta(piece("look", A[:3], None, "i")), delta(piece(None, A[3:], None))],
        [("look", A)],
        False,
    ),
    (
        "no index, two at once",
        [delta(piece("look", A, None), piece("look", B, None))],
        [("look", A), ("look", B)],
        False,
    ),
    ("object", [delta(piece("look", {"place": "a"}, 0, "i"))], [("look", {"place": "a"})], False),
    (
        "the whole call again at the end",
        [delta(piece("look", A, 0, "i")), delta(piece("look", A, 0, "i"))],
        [("look", A)],
        False,
    ),
    (
        "legacy",
        [
            delta(function_call={"name": "look", "arguments": ""}),
            delta(function_call={"arguments": A}),
        ],
        [("look", A)],
        False,
    ),
    (
        "text behind a call",
        [delta(piece("look", A, 0, "i")), delta(content="x")],
        [("look", A)],
        False,
    ),
]


@pytest.mark.parametrize(
    ("chunks", "expected", "readable"), [s[1:] for s in STREAMS], ids=[s[0] for s in STREAMS]
)
def test_deltas_of_every_shape_come_together(
    chunks: list[dict[str, Any]], expected: list[tuple[Any, Any]], readable: bool
) -> None:
    reader = StreamReader(["look", "shell"])
    for chunk in chunks:
        reader.feed(chunk)
    calls = [raw["function"] for raw in reader.output().tool_calls]
    assert [(function["name"], function["arguments"]) for function in calls] == expected
    assert reader.host_readable is readable


def test_a_stream_says_as_much_as_a_whole_answer() -> None:
    reader = StreamReader()
    reader.feed({"model": "m", "id": "i", **delta(reasoning="so "), "usage": {"total_tokens": 1}})
    reader.feed(delta(reasoning="be it"))
    reader.feed(delta(content="Hel"))
    reader.feed({**delta(content="lo"), "usage": {"total_tokens": 2}})
    reader.feed({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    output = reader.output()
    assert (output.reasoning, output.text, output.finish_reason) == ("so be it", "Hello", "stop")
    assert (reader.reasoning_key, reader.usage) == ("reasoning", {"total_tokens": 2})
    assert reader.template == {"model": "m", "id": "i"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["choices", "delta", "tool_calls", "function", "name", "id", "index"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_chunk_breaks_the_reader(chunk: Any) -> None:
    reader = StreamReader(["look"])
    shapes = [chunk, delta(content=chunk), delta(piece(chunk, chunk, chunk, chunk))]
    shapes.append({"choices": [{"delta": {"tool_calls": chunk}}]})
    for shape in shapes:
        if isinstance(shape, dict):
            reader.feed(shape)
            reader.feed(shape)
    reader.output()
    read_response({"choices": [{"message": chunk}]})


def test_written_chunks_are_read_back() -> None:
    calls = (Call("look", {"place": "ä"}, "a"), Call("shell", {"command": "x"}, "b"))
    template = {"id": "i", "model": "m"}
    chunks = [
        write_delta(template, "reasoning", "so"),
        write_delta(template, "content", "hi"),
        *write_end(
            template, calls=calls, finish_reason="stop", usage={"total_tokens": 1}, extras={}
        ),
    ]
    reader = StreamReader()
    for chunk in chunks:
        reader.feed(json.loads(json.dumps(chunk)))
    output = reader.output()
    assert (output.text, output.reasoning, output.finish_reason) == ("hi", "so", "tool_calls")
    assert [json.loads(c["function"]["arguments"]) for c in output.tool_calls] == [
        {"place": "ä"},
        {"command": "x"},
    ]
    assert reader.host_readable
    assert chunks[-1]["choices"] == []


@pytest.mark.parametrize("arguments", ["}", "{}", '{"a":1}', "{", "x"])
def test_many_deltas_are_one_call(arguments: str) -> None:
    reader = StreamReader(["look"])
    for _ in range(2_000):
        reader.feed(delta(piece("look", arguments, 0, "i")))
    (found,) = reader.output().tool_calls
    assert found["function"]["name"] == "look"
    assert (arguments * 2_000).endswith(found["function"]["arguments"])
