"""Types guided by the schema: the table of what is mended and what is not, and its laws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gptme_reliability.repair.arguments import coerce, fill, unwrap
from gptme_reliability.repair.reading import Reading, same
from gptme_reliability.repair.syntax import read_value

FUNCTIONS = {"coerce": coerce, "fill": fill, "unwrap": unwrap}
CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "arguments.jsonl")
    .read_text("utf-8")
    .splitlines()
]

WORDS = st.sampled_from(
    ["5", "5.0", "true", "None", "null", "a", "A", "a b", "", '["a"]', '{"a": "5"}', "[1", "x, y"]
)
SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, -2.25]) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b", "c", "arguments"]), VALUES, max_size=4)
TYPES = st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"])
LEAVES = (
    TYPES.map(lambda name: {"type": name})
    | st.lists(TYPES, min_size=1, max_size=3, unique=True).map(lambda names: {"type": names})
    | st.lists(SCALARS, min_size=1, max_size=3).map(lambda values: {"enum": values})
    | st.sampled_from([{}, {"const": "a"}, {"$ref": "#"}, {"type": "integer", "default": 1}])
)


def _object(members: dict[str, Any], required: list[str], closed: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": members, "required": required}
    return {**schema, "additionalProperties": False} if closed else schema


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    members = st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    return st.builds(
        _object, members, st.lists(st.sampled_from("abc"), max_size=2, unique=True), st.booleans()
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        _objects(inner)
        | inner.map(lambda items: {"type": "array", "items": items})
        | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
        | st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"allOf": parts})
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    """Each value is mended, or left, as the table says."""
    before = json.dumps(case["arguments"])
    value, repairs = FUNCTIONS[case["function"]](case["arguments"], case["schema"])
    assert same(value, case["expected"]), value
    assert [[r.rule, r.path, r.kind] for r in repairs] == case["repairs"]
    assert json.dumps(case["arguments"]) == before


@settings(max_examples=200, deadline=None)
@given(ARGUMENTS, _objects(SCHEMAS))
def test_valid_is_untouched(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    """Arguments that satisfy the schema stay as they are."""
    try:
        assume(Draft202012Validator(schema).is_valid(arguments))
    except RecursionError:
        assume(False)
    value, repairs = coerce(arguments, schema)
    assert same(value, arguments)
    assert repairs == ()
    assert fill(arguments, schema) == (arguments, ())


@settings(max_examples=300, deadline=None)
@given(ARGUMENTS, _objects(SCHEMAS))
def test_coerce_is_idempotent(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    """What was mended once is not mended again, and every change has its repair."""
    once, repairs = coerce(arguments, schema)
    assert bool(repairs) == (not same(once, arguments))
    assert {repair.kind for repair in repairs} <= {"lossless", "inferred"}
    again, more = coerce(once, schema)
    assert same(again, once)
    assert more == ()


@settings(max_examples=200, deadline=None)
@given(ARGUMENTS, _objects(SCHEMAS))
def test_nothing_is_invented(arguments: dict[str, Any], schema: dict[str, Any]) -> None:
    """Names are only added by the schema's own values, and every one is recorded."""
    value, repairs = fill(arguments, schema)
    added = set(value) - set(arguments)
    assert added <= {repair.path.removeprefix("$.") for repair in repairs}
    inner, _ = unwrap(arguments, schema)
    assert inner == arguments or set(arguments) == {"arguments"}


def test_large_arguments() -> None:
    """Many values are mended in one go; branches that multiply come to an end."""
    schema = {
        "type": "object",
        "properties": {"v": {"type": "array", "items": {"type": "integer"}}},
    }
    value, repairs = coerce({"v": [str(n) for n in range(20_000)]}, schema)
    assert value == {"v": list(range(20_000))}
    assert len(repairs) == 20_000
    tree = {
        "type": "object",
        "properties": {
            name: {"anyOf": [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"type": "integer"}]}
            for name in "ab"
        },
    }
    nested: dict[str, Any] = {"a": "x"}
    for _ in range(25):
        nested = {"a": nested, "b": "y"}
    assert coerce(nested, tree) == (nested, ())


@pytest.mark.parametrize("written", ["-0", "+5", "1_000", "0x1F", "0b11", "1e5", "1.10", "5."])
def test_spelling_of_numbers(written: str) -> None:
    """A number becomes text only where its digits are what was written."""
    reading = read_value(f'{{"v": {written}, "n": {written}}}')
    assert isinstance(reading, Reading)
    schema = {
        "type": "object",
        "properties": {"v": {"type": "string"}, "n": {"type": "number"}},
    }
    assert coerce(reading.value, schema) == (reading.value, ())
    choices = {"type": "object", "properties": {"v": {"enum": [str(reading.value["v"]), "x"]}}}
    value, _ = coerce({"v": reading.value["v"]}, choices)
    assert isinstance(reading.value["v"], float) or value == {"v": reading.value["v"]}


ODD = (
    st.none()
    | st.integers(-2, 2)
    | st.sampled_from(["", "x", "object", "string", "#", "#/properties/0", "#/\u00b2"])
    | st.builds(list)
    | st.builds(dict)
    | st.sampled_from([["x"], [["x"]], {1: 2}, [None], {"a": None}, {None: {}}, ("a",), b"a"])
)
ODD_SCHEMAS = st.recursive(
    ODD,
    lambda inner: st.dictionaries(
        st.sampled_from(["type", "properties", "required", "enum", "const", "items", "prefixItems"])
        | st.sampled_from(["anyOf", "oneOf", "allOf", "$ref", "default", "additionalProperties"]),
        inner | st.dictionaries(st.sampled_from(["a", "b", 1]), inner, max_size=2),
        max_size=5,
    ),
    max_leaves=8,
)
ODD_ARGUMENTS = st.dictionaries(
    st.sampled_from(["a", "arguments", 1, None, True, 1.5, (1, 2)]),
    VALUES | ODD | st.dictionaries(st.sampled_from(["a", 1, None]), VALUES, max_size=2),
    max_size=3,
)


@settings(max_examples=500, deadline=None)
@given(ODD_ARGUMENTS, ODD_SCHEMAS)
def test_odd_shapes(arguments: dict[Any, Any], schema: Any) -> None:
    """Nothing raises, whatever the keys, the values and the schema are."""
    for function in FUNCTIONS.values():
        function(arguments, schema)


def test_deep_arguments() -> None:
    """Arguments that are nested too deeply for any schema stay as they are."""
    deep: dict[str, Any] = {}
    for _ in range(2000):
        deep = {"a": deep}
    assert coerce(deep, {"type": "object"})[1] == ()
    assert fill(deep, {"type": "object"})[1] == ()
