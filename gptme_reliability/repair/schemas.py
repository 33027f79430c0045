"""A JSON schema seen as far as types go: its parts, and whether a value fits them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from gptme_reliability.repair.reading import same

ALL_TYPES: Final = ("null", "boolean", "integer", "number", "string", "array", "object")
_MOST_PARTS: Final = 64
_DEEPEST: Final = 80
_INDEX: Final = re.compile(r"[0-9]{1,9}")
_NESTED_REPEAT: Final = re.compile(r"[*+}][^()]*\)[*+{]|\|[^()]*\)[*+{]")
_LONGEST_KEY: Final = 200

Schema = Mapping[str, Any]


class Schemas:
    """The schema of one tool, with its local references.

    ``budget`` is the number of steps that may be taken through values and schemas, and the
    depth has a limit too: with references that lead back to themselves, branches would
    otherwise multiply without end.  Beyond either, everything counts as fitting, so that
    nothing more is changed.
    """

    def __init__(self, root: Schema, budget: int) -> None:
        self._root = root
        self._budget = budget
        self._depth = 0
        self._parts: dict[int, tuple[Schema, ...]] = {}

    @contextmanager
    def step(self) -> Iterator[bool]:
        """One step down; gives whether it may still be taken."""
        self._budget -= 1
        self._depth += 1
        try:
            yield self._budget >= 0 and self._depth <= _DEEPEST
        finally:
            self._depth -= 1

    def parts(self, schema: Any) -> tuple[Schema, ...]:
        """The plain schemas that all hold: this one, what it refers to, its ``allOf``."""
        if not isinstance(schema, Mapping):
            return ()
        known = self._parts.get(id(schema))
        if known is None:
            known = self._parts[id(schema)] = tuple(self._collect(schema))
        return known

    def _collect(self, schema: Schema) -> Iterator[Schema]:
        pending: list[Any] = [schema]
        seen: set[int] = set()
        while pending and len(seen) < _MOST_PARTS:
            part = pending.pop()
            if not isinstance(part, Mapping) or id(part) in seen:
                continue
            seen.add(id(part))
            yield part
            pending.extend(_list(part.get("allOf")))
            reference = part.get("$ref")
            if isinstance(reference, str):
                pending.append(self._target(reference))

    def _target(self, reference: str) -> Any:
        """What a local reference points at; None for any other."""
        if not reference.startswith("#"):
            return None
        target: Any = self._root
        for step in unquote(reference[1:]).split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping):
                target = target.get(step)
            elif isinstance(target, list) and _INDEX.fullmatch(step) and int(step) < len(target):
                target = target[int(step)]
            else:
                return None
        return target

    # --- what the parts say -----------------------------------------------------------

    def types(self, schema: Any) -> tuple[str, ...]:
        """The types that every part allows."""
        allowed: Sequence[str] = ALL_TYPES
        for part in self.parts(schema):
            stated = part.get("type")
            names = [stated] if isinstance(stated, str) else _list(stated)
            if "number" in names:
                names = [*names, "integer"]
            if names:
                allowed = [name for name in allowed if name in names]
        return tuple(allowed)

    def choices(self, schema: Any) -> list[Any] | None:
        """The values that each ``enum`` and ``const`` allows; None when any value will do."""
        found: list[Any] | None = None
        for part in self.parts(schema):
            stated = [part["const"]] if "const" in part else part.get("enum")
            if isinstance(stated, list):
                among = stated if found is None else found
                found = [one for one in among if any(_equal(one, other) for other in stated)]
        return found

    def members(self, schema: Any, key: str) -> list[Any]:
        """The schemas of the member with this name."""
        found: list[Any] = []
        for part in self.parts(schema):
            properties = part.get("properties")
            own = [properties[key]] if isinstance(properties, Mapping) and key in properties else []
            own += _by_pattern(part, key)
            if not own and isinstance(part.get("additionalProperties"), Mapping):
                own.append(part["additionalProperties"])
            found += own
        return found

    def items(self, schema: Any, index: int) -> list[Any]:
        """The schemas of the item at this position."""
        found: list[Any] = []
        for part in self.parts(schema):
            first = _list(part.get("prefixItems"))
            rest = part.get("items")
            if isinstance(rest, list):
                first, rest = rest, part.get("additionalItems")
            found.append(first[index] if index < len(first) else rest)
        return [item for item in found if isinstance(item, Mapping)]

    def declared(self, schema: Any) -> set[str]:
        """The names of all declared properties."""
        names: set[str] = set()
        for part in self.parts(schema):
            if isinstance(part.get("properties"), Mapping):
                names.update(part["properties"])
        return names

    def required(self, schema: Any) -> list[str]:
        """The names of the required properties, in order."""
        names = [n for part in self.parts(schema) for n in _list(part.get("required"))]
        return list(dict.fromkeys(map(str, names)))

    def branches(self, schema: Any) -> list[list[Any]]:
        """The alternatives, one list for each ``anyOf`` and ``oneOf``."""
        return [
            _list(part[word])
            for part in self.parts(schema)
            for word in ("anyOf", "oneOf")
            if _list(part.get(word))
        ]

    # --- whether a value fits ---------------------------------------------------------

    def fits(self, value: Any, schema: Any) -> bool:
        """Whether the value has the types, choices and members that the schema wants.

        Formats, lengths and ranges are not looked at: no repair could mend them.
        """
        with self.step() as allowed:
            return not allowed or self._fits(value, schema)

    def _fits(self, value: Any, schema: Any) -> bool:
        if schema is False:
            return False
        kind = kind_of(value)
        if kind not in self.types(schema):
            return False
        choices = self.choices(schema)
        if choices is not None and not any(_equal(value, choice) for choice in choices):
            return False
        if kind == "object" and not self._members_fit(value, schema):
            return False
        if kind == "array" and not all(
            self.fits(item, wanted)
            for index, item in enumerate(value)
            for wanted in self.items(schema, index)
        ):
            return False
        return all(
            any(self.fits(value, branch) for branch in branches)
            for branches in self.branches(schema)
        )

    def _members_fit(self, value: Mapping[str, Any], schema: Any) -> bool:
        if any(name not in value for name in self.required(schema)):
            return False
        for part in self.parts(schema):
            closed = part.get("additionalProperties") is False
            properties = part.get("properties")
            known = properties if isinstance(properties, Mapping) else {}
            if closed and any(key not in known and not _by_pattern(part, key) for key in value):
                return False
        return all(
            self.fits(member, wanted)
            for key, member in value.items()
            for wanted in self.members(schema, key)
        )


def _by_pattern(part: Schema, key: str) -> list[Any]:
    """The schemas of the ``patternProperties`` that a key matches."""
    patterns = part.get("patternProperties")
    if not isinstance(patterns, Mapping):
        return []
    return [member for pattern, member in patterns.items() if _matches(pattern, key)]


def _matches(pattern: Any, key: str) -> bool:
    """Whether a key matches; one that may not be tried matches, so that nothing is changed."""
    found = safe_pattern(pattern) if isinstance(pattern, str) else None
    return found is None or len(key) > _LONGEST_KEY or found.search(key) is not None


@lru_cache(maxsize=512)
def safe_pattern(pattern: str) -> re.Pattern[str] | None:
    """A schema's pattern, compiled.

    None for one that Python cannot read, and for one that may take forever: a repetition
    inside a repetition.
    """
    if _NESTED_REPEAT.search(pattern):
        return None
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return None


def kind_of(value: Any) -> str:
    """The JSON type of a value; a whole number is an ``integer``, 5.0 a ``number``.

    What JSON cannot say has no type, which no schema wants.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "object"
    return "array" if isinstance(value, list) else ""


def _equal(value: Any, choice: Any) -> bool:
    """JSON Schema's equality: numbers by their value, everything else by type too."""
    numbers = ("integer", "number")
    if kind_of(value) in numbers and kind_of(choice) in numbers:
        return bool(value == choice)
    return same(value, choice)


def size_of(value: Any) -> int:
    """The number of values in a value, itself included."""
    count, pending = 0, [value]
    while pending:
        item = pending.pop()
        count += 1
        if isinstance(item, Mapping):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return count


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
