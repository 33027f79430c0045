"""The keywords of a JSON schema, one by one: what was meant by one that is written wrongly.

A mend looks at one schema and gives the keywords to change, ``GONE`` for those to leave out;
a keyword that is right, or that leaves two readings, is none of them.
Pure, and imports nothing of ours but what stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gptme_reliability.schema_values import (
    COUNTS,
    FLOATS,
    GONE,
    Changes,
    Mend,
    Place,
    Schema,
    mend_annotations,
    mend_bounds,
    mend_default,
    mend_enum,
)
from gptme_reliability.type_names import JSON_TYPES, type_schema, united

NAMED: Final = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords that hold schemas by name."""
SINGLE: Final = (
    *("items", "additionalProperties", "not", "if", "then", "else", "contains"),
    *("propertyNames", "unevaluatedProperties", "unevaluatedItems"),
)
"""Keywords that hold one schema."""
LISTS: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
"""Keywords that hold a list of schemas."""
COMPOSED: Final = frozenset({"$ref", "anyOf", "oneOf", "allOf", "not", "if", "enum", "const"})
"""Keywords that say what a value is without a type."""

_TEXTS: Final = ("title", "description", "format", "pattern", "$comment")
_SIGNED: Final = frozenset(
    {*NAMED, *SINGLE, *LISTS, *FLOATS, *COUNTS, *_TEXTS, "enum", "type", "required"}
)
"""Keywords that null says nothing about."""
_KEYWORDS: Final = _SIGNED | {
    *("default", "const", "examples", "example", "uniqueItems", "additionalItems", "nullable"),
    *("strict", "deprecated", "readOnly", "writeOnly", "dependentRequired", "dependencies"),
    *("discriminator", "xml", "externalDocs", "contentEncoding", "contentMediaType", "optional"),
}
_TELLING: Final = frozenset({"type", "description", "properties", "items"}) | COMPOSED
_NOT_OF_OBJECTS: Final = frozenset({"items", "contains", "enum", "pattern", "required"})
_BOOLEANS: Final = {"true": True, "yes": True, "false": False, "no": False}
# --- objects ------------------------------------------------------------------------------


def _nulls(schema: Schema, place: Place) -> Changes:
    return {key: GONE for key in schema if key in _SIGNED and schema[key] is None}


def _hoisted(schema: Schema, place: Place) -> Changes:
    """Properties that stand beside the keywords, where there are no ``properties``."""
    kind = schema.get("type")
    is_object = kind == "object" or (place.top and (kind is None or isinstance(kind, Mapping)))
    if "properties" in schema or not is_object:
        return {}
    loose = {key: schema[key] for key in schema if is_loose(key, schema, top=place.top)}
    if not loose or not all(map(looks_like_schema, loose.values())):
        return {}
    return {**dict.fromkeys(loose, GONE), "properties": loose}


def is_loose(key: str, schema: Schema, *, top: bool) -> bool:
    """Whether a member of a schema is none of its keywords.

    ``"type": {…}`` is not either, nor is what says nothing about an object at the top.
    """
    if key.startswith(("$", "x-")):
        return False
    if key not in _KEYWORDS:
        return True
    if key in ("type", *_TEXTS):
        return isinstance(schema[key], Mapping)
    return (
        top and "type" not in schema and key in _NOT_OF_OBJECTS and looks_like_schema(schema[key])
    )


def looks_like_schema(value: Any) -> bool:
    """Whether something can only be meant as a schema."""
    return isinstance(value, Mapping) and not _TELLING.isdisjoint(value)


def _properties(schema: Schema, place: Place) -> Changes:
    """``properties`` by name, each of them a schema."""
    given = schema.get("properties")
    if isinstance(given, list):
        given = by_name(given)
    if not isinstance(given, Mapping):
        return {}
    named = {name: _member(member) for name, member in given.items()}
    same = given is schema["properties"] and all(named[n] is given[n] for n in given)
    return {} if same else {"properties": named}


def _member(member: Any) -> Any:
    """A property that may be given as the name of a type or as a description."""
    if member is None:
        return {}
    if not isinstance(member, str):
        return member
    found = type_schema(member)
    return {"description": member} if found is None else found


