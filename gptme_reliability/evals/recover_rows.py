"""The rows that recovery is measured on: an answer of a model, and the calls it should give.

Two layouts are read, told apart by their keys: this package's own, which
``gptme-reliability eval recover --help`` describes, and that of function-calling leaderboards,
whose ``ground_truth`` lists every acceptable value of each argument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.errors import InputError
from gptme_reliability.resolve import properties, required
from gptme_reliability.rows import parse_row, read_field, read_messages, read_output, read_tools
from gptme_reliability.types import ModelOutput, ToolDefinition

# Rows of these categories are shown and stay out of the total: what is right there is a matter
# of policy, or the source of the row itself makes no call of the text.
_APART: Final = frozenset({"policy", "defect_nocall"})

ANYTHING: Final = "__ANY__"
"""Leaderboards write this for an argument whose value is open."""

# Tools that nobody asks for: a row without tools offers them beside the expected ones.
_BYSTANDERS: Final = tuple(
    ToolDefinition(
        name,
        {"type": "object", "properties": {p: {"type": "string"} for p in wants}, "required": wants},
    )
    for name, wants in (("rename_album", ["album"]), ("water_plants", ["room", "amount"]))
)


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call that should come out: every right value of each argument, the first one shown.

    Arguments in ``optional`` may be left out.
    """

    name: str
    arguments: Mapping[str, tuple[Any, ...]]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a corpus.

    ``expected`` is None where nobody says what is right: then only an exception is wrong.
    ``loose`` compares as leaderboards do: calls in any order, strings without case, blanks and
    punctuation.  ``counted`` is False for rows that stay out of the total.
    """

    line: int
    id: str
    family: str
    output: ModelOutput
    tools: tuple[ToolDefinition, ...]
    expected: tuple[ExpectedCall, ...] | None
    loose: bool = False
    counted: bool = True
    messages: tuple[Mapping[str, Any], ...] = ()
    chunks: tuple[str, ...] = ()


def read_row(line: str | bytes, number: int) -> Row:
    """Read a row in either layout.

    Raises:
        InputError: the line is no such row; the message names the line.
    """
    row = parse_row(line, number)
    try:
        return _leaderboard(row, number) if "ground_truth" in row else _own(row, number)
    except InputError as error:
        raise InputError(f"line {number}: {error}") from None


def _own(row: Mapping[str, Any], number: int) -> Row:
    if "expected" not in row:
        raise InputError("the row needs 'expected', the calls that should come out ([]: none)")
    calls = read_field(row, "expected", list)
    expected = None if calls is None else tuple(_exactly(c, i) for i, c in enumerate(calls))
    accepts = read_field(row, "accepts", list)
    if expected is not None and accepts is not None:
        expected = _widened(expected, accepts)
    tools = row.get("tools")
    offered = made_up_tools(expected or ()) if tools is None else read_tools(tools, "'tools'")
    chunks = tuple(read_field(row, "stream_chunks", list) or ())
    if not all(isinstance(chunk, str) for chunk in chunks):
        raise InputError("'stream_chunks' must be a list of strings")
    category = read_field(row, "category", str)
    return Row(
        line=number,
        id=_id(row, number),
        family=_family(row) if category not in _APART else f"{category} (apart)",
        output=read_output(row),
        tools=tuple(offered),
        expected=expected,
        counted=category not in _APART,
        messages=tuple(read_messages(row)),
        chunks=chunks,
    )


def _leaderboard(row: Mapping[str, Any], number: int) -> Row:
    tools = read_tools(row.get("tools"), "'tools'")
    truth = read_field(row, "ground_truth", list)
    expected = None if truth is None else tuple(_any_of(c, i, tools) for i, c in enumerate(truth))
    native = read_field(row, "native", list)
    if native is None:
        output = read_output(row)
    else:
        calls = [
            {"id": f"call_{i}", "type": "function", "function": c} for i, c in enumerate(native)
        ]
        output = ModelOutput(tool_calls=tuple(calls))
    kind = read_field(row, "kind", str) or "text"
    model = read_field(row, "source_model", str) or read_field(row, "model", str) or "unknown"
    return Row(
        line=number,
        id=_id(row, number),
        family=f"{kind}/{model}",
        output=output,
        tools=tuple(tools),
        expected=expected,
        loose=True,
    )


def _id(row: Mapping[str, Any], number: int) -> str:
    value = row.get("id")
    return f"line {number}" if value is None else str(value)


def _family(row: Mapping[str, Any]) -> str:
    for key in ("family", "dialect", "model"):
        if name := read_field(row, key, str):
            return str(name)
    return "all"


def _name_and_arguments(call: Any, position: int, key: str) -> tuple[str, dict[str, Any]]:
    if isinstance(call, Mapping):
        name, arguments = call.get("name"), call.get("arguments")
        if isinstance(name, str) and isinstance(arguments, dict):
            return name, arguments
    raise InputError(f"{key!r}, entry {position}: must be an object with 'name' and 'arguments'")


def _exactly(call: Any, position: int) -> ExpectedCall:
    name, arguments = _name_and_arguments(call, position, "expected")
    return ExpectedCall(name, {key: (value,) for key, value in arguments.items()})


def _widened(expected: Sequence[ExpectedCall], accepts: Sequence[Any]) -> tuple[ExpectedCall, ...]:
    """The calls with further right values; an argument that only stands here may be absent."""
    if len(accepts) != len(expected):
        raise InputError(f"'accepts' must have an entry for each of {len(expected)} calls")
    widened: list[ExpectedCall] = []
    for call, further in zip(expected, accepts, strict=True):
        if not isinstance(further, Mapping) or not all(
            isinstance(values, list) for values in further.values()
        ):
            raise InputError("'accepts' must hold objects of lists: {argument: [value, ...]}")
        values = {k: (*call.arguments.get(k, ()), *further.get(k, ())) for k in call.arguments}
        extra = {k: tuple(v) for k, v in further.items() if k not in call.arguments}
        widened.append(ExpectedCall(call.name, {**values, **extra}, frozenset(extra)))
    return tuple(widened)


def _any_of(call: Any, position: int, tools: Sequence[ToolDefinition]) -> ExpectedCall:
    """A call of a ground truth, where ``""`` among the values says that it may be left out.

    It is a value as well only where the tool takes a string.
    """
    name, arguments = _name_and_arguments(call, position, "ground_truth")
    tool = next((tool for tool in tools if same_name(tool.name, name)), ToolDefinition(name))
    declared = properties(tool)
    values: dict[str, tuple[Any, ...]] = {}
    for key, right in arguments.items():
        if not isinstance(right, list):
            raise InputError(f"'ground_truth', entry {position}: {key!r} must list its values")
        kind = _declared_type(declared[key]) if key in declared else None
        values[key] = tuple(v for v in right if kind == "string" or (kind and v != ""))
    optional = {key for key, right in arguments.items() if "" in right}
    return ExpectedCall(name, values, frozenset(optional.difference(required(tool))))


def _declared_type(schema: Any) -> Any:
    """What ``type`` says; one that says nothing takes a string, too."""
    return schema.get("type", "string") if isinstance(schema, Mapping) else "string"


def same_name(one: str, other: str) -> bool:
    """Whether two names are the same but for ``.``, ``-`` and ``_``, which servers swap."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return name.replace(".", "_").replace("-", "_")


