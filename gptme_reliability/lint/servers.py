"""Schemas that servers refuse or ignore, looked at one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from gptme_reliability.lint import words
from gptme_reliability.lint.rules import MOST_REPEATS, Finding, found, shown
from gptme_reliability.lint.walk import Node
from gptme_reliability.schema_keywords import COMPOSED, LISTS
from gptme_reliability.type_names import JSON_TYPES, type_schema
from gptme_reliability.validate import kind_in_words

_REFUSED: Final = ("oneOf", "allOf", "patternProperties", "if", "dependentSchemas")
_SKIPPED: Final = (
    *("not", "uniqueItems", "contains", "propertyNames", "multipleOf"),
    *("unevaluatedProperties", "unevaluatedItems", "dependentRequired"),
)
_UNEVEN: Final = {
    **dict.fromkeys(_SKIPPED, "is taken by llama.cpp, which does not hold models to it"),
    "minItems": "is refused by older versions of vLLM (vllm#16880)",
}
_REPEATING: Final = ("minLength", "maxLength", "minItems", "maxItems")
_LOOKAROUND: Final = ("(?=", "(?!", "(?<=", "(?<!")


def _is_schema(value: Any) -> bool:
    return isinstance(value, Mapping | bool)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_type(value: Any) -> bool:
    return isinstance(value, str) or (_is_names(value) and bool(value))


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_filled_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


_FORMS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "type": (_is_type, "the name of a type, or a list of them"),
    "properties": (lambda value: isinstance(value, Mapping), "an object of schemas by name"),
    "required": (_is_names, "a list of names"),
    "enum": (_is_filled_list, "a list of values"),
    "items": (_is_schema, "a schema"),
    "additionalProperties": (_is_schema, "true, false or a schema"),
    "not": (_is_schema, "a schema"),
    **dict.fromkeys(LISTS, (_is_filled_list, "a list of schemas")),
    **dict.fromkeys(
        ("description", "title", "format", "pattern", "$ref"),
        (lambda value: isinstance(value, str), "a string"),
    ),
    **dict.fromkeys((*_REPEATING, "minProperties", "maxProperties"), (_is_count, "a count")),
    **dict.fromkeys(("minimum", "maximum"), (_is_number, "a number")),
}
"""What the value of a keyword has to be, and that in words."""


def malformed(node: Node, root: Any) -> Iterator[Finding]:
    """Keywords whose value is of a wrong form."""
    for keyword, (fits, wanted) in _FORMS.items():
        if keyword in node.schema and not fits(node.schema[keyword]):
            given = node.schema[keyword]
            kind = "an empty list" if given == [] else kind_in_words(given)
            about = {"keyword": shown(keyword), "wanted": wanted, "given": kind}
            yield found("malformed", node.path, node.tool, **about)
    members = node.schema.get("properties")
    for name, member in members.items() if isinstance(members, Mapping) else ():
        if not _is_schema(member):
            about = {"keyword": shown(name), "wanted": "a schema", "given": kind_in_words(member)}
            yield found("malformed", f"{node.path}.properties", node.tool, **about)


def unknown_types(node: Node, root: Any) -> Iterator[Finding]:
    """Types that JSON schema does not know."""
    for kind in sorted(node.kinds - JSON_TYPES):
        meant = (type_schema(kind) or {}).get("type")
        remedy = f"write '{meant}'" if isinstance(meant, str) else "llama.cpp answers 400 to it"
        yield found("unknown_type", node.path, node.tool, given=shown(kind), remedy=remedy)


def references(node: Node, root: Any) -> Iterator[Finding]:
    """References to what is not there; no server fetches anything."""
    ref = node.schema.get("$ref")
    if isinstance(ref, str) and not _leads_somewhere(ref, root):
        yield found("broken_ref", node.path, node.tool, ref=shown(ref))


def _leads_somewhere(ref: str, root: Any) -> bool:
    if ref == "#":
        return True
    if not ref.startswith("#/"):
        return ref.startswith("#")  # an anchor: nothing that we follow
    here = root
    for part in unquote(ref[2:]).split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(here, Mapping) and key in here:
            here = here[key]
        elif isinstance(here, list) and key.isdecimal() and key.isascii() and len(key) < 6:
            if int(key) >= len(here):
                return False
            here = here[int(key)]
        else:
            return False
    return _is_schema(here)


def containers(node: Node, root: Any) -> Iterator[Finding]:
    """Arrays and objects of nobody knows what."""
    schema = node.schema
    if node.kinds & {"array"} and schema.keys().isdisjoint({"items", "prefixItems", *COMPOSED}):
        yield found("no_items", node.path, node.tool)
    telling = {"properties", "additionalProperties", "patternProperties", *COMPOSED}
    if node.name is not None and node.kinds & {"object"}:
        said = {key for key in telling if schema.get(key) not in (None, True, False, {})}
        if not said and not words.names_keys(node.description):
            yield found("open_object", node.path, node.tool)


def required_names(node: Node, root: Any) -> Iterator[Finding]:
    """Required properties that are not defined."""
    members, names = node.schema.get("properties"), node.schema.get("required")
    elsewhere = ("$ref", "anyOf", "oneOf", "allOf", "patternProperties")
    if node.part or not isinstance(names, list) or any(key in node.schema for key in elsewhere):
        return
    known = members if isinstance(members, Mapping) else {}
    for name in dict.fromkeys(name for name in names if isinstance(name, str)):
        if name not in known:
            yield found("required_undefined", node.path, node.tool, name=shown(name))


def keywords(node: Node, root: Any) -> Iterator[Finding]:
    """Keywords that servers refuse or do not hold to."""
    for keyword in _REFUSED:
        if keyword in node.schema:
            yield found("refused_keyword", node.path, node.tool, keyword=keyword)
    fates = {keyword: fate for keyword, fate in _UNEVEN.items() if keyword in node.schema}
    pattern = node.schema.get("pattern")
    fate = _fate_of(pattern) if isinstance(pattern, str) else None
    if fate:
        fates["pattern"] = fate
    for keyword, fate in fates.items():
        yield found("uneven_keyword", node.path, node.tool, keyword=keyword, fate=fate)
    for keyword in _REPEATING:
        value = node.schema.get(keyword)
        if value is not None and _is_count(value) and value > MOST_REPEATS:
            about = {"keyword": keyword, "value": shown(value), "most": f"{MOST_REPEATS:,}"}
            yield found("huge_bound", node.path, node.tool, **about)


def _fate_of(pattern: str) -> str | None:
    """What becomes of a regular expression that no grammar is made of."""
    if any(sign in pattern for sign in _LOOKAROUND):
        return "looks around, which no grammar can"
    if not (pattern.startswith("^") and pattern.endswith("$")):
        return "is held to by llama.cpp only when it goes from ^ to $"
    return None


def enums(node: Node, root: Any) -> Iterator[Finding]:
    """Enums of several types."""
    values = node.schema.get("enum")
    if isinstance(values, list):
        kinds = {_broad(value) for value in values if value is not None}
        if len(kinds) > 1:
            yield found("mixed_enum", node.path, node.tool)


def _broad(value: Any) -> str:
    kind = kind_in_words(value)
    return "a number" if kind == "an integer" else kind


CHECKS: Final[tuple[Callable[[Node, Any], Iterator[Finding]], ...]] = (
    *(malformed, unknown_types, references, containers, required_names, keywords, enums),
)
"""All checks of this page; the second argument is the schema at the top."""
