"""What of a failed call stays when the model is to correct it, and what it may have meant.

A weak model that writes a whole call again makes new mistakes where it was right, and takes the
values of an example for its own.  So it is shown its own ones; and where a server holds it to a
schema, they stay, and it is left to write what was missing or wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.resolve import near_declared, properties, required, restricts
from gptme_reliability.types import Attempted, ToolDefinition
from gptme_reliability.validate import validate

_LARGEST: Final = 4_000
"""Bytes of a value: a larger one is left to the model, since a grammar has to spell it."""

_EXACT: Final = 2**53
"""Integers from here on are read as other ones by servers that read all numbers as floats."""

_MOST_STRAYED: Final = 16
_LONGEST_NAME: Final = 64
_DEFINITIONS: Final = ("$defs", "definitions")
_COUPLING: Final = frozenset(
    {
        *("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
        *("dependentRequired", "dependentSchemas", "dependencies", "patternProperties"),
        *("minProperties", "maxProperties", "propertyNames", "unevaluatedProperties"),
    }
)
"""Keywords by which one argument may be right or wrong because of another."""

_ELSEWHERE: Final = re.compile(r'"\$ref": "(?!#/(?:\$defs|definitions)/)')
_REMARKS: Final = frozenset(
    {
        *("comment", "description", "explanation", "intent", "intention", "justification"),
        *("purpose", "rationale", "reason", "reasoning", "remark", "thinking", "thought"),
        *("thoughts", "why", "id", "type"),
    }
)
"""Words in an argument's name that speak about the call, or of what it is."""


def valid_values(tool: ToolDefinition, written: Mapping[str, Any]) -> dict[str, Any]:
    """The written arguments that the tool declares, and that are valid on their own.

    None where no argument can be judged on its own, or where one that the tool does not have
    says how the call was meant: without that, the others would do something else.
    """
    if _is_coupled(tool) or _is_restricted(tool, written):
        return {}
    return {
        key: written[key]
        for key in properties(tool)
        if key in written and takes(tool, key, written[key])
    }


def likely_values(tool: ToolDefinition, written: Mapping[str, Any]) -> dict[str, Any]:
    """Values that were written under names that the tool does not have, by the parameters that
    they may have been meant for: those that only one of them can be for.

    For showing to the model, never for running: it decides.
    """
    return {} if _is_coupled(tool) else {n: written[key] for n, key in _meant(tool, written)}


def unplaced(tool: ToolDefinition, written: Mapping[str, Any]) -> list[str]:
    """The declared parameters that a name that the tool does not have looks like.

    What stands under such a name is likely for none of the required ones.
    """
    declared = properties(tool)
    names = (str(key)[:_LONGEST_NAME] for key in _lost(tool, written)[:_MOST_STRAYED])
    near = (near_declared(name, declared) for name in names)
    return [name for name in near if name and name not in written]


def takes(tool: ToolDefinition, key: str, value: Any) -> bool:
    """Whether a declared parameter takes a value, whatever the others are."""
    schema = properties(tool)[key]
    alone = {**_definitions(tool), "type": "object", "properties": {"value": schema}}
    try:
        return not validate({"value": value}, replace(tool, parameters=alone))
    except ToolDefinitionError:  # it refers to what stands elsewhere in the definition
        return False


