"""Values within schemas that the schemas themselves do not allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gptme_reliability.lint.rules import Finding, found, shown
from gptme_reliability.lint.walk import Node
from gptme_reliability.repair.reading import same
from gptme_reliability.type_names import JSON_TYPES

_SINGLE: Final = ("default", "const", "example")
_MOST_EXAMPLES: Final = 20


def contradictions(node: Node, root: Any) -> Iterator[Finding]:
    """Defaults, constants, examples and members of enums that the schema does not allow."""
    for keyword, value, schema in _values(node.schema):
        why = _why_not(value, schema)
        if why:
            yield found(
                "contradiction", node.path, node.tool, keyword=keyword, value=shown(value), why=why
            )


def _values(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Each value with its keyword and what it is held against."""
    for keyword in _SINGLE:
        # A default of null is how many authors say that there is none.
        if keyword in schema and not (keyword == "default" and schema[keyword] is None):
            yield keyword, schema[keyword], schema
    examples = schema.get("examples")
    for value in examples[:_MOST_EXAMPLES] if isinstance(examples, list) else ():
        yield "examples", value, schema
    members = schema.get("enum")
    for value in members if isinstance(members, list) else ():
        yield "enum", value, {"type": schema.get("type")}


def _why_not(value: Any, schema: Mapping[str, Any]) -> str | None:
    kind = schema.get("type")
    kinds: list[Any] = [kind] if isinstance(kind, str) else kind if isinstance(kind, list) else []
    if schema.get("nullable") is True and value is None:
        return None
    # What is said of types that do not exist is said elsewhere.
    if _are_types(kinds) and not any(_is_a(value, one) for one in kinds):
        return f"which is not of type {' or '.join(kinds)}"
    members = schema.get("enum")
    if isinstance(members, list) and members and not any(same(value, one) for one in members):
        return "which is none of the enum"
    low, high = schema.get("minimum"), schema.get("maximum")
    if _is_a(value, "number") and _is_a(low, "number") and value < low:
        return "which is below the minimum"
    if _is_a(value, "number") and _is_a(high, "number") and value > high:
        return "which is above the maximum"
    return None


def _are_types(kinds: list[Any]) -> bool:
    return bool(kinds) and all(isinstance(one, str) and one in JSON_TYPES for one in kinds)


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        whole = isinstance(value, int) or value.is_integer()
        return kind == "number" or (kind == "integer" and whole)
    names: Mapping[type, str] = {str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value)) == kind
