"""Arguments brought to the types that their schema wants, where one reading exists.

Only what violates the schema's types is changed, and a string's content never is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gptme_reliability.repair.conversions import Converted, choose, convert, json_text
from gptme_reliability.repair.reading import child_path, deeper_than, excerpt, same
from gptme_reliability.repair.schemas import Schemas, kind_of, size_of
from gptme_reliability.types import Repair, RepairKind

_DEEPEST: Final = 32
_STEPS: Final = 20_000
_STEPS_FOR_EACH_VALUE: Final = 200
_WRAPPERS: Final = frozenset(
    {"arguments", "args", "parameters", "params", "input", "kwargs", "properties"}
)
_MOST_WRAPPERS: Final = 3
_MILDNESS: Final[tuple[RepairKind, ...]] = ("lossless", "inferred", "lossy")
_SEPARATORS: Final = ",;\n"
# Words for an empty list, or for none at all.
_NO_ITEMS: Final = frozenset({"none", "null", "nil", "undefined", "empty", "n/a", "nothing"})

Repairs = tuple[Repair, ...]


def coerce(
    arguments: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], Repairs]:
    """The arguments with every value that has the wrong type but one possible meaning mended.

    What leaves two readings, and what is right already, stays as it is.
    """
    plain = dict(arguments)
    if deeper_than(plain, _DEEPEST):
        return plain, ()
    mended = _Mender(_schemas(plain, schema)).mend(plain, schema, "$")
    if not isinstance(mended.value, dict):  # a schema may want what arguments cannot be
        return plain, ()
    return mended.value, mended.repairs


def fill(arguments: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[dict[str, Any], Repairs]:
    """The arguments with missing required values that the schema itself fixes.

    It fixes one with ``const``, an ``enum`` of one value, or ``default``.
    """
    plain = dict(arguments)
    if deeper_than(plain, _DEEPEST):
        return plain, ()
    repairs: list[Repair] = []
    return _filled(plain, schema, "$", _schemas(plain, schema), repairs), tuple(repairs)


def unwrap(
    arguments: Mapping[str, Any], schema: Mapping[str, Any]
) -> tuple[dict[str, Any], Repairs]:
    """The arguments without an object around them that only says what they are.

    ``{"arguments": {…}}`` is such a one where the schema declares no ``arguments``, and the
    object inside, or the JSON text of one, has an argument that it does declare.
    """
    current, repairs = dict(arguments), []
    declared = _schemas(current, schema).declared(schema)
    for _ in range(_MOST_WRAPPERS):
        key = next(iter(current), None)
        if len(current) != 1 or key not in _WRAPPERS or key in declared:
            break
        inner: Any = current[key]
        notes: Repairs = ()
        if isinstance(inner, str):
            inner, notes = json_text(inner, "$") or (None, ())
        if not isinstance(inner, Mapping) or not _belongs(inner, declared):
            break
        repairs.append(Repair("unwrap_arguments", child_path("$", key), key, "$", "inferred"))
        repairs.extend(notes)
        current = dict(inner)
    # A wrapper around nothing that is declared was no wrapper.
    if repairs and current and not declared.intersection(current):
        return dict(arguments), ()
    return current, tuple(repairs)


def _belongs(inner: Mapping[str, Any], declared: set[str]) -> bool:
    nested = len(inner) == 1 and _WRAPPERS.issuperset(inner)
    return nested or bool(declared.intersection(inner)) or (not inner and bool(declared))


def _schemas(arguments: Any, schema: Mapping[str, Any]) -> Schemas:
    return Schemas(schema, _STEPS + _STEPS_FOR_EACH_VALUE * size_of(arguments))


# --- types --------------------------------------------------------------------------------


class _Mended(NamedTuple):
    value: Any
    repairs: Repairs = ()

    @property
    def cost(self) -> tuple[int, int]:
        worst = max((_MILDNESS.index(r.kind) for r in self.repairs), default=0)
        return worst, len(self.repairs)


def _best(found: Sequence[_Mended]) -> _Mended | None:
    """The reading with the mildest and fewest repairs; a tie is no reading."""
    if not found:
        return None
    least = min(mended.cost for mended in found)
    best = [mended for mended in found if mended.cost == least]
    return best[0] if all(same(best[0].value, other.value) for other in best) else None


class _Mender:
    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def mend(self, value: Any, schema: Any, path: str) -> _Mended:
        """The value as the schema wants it, as far as one reading goes."""
        with self._schemas.step() as allowed:
            if not allowed or self._schemas.fits(value, schema):
                return _Mended(value)
            return self._through_branches(self._by_type(value, schema, path), schema, path)

    def _by_type(self, value: Any, schema: Any, path: str) -> _Mended:
        kind, types = kind_of(value), self._schemas.types(schema)
        choices = self._schemas.choices(schema)
        if kind in types and choices is None:
            return self._inside(value, schema, path)
        found = list(self._readings(value, schema, path, types, choices))
        return _best(found) or _Mended(value)

    def _through_branches(self, mended: _Mended, schema: Any, path: str) -> _Mended:
        """Bring the value to one of the alternatives, of each list of them."""
        for branches in self._schemas.branches(schema):
            value = mended.value
            if any(self._schemas.fits(value, branch) for branch in branches):
                continue
            tried = [(self.mend(value, branch, path), branch) for branch in branches]
            good = [m for m, branch in tried if self._schemas.fits(m.value, branch)]
            kind = kind_of(value)
            if not good and kind in ("object", "array"):
                good = [m for m, branch in tried if kind in self._schemas.types(branch)]
                good = good if len(good) == 1 else []
            chosen = _best(good)
            if chosen is not None:
                mended = _Mended(chosen.value, mended.repairs + chosen.repairs)
        return mended

    def _inside(self, value: Any, schema: Any, path: str) -> _Mended:
        if isinstance(value, Mapping):
            return self._members(value, schema, path)
        if not isinstance(value, list):
            return _Mended(value)
        repairs: list[Repair] = []
        items = []
        for index, item in enumerate(value):
            wanted = self._schemas.items(schema, index)
            items.append(self._all(item, wanted, child_path(path, index), repairs))
        return _Mended(items, tuple(repairs))

    def _members(self, value: Mapping[str, Any], schema: Any, path: str) -> _Mended:
        repairs: list[Repair] = []
        members: dict[str, Any] = {}
        declared, required = self._schemas.declared(schema), self._schemas.required(schema)
        for key, member in value.items():
            wanted, place = self._schemas.members(schema, key), child_path(path, key)
            if member is None and key in declared and key not in required:
                kept = all(self._schemas.fits(None, one) for one in wanted)
            else:
                kept = True
            if not kept:
                repairs.append(Repair("null_optional", place, None, "left out", "inferred"))
                continue
            members[key] = self._all(member, wanted, place, repairs)
        return _Mended(members, tuple(repairs))

    def _all(self, value: Any, wanted: Sequence[Any], path: str, repairs: list[Repair]) -> Any:
        for schema in wanted:
            mended = self.mend(value, schema, path)
            value = mended.value
            repairs.extend(mended.repairs)
        return value

    # --- readings of a value that has the wrong type ----------------------------------

    def _readings(
        self, value: Any, schema: Any, path: str, types: Sequence[str], choices: list[Any] | None
    ) -> Iterator[_Mended]:
        kind = kind_of(value)
        if choices is not None:
            chosen = choose(value, choices)
            yield from self._fitting([chosen] if chosen else [], value, schema, path)
        elif kind not in ("object", "array"):
            yield from self._fitting(convert(value, types), value, schema, path)
        if kind == "string":
            yield from self._from_text(value, schema, path, types)
        if "array" in types and kind not in ("array", "null"):
            yield from self._wrapped(value, schema, path)
        if kind == "array" and len(value) == 1 and "array" not in types:
            yield from self._unwrapped(value, schema, path)

    def _fitting(self, found: Any, value: Any, schema: Any, path: str) -> Iterator[_Mended]:
        converted: Converted
        for converted in found:
            if converted.rule == "number_to_string" and self._has_format(schema):
                continue  # a number is no date, however it is written
            if self._schemas.fits(converted.value, schema):
                note = _note(converted.rule, path, value, converted.value, converted.kind)
                yield _Mended(converted.value, (note,))

    def _has_format(self, schema: Any) -> bool:
        return any("format" in part for part in self._schemas.parts(schema))

    def _from_text(
        self, text: str, schema: Any, path: str, types: Sequence[str]
    ) -> Iterator[_Mended]:
        """The object or list that the string holds as JSON text."""
        found = json_text(text, path)
        if found is None or kind_of(found[0]) not in types:
            return
        mended = self.mend(found[0], schema, path)
        note = _note("double_encoding", path, text, "its value", "lossless")
        yield _Mended(mended.value, (note, *found[1], *mended.repairs))

    def _wrapped(self, value: Any, schema: Any, path: str) -> Iterator[_Mended]:
        """A list of the one item that was given without a list around it."""
        wanted = self._schemas.items(schema, 0)
        if not wanted:
            return
        if not _is_one_item(value):
            yield from self._listed(value, schema, path)
            return
        repairs: list[Repair] = []
        item = self._all(value, wanted, child_path(path, 0), repairs)
        if all(self._schemas.fits(item, one) for one in wanted) and self._schemas.fits(
            [item], schema
        ):
            note = _note("wrap_array", path, value, [item], "inferred")
            yield _Mended([item], (note, *repairs))

    def _listed(self, value: Any, schema: Any, path: str) -> Iterator[_Mended]:
        """A list of the items that a text names with commas, all of which are to choose from."""
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else []
        for index, part in enumerate(parts):
            choices = [self._schemas.choices(one) for one in self._schemas.items(schema, index)]
            if not any(found and part in found for found in choices):
                return
        if len(parts) > 1 and self._schemas.fits(parts, schema):
            note = _note("split_list", path, value, parts, "inferred")
            yield _Mended(parts, (note,))

    def _unwrapped(self, value: list[Any], schema: Any, path: str) -> Iterator[_Mended]:
        """The one item of a list, where an item alone is wanted."""
        item = value[0]
        if isinstance(item, list):
            return
        mended = self.mend(item, schema, path)
        # A list where text is wanted may be data for that text, unless its item is text.
        as_text = isinstance(mended.value, str) and not isinstance(item, str)
        if self._schemas.fits(mended.value, schema) and not as_text:
            note = _note("unwrap_array", path, value, item, "inferred")
            yield _Mended(mended.value, (note, *mended.repairs))


def _is_one_item(value: Any) -> bool:
    """Whether a value can only be one item: a text with separators may be several."""
    if not isinstance(value, str):
        return True
    text = value.strip()
    if not text or text[0] in "[{" or text.lower() in _NO_ITEMS:
        return False
    return not any(separator in text for separator in _SEPARATORS)


def _note(rule: str, path: str, before: Any, after: Any, kind: RepairKind) -> Repair:
    short = excerpt(before) if isinstance(before, str) else before
    return Repair(rule, path, short, after, kind)


# --- values that the schema fixes ---------------------------------------------------------


def _filled(
    value: Mapping[str, Any], schema: Any, path: str, schemas: Schemas, repairs: list[Repair]
) -> dict[str, Any]:
    members = dict(value)
    for name in schemas.required(schema):
        if name in members:
            continue
        for wanted in schemas.members(schema, name):
            fixed = _fixed(wanted, schemas)
            if fixed is not None and schemas.fits(fixed[0], wanted):
                members[name] = copy.deepcopy(fixed[0])
                place = child_path(path, name)
                repairs.append(Repair("schema_default", place, None, fixed[0], "inferred"))
                break
    for name, member in members.items():
        if isinstance(member, Mapping):
            for wanted in schemas.members(schema, name):
                member = _filled(member, wanted, child_path(path, name), schemas, repairs)
            members[name] = member
    return members


def _fixed(schema: Any, schemas: Schemas) -> tuple[Any] | None:
    """The one value that the schema names; None when it leaves a choice."""
    choices = schemas.choices(schema)
    if choices is not None and len(choices) == 1:
        return (choices[0],)
    for part in schemas.parts(schema):
        if "default" in part:
            return (part["default"],)
    return None
