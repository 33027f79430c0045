"""Scalars written with the wrong type: the one value that was meant, or none."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from gptme_reliability.repair.reading import LONGEST_NUMBER, Fault, OddInteger
from gptme_reliability.repair.schemas import kind_of
from gptme_reliability.repair.syntax import read_value
from gptme_reliability.types import Repair, RepairKind

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_WHOLE: Final = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
# Either a thousand, as much of the world writes it, or a fraction that ends in a nought.
_THOUSAND: Final = re.compile(r"-?[1-9][0-9]{0,2}\.[0-9]{2}0")
_EXACT_DIGITS: Final = 15
_BOOLEANS: Final = {"true": True, "True": True, "false": False, "False": False}
_NULLS: Final = ("null", "None")
_FOLDED_AWAY: Final = str.maketrans("", "", " -_")


class Converted(NamedTuple):
    """What a value becomes, the rule that says so, and the rule's class."""

    value: Any
    rule: str
    kind: RepairKind


def convert(value: Any, types: Sequence[str]) -> Iterator[Converted]:
    """Every scalar of one of these types that the scalar ``value`` can have meant."""
    for wanted in types:
        found = _CONVERSIONS[wanted](value, types) if wanted in _CONVERSIONS else None
        if found is not None:
            yield found


def _to_integer(value: Any, types: Sequence[str]) -> Converted | None:
    if isinstance(value, float) and value.is_integer():
        return Converted(int(value), "float_to_integer", "lossless")
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return None
    if _INTEGER.fullmatch(value):
        # "-0" is the one spelling that would not come back.
        return None if value == "-0" else Converted(int(value), "string_to_integer", "lossless")
    whole = _WHOLE.fullmatch(value)
    if whole is None or "number" in types or _THOUSAND.fullmatch(value):
        return None
    return Converted(int(whole[1]), "string_to_integer", "inferred")


def _to_number(value: Any, types: Sequence[str]) -> Converted | None:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value) or _INTEGER.fullmatch(value):
        return None
    if _THOUSAND.fullmatch(value):
        return None
    number = float(value[:LONGEST_NUMBER])
    if repr(number) == value:
        return Converted(number, "string_to_number", "lossless")
    digits = sum(char.isdigit() for char in value)
    if digits > _EXACT_DIGITS or number in (float("inf"), float("-inf")):
        return None
    return Converted(number, "string_to_number", "inferred")


def _to_boolean(value: Any, types: Sequence[str]) -> Converted | None:
    if isinstance(value, str) and value in _BOOLEANS:
        return Converted(_BOOLEANS[value], "string_to_boolean", "lossless")
    return None


def _to_null(value: Any, types: Sequence[str]) -> Converted | None:
    if isinstance(value, str) and value in _NULLS:
        return Converted(None, "string_to_null", "inferred")
    return None


def _to_string(value: Any, types: Sequence[str]) -> Converted | None:
    if isinstance(value, bool):
        return Converted("true" if value else "false", "boolean_to_string", "lossless")
    # Of any other number the spelling is gone: 1.10 was read as 1.1, 0x1F as 31.
    if isinstance(value, int) and not isinstance(value, OddInteger):
        return Converted(str(value), "number_to_string", "lossless")
    return None


_CONVERSIONS: Final = {
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "null": _to_null,
    "string": _to_string,
}


def choose(value: Any, choices: Sequence[Any]) -> Converted | None:
    """The one of an enum's choices that the scalar ``value`` can have meant."""
    if isinstance(value, str):
        spelled = _only([c for c in choices if not isinstance(c, str) and _text(c) == value])
        if spelled is not None:
            return Converted(spelled[0], "enum_type", "lossless")
        strings = [choice for choice in choices if isinstance(choice, str)]
        alike = [choice for choice in strings if choice.casefold() == value.casefold()]
        if alike:
            only = _only(alike)
            return Converted(only[0], "enum_case", "lossless") if only else None
        only = _only([choice for choice in strings if _fold(choice) == _fold(value)])
        return Converted(only[0], "enum_spelling", "inferred") if only and _fold(value) else None
    if isinstance(value, bool | int | float) and not isinstance(value, OddInteger):
        only = _only([c for c in choices if isinstance(c, str) and c == _text(value)])
        return Converted(only[0], "enum_type", "lossless") if only else None
    return None


def _only(found: list[Any]) -> list[Any] | None:
    return found if len(found) == 1 else None


def _text(value: Any) -> str | None:
    """How JSON spells a scalar; None for containers."""
    if kind_of(value) in ("object", "array"):
        return None
    return json.dumps(value)


def _fold(text: str) -> str:
    return text.casefold().translate(_FOLDED_AWAY)


def json_text(text: str, path: str) -> tuple[Any, tuple[Repair, ...]] | None:
    """The object or list that a string holds as JSON text, and nothing besides it."""
    if not text.lstrip().startswith(("{", "[", "(")):
        return None
    reading = read_value(text)
    if isinstance(reading, Fault) or reading.missing_closers or text[reading.end :].strip():
        return None
    if not isinstance(reading.value, dict | list):
        return None
    inner = tuple(
        Repair(r.rule, path + r.path[1:], r.before, r.after, r.kind) for r in reading.repairs
    )
    return reading.value, inner
