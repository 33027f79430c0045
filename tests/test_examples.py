"""Examples of right calls, made from schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from feedback_rows import INTEGER, PLAN
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import STRING, tool

from gptme_reliability import ToolDefinition
from gptme_reliability.examples import example
from gptme_reliability.validate import validate

SCHEMAS: list[dict[str, Any]] = [
    *PLAN.parameters["properties"].values(),
    {"type": "string", "default": "x"},
    {"type": "string", "examples": ["Lima"]},
    {"$ref": "#/$defs/place"},
    {"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": INTEGER}}]},
    {"anyOf": [{"type": "null"}, INTEGER]},
    {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 3, "items": STRING},
    {"type": "array", "items": INTEGER, "maxItems": 0},
    {"type": "integer", "minimum": 7, "multipleOf": 5},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "exclusiveMinimum": 0.5, "exclusiveMaximum": 2.5},
    {"type": "number", "maximum": 0.25},
    {"type": "boolean"},
    {"type": "null"},
    {},
]


@pytest.mark.parametrize("schema", [s for s in SCHEMAS if s not in (False, {"type": "string"})])
def test_an_example_is_right(schema: dict[str, Any]) -> None:
    """It satisfies the schema that it comes from, patterns and such aside."""
    if not {"pattern", "minProperties", "oneOf"}.isdisjoint(schema):
        return
    parameters = {
        "type": "object",
        "properties": {"value": schema},
        "required": ["value"],
        "$defs": {"place": {"type": "object", "properties": {"x": INTEGER}, "required": ["x"]}},
    }
    made = ToolDefinition("take", parameters)
    assert validate(example(made), made) == []


def test_an_example_shows_what_was_wrong() -> None:
    """The required arguments, and the one in question."""
    assert example(PLAN) == {"hours": 1}
    assert example(PLAN, ["kind"]) == {"hours": 1, "kind": "small"}
    assert example(PLAN, ["nosuch"]) == {"hours": 1}
    assert example(ToolDefinition("noop")) == {}


def schemas_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings that look like schemas, whatever their keywords hold."""
    keywords = ["type", "properties", "required", "items", "enum", "const", "default", "anyOf"]
    keywords += ["allOf", "$ref", "minimum", "maximum", "multipleOf", "minItems", "prefixItems"]
    keywords += ["minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "a"]
    return st.dictionaries(st.sampled_from(keywords), inner, max_size=5)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.sampled_from(["object", "array", "integer", "string", "#/properties/a", "a"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), schemas_of(inner)),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(schemas_of(json_values))
def test_no_schema_breaks_an_example(schema: dict[str, Any]) -> None:
    """Whatever it says, there is an example that JSON can say."""
    made = ToolDefinition("take", {"properties": {"a": schema}, "required": ["a"]})
    assert json.dumps(example(made))
    assert json.dumps(example(ToolDefinition("take", schema)))


def test_a_schema_that_refers_to_itself_has_an_example() -> None:
    """It ends."""
    branch = {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 8}
    node = {"type": "object", "properties": {"next": branch}, "required": ["next"]}
    made = tool("tree", {"node": {"$ref": "#/$defs/node"}}, ["node"])
    endless = ToolDefinition("tree", {**made.parameters, "$defs": {"node": node}})
    assert len(json.dumps(example(endless))) < 5_000
    loop = ToolDefinition("l", {**made.parameters, "$defs": {"node": {"$ref": "#/$defs/node"}}})
    assert example(loop)
