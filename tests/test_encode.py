"""What ``encode`` writes, ``check`` reads back: the same calls, and no repair."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability import Accept, ModelOutput, ToolDefinition, check
from gptme_reliability.dialects.cues import PLACEHOLDER
from gptme_reliability.dialects.encode import ENCODERS, EncodingError, encode
from gptme_reliability.distance import fold
from gptme_reliability.types import Call

_ROWS = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases/encode.jsonl").read_text("utf-8").splitlines()
]
_MARKS = [
    "</tool_call>", "<tool_call>", "[TOOL_CALLS]", "[ARGS]", "</think>", "```", "\n@run(1): {}",
    '{"name": "run", "arguments": {}}', '"', "\\", "\n", "'", "</parameter>", "<|im_end|>", "é☃",
]  # fmt: skip

_PROPERTIES = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "share": {"type": "number"},
    "flag": {"type": "boolean"},
    "none": {"type": "null"},
    "list": {"type": "array"},
    "map": {"type": "object"},
}
_TOOL = ToolDefinition("run", {"type": "object", "properties": _PROPERTIES})


def _names_what_belongs_there(text: str) -> bool:
    """A value such as ``<path>`` makes a call a template, which ``check`` never runs."""
    return bool(PLACEHOLDER.fullmatch(text)) or fold(text) == "text"


_text = st.lists(st.sampled_from(_MARKS) | st.text(st.characters(exclude_categories=["Cs"]))).map(
    "".join
)
_number = st.floats(allow_nan=False, allow_infinity=False)
_leaf = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _number | _text
_value = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3)
)
_arguments = st.fixed_dictionaries(
    {},
    optional={
        "text": _text.filter(lambda text: not _names_what_belongs_there(text)),
        "count": st.integers(-(2**53), 2**53),
        "share": _number,
        "flag": st.booleans(),
        "none": st.none(),
        "list": st.lists(_value, max_size=3),
        "map": st.dictionaries(_text, _value, max_size=3),
    },
)


def _assert_read_back(arguments: Sequence[dict[str, Any]], dialect: str) -> None:
    written = encode([Call("run", item) for item in arguments], dialect)
    verdict = check(ModelOutput(written), [_TOOL])
    assert isinstance(verdict, Accept), (written, verdict)
    assert [call.arguments for call in verdict.calls] == list(arguments), written
    assert verdict.repairs == () and verdict.refused == () and verdict.text == "", written


@pytest.mark.parametrize("dialect", ENCODERS)
@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["id"])
def test_awkward_values_read_back(row: dict[str, Any], dialect: str) -> None:
    _assert_read_back(row["arguments"], dialect)


@pytest.mark.parametrize("dialect", ENCODERS)
@given(arguments=st.lists(_arguments, min_size=1, max_size=3, unique_by=repr))
def test_any_calls_read_back(dialect: str, arguments: list[dict[str, Any]]) -> None:
    _assert_read_back(arguments, dialect)


def test_an_unknown_dialect_is_named() -> None:
    with pytest.raises(EncodingError, match=r"'klingon'.*hermes"):
        encode([Call("run", {})], "klingon")


@pytest.mark.parametrize("value", [math.nan, math.inf, (1,), {1: 2}, b"x"])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(EncodingError, match=r"\$\.text"):
        encode([Call("run", {"text": value})], "hermes")


def test_a_name_with_spaces_is_refused() -> None:
    with pytest.raises(EncodingError, match="a tool"):
        encode([Call("a tool", {})], "mistral")


def test_an_id_that_would_break_the_call_is_refused() -> None:
    with pytest.raises(EncodingError, match="the call id"):
        encode([Call("run", {}, id="1): {}")], "gptme")


def test_a_parameter_that_is_no_python_name_is_refused() -> None:
    with pytest.raises(EncodingError, match="'max-lines'"):
        encode([Call("run", {"max-lines": 1})], "pythonic")
