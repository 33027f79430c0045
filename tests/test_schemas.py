"""Schemas as hosts write them: read as meant, used, and written to the server as they should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from laws import native
from recording_host import RecordingHost, ask, sdk
from scripted_server import TOOLS, call, completion, serving

from gptme_reliability import Accept, ModelOutput, Policy, Retry, ToolDefinition, check, schemas
from gptme_reliability.adapters.openai_request import mend_tools
from gptme_reliability.repair.reading import same
from gptme_reliability.schemas import as_meant
from gptme_reliability.type_names import type_schema
from gptme_reliability.validate import validate


def rows(name: str) -> list[Any]:
    text = (Path(__file__).parent / "cases" / name).read_text("utf-8")
    return [pytest.param(row, id=row["id"]) for row in map(json.loads, text.splitlines())]


def tool(parameters: Any) -> ToolDefinition:
    return ToolDefinition.from_openai({"name": "use", "parameters": parameters})


# --- used -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("schemas.jsonl"))
def test_arguments_are_held_against_what_the_schema_means(row: dict[str, Any]) -> None:
    output = ModelOutput(tool_calls=[call("use", row["written"])])
    verdict = check(output, [tool(row["parameters"])], Policy(retries=1))
    if "violates" in row:
        assert isinstance(verdict, Retry)
        assert sorted({v.rule for v in verdict.violations}) == sorted(row["violates"])
        return
    assert isinstance(verdict, Accept), verdict
    assert same(dict(verdict.calls[0].arguments), row["arguments"])
    assert sorted(r.rule for r in verdict.repairs) == sorted(row["repairs"])


@pytest.mark.parametrize(
    ("schema", "written", "phrase"),
    [
        ({"type": "integer", "minimum": 3}, 1, "must be at least 3"),
        ({"type": "integer", "maximum": 3}, 9, "must be at most 3"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "A", "^[a-z]+$"),
        ({"type": "string", "minLength": 2}, "a", "at least 2 characters"),
        ({"const": "on"}, "off", 'must be "on"'),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "x", "must be integer or null"),
    ],
)
def test_a_question_names_the_bound(schema: Any, written: Any, phrase: str) -> None:
    definition = tool({"type": "object", "properties": {"v": schema}})
    verdict = check(ModelOutput(tool_calls=[call("use", {"v": written})]), [definition])
    assert isinstance(verdict, Retry)
    assert phrase in verdict.feedback


@pytest.mark.parametrize(
    "draft",
    ["https://json-schema.org/schema", "", "no\nURL", None, 7, True, ["a"], {"a": 1}],
    ids=repr,
)
def test_a_draft_that_nobody_knows_changes_nothing(draft: Any) -> None:
    """Arguments are held against the schema, as the newest draft has it."""
    parameters = {"$schema": draft, "type": "object", "required": ["place"]}
    output = ModelOutput(tool_calls=[call("use", "{}")])
    assert isinstance(check(output, [tool(parameters)], Policy(retries=1)), Retry)


# --- read -------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("schemas_meant.jsonl"))
def test_a_schema_is_read_as_meant(row: dict[str, Any]) -> None:
    """``meant`` null: the very same object comes back."""
    before = json.dumps(row["given"])
    meant, mended = as_meant(row["given"])
    assert json.dumps(row["given"]) == before
    if row["meant"] is None:
        assert meant is row["given"] and mended == ()
        return
    assert meant == row["meant"]
    assert mended
    Draft202012Validator.check_schema(meant)
    again, more = as_meant(meant)
    assert again is meant and more == ()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "str", "a|b", "true", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "required",
                    "items",
                    "enum",
                    "anyOf",
                    "allOf",
                    "additionalProperties",
                    "nullable",
                    "a",
                    "default",
                    "minimum",
                    "exclusiveMinimum",
                    "prefixItems",
                    "name",
                    "$ref",
                    "$schema",
                    "$defs",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_nothing_raises_and_twice_is_once(parameters: Any) -> None:
    meant, mended = as_meant(parameters)
    assert (meant is parameters) == (not mended)
    assert as_meant(meant)[0] == meant


KINDS = st.sampled_from(["string", "integer", "object", "array", "null", "str", "any", "", None])
ORDINARY = st.recursive(
    st.fixed_dictionaries({"type": KINDS}),
    lambda inner: st.fixed_dictionaries(
        {"type": KINDS},
        optional={
            "description": st.sampled_from(["", "a path", None, {"type": "string"}]),
            "properties": st.dictionaries(st.sampled_from("abA"), inner, max_size=2) | inner,
            "required": st.lists(st.sampled_from(["a", "b", "A", 1]), max_size=2) | st.booleans(),
            "items": inner | st.lists(inner, max_size=1),
            "enum": st.lists(st.sampled_from(["a", "1", 1, None]), max_size=2) | st.just("a|b"),
            "default": st.sampled_from(["a", "1", 1, None]),
            "additionalProperties": st.sampled_from([True, False, "false", None, {"type": "str"}]),
        },
    ),
    max_leaves=4,
)


@given(ORDINARY | ORDINARY.map(lambda member: {"type": "object", "properties": {"a": member}}))
def test_what_passes_at_one_look_needs_no_mend(parameters: Any) -> None:
    """The short way for right schemas leaves nothing out that the long way would change."""
    if schemas._is_right_object(parameters):
        reader = schemas._Reader()
        assert reader.arguments(parameters) == parameters
        assert not reader.mended


@given(st.text(max_size=40) | st.text(alphabet="listr[]<>|,? '\"", max_size=40))
def test_no_name_of_a_type_raises(text: str) -> None:
    found = type_schema(text)
    if found is not None:
        Draft202012Validator.check_schema(found)


def test_deep_wide_and_recursive_schemas() -> None:
    """What is too deep to be read stays as it is; of many properties each is mended."""
    deep: Any = {"type": "str"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    wide = {"type": "object", "properties": {f"p{n}": {"type": "str"} for n in range(5_000)}}
    loop: dict[str, Any] = {"type": "object"}
    loop["properties"] = {"again": loop}
    assert as_meant(deep) == (deep, ())
    assert as_meant(loop)[0] is loop
    meant, mended = as_meant(wide)
    assert len(mended) == 5_000
    assert meant["properties"]["p4999"] == {"type": "string"}


@pytest.mark.parametrize("parameters", [{1: 2}, {"type": {1, 2}}, {"enum": object()}, 5, "x", "[1"])
def test_what_is_no_schema_stays_what_it_is(parameters: Any) -> None:
    assert as_meant(parameters)[0] is parameters


@pytest.mark.parametrize("place", ["tool", "function"])
@pytest.mark.parametrize("hint", [True, False, "yes", None])
def test_annotations_say_whether_a_tool_only_reads(place: str, hint: Any) -> None:
    function: dict[str, Any] = {"name": "look", "x-read-only": True}
    entry: dict[str, Any] = {"type": "function", "function": function}
    (entry if place == "tool" else function)["annotations"] = {"readOnlyHint": hint}
    read = ToolDefinition.from_openai(entry).read_only
    assert read is (hint if isinstance(hint, bool) else None)


# --- on the way out ---------------------------------------------------------------------------

WRONG = {
    "type": "function",
    "function": {"name": "look", "parameters": {"place": {"type": "str", "required": True}}},
}
RIGHT = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
ANSWER = completion(None, [call("look", {"place": "hall"})])


def test_a_wrong_schema_reaches_the_server_right() -> None:
    host = RecordingHost()
    with serving(ANSWER) as script:
        ask(script, host, tools=[WRONG, TOOLS[1]])
    (body,) = script.bodies()
    assert body["tools"][0]["function"] == {"name": "look", "parameters": RIGHT}
    assert body["tools"][1] == TOOLS[1]
    assert [(r.rule, r.path) for r in host.report.repairs] == [("tool_schema", "$.tools[0]")]


def test_a_mended_tool_is_reported_once_and_mended_always() -> None:
    host = RecordingHost()
    with serving(ANSWER, ANSWER) as script, sdk(script, host) as client:
        for _ in range(2):
            client.chat.completions.create(
                model="tiny",
                messages=[{"role": "user", "content": "look"}],
                tools=[WRONG],  # type: ignore[list-item]  # wrong on purpose
            )
    assert [b["tools"][0]["function"]["parameters"] for b in script.bodies()] == [RIGHT, RIGHT]
    assert [len(report.repairs) for report in host.reports] == [1, 0]


def test_right_tools_go_out_byte_for_byte() -> None:
    with serving(ANSWER, ANSWER) as script:
        ask(script, None)
        ask(script, RecordingHost())
    assert script.requests[0] == script.requests[1]
    assert mend_tools(TOOLS)[0] is TOOLS


def test_a_server_that_refuses_the_mended_tools_gets_the_original() -> None:
    refusal = completion(None)
    refused = type(refusal)(b'{"error": {"message": "no"}}', 400)
    with serving(refused, ANSWER) as script:
        ask(script, RecordingHost(), tools=[WRONG])
    assert [body["tools"][0] == WRONG for body in script.bodies()] == [False, True]


def at_depth(depth: int, definition: ToolDefinition) -> list[str]:
    if depth:
        return at_depth(depth - 1, definition)
    return [violation.rule for violation in validate({"place": "hall"}, definition)]


def test_a_schema_without_end_raises_nothing() -> None:
    """How its library runs out of stack depends on where; one way is no ``Exception``."""
    endless = {"type": "object", "if": {"type": "object", "$ref": "#"}, "properties": {}}
    definition = ToolDefinition("look", endless)
    assert all(at_depth(depth, definition) for depth in range(60))


def test_arguments_stay_an_object_whatever_the_schema_wants() -> None:
    definition = ToolDefinition("look", {"type": "array", "items": {"type": "object"}})
    verdict = check(ModelOutput(tool_calls=[native("look", "[{}]")]), [definition])
    assert not verdict.calls and verdict.refused
