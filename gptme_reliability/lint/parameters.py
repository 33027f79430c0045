"""Parameters that small models get wrong: names, types and descriptions, one by one."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gptme_reliability.lint import words
from gptme_reliability.lint.rules import Finding, found, listed, shown
from gptme_reliability.lint.walk import Node, says_type, text_of

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ENVELOPE: Final = frozenset(
    {
        *("arguments", "parameters", "function", "function_call"),
        *("tool_call", "tool_calls", "tool_name"),
    }
)
_SCHEMA_WORDS: Final = frozenset({"properties", "required", "nullable"})
_PLAIN: Final = ("enum", "const", "format", "pattern", "examples", "example")
_NUMBERS: Final = frozenset({"integer", "number"})
_MOST_SIBLINGS: Final = 200


def names(node: Node, root: Any) -> Iterator[Finding]:
    """Names that templates, dialects or models stumble over."""
    name = node.name or ""
    if not _NAME.fullmatch(name):
        yield found("bad_parameter_name", node.path, node.tool, name=shown(name))
    reserved = (
        (name in _ENVELOPE, "a word of the envelope of calls"),
        (name in _SCHEMA_WORDS, "a word of JSON schema"),
        (keyword.iskeyword(name), "a keyword of Python, in which some models write calls"),
    )
    for is_reserved, why in reserved:
        if is_reserved:
            yield found("reserved_name", node.path, node.tool, name=shown(name), why=why)
    if node.kinds == {"boolean"} and words.is_negative(name):
        yield found("negative_boolean", node.path, node.tool)


def types(node: Node, root: Any) -> Iterator[Finding]:
    """Types that are missing, or other than the description says."""
    if not says_type(node.schema) and "properties" not in node.schema:
        yield found("missing_type", node.path, node.tool)
    if node.kinds - {"null"} != {"string"} or not _is_plain(node):
        return
    meant = words.meant_type(node.description)
    if meant:
        yield found("wrong_type", node.path, node.tool, meant=meant)
    elif words.is_json(node.description):
        yield found("json_in_string", node.path, node.tool)


def _is_plain(node: Node) -> bool:
    """Whether nothing but name, type and description says what the value is."""
    return all(key not in node.schema for key in _PLAIN)


def units(node: Node, root: Any) -> Iterator[Finding]:
    """Numbers of nobody knows what."""
    name = node.name or ""
    unit = words.quantity(name) if node.kinds & _NUMBERS else None
    if unit is None or not words.is_english(node.description):
        return
    beside = any("unit" in words.parts_of(sibling) for sibling in _names(node.siblings))
    if not beside and words.needs_unit(f"{name} {node.description}"):
        yield found("no_unit", node.path, node.tool, name=shown(f"{name}_{unit}"))


def formats(node: Node, root: Any) -> Iterator[Finding]:
    """Dates, times and paths that may be written in several ways."""
    name, said = node.name or "", node.description
    if node.kinds - {"null"} != {"string"} or not _is_plain(node) or not words.is_english(said):
        return
    told = words.names_time_format(f"{name} {said}") or text_of(node.schema, "default")
    if words.is_time(name) and not told and not words.values_in(said):
        is_clock = words.parts_of(name)[-1] == "time"
        what, example = ("a time", "HH:MM") if is_clock else ("a date", "YYYY-MM-DD")
        yield found("no_format", node.path, node.tool, what=what, example=example)
    if said and words.is_path(name) and not words.names_path_form(f"{said} {node.about}"):
        yield found("no_path_form", node.path, node.tool)


def descriptions(node: Node, root: Any) -> Iterator[Finding]:
    """Descriptions that say nothing, or what the schema should say."""
    said = node.description
    if not said:
        return
    name, plain = node.name or "", _is_plain(node) and not node.kinds & {"boolean"}
    vague = plain and words.is_generic(name) and words.repeats(said, name)
    if vague or words.is_empty(said):
        yield found("vague_parameter", node.path, node.tool, text=shown(said))
    if node.kinds - {"null"} == {"string"} and _is_plain(node):
        values = words.values_in(said)
        if len(values) > 1:
            yield found("enum_in_words", node.path, node.tool, values=listed(values, 4))


def similar(node: Node, root: Any) -> Iterator[Finding]:
    """Properties of one object whose names differ in spelling or number only."""
    members = node.schema.get("properties")
    seen: dict[tuple[str, ...], str] = {}
    for name in _names(members):
        other = seen.setdefault(words.likeness(name), name)
        if other != name:
            yield found(
                "similar_parameters",
                f"{node.path}.properties",
                node.tool,
                name=shown(name),
                other=shown(other),
            )


def _names(members: Any) -> list[str]:
    """The names of properties, as many as are looked at."""
    return list(members)[:_MOST_SIBLINGS] if isinstance(members, Mapping) else []


def may_be_left_out(schema: Any) -> bool:
    """Whether a property has a default, may be null, or is described as optional."""
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    null = schema.get("nullable") is True or (isinstance(kind, list) and "null" in kind)
    said = text_of(schema, "description").lower()
    return "default" in schema or null or "optional" in said or "default" in said


OF_PARAMETERS: Final[tuple[Callable[[Node, Any], Iterator[Finding]], ...]] = (
    *(names, types, units, formats, descriptions),
)
"""Checks of a property; the second argument is the schema at the top."""
