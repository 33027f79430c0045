"""Lists of calls as models write them: ``[f(…), "g(…)", ("h", {…}), {"i": {…}}]``.

The items of one list may be spelled differently.  What is no plain Python call is an item
only where it names a tool: a list of strings, of pairs or of objects is usually data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeAlias

from gptme_reliability.dialects.json_call import envelope_calls
from gptme_reliability.dialects.python_call import (
    MOST_CALLS,
    SEPARATOR,
    read_call,
    read_keywords,
)
from gptme_reliability.dialects.shapes import Flaw, RawCall, flaw_at
from gptme_reliability.dialects.table import ARGUMENT_KEYS, LIST_KEYS, NAME_KEYS
from gptme_reliability.distance import fold
from gptme_reliability.repair.syntax import Fault, Reading, read_value
from gptme_reliability.types import Repair

_Item: TypeAlias = tuple[list[RawCall], int]

FLAT_ARGUMENTS: Final = "flat_arguments"
"""The rule of a repair that says: the arguments stood beside the name."""

# The rule of a flaw behind which a list can be read on: every value is whole.
_MISSPELLED: Final = "envelope"
_HOLDERS: Final = ARGUMENT_KEYS | LIST_KEYS
_CLOSING: Final = {"[": "]", "(": ")", "{": "}"}
_FIRST_TUPLE: Final = re.compile(r"\s{0,64}\[\s{0,64}\(")
_NEXT_TUPLE: Final = re.compile(r"\}\s{0,64}\)\s{0,64},\s{0,64}\(")
_LAST_TUPLE: Final = re.compile(r"\)\s{0,64},?\s{0,64}\]\s{0,64}\Z")
_DEEPEST: Final = 3
_SPACES: Final = re.compile(r"\s{0,256}")
_QUOTED_NAME: Final = re.compile(r"([\"'`])\s{0,8}([A-Za-z_][\w.\-]{0,120})\s{0,8}\1\s{0,16}")
_FLAT_PAIR: Final = re.compile(
    r"[\[(]\s{0,64}([\"'`]?)([A-Za-z_][\w.\-]{0,120})\1\s{0,8},\s{0,64}(?=[A-Za-z_]\w{0,120}\s{0,8}=(?!=))"
)
_QUOTED_CALL: Final = re.compile(r"([\"'`])\s{0,8}([A-Za-z_][\w.\-]{0,120})\s{0,8}\(")
_COMMA: Final = re.compile(r",\s{0,64}(?=[A-Za-z_][\w.\-]{0,120}\s{0,8}\()")
# Where the arguments stand behind a quoted name; a colon needs the braces of an object.
_TO_OBJECT: Final = re.compile(r"[,:]\s{0,64}(?=\{)")
_TO_KEYWORDS: Final = re.compile(r",\s{0,64}(?=[A-Za-z_]\w{0,120}\s{0,8}=(?!=))")


class Names:
    """The names that calls may use, however they are spelled."""

    def __init__(self, names: Iterable[str]) -> None:
        self._folded = {fold(name.rsplit(".", 1)[-1]) for name in names} | set(map(fold, names))

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        return fold(name) in self._folded or fold(name.rsplit(".", 1)[-1]) in self._folded


@lru_cache(maxsize=64)
def known_names(names: frozenset[str]) -> Names:
    """The table of these names."""
    return Names(names)


def read_mixed_list(
    text: str, start: int, names: Names, depth: int = 0
) -> tuple[list[RawCall], int, bool] | None:
    """Read the list of calls that opens at ``start``; None when its first item is no call.

    Returns the calls, the index behind them, and whether the closing bracket was there.
    """
    closing = _CLOSING[text[start]]
    head = _FLAT_PAIR.match(text, start)
    if head is not None and head[2] in names:
        call, position = read_keywords(text, head.end(), head[2], closing)
        return [_noted(call, "name_and_arguments", head[2], "")], position, call.flaw is None
    calls: list[RawCall] = []
    position = start + 1
    while len(calls) < MOST_CALLS:
        found = _item(text, position, names, depth)
        if found is None:
            break
        more, position = found
        calls += more
        if more[-1].flaw is not None and more[-1].flaw.rule != _MISSPELLED:
            return calls, position, False
        separator = SEPARATOR.match(text, position)
        position = separator.end() if separator else position
        if text.startswith(closing, position):
            return calls, position + 1, True
        if not (separator and separator[1]):
            break
    return (calls, position, False) if calls else None


def _item(text: str, position: int, names: Names, depth: int) -> _Item | None:
    """The calls of one item and the index behind it; None when it is none."""
    call = read_call(text, position)
    if call is not None:
        return [call[0]], call[1]
    position = _behind(_SPACES, text, position)
    char = text[position : position + 1]
    if char and char in "\"'`":
        return _quoted_item(text, position, names)
    if char == "{":
        return _object_item(text, position, names) or _inner_list(text, position, names, depth)
    if char and char in "[(":
        return _pair(text, position, names) or _inner_list(text, position, names, depth)
    return None


def _inner_list(text: str, position: int, names: Names, depth: int) -> _Item | None:
    if depth >= _DEEPEST:
        return None
    found = read_mixed_list(text, position, names, depth + 1)
    if found is None or (not found[2] and found[0][-1].flaw is None):
        return None
    return found[0], found[1]


def _behind(pattern: re.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    return match.end() if match else position


# --- items in quotes ----------------------------------------------------------------------


def _quoted_item(text: str, position: int, names: Names) -> _Item | None:
    """``"f(…)"``, ``"f"(…)`` or ``"f", {…}``."""
    head = _QUOTED_CALL.match(text, position)
    if head is not None:
        return _call_in_string(text, position, head[1]) if head[2] in names else None
    name = _QUOTED_NAME.match(text, position)
    if name is None or name[2] not in names:
        return None
    if text.startswith("(", name.end()):
        call, end = read_keywords(text, name.end() + 1, name[2], ")")
        return [_noted(call, "quoted_name", name[0].strip(), name[2])], end
    return _named_arguments(text, name.end(), name[2], "")


def _call_in_string(text: str, position: int, quote: str) -> _Item | None:
    """Calls written as a string; their own quotes may or may not be escaped."""
    found = _calls_in_a_row(text, position + 1)
    if found is not None:
        calls, end = found
        closed = text.startswith(quote, end)
        if closed or text[end : end + 1] in (",", "]", "}", ")"):
            return [_noted(call, "call_in_string", quote, "") for call in calls], end + closed
    reading = read_value(text, position)
    if isinstance(reading, Fault) or not isinstance(reading.value, str):
        return None
    found = _calls_in_a_row(reading.value, 0)
    if found is None or reading.value[found[1] :].strip(" ;"):
        return None
    noted = [_noted(c, "call_in_string", quote, "", reading.repairs) for c in found[0]]
    return noted, reading.end


def _calls_in_a_row(text: str, position: int) -> _Item | None:
    """Calls with commas between them, and the index behind them and the spaces there."""
    calls: list[RawCall] = []
    while found := read_call(text, position):
        if found[0].flaw is not None:
            return None
        calls.append(found[0])
        position = _behind(_SPACES, text, found[1])
        comma = _COMMA.match(text, position)
        if comma is None:
            return calls, position
        position = comma.end()
    return None


def _noted(
    call: RawCall, rule: str, before: str, after: str, others: tuple[Repair, ...] = ()
) -> RawCall:
    note = Repair(rule, "$", before, after, "inferred")
    return replace(call, repairs=(*others, note, *call.repairs))


# --- pairs and objects --------------------------------------------------------------------


def _pair(text: str, position: int, names: Names) -> _Item | None:
    """``["f", {…}]`` or ``["f", key=value]``.

    A tuple is data more often than a call, unless a list of several is all that was written.
    """
    name = _QUOTED_NAME.match(text, _behind(_SPACES, text, position + 1))
    if name is None or name[2] not in names:
        return None
    found = _named_arguments(text, name.end(), name[2], _CLOSING[text[position]])
    if found is None or text[position] == "[" or _only_tuples(text):
        return found
    flaw = Flaw(_MISSPELLED, "the call is a tuple of a name and its arguments")
    return [RawCall(name[2], flaw=flaw)], found[1]


@lru_cache(maxsize=2)
def _only_tuples(text: str) -> bool:
    """Whether the text is a list of several tuples and nothing else; asked once for each item."""
    return bool(
        _FIRST_TUPLE.match(text)
        and _LAST_TUPLE.search(text, max(0, len(text) - 256))
        and _NEXT_TUPLE.search(text)
    )


def _named_arguments(text: str, position: int, name: str, closing: str) -> _Item | None:
    """The arguments behind a quoted name, and the bracket that ends the pair, if one opened it."""
    rule = "name_and_arguments"
    if head := _TO_OBJECT.match(text, position):
        reading = read_value(text, head.end())
        call = _from_reading(name, reading, text)
        end = reading.end
    elif closing and (head := _TO_KEYWORDS.match(text, position)):
        call, end = read_keywords(text, head.end(), name, closing)
        return [_noted(call, rule, closing, "")], end
    else:
        return None
    if call.flaw is None and closing:
        end = _behind(_SPACES, text, end)
        if not text.startswith(closing, end):
            return None
        end += 1
    return [_noted(call, rule, name, "")], end


def _from_reading(name: str, reading: Reading | Fault, text: str) -> RawCall:
    if isinstance(reading, Fault):
        return RawCall(name, flaw=flaw_at(reading, text))
    if reading.missing_closers:
        return RawCall(name, flaw=Flaw("cut_off", "the arguments end before their closing bracket"))
    return RawCall(name, reading.value, reading.repairs)


def _object_item(text: str, position: int, names: Names) -> _Item | None:
    reading = read_value(text, position)
    if isinstance(reading, Fault) or reading.missing_closers:
        return None
    calls = object_calls(reading.value, reading.repairs, names)
    return (calls, reading.end) if calls else None


def object_calls(value: Any, repairs: tuple[Repair, ...], names: Names) -> list[RawCall] | None:
    """The calls of one object of a list.

    It is an envelope, holds calls under the names of tools, or has a tool's name beside the
    arguments themselves.
    """
    if not isinstance(value, Mapping) or not value:
        return None
    if all(key in names and isinstance(member, Mapping) for key, member in value.items()):
        return [
            RawCall(key, member, (*repairs, Repair("name_as_key", "$", key, "", "inferred")))
            for key, member in value.items()
        ]
    return _flat_call(value, repairs, names) or envelope_calls(value, repairs)


def _flat_call(
    value: Mapping[str, Any], repairs: tuple[Repair, ...], names: Names
) -> list[RawCall] | None:
    """``{"name": "f", "key": value}``; whether the keys are parameters is seen later."""
    named = [key for key in value if key in NAME_KEYS and value[key] in names]
    rest = {key: member for key, member in value.items() if key not in named}
    if len(named) != 1 or not rest or not _HOLDERS.isdisjoint(rest):
        return None
    note = Repair(FLAT_ARGUMENTS, "$", named[0], "", "inferred")
    return [RawCall(value[named[0]], rest, (*repairs, note))]