def made_up_tools(expected: Sequence[ExpectedCall]) -> list[ToolDefinition]:
    """Tools that fit the expected calls, and two that nobody asks for.

    A row without tools says nothing of types; those of the expected values are taken.
    """
    types: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for call in expected:
        known = types.setdefault(call.name, {})
        for key, values in call.arguments.items():
            for kind in map(_type_of, values):
                if kind not in known.setdefault(key, []):
                    known[key].append(kind)
    made = [
        ToolDefinition(
            name,
            {"type": "object", "properties": {k: _either(kinds) for k, kinds in known.items()}},
        )
        for name, known in types.items()
    ]
    return made + [tool for tool in _BYSTANDERS if tool.name not in types]


def _either(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    if len(kinds) == 1:
        return kinds[0]
    if {str(kind.get("type")) for kind in kinds} == {"integer", "number"}:
        return {"type": "number"}
    return {"anyOf": kinds} if kinds else {}


_PLAIN_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
}


def _type_of(value: Any) -> dict[str, Any]:
    if value is None:
        return {"type": ["null", "string"]}
    if isinstance(value, dict):
        return {"type": "object", "properties": {k: _type_of(v) for k, v in value.items()}}
    if isinstance(value, list):
        kinds = [_type_of(member) for member in value]
        alike = bool(kinds) and all(kind == kinds[0] for kind in kinds)
        return {"type": "array", "items": kinds[0]} if alike else {"type": "array"}
    return {"type": _PLAIN_TYPES[type(value)]}
