"""Python functions as tools: what the model is offered, and what the function gets."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from gptme_reliability import ModelOutput, ToolDefinition, check, python_tool
from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.surfaces.docstrings import read_docstring
from gptme_reliability.surfaces.python_tools import python_tools

DOCSTRINGS = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "docstrings.jsonl")
    .read_text("utf-8")
    .splitlines()
]


class Sort(enum.Enum):
    UP = "up"
    DOWN = "down"


class Point(BaseModel):
    x: int = Field(ge=0)
    y: int = 0

    @field_validator("y")
    @classmethod
    def even(cls, y: int) -> int:
        if y % 2:
            raise ValueError("must be even")
        return y


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


@dataclasses.dataclass
class Box:
    corner: Point
    label: str = ""


def returned(**given: Any) -> dict[str, Any]:
    return given


@pytest.mark.parametrize("row", DOCSTRINGS, ids=lambda row: row["id"])
def test_docstrings(row: dict[str, Any]) -> None:
    """The description ends where the parameters begin; each of these has its own."""
    found = read_docstring(row["docstring"])
    assert (found.description, found.parameters) == (row["description"], row["parameters"])


@given(st.text("aA:-\n  .*(),x", max_size=300) | st.text(max_size=100))
def test_any_text_is_a_docstring(text: str) -> None:
    """Nothing raises, and nothing is described that has no name."""
    assert "" not in read_docstring(text).parameters


def plain(path: str, lines: int = 10, *, deep: bool = False, sort: Sort = Sort.UP) -> None:
    """Read a file.

    Args:
        path: Where it is.
        lines: How many.
    """


def test_a_function_as_it_is_offered() -> None:
    """Name, description, types, defaults and enums; no titles, no references, nothing else."""
    tool = python_tool(plain, read_only=True)
    assert tool.definition == ToolDefinition(
        "plain",
        {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "Where it is."},
                "lines": {"type": "integer", "default": 10, "description": "How many."},
                "deep": {"type": "boolean", "default": False},
                "sort": {"type": "string", "enum": ["up", "down"], "default": "up"},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
        "Read a file.",
        read_only=True,
    )


def no_hints(path, limit=3, names=[], end=None):  # type: ignore[no-untyped-def]  # noqa: B006
    return path


def noted(
    city: Annotated[str, "Which city."],
    days: Annotated[int, Field(description="How many.", ge=1, le=9)] = 3,
    unit: Literal["C", "F"] = "C",
    when: Optional[Annotated[str, "dropped"]] = None,  # noqa: UP045
    exact: datetime.date | None = None,
    schema: dict[str, int] = {},  # noqa: B006
    _private: str = "",
) -> None:
    """Forecast.

    Args:
        city: Less near than the annotation.
    """


SCHEMAS: list[tuple[Any, str, Any]] = [
    (no_hints, "path", {}),
    (no_hints, "limit", {"type": "integer", "default": 3}),
    (no_hints, "names", {"type": "array", "items": {}, "default": []}),
    (no_hints, "end", {"default": None}),
    (noted, "city", {"type": "string", "description": "Which city."}),
    (noted, "unit", {"type": "string", "enum": ["C", "F"], "default": "C"}),
    (noted, "_private", {"type": "string", "default": ""}),
    (
        noted,
        "days",
        {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "How many."},
    ),
    (
        noted,
        "exact",
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
    ),
    (
        noted,
        "schema",
        {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
    ),
]


@pytest.mark.parametrize(("function", "name", "schema"), SCHEMAS)
def test_a_parameter_as_it_is_offered(function: Any, name: str, schema: Any) -> None:
    """Hints, notes, defaults; names that no pydantic field may have."""
    assert python_tool(function).definition.parameters["properties"][name] == schema


def test_a_default_of_none_may_be_given() -> None:
    """``x: str = None`` takes null, whatever the hint says."""

    def old(x: str = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert {"type": "null"} in python_tool(old).definition.parameters["properties"]["x"]["anyOf"]


def place(point: Point, boxes: list[Box], sort: Sort = Sort.UP) -> dict[str, Any]:
    return {"point": point, "boxes": boxes, "sort": sort}


def test_models_are_offered_whole_and_built_from_checked_arguments() -> None:
    """No references for small models to follow; the function gets what its hints promise."""
    tool = python_tool(place)
    assert "$ref" not in json.dumps(tool.definition.parameters)
    arguments = {
        "point": {"x": "1"},
        "boxes": [{"corner": {"x": 2, "y": 4}, "label": "b"}],
        "sort": "down",
    }
    text = f"<tool_call>{json.dumps({'name': 'place', 'arguments': arguments})}</tool_call>"
    (call,) = check(ModelOutput(text), [tool.definition]).calls
    assert tool.invoke(call.arguments) == {
        "point": Point(x=1),
        "boxes": [Box(Point(x=2, y=4), "b")],
        "sort": Sort.DOWN,
    }


def test_a_model_that_holds_itself() -> None:
    """It stays a reference, which the check follows."""

    def grow(tree: Tree) -> int:
        return len(tree.children[0].children)

    # A hint with a local name can only be read when it is no text.
    grow.__annotations__ = {"tree": Tree}
    tool = python_tool(grow)
    arguments = {"tree": {"name": "a", "children": [{"name": "b", "children": [{"name": 5}]}]}}
    call = {"id": "1", "function": {"name": "grow", "arguments": json.dumps(arguments)}}
    (accepted,) = check(ModelOutput(tool_calls=[call]), [tool.definition]).calls
    assert accepted.arguments["tree"]["children"][0]["children"] == [{"name": "5"}]
    assert tool.invoke(accepted.arguments) == 1


def test_what_only_pydantic_can_tell_is_refused_before_the_function_runs() -> None:
    """The message says where and why, without pydantic's own links."""
    with pytest.raises(ValueError, match=r"^\$\.point\.y: Value error, must be even$"):
        python_tool(place).invoke({"point": {"x": 1, "y": 3}, "boxes": []})


