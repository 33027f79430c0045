"""JSON schemas as authors of tools write them, read as they are meant.

Hosts offer tools whose schemas are none: ``"type": "str"``, properties as a list, ``required``
inside each property.  A strict server refuses them, and nothing could be checked against them.
What has one meaning is written as JSON schema (2020-12) has it; what has none stays as it is.
A schema that is right comes back as the very same object.

Pure; nothing here raises, whatever the schema.  Depth and size are capped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gptme_reliability.schema_keywords import (
    COMPOSED,
    LISTS,
    MENDS,
    NAMED,
    SINGLE,
    by_name,
    is_loose,
)
from gptme_reliability.schema_values import GONE, Place
from gptme_reliability.type_names import JSON_TYPES, type_schema

_DEEPEST: Final = 64
_MOST_STEPS: Final = 20_000
_MOST_ROUNDS: Final = 4
_LONGEST_TEXT: Final = 200_000
_OPEN: Final = COMPOSED | {"properties", "patternProperties", "additionalProperties", "required"}
# A schema under any other keyword stands for itself and must be whole.
_PARTS: Final = frozenset(
    {*("anyOf", "oneOf", "allOf", "not", "if", "then", "else", "contains"), "dependentSchemas"}
)
# Of a schema with nothing else in it one look tells whether it is right.
_COMMON: Final = frozenset(
    {
        *("type", "description", "title", "properties", "required", "additionalProperties"),
        *("items", "enum", "default"),
    }
)


class Mended(NamedTuple):
    """One keyword that was read as meant: where it stands, what it was and what it became.

    None stands for a keyword that was not there, or is there no more.
    """

    path: str
    before: Any
    after: Any


def as_meant(parameters: Any) -> tuple[Any, tuple[Mended, ...]]:
    """The schema of a tool's arguments as its author meant it, and what that changed.

    Without a change the first is ``parameters`` itself.
    """
    if _is_right_object(parameters):
        return parameters, ()
    meant, mended = parameters, []
    try:
        # What one mend brings to light may need another.
        for _ in range(_MOST_ROUNDS):
            reader = _Reader()
            meant = reader.arguments(meant)
            if not reader.mended:
                break
            mended += reader.mended
    except (RecursionError, TypeError, ValueError, AttributeError):
        # Keys that are no text, a text that is no JSON: nothing that could be understood.
        return parameters, ()
    return (meant, tuple(mended)) if mended else (parameters, ())


def _is_right_object(schema: Any) -> bool:
    return _is_right(schema, _DEEPEST) and schema["type"] == "object" and "properties" in schema


def _is_right(schema: Any, depth: int) -> bool:
    """Whether a schema needs no mend for certain, as most do not; False means: read it."""
    if not isinstance(schema, dict) or depth <= 0 or not _COMMON.issuperset(schema):
        return False
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in JSON_TYPES:
        return False
    for key, said in schema.items():
        if key in ("type", "title", "description"):
            right = isinstance(said, str)
        elif key == "properties":
            right = isinstance(said, dict) and all(_is_right(m, depth - 1) for m in said.values())
        elif key == "items":
            right = _is_right(said, depth - 1)
        elif key == "required":
            right = _named_once(said, schema.get("properties"))
        elif key == "enum":
            right = kind == "string" and isinstance(said, list) and bool(said)
        elif key == "default":
            right = kind == "string" or not isinstance(said, str)
        else:  # additionalProperties
            right = isinstance(said, bool)
        if not right:
            return False
    return True


def _named_once(names: Any, members: Any) -> bool:
    """Whether these are the names of some properties, each once."""
    return (
        isinstance(names, list)
        and isinstance(members, dict)
        and all(isinstance(name, str) and name in members for name in names)
        and len(set(names)) == len(names)
    )


class _Reader:
    def __init__(self) -> None:
        self.mended: list[Mended] = []
        self._steps = _MOST_STEPS

    def arguments(self, given: Any) -> Any:
        """The schema at the top, which is one of an object whatever it says."""
        schema = json.loads(given) if _is_json_text(given) else given
        if isinstance(schema, list):
            named = by_name(schema)
            schema = given if named is None else {"type": "object", "properties": named}
        elif schema is None:
            schema = {"type": "object", "properties": {}}
        if not isinstance(schema, Mapping):
            return given
        if schema is not given:
            self.mended.append(Mended("$", given, schema))
        if _shorthand(schema):
            schema = self._changed(schema, "$", _gathered(schema))
        elif _no_object(schema):
            schema = self._changed(schema, "$", {"type": "object"})
        draft = schema.get("$schema")
        place = Place(draft=draft if isinstance(draft, str) else "", top=True)
        schema = self._schema(schema, "$", place, _DEEPEST)
        if schema.get("type", "object") == "object" and _OPEN.isdisjoint(schema):
            schema = self._changed(schema, "$", {"type": "object", "properties": {}})
        elif "type" not in schema and "properties" in schema and COMPOSED.isdisjoint(schema):
            schema = self._changed(schema, "$", {"type": "object"})
        return schema

    def _schema(self, schema: Any, path: str, place: Place, depth: int) -> Any:
        self._steps -= 1
        if not isinstance(schema, Mapping) or depth <= 0 or self._steps <= 0:
            return schema
        for mend in MENDS:
            changes = mend(schema, place)
            if changes:
                schema = self._changed(schema, path, changes)
        inner: dict[str, Any] = {}
        for key in schema:
            if key in NAMED or key in SINGLE or key in LISTS:
                below = place._replace(part=key in _PARTS, top=False)
                members = self._members(key, schema[key], f"{path}.{key}", below, depth - 1)
                if members is not schema[key]:
                    inner[key] = members
        return {**schema, **inner} if inner else schema

    def _members(self, key: str, given: Any, path: str, place: Place, depth: int) -> Any:
        """The schemas that a keyword holds; itself where none of them changes."""
        if key in SINGLE:
            return self._schema(given, path, place, depth)
        if key in NAMED and isinstance(given, Mapping):
            named = {n: self._schema(m, f"{path}.{n}", place, depth) for n, m in given.items()}
            return given if all(named[name] is given[name] for name in given) else named
        if key in LISTS and isinstance(given, list):
            listed = [self._schema(m, f"{path}[{n}]", place, depth) for n, m in enumerate(given)]
            same = all(new is old for new, old in zip(listed, given, strict=True))
            return given if same else listed
        return given

    def _changed(
        self, schema: Mapping[str, Any], path: str, changes: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """The schema with these keywords, each at the place where it stood."""
        changes = {k: v for k, v in changes.items() if schema.get(k, GONE) is not v}
        for key, after in changes.items():
            told = None if after is GONE else after
            self.mended.append(Mended(f"{path}.{key}", schema.get(key), told))
        return {k: v for k, v in {**schema, **changes}.items() if v is not GONE}


def _is_json_text(given: Any) -> bool:
    return isinstance(given, str) and len(given) <= _LONGEST_TEXT


def _shorthand(schema: Mapping[str, Any]) -> bool:
    """Whether a mapping gives types by the names of arguments: ``{"path": "str"}``."""
    return bool(schema) and all(
        is_loose(key, schema, top=True)
        and isinstance(member, str)
        and type_schema(member) is not None
        for key, member in schema.items()
    )


def _gathered(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**dict.fromkeys(schema, GONE), "type": "object", "properties": dict(schema)}


def _no_object(schema: Mapping[str, Any]) -> bool:
    """Whether a schema with properties names a type that is none of an object."""
    kind = schema.get("type")
    if not isinstance(kind, str) or not isinstance(schema.get("properties"), Mapping | list):
        return False
    return (type_schema(kind) or {}).get("type") != "object"