def _meant(tool: ToolDefinition, written: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Parameters, each with the only name that its value can stand under; what is missing goes
    before what may be left out."""
    strayed = {key: value for key, value in written.items() if key not in properties(tool)}
    if not strayed or len(strayed) > _MOST_STRAYED:
        return []
    needed = set(required(tool))
    absent = [key for key in properties(tool) if key not in written]
    found = _matched(tool, [key for key in absent if key in needed], strayed)
    return found + _matched(tool, [key for key in absent if key not in needed], strayed)


def _matched(
    tool: ToolDefinition, names: Sequence[str], strayed: dict[str, Any]
) -> list[tuple[str, str]]:
    """The parameters that only one of the values fits, or one of those left; takes them out."""
    if len(names) > _MOST_STRAYED:
        return []
    remarks = {key for key in strayed if _is_about_more(key)}
    fitting = {
        name: {
            key
            for key, value in strayed.items()
            if (key not in remarks or _is_choice(tool, name)) and takes(tool, name, value)
        }
        for name in names
    }
    found: list[tuple[str, str]] = []
    while only := next((name for name, keys in fitting.items() if len(keys) == 1), None):
        (key,) = fitting.pop(only)
        found.append((only, key))
        del strayed[key]
        for keys in fitting.values():
            keys.discard(key)
    return found


def _is_about_more(key: Any) -> bool:
    """Whether a name speaks of something else than a value, or is none.

    Every text fits where any text does, so that there the name decides.
    """
    name = str(key)
    if len(name) > _LONGEST_NAME:
        return True
    return restricts(name, None) or bool(_REMARKS & set(name.lower().split("_")))


def _is_choice(tool: ToolDefinition, name: str) -> bool:
    schema = properties(tool)[name]
    return isinstance(schema, Mapping) and "enum" in schema


def _lost(tool: ToolDefinition, written: Mapping[str, Any]) -> list[Any]:
    """The names that the tool does not have, and whose values are likely for no parameter."""
    placed = {key for _, key in _meant(tool, written)}
    return [key for key in written if key not in properties(tool) and key not in placed]


def _is_restricted(tool: ToolDefinition, written: Mapping[str, Any]) -> bool:
    return any(restricts(str(key), written[key]) for key in _lost(tool, written))


def _is_coupled(tool: ToolDefinition) -> bool:
    """Whether one argument may be right or wrong because of another, as far as can be seen."""
    if not _COUPLING.isdisjoint(tool.parameters):
        return True
    try:
        return _ELSEWHERE.search(json.dumps(tool.parameters)) is not None
    except (TypeError, ValueError, RecursionError):
        return True


def corrected(attempted: Attempted, tools: Sequence[ToolDefinition]) -> list[ToolDefinition]:
    """The tools of which a call may be in place of this one, narrowed to what stays of it.

    That is the tool that it named; any of these where it named none of them.
    """
    meant = [tool for tool in tools if tool.name == attempted.name] or tools
    written = attempted.arguments
    return [_narrowed(tool, written) if written else tool for tool in meant]


def _narrowed(tool: ToolDefinition, written: Mapping[str, Any]) -> ToolDefinition:
    """The tool with its parameters narrowed to values that were written and are valid.

    What was left out, and may be, stays out; unless something was written that the tool does
    not have, which may have been meant for it.
    """
    declared, needed = properties(tool), required(tool)
    if not declared or _is_coupled(tool):
        return tool
    strayed = any(key not in declared for key in written)
    valid = valid_values(tool, written)
    kept = {key: {"const": value} for key, value in valid.items() if _can_be_spelled(value)}
    narrowed = {
        key: kept.get(key, schema)
        for key, schema in declared.items()
        if key in written or key in needed or strayed
    }
    parameters = {
        **_definitions(tool),
        "type": "object",
        "properties": narrowed,
        "required": [key for key in narrowed if key in needed or key in kept],
        **_extras(tool, written),
    }
    return replace(tool, parameters=parameters)


def _definitions(tool: ToolDefinition) -> dict[str, Any]:
    return {key: tool.parameters[key] for key in _DEFINITIONS if key in tool.parameters}


def _extras(tool: ToolDefinition, written: Mapping[str, Any]) -> dict[str, Any]:
    """Whether others may be written: where the tool takes others, and some were."""
    if not _lost(tool, written):
        return {"additionalProperties": False}
    key = "additionalProperties"
    return {key: tool.parameters[key]} if key in tool.parameters else {}


def _can_be_spelled(value: Any) -> bool:
    """Whether a grammar can hold a model to a value, and to no other."""
    try:
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError):
        return False
    return size <= _LARGEST and all(_is_exact(one) for one in _leaves(value))


def _is_exact(value: Any) -> bool:
    return not isinstance(value, int) or abs(value) < _EXACT


def _leaves(value: Any) -> Iterator[Any]:
    """The values in a value that hold no others; however deep, without recursion."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Mapping):
            waiting += found.values()
        elif isinstance(found, list | tuple):
            waiting += found
        else:
            yield found
