"""What ``encode`` writes, ``check`` reads back: the same calls, and no repair."""

from __future__ import annotations

import json
import math
import re
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

# gptme's own text formats are no calls for ``check``; they have tests of their own.
_DIALECTS = [dialect for dialect in ENCODERS if dialect not in ("gptme_markdown", "gptme_xml")]
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
    written = encode([Call("run", item) for item in arguments], dialect, [_TOOL])
    verdict = check(ModelOutput(written), [_TOOL])
    assert isinstance(verdict, Accept), (written, verdict)
    assert [call.arguments for call in verdict.calls] == list(arguments), written
    assert verdict.repairs == () and verdict.refused == () and verdict.text == "", written


@pytest.mark.parametrize("dialect", _DIALECTS)
@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row["id"])
def test_awkward_values_read_back(row: dict[str, Any], dialect: str) -> None:
    if dialect in row.get("refused", {}):
        with pytest.raises(EncodingError, match=re.escape(row["refused"][dialect])):
            _assert_read_back(row["arguments"], dialect)
    else:
        _assert_read_back(row["arguments"], dialect)


@pytest.mark.parametrize("dialect", _DIALECTS)
@given(arguments=st.lists(_arguments, min_size=1, max_size=3, unique_by=repr))
def test_any_calls_read_back(dialect: str, arguments: list[dict[str, Any]]) -> None:
    try:
        _assert_read_back(arguments, dialect)
    except EncodingError:
        # Only a dialect of bare text may refuse a value, and only for tags inside it or for an
        # end that would be one line end with the marker's.
        texts = [str(item.get("text")) for item in arguments]
        assert dialect == "qwen3_coder"
        assert any("<" in text or text.endswith("\r") for text in texts)


@pytest.mark.parametrize(
    ("schema", "value", "carried"),
    [
        ({"type": "string"}, "5", True),
        ({"type": "string"}, "null", True),
        ({"type": "string"}, "\r\n x", True),
        ({"type": "string"}, "x\r", False),
        ({"type": "integer"}, 5, True),
        ({"type": ["string", "null"]}, None, True),
        ({"type": ["string", "null"]}, "null", False),
        ({"type": ["string", "integer"]}, "5", True),
        ({"type": ["string", "integer"]}, 5, False),
        ({}, "5", True),
        ({}, 5, False),
        ({"type": "boolean"}, True, True),
        ({"type": "array", "items": {"type": "string"}}, ["</parameter>\n</function>"], True),
        ({"type": "object"}, {"a": [1.0, None]}, True),
    ],
)
def test_bare_text_is_typed_by_the_schema(schema: Any, value: Any, carried: bool) -> None:
    tool = ToolDefinition("run", {"type": "object", "properties": {"value": schema}})
    calls = [Call("run", {"value": value})]
    if not carried:
        with pytest.raises(EncodingError, match=r"run: \$\.value would be read otherwise"):
            encode(calls, "qwen3_coder", [tool])
        return
    verdict = check(ModelOutput(encode(calls, "qwen3_coder", [tool])), [tool])
    assert isinstance(verdict, Accept) and verdict.repairs == ()
    assert verdict.calls[0].arguments == {"value": value}
    assert type(verdict.calls[0].arguments["value"]) is type(value)


def test_bare_text_needs_the_definition() -> None:
    with pytest.raises(EncodingError, match=r"run: qwen3_coder.*definition"):
        encode([Call("run", {"text": "x"})], "qwen3_coder")


def test_the_spelling_of_qwen3_coder() -> None:
    written = encode([Call("run", {"text": "a\nb", "count": 2})], "qwen3_coder", [_TOOL])
    assert written == (
        "<tool_call>\n<function=run>\n<parameter=text>\na\nb\n</parameter>\n"
        "<parameter=count>\n2\n</parameter>\n</function>\n</tool_call>"
    )


@pytest.mark.parametrize("dialect", ["hermes", "mistral", "pythonic", "gptme"])
def test_ordinary_text_reads_as_it_is(dialect: str) -> None:
    text = "if a[0] < b | c > `d`: print('é☃ 東京 😀')  # @home"
    assert text in encode([Call("run", {"text": text})], dialect)


@pytest.mark.parametrize("dialect", ["hermes", "mistral", "pythonic", "gptme"])
@pytest.mark.parametrize("marker", ["</tool_call>", "[TOOL_CALLS]", "</think>", "<|im_end|>"])
def test_a_marker_never_stands_in_a_string(marker: str, dialect: str) -> None:
    text = encode([Call("run", {"text": f"<{marker}{marker}"})], dialect)
    assert text.count(marker) == encode([Call("run", {"text": ""})], dialect).count(marker)


def test_half_a_character_needs_an_escape() -> None:
    _assert_read_back([{"text": "a\ud83d"}], "hermes")
    with pytest.raises(EncodingError, match=r"\$\.text holds half a character"):
        encode([Call("run", {"text": "a\ud83d"})], "qwen3_coder", [_TOOL])
    # JSON reads two halves in a row as one character.
    with pytest.raises(EncodingError, match=r"\$\.text"):
        encode([Call("run", {"text": "\ud83d\ude00"})], "hermes")


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
