"""From text to a value: JSON as the standard reads it, and JSON as models write it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.repair.reading import (
    DEEPEST,
    Fault,
    Reading,
    child_path,
    deeper_than,
    excerpt,
    is_json,
    same,
)
from gptme_reliability.repair.scanner import scan_value
from gptme_reliability.repair.strict import decode
from gptme_reliability.repair.strings import SPACE
from gptme_reliability.types import Repair, RepairKind

__all__ = ["Fault", "Reading", "child_path", "read_arguments", "read_value"]

_JSON_SPACE: Final = re.compile(r"[ \t\n\r]*")
_SCALAR_GOES_ON: Final = re.compile(r"[\w.+\-:/%]")
_ESCAPED_QUOTE: Final = re.compile(r"[{\[]\s{0,80}(?:[{\[]\s{0,80}){0,8}\\[\"']")
_FENCE: Final = re.compile(r"\s*```[ \t]*\w{0,20}[ \t]*\n?")
_LEFTOVER: Final = re.compile(r"[}\])\s;,]+|</?[|\w][^<>\n]{0,60}>|\[/?[A-Z_]{2,30}\]|```")
_UNESCAPED: Final = {
    '"': '"', "'": "'", "\\": "\\", "/": "/", "n": "\n", "t": "\t", "r": "\r",
}  # fmt: skip
_DEEPEST_ENCODING: Final = 3
_WINDOW: Final = 4_096
_MOST_OBJECTS: Final = 64
_TOO_DEEP: Final = f"values are nested more than {DEEPEST} deep"


def read_value(text: str, start: int = 0, *, stop: str = "") -> Reading | Fault:
    """Read the one value that begins at the first character from ``start`` that is no space.

    What follows the value does not matter.  Valid JSON gives no repairs.  ``stop`` names the
    characters that end the argument list of a call the value stands in, such as ``)``: it
    allows bare words and unescaped quotes for values that stand in no container.
    """
    begin = _end(_JSON_SPACE, text, start)
    found = decode(text, begin)
    if found is not None:
        value, end = found
        # Counting first: brackets are few in almost every text, the walk is for the others.
        brackets = text.count("{", begin, end) + text.count("[", begin, end)
        if brackets > DEEPEST and deeper_than(value, DEEPEST):
            return Fault(begin, _TOO_DEEP, "too_deep", end)
        strict = Reading(value, begin, end)
        if not _goes_on(text, strict, stop):
            return strict
    if _ESCAPED_QUOTE.match(text, begin):
        return _unescaped(text, begin)
    return scan_value(text, begin, stop)


def read_arguments(raw: Any) -> Reading | Fault:
    """Read the ``arguments`` field of a native call, whatever a server put there.

    The value need not be an object: what it must be is for its schema to say.
    """
    if raw is None:
        return _nothing(raw)
    if isinstance(raw, str):
        return _read_text(raw, _DEEPEST_ENCODING)
    if deeper_than(raw, DEEPEST):
        return Fault(0, _TOO_DEEP, "too_deep", 0)
    if not is_json(raw):
        return Fault(0, "the arguments hold what JSON cannot say", "syntax", 0)
    repairs: tuple[Repair, ...] = ()
    if isinstance(raw, dict):
        repairs = (Repair("arguments_object", "$", "an object", "a JSON string", "lossless"),)
    return Reading(raw, 0, 0, repairs)


def _goes_on(text: str, reading: Reading, stop: str) -> bool:
    """Whether a scalar that could be read is only the beginning of what stands there."""
    if isinstance(reading.value, dict | list):
        return False
    if stop:
        following = _end(SPACE, text, reading.end)
        if following == len(text):
            number = isinstance(reading.value, int | float) and text[reading.end - 1].isdigit()
            return number and reading.end == len(text)
        return text[following] not in "," + stop
    if isinstance(reading.value, str):
        return False
    return _SCALAR_GOES_ON.match(text, reading.end) is not None


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


# --- escaped as a whole -------------------------------------------------------------------


def _unescaped(text: str, begin: int) -> Reading | Fault:
    r"""Read ``{\"a\": 1}``: a value with the escapes of a string around it, the string gone."""
    size = _WINDOW
    while True:
        pieces, starts, odd, at = _without_escapes(text, begin, min(begin + size, len(text)))
        joined = "".join(pieces)
        reading = read_value(joined)
        # Many such values may stand in a row.  What is valid needs nothing behind it; what was
        # mended does, for more of the text may show that there is another reading.
        if (
            at >= len(text)
            or text[at] == '"'
            or (isinstance(reading, Reading) and _is_strict(reading, joined))
        ):
            break
        size *= 4
    if isinstance(reading, Fault):
        return Fault(begin, reading.message, reading.rule, at)
    end = _source_index(pieces, starts, reading.end)
    if odd < end:
        return Fault(odd, "a backslash may be an escape or a letter", "ambiguous", end)
    note = _note("escaped_quotes", text[begin:end], "the same without its backslashes", "lossless")
    return replace(reading, start=begin, end=end, repairs=(note, *reading.repairs))


def _is_strict(reading: Reading, text: str) -> bool:
    return (
        not reading.repairs and isinstance(reading.value, dict | list) and reading.end < len(text)
    )


def _without_escapes(text: str, begin: int, limit: int) -> tuple[list[str], list[int], int, int]:
    """The text up to a bare quote, or the limit, in pieces without its escapes.

    With them come where each begins, where the first odd escape stands, and where it ends.
    """
    pieces: list[str] = []
    starts: list[int] = []
    odd = len(text)
    at = begin
    while at < limit and text[at] != '"':
        following = text.find("\\", at, limit)
        quote = text.find('"', at, following if following >= 0 else limit)
        stop = quote if quote >= 0 else following if following >= 0 else limit
        if stop > at:
            starts.append(at)
            pieces.append(text[at:stop])
            at = stop
            continue
        escaped = text[at + 1 : at + 2]
        starts.append(at)
        pieces.append(_UNESCAPED.get(escaped, escaped))
        if escaped not in _UNESCAPED:
            odd = min(odd, at)
        at += 2
    return pieces, starts, odd, at


def _source_index(pieces: list[str], starts: list[int], index: int) -> int:
    """Where the character before ``index`` of the joined pieces ends in their source."""
    position = 0
    for piece, start in zip(pieces, starts, strict=True):
        if index <= position + len(piece):
            return start + index - position
        position += len(piece)
    return starts[-1] + len(pieces[-1])


# --- the arguments of a native call -------------------------------------------------------


def _nothing(raw: Any) -> Reading:
    length = len(raw) if isinstance(raw, str) else 0
    return Reading({}, 0, length, (Repair("empty_arguments", "$", raw, {}, "inferred"),))


def _read_text(text: str, levels: int) -> Reading | Fault:
    if not text.strip():
        return _nothing(text)
    fence = _FENCE.match(text)
    reading = read_value(text, fence.end() if fence else 0)
    if isinstance(reading, Fault):
        return reading
    if fence is not None:
        note = _note("fence", fence[0].strip(), "", "lossless")
        reading = replace(reading, repairs=(note, *reading.repairs))
    whole = _behind(text, reading, fenced=fence is not None)
    if isinstance(whole, Fault):
        return whole
    if whole.value is None:
        return _nothing(text)
    if isinstance(whole.value, str) and levels > 0:
        return _decode_again(whole, levels)
    return whole


def _decode_again(reading: Reading, levels: int) -> Reading | Fault:
    """A string that holds an object or a list was encoded once too often."""
    inner_text: str = reading.value
    if not inner_text.lstrip().startswith(("{", "[", '"', "\\")):
        return reading
    inner = _read_text(inner_text, levels - 1)
    if isinstance(inner, Fault):
        if inner_text.lstrip().startswith(("{", "[")):
            return Fault(reading.start, inner.message, inner.rule, reading.end)
        return reading
    if not isinstance(inner.value, dict | list):
        return reading
    note = _note("double_encoding", inner_text, "its value", "lossless")
    repairs = (*reading.repairs, note, *inner.repairs)
    return Reading(inner.value, reading.start, reading.end, repairs, inner.missing_closers)


def _behind(text: str, first: Reading, *, fenced: bool) -> Reading | Fault:
    """Account for what stands behind the first value."""
    reading, repairs = first, first.repairs
    for _ in range(_MOST_OBJECTS):
        at = _end(SPACE, text, reading.end)
        if at == len(text):
            return reading if repairs is reading.repairs else replace(reading, repairs=repairs)
        if text[at] != "{" or not isinstance(reading.value, dict):
            break
        following = read_value(text, at)
        if isinstance(following, Fault):
            return following
        if not isinstance(following.value, dict) or (
            reading.value and not same(reading.value, following.value)
        ):
            message = "two different objects stand where one is wanted"
            return Fault(at, message, "ambiguous", following.end)
        written = text[reading.start : reading.end]
        note = _note("duplicate_object", written, "", "inferred")
        repairs = (*repairs, note, *following.repairs)
        reading = following
    return _leftovers(text, replace(reading, repairs=repairs), fenced)


def _leftovers(text: str, reading: Reading, fenced: bool) -> Reading | Fault:
    """Closing brackets and markers behind a complete value mean nothing; words do."""
    at = _end(SPACE, text, reading.end)
    rest = text[at:].rstrip()
    if fenced and rest == "```":
        return reading
    complete = isinstance(reading.value, dict | list)
    position = at
    while complete and position < len(text):
        position_behind = _end(_LEFTOVER, text, position)
        if position_behind == position:
            break
        position = position_behind
    if position < len(text):
        return Fault(position, "text follows the arguments", "syntax", position)
    note = _note("trailing_text", rest, "", "inferred")
    return replace(reading, repairs=(*reading.repairs, note))


def _note(rule: str, before: str, after: str, kind: RepairKind) -> Repair:
    return Repair(rule, "$", excerpt(before), after, kind)