def test_only_what_was_given_is_passed() -> None:
    """Defaults stay the function's own; positional and keyword-only parameters get theirs."""
    own = object()

    def mixed(a: int, b: Any = own, /, c: int = 3, *rest: Any, d: Any = own, **more: Any) -> Any:
        return a, b, c, rest, d, more

    tool = python_tool(mixed)
    assert set(tool.definition.parameters["properties"]) == {"a", "b", "c", "d"}
    assert tool.invoke({"a": 1}) == (1, own, 3, (), own, {})
    assert tool.invoke({"a": 1, "c": 4, "d": 5}) == (1, own, 4, (), 5, {})


def test_the_record_of_a_call_stays() -> None:
    """A function that changes its arguments changes a copy."""
    arguments: dict[str, Any] = {"names": ["a"]}

    def spoil(names: list[Any]) -> None:
        names.append("b")

    python_tool(spoil).invoke(arguments)
    python_tool(spoil, ToolDefinition("spoil")).invoke(arguments)
    assert arguments == {"names": ["a"]}


class Counter:
    """Counts."""

    def __init__(self) -> None:
        self.total = 0

    def add(self, n: int) -> int:
        """Add to it."""
        self.total += n
        return self.total


def test_methods_and_wrapped_functions() -> None:
    """``self`` is not offered; what ``functools.wraps`` is read as what it wraps."""
    counter = Counter()
    tool = python_tool(counter.add)
    assert (tool.definition.description, tool.invoke({"n": 2})) == ("Add to it.", 2)

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    assert "path" in python_tool(wrapper).definition.parameters["properties"]


def test_a_definition_written_by_hand() -> None:
    """Its arguments go to the function as they are; an OpenAI tool object will do."""
    written = {"type": "function", "function": {"name": "any-name", "parameters": {}}}
    tools = python_tools([(written, returned), (ToolDefinition("b"), returned), plain])
    assert list(tools) == ["any-name", "b", "plain"]
    assert tools["b"].invoke({"not an identifier": 1}) == {"not an identifier": 1}


class Opaque:
    pass


def takes_opaque(thing: Opaque) -> None: ...


def takes_unknown(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def only_stars(*args: Any, **kwargs: Any) -> None: ...


BROKEN: list[tuple[Any, str]] = [
    (takes_opaque, "'takes_opaque': a parameter has no schema: .*Opaque"),
    (takes_unknown, "'takes_unknown': its signature cannot be read: name 'Nowhere'"),
    (only_stars, "'only_stars' names no parameters"),
    (lambda x: x, "<lambda> has no name a model could call"),
    (functools.partial(plain, "a"), "partial has no name a model could call"),
    ("plain", "must be a function, not str"),
]


@pytest.mark.parametrize(("entry", "message"), BROKEN)
def test_what_is_no_tool(entry: Any, message: str) -> None:
    """One line says which tool and what is wrong."""
    with pytest.raises(ToolDefinitionError, match=message):
        python_tools([entry])


def test_two_tools_of_one_name() -> None:
    """The model could not say which one it means."""
    with pytest.raises(ToolDefinitionError, match="two tools have the name 'plain'"):
        python_tools([plain, (ToolDefinition("plain"), returned)])