def by_name(entries: list[Any]) -> dict[str, Any] | None:
    """Properties out of a list of names, or of schemas that carry their names."""
    named: dict[str, Any] = {}
    for entry in entries:
        if isinstance(entry, str):
            named[entry] = {}
        elif isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
            inner = entry.get("schema")
            inner = inner if isinstance(inner, Mapping) else {}
            own = {k: v for k, v in entry.items() if k not in ("name", "in", "schema")}
            named[entry["name"]] = {**inner, **own}
        else:
            return None
    return named if len(named) == len(entries) else None


def _required_inside(schema: Schema, place: Place) -> Changes:
    """``required: true`` in the properties themselves, as the third draft had it."""
    members = schema.get("properties")
    if not isinstance(members, Mapping) or "draft-03" in place.draft:
        return {}
    said = {
        name: said
        for name, member in members.items()
        if isinstance(member, Mapping) and (said := _boolean(member.get("required"))) is not None
    }
    if not said:
        return {}
    plain = {
        name: {k: v for k, v in member.items() if k != "required"} if name in said else member
        for name, member in members.items()
    }
    stated = _names(schema.get("required"), members) or []
    wanted = [*stated, *(name for name, must in said.items() if must and name not in stated)]
    return {"properties": plain, "required": wanted} if wanted else {"properties": plain}


def _required(schema: Schema, place: Place) -> Changes:
    """``required`` as a list of names, each once."""
    given = schema.get("required")
    if "required" not in schema or given is False:
        return {"required": GONE} if given is False and "draft-03" not in place.draft else {}
    names = _names(given, schema.get("properties"))
    return {} if names is None or names == given else {"required": names}


def _names(given: Any, declared: Any) -> list[str] | None:
    if isinstance(given, str):
        known = declared if isinstance(declared, Mapping) else {}
        if given not in known:
            parts = re.split(r"[\s,;]{1,8}", given.strip())
            given = parts if all(part in known for part in parts) else given
    if isinstance(given, str):
        return [given] if given else []
    if isinstance(given, Mapping) and all(isinstance(v, bool) for v in given.values()):
        return [name for name, must in given.items() if must]
    if isinstance(given, list):
        return list(dict.fromkeys(name for name in given if isinstance(name, str)))
    return None


def _undeclared(schema: Schema, place: Place) -> Changes:
    """``required`` names that ``properties`` lack.

    One that differs in case only is that property.  Of an object that takes no others nobody
    could give the rest; any other one may be anything.
    """
    members, names = schema.get("properties"), schema.get("required")
    composed = {"$ref", "anyOf", "oneOf", "allOf", "patternProperties"}
    if place.part or not isinstance(members, Mapping) or not isinstance(names, list):
        return {}
    lacking = [name for name in names if isinstance(name, str) and name not in members]
    if not lacking or not composed.isdisjoint(schema):
        return {}
    alike = {name: [m for m in members if m.lower() == name.lower()] for name in lacking}
    found = {name: near[0] for name, near in alike.items() if len(near) == 1}
    rest = [name for name in lacking if name not in found]
    closed = _boolean(schema.get("additionalProperties")) is False
    kept = [found.get(name, name) for name in names if not (closed and name in rest)]
    changes: dict[str, Any] = {}
    if kept != names:
        changes["required"] = list(dict.fromkeys(kept))
    if rest and not closed:
        changes["properties"] = {**members, **{name: {} for name in rest}}
    return changes


def _extras(schema: Schema, place: Place) -> Changes:
    """``additionalProperties`` as a text."""
    given = schema.get("additionalProperties")
    if not isinstance(given, str):
        return {}
    said = _boolean(given)
    found = said if said is not None else type_schema(given)
    return {} if found is None else {"additionalProperties": found}


# --- arrays, and schemas as texts ---------------------------------------------------------


def _items(schema: Schema, place: Place) -> Changes:
    """``items`` as the name of a type, or as a list, which drafts before 2020-12 had."""
    given = schema.get("items")
    if isinstance(given, str) and (found := type_schema(given)) is not None:
        return {"items": found}
    if not isinstance(given, list) or ("draft" in place.draft and "2020-12" not in place.draft):
        return {}
    rest = schema.get("additionalItems", GONE)
    changes: dict[str, Any] = {"additionalItems": GONE} if rest is not GONE else {}
    if len(given) == 1 and rest is GONE:
        return {**changes, "items": given[0]}
    if not given:
        return {**changes, "items": rest}
    return {**changes, "items": rest, "prefixItems": given}


