"""The JSON schema of an answer that is calls, for servers that hold a model to a schema.

Servers make grammars of schemas, and few of them know all keywords.  What they are known to
stumble over is left out: the schema becomes wider, and the answer is validated against the
tool's own afterwards.  Measured with the llama.cpp of 2026-10 unless a source is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from gptme_reliability.type_names import JSON_TYPES
from gptme_reliability.types import ToolDefinition

_DEEPEST: Final = 64
_MOST_REPEATED: Final = 200
_LARGEST: Final = 2**53


def calls_schema(tools: Sequence[ToolDefinition]) -> dict[str, Any]:
    """The schema of one call of any of these tools: an object with ``name`` and ``arguments``.

    What the parameters of the tools refer to stands in ``$defs`` of the whole.
    """
    definitions: dict[str, Any] = {}
    return _whole(_any_of(tools, definitions), definitions)


def calls_in_order_schema(
    calls: Sequence[Sequence[ToolDefinition]], instead: Sequence[ToolDefinition]
) -> dict[str, Any]:
    """The schema of as many calls, each of any of its tools, or of one call of those ``instead``.

    Several calls are an array.
    """
    definitions: dict[str, Any] = {}
    if len(calls) == 1:
        return _whole(_any_of([*calls[0], *instead], definitions), definitions)
    array = {"type": "array", "prefixItems": [_any_of(tools, definitions) for tools in calls]}
    alone = _any_of(instead, definitions)["anyOf"]
    return _whole({"anyOf": [array, *alone]}, definitions)


def _any_of(tools: Iterable[ToolDefinition], definitions: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [_call_schema(tool, definitions) for tool in tools]}


def _whole(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "$defs": definitions} if definitions else schema


def _call_schema(tool: ToolDefinition, definitions: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": tool.name},
            "arguments": _Reader(tool.parameters, definitions).parameters(),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


# --- keywords -----------------------------------------------------------------------------


def _is_types(value: Any) -> bool:
    kinds = value if isinstance(value, list) else [value]
    return bool(kinds) and all(isinstance(kind, str) and kind in JSON_TYPES for kind in kinds)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_REPEATED


_PLAIN: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": _is_types,  # "String" is refused
    "const": lambda value: True,
    "enum": lambda value: isinstance(value, list) and bool(value),  # an empty one is refused
    # Many repetitions are refused: "failed to parse grammar".
    "minLength": _is_count,
    "maxLength": _is_count,
    "maxItems": _is_count,
    # Others are not enforced.
    "format": lambda value: value in ("date", "time", "date-time", "uuid"),
}
"""Keywords with plain values that stay, and with which values."""

# Read besides: $ref, properties, required, additionalProperties, items, anyOf, oneOf, an allOf
# of one schema, bounds of integers.  Whatever is not named here is left out, of it:
#   minItems             xgrammar refused it (vllm#16880)
#   pattern              a bad one is refused, \d and look-ahead are not enforced
#   prefixItems          refused beside ``items: false``, hidden by other ``items``
#   patternProperties    read as no properties where additionalProperties is false
#   multipleOf, bounds of numbers    not enforced

_ADDING: Final = frozenset({"allOf", "anyOf", "oneOf", "if", "dependentSchemas"})
"""Keywords that may add properties to those that stand beside them."""


class _Reader:
    """Reads the parameters of one tool; ``definitions`` grows by what they refer to."""

    def __init__(self, root: Mapping[str, Any], definitions: dict[str, Any]) -> None:
        self._root = root
        self._definitions = definitions
        self._names: dict[str, str] = {}
        self._unread: list[tuple[str, Mapping[str, Any]]] = []

    def parameters(self) -> dict[str, Any]:
        read = self._schema(self._root, _DEEPEST)
        while self._unread:
            name, schema = self._unread.pop()
            self._definitions[name] = self._schema(schema, _DEEPEST)
        return read

    def _schema(self, given: Any, depth: int) -> dict[str, Any]:
        """The schema as a grammar can be made of it; empty for true, false and the very deep."""
        if not isinstance(given, Mapping) or depth <= 0:
            return {}
        given = _without_wrapper(given)
        if "$ref" in given:
            return self._reference(given["$ref"])
        kept = {key: v for key, v in given.items() if key in _PLAIN and _PLAIN[key](v)}
        if kept.get("minLength", 0) > kept.get("maxLength", _MOST_REPEATED):
            del kept["minLength"], kept["maxLength"]  # llama.cpp hangs with these
        kept |= _integer_bounds(given) | self._extras(given, depth)
        if isinstance(given.get("properties"), Mapping):
            # llama.cpp looks at nothing else where there are alternatives, so that these go.
            kept |= self._properties(given, depth)
        else:
            kept |= self._alternatives(given, depth)
        if isinstance(given.get("items"), Mapping) and "prefixItems" not in given:
            kept["items"] = self._schema(given["items"], depth - 1)
        return kept

    def _properties(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        declared = {n: self._schema(m, depth - 1) for n, m in given["properties"].items()}
        names = given.get("required")
        required = [name for name in names if name in declared] if isinstance(names, list) else []
        return {"properties": declared, **({"required": required} if required else {})}

    def _extras(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """What may stand beside the declared properties, those of left out keywords too."""
        extras = given.get("additionalProperties")
        if "patternProperties" in given:
            return {"additionalProperties": True}
        if isinstance(extras, bool):
            return {"additionalProperties": extras}
        if isinstance(extras, Mapping):
            return {"additionalProperties": self._schema(extras, depth - 1)}
        added = "properties" in given and not _ADDING.isdisjoint(given)
        return {"additionalProperties": True} if added else {}

    def _alternatives(self, given: Mapping[str, Any], depth: int) -> dict[str, Any]:
        return {
            key: [self._schema(branch, depth - 1) for branch in given[key]]
            for key in ("anyOf", "oneOf")
            if isinstance(given.get(key), list) and given[key]
        }

    def _reference(self, reference: Any) -> dict[str, Any]:
        """The reference to a definition of the whole; empty where it leads nowhere."""
        seen: set[Any] = set()
        found: Any = {"$ref": reference}
        while isinstance(found, Mapping) and "$ref" in found:
            reference = found["$ref"]
            if not isinstance(reference, str) or reference in seen:
                return {}
            seen.add(reference)
            found = _without_wrapper(_referred(self._root, reference))
        if not isinstance(found, Mapping):
            return {}
        if reference not in self._names:
            name = self._names[reference] = f"def{len(self._definitions)}"
            self._definitions[name] = {}
            self._unread.append((name, found))
        return {"$ref": f"#/$defs/{self._names[reference]}"}


def _without_wrapper(schema: Any) -> Any:
    """The schema with the one schema of its ``allOf`` put in, unless both declare properties.

    llama.cpp makes an object of every ``allOf``, of one with a text in it too.
    """
    for _ in range(_DEEPEST):
        parts = schema.get("allOf") if isinstance(schema, Mapping) else None
        if not (isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], Mapping)):
            return schema
        if "properties" in schema and not {"properties", "$ref"}.isdisjoint(parts[0]):
            return schema
        schema = {**{key: v for key, v in schema.items() if key != "allOf"}, **parts[0]}
    return {}


def _referred(root: Mapping[str, Any], reference: str) -> Any:
    """What a reference within the schema stands for; None where that is nothing."""
    if not reference.startswith("#"):
        return None
    found: Any = root
    for step in unquote(reference[1:]).split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            found = found.get(key) if isinstance(found, Mapping) else None
    return None if reference[1:2] not in ("", "/") else found


def _integer_bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds of an integer as ``minimum`` and ``maximum``; none where they exclude all.

    llama.cpp refuses 10**20, and fails where the lower one is above the upper one.
    """
    if schema.get("type") != "integer":
        return {}
    stated = {
        key: value
        for key, value in schema.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
    }
    lowest = [math.ceil(stated["minimum"])] if "minimum" in stated else []
    highest = [math.floor(stated["maximum"])] if "maximum" in stated else []
    if "exclusiveMinimum" in stated:
        lowest.append(math.floor(stated["exclusiveMinimum"]) + 1)
    if "exclusiveMaximum" in stated:
        highest.append(math.ceil(stated["exclusiveMaximum"]) - 1)
    if lowest and highest and max(lowest) > min(highest):
        return {}
    return {
        **({"minimum": max(lowest)} if lowest else {}),
        **({"maximum": min(highest)} if highest else {}),
    }
