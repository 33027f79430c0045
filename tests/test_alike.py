"""Chunks known by their bytes say what they say when they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability.adapters.adapter import Heard
from gptme_reliability.adapters.openai_adapter import OPENAI, OpenAIReader


def like(text: str, **delta: Any) -> str:
    choice = {"index": 0, "delta": {**delta, "content": text}, "finish_reason": None}
    chunk = {"id": "c-1", "model": "tiny", "choices": [choice]}
    return json.dumps(chunk, ensure_ascii=False, separators=(",", ":"))


def state(reader: OpenAIReader) -> tuple[Any, ...]:
    return reader.output(), reader.usage, reader.template, reader.host_readable


def listen(datas: list[str], *, known: bool) -> tuple[list[Heard], list[bool], OpenAIReader]:
    """What the chunks say, which of them were known, and the reader that took them."""
    reader = OPENAI.reader(["look"])
    said, again = [], []
    for data in datas:
        text = reader.hear_again(data) if known else None
        again.append(text is not None)
        heard = Heard((("text", text),)) if text is not None else None
        said.append(heard or reader.hear(json.loads(data), data))
    return said, again, reader


def same(datas: list[str]) -> list[bool]:
    """Which chunks were known; all of them must say what they say when they are read."""
    said, again, reader = listen(datas, known=True)
    read, _, plain = listen(datas, known=False)
    assert said == read
    assert state(reader) == state(plain)
    return again


CALL = json.dumps(
    {
        "id": "c-1",
        "model": "tiny",
        "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1"}]}}],
    }
)


@pytest.mark.parametrize(
    ("datas", "known"),
    [
        ([like("The"), like(" hall"), like(" is")], [False, True, True]),
        ([like("The"), like('a "b"'), like("\n"), like(" is")], [False, False, False, True]),
        ([like(""), like("The"), like(""), like(" is")], [False, False, False, True]),
        # The first place of these bytes is another one: nothing is known by it.
        ([like("c-1"), like("The"), like("x")], [False, False, True]),
        ([like("content"), like(":"), like("The"), like("x")], [False, False, False, True]),
        ([like("assistant", role="assistant"), like("x", role="assistant")], [False, False]),
        # A call came in between: what follows is known, and not readable for every host.
        ([like("The"), CALL, like(" is")], [False, False, True]),
        ([like("The"), like("x", reasoning="hm"), like("y")], [False, False, True]),
        (
            [like("The"), like("x").replace("tiny", "big"), like("y"), like("z")],
            [False] * 3 + [True],
        ),
        ([like("x", reasoning="hm"), like("y", reasoning="hm")], [False, False]),
        ([like("x", refusal="no"), like("y", refusal="no")], [False, False]),
        # The last of two equal keys counts.
        ([like("x").replace('"content"', '"content": "x", "content"'), like("y")], [False, False]),
        (
            [like(text).replace("null}", 'null, "delta": {"content": "x"}}') for text in "xy"],
            [False, False],
        ),
        ([like(text).replace('"c-1"', "NaN") for text in "xy"], [False, True]),
        ([like(text).replace('"c-1"', f'"{text}-1"') for text in "xyz"], [False] * 3),
        ([like(text).replace("null", '"stop"') for text in "xy"], [False, False]),
        ([like(text)[:-1] + ', "usage": {"total_tokens": 3}}' for text in "xy"], [False, False]),
    ],
)
def test_which_chunks_are_known(datas: list[str], known: list[bool]) -> None:
    assert same(datas) == known


def test_where_no_two_are_alike_it_is_given_up() -> None:
    differing = [like("x").replace("c-1", f"c-{number}") for number in range(10)]
    assert not any(same([*differing, like("x"), like("y")]))


PIECES = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["c-1", "content", ":", ",", "\\u0000", '","role":"', "delta", "\0", "tiny"]),
)


@given(st.lists(st.tuples(PIECES, st.booleans()), max_size=8))
def test_whatever_the_texts_are(pieces: list[tuple[str, bool]]) -> None:
    same([like(text, role="assistant") if role else like(text) for text, role in pieces])


@given(st.text(alphabet='"\\,:{}[] x0', max_size=12))
def test_what_is_no_json_is_not_known(middle: str) -> None:
    reader = OPENAI.reader([])
    first = like("The")
    reader.hear(json.loads(first), first)
    data = first.replace('"The"', f'"{middle}"')
    text = reader.hear_again(data)
    if text is not None:
        assert text == json.loads(data)["choices"][0]["delta"]["content"]