def _alternatives(schema: Schema, place: Place) -> Changes:
    """``anyOf`` and its like as lists of schemas; an empty list says nothing."""
    changes: dict[str, Any] = {}
    for key in LISTS:
        given = schema.get(key)
        if isinstance(given, Mapping) and looks_like_schema(given):
            changes[key] = [given]
        elif isinstance(given, list):
            plain = [_type_or_itself(member) for member in given]
            if not given or any(new is not old for new, old in zip(plain, given, strict=True)):
                changes[key] = plain or GONE
    return changes


def _type_or_itself(member: Any) -> Any:
    found = type_schema(member) if isinstance(member, str) else None
    return member if found is None else found


# --- types and values ---------------------------------------------------------------------


def _type(schema: Schema, place: Place) -> Changes:
    """``type`` by the names of JSON schema."""
    given = schema.get("type", GONE)
    if isinstance(given, str):
        if given in JSON_TYPES:
            return {}
        if given.lower() == "enum" and "enum" in schema:
            return {"type": GONE}
        return _as_type(schema, type_schema(given))
    if not isinstance(given, list):
        return {}
    if given and all(isinstance(kind, str) and kind in JSON_TYPES for kind in given):
        plain = list(dict.fromkeys(given))
        return {} if plain == given else {"type": plain}
    members = [_named_type(kind) for kind in given]
    if not all(isinstance(member, Mapping) for member in members):
        return {}
    return _as_type(schema, united([dict(member) for member in members]) if members else {})


def _named_type(kind: Any) -> Any:
    if kind is None:
        return {"type": "null"}
    return type_schema(kind) if isinstance(kind, str) else kind


def _as_type(schema: Schema, found: Changes | None) -> Changes:
    """The type with what its name says besides, where the schema does not say so itself."""
    if found is None or ("anyOf" in found and "anyOf" in schema):
        return {}
    added = {key: value for key, value in found.items() if key == "type" or key not in schema}
    return {"type": GONE, **added}


def _missing_type(schema: Schema, place: Place) -> Changes:
    """The type of a schema that has ``properties`` or ``items`` and nothing else to say it."""
    if place.part or "type" in schema or not COMPOSED.isdisjoint(schema):
        return {}
    if isinstance(schema.get("properties"), Mapping):
        return {} if "items" in schema else {"type": "object"}
    return {"type": "array"} if isinstance(schema.get("items"), Mapping) else {}


def _nullable(schema: Schema, place: Place) -> Changes:
    """OpenAPI's ``nullable``, which JSON schema does not know."""
    if schema.get("nullable") is not True:
        return {}
    kind, enum = schema.get("type"), schema.get("enum")
    changes: dict[str, Any] = {"nullable": GONE}
    if isinstance(enum, list) and None not in enum:
        changes["enum"] = [*enum, None]
    if isinstance(kind, str | list):
        kinds = [kind] if isinstance(kind, str) else kind
        return {**changes, "type": kinds if "null" in kinds else [*kinds, "null"]}
    branches = schema.get("anyOf")
    if isinstance(branches, list):
        null = {"type": "null"}
        return {**changes, "anyOf": branches if null in branches else [*branches, null]}
    said = {k: v for k, v in schema.items() if k in ("$ref", "oneOf", "allOf")}
    if said:
        return {**dict.fromkeys(said, GONE), "nullable": GONE, "anyOf": [said, {"type": "null"}]}
    return changes


def _boolean(said: Any) -> bool | None:
    if isinstance(said, bool):
        return said
    return _BOOLEANS.get(said.strip().lower()) if isinstance(said, str) else None


MENDS: Final[tuple[Mend, ...]] = (
    *(_nulls, _hoisted, _properties, _required_inside, _required, _undeclared, _extras),
    *(_items, _alternatives, _type, _missing_type, _nullable, mend_enum, mend_default),
    *(mend_bounds, mend_annotations),
)
"""All mends, in the order in which they are made."""
