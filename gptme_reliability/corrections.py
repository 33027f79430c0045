"""What of a failed call stays when the model is to correct it, and what it may have meant.

A weak model that writes a whole call again makes new mistakes where it was right, and takes the
values of an example for its own.  So it is shown its own ones; and where a server holds it to a
schema, they stay, and it is left to write what was missing or wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.resolve import properties, required, restricts
from gptme_reliability.types import Attempted, ToolDefinition
from gptme_reliability.validate import validate

_LARGEST: Final = 4_000
"""Bytes of a value: a larger one is left to the model, since a grammar has to spell it."""

_MOST_STRAYED: Final = 16
_DEFINITIONS: Final = ("$defs", "definitions")


def valid_values(tool: ToolDefinition, written: Mapping[str, Any]) -> dict[str, Any]:
    """The written arguments that the tool declares, and that are valid on their own."""
    return {
        key: written[key]
        for key in properties(tool)
        if key in written and _takes(tool, key, written[key])
    }


def likely_values(tool: ToolDefinition, written: Mapping[str, Any]) -> dict[str, Any]:
    """Values that were written under names that the tool does not have, by the parameters that
    they may have been meant for: those that only one of them can be for.

    What is missing goes before what may be left out.  For showing to the model, never for
    running: it decides.
    """
    declared = properties(tool)
    strayed = {
        key: value
        for key, value in written.items()
        if key not in declared and not restricts(key, value)
    }
    if not strayed or len(strayed) > _MOST_STRAYED:
        return {}
    absent = [key for key in declared if key not in written]
    needed = set(required(tool))
    found = _matched(tool, [key for key in absent if key in needed], strayed)
    return found | _matched(tool, [key for key in absent if key not in needed], strayed)


def _matched(tool: ToolDefinition, names: Sequence[str], strayed: dict[str, Any]) -> dict[str, Any]:
    """The parameters that only one of the values fits, or one of those left; takes them out."""
    fitting = {name: {k for k, v in strayed.items() if _takes(tool, name, v)} for name in names}
    found: dict[str, Any] = {}
    while only := next((name for name, keys in fitting.items() if len(keys) == 1), None):
        (key,) = fitting.pop(only)
        found[only] = strayed.pop(key)
        for keys in fitting.values():
            keys.discard(key)
    return found


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
    if not declared:
        return tool
    strayed = any(key not in declared for key in written)
    valid = valid_values(tool, written)
    kept = {key: {"const": value} for key, value in valid.items() if _size(value) <= _LARGEST}
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
        "additionalProperties": False,
    }
    return replace(tool, parameters=parameters)


def _takes(tool: ToolDefinition, key: str, value: Any) -> bool:
    """Whether a parameter takes a value, whatever the others are."""
    alone = {**_definitions(tool), "type": "object", "properties": {key: properties(tool)[key]}}
    try:
        return not validate({key: value}, replace(tool, parameters=alone))
    except ToolDefinitionError:  # it refers to what stands elsewhere in the definition
        return False


def _definitions(tool: ToolDefinition) -> dict[str, Any]:
    return {key: tool.parameters[key] for key in _DEFINITIONS if key in tool.parameters}


def _size(value: Any) -> int:
    """How many bytes a value takes as JSON; more than the most where it is none."""
    try:
        return len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError):
        return _LARGEST + 1
