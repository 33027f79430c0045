"""What a reading of a value brings back, and the small things its readers share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.types import Repair, RepairKind

FaultRule: TypeAlias = Literal[
    "cut_off", "syntax", "ambiguous", "too_deep", "number_too_long", "duplicate_key"
]

DEEPEST: Final = 200
"""Levels of nesting that are read."""

LONGEST_NUMBER: Final = 4000
"""Digits of a number that is read; Python itself refuses to print more than 4300."""

_EXCERPT: Final = 60
_SAME_RULE: Final = 100


@dataclass(frozen=True, slots=True)
class Reading:
    """A value and how it was read.

    ``start`` is the index of the value's first character in the text, ``end`` the index just
    behind its last.  ``missing_closers`` counts the closing brackets that were supplied where
    the text ended; they are supplied only when every value in the text is complete.
    """

    value: Any
    start: int
    end: int
    repairs: tuple[Repair, ...] = ()
    missing_closers: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a value could not be read.

    ``position`` is where it broke, ``message`` one sentence about it, ``end`` the index that
    the attempt had reached.
    """

    position: int
    message: str
    rule: FaultRule
    end: int


class OddInteger(int):
    """An integer that was not written as JSON writes its value: ``0x1F``, ``1_000``, ``-0``.

    It is the same number, but its digits are not the text that was written.
    """

    __slots__ = ()


class Broken(Exception):
    """Leaves the readers of this package with a fault; never reaches a caller."""

    def __init__(self, rule: FaultRule, position: int, message: str) -> None:
        super().__init__(message)
        self.rule: FaultRule = rule
        self.position = position
        self.message = message


class RepairLog:
    """The repairs of one reading, in order.

    A rule that strikes very often is counted after its first hundred places, so that hostile
    text cannot make the list grow without bound.
    """

    def __init__(self) -> None:
        self._repairs: list[Repair] = []
        self._counts: dict[tuple[str, RepairKind], int] = {}

    def wants(self, rule: str, kind: RepairKind) -> bool:
        """Count one more place of this rule; whether it should be given in full."""
        count = self._counts[rule, kind] = self._counts.get((rule, kind), 0) + 1
        return count <= _SAME_RULE

    def add(self, rule: str, path: str, before: Any, after: Any, kind: RepairKind) -> None:
        """Keep a repair that was wanted."""
        self._repairs.append(Repair(rule, path, before, after, kind))

    def finished(self) -> tuple[Repair, ...]:
        """All repairs, those only counted as one summary for each rule."""
        summaries = [
            Repair(rule, "$", f"{count - _SAME_RULE} more places", "likewise", kind)
            for (rule, kind), count in self._counts.items()
            if count > _SAME_RULE
        ]
        return (*self._repairs, *summaries)


def excerpt(text: str) -> str:
    """The text, its middle left out when it is long."""
    if len(text) <= _EXCERPT:
        return text
    half = _EXCERPT // 2
    return f"{text[:half]}…{text[-half:]}"


def child_path(path: str, key: Any) -> str:
    """The JSONPath of a member; a very long key is shortened.

    An index is a key too, and so is whatever else a mapping holds that JSON would not.
    """
    if not isinstance(key, str):
        return f"{path}[{key}]"
    if key.isidentifier() and len(key) <= _EXCERPT:
        return f"{path}.{key}"
    return f"{path}[{json.dumps(excerpt(key), ensure_ascii=False)}]"


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same, types included: 1, 1.0 and true all differ."""
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            if one.keys() != other.keys():
                return False
            pending.extend((one[key], other[key]) for key in one)
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif _type_of(one) is not _type_of(other) or one != other:
            return False
    return True


def _type_of(value: Any) -> type:
    return int if isinstance(value, OddInteger) else type(value)


def is_json(value: Any) -> bool:
    """Whether a value holds only what JSON can say; it must not be nested without end."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            if not all(isinstance(key, str) for key in item):
                return False
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, float):
            if not math.isfinite(item):
                return False
        elif item is not None and not isinstance(item, str | int):
            return False
    return True


def deeper_than(value: Any, levels: int) -> bool:
    """Whether containers are nested in the value more than ``levels`` deep."""
    row: Sequence[Any] = [value]
    while row:
        row = [item for item in row if isinstance(item, Mapping | list)]
        if row and levels == 0:
            return True
        levels -= 1
        row = [m for c in row for m in (c.values() if isinstance(c, Mapping) else c)]
    return False
