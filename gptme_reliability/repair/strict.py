"""JSON as the standard has it, read by the standard library at its speed."""

from __future__ import annotations

import json
from typing import Any, Final

from gptme_reliability.repair.scalars import parse_float, parse_int

_SMALL: Final = 65_536
_WINDOW: Final = 4_096
# A token that a window cuts in two is reported at most this far before the window's end.
_MARGIN: Final = 32


class _NotPlain(ValueError):
    """JSON that the standard library reads and this package reads otherwise."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotPlain("a key is given twice")
    return members


def _no_constant(name: str) -> Any:
    raise _NotPlain(f"{name} is no JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_constant=_no_constant,
    parse_int=parse_int,
    parse_float=parse_float,
)


def decode(text: str, begin: int) -> tuple[Any, int] | None:
    """The JSON value that starts at ``begin`` and the index behind it; None when there is none.

    Keys given twice, NaN and numbers beyond what is read all count as none.
    """
    if begin == 0 or len(text) <= _SMALL:
        return _decode(text, begin)
    return _decode_window(text, begin)


def _decode(text: str, begin: int) -> tuple[Any, int] | None:
    try:
        return _DECODER.raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None


def _decode_window(text: str, begin: int) -> tuple[Any, int] | None:
    """The same for a long text.

    The library's error counts the lines from the text's start, so that many failures in one
    long text would cost their product; growing windows keep the cost to what is read.
    """
    size = _WINDOW
    while begin + size < len(text):
        window = text[begin : begin + size]
        try:
            value, end = _DECODER.raw_decode(window)
        except json.JSONDecodeError as error:
            cut = error.pos >= size - _MARGIN or error.msg.startswith("Unterminated string")
            if not cut:
                return None
        except (ValueError, RecursionError):
            return None
        else:
            if end < size:
                return value, begin + end
        size *= 2
    found = _decode(text[begin:], 0)
    return None if found is None else (found[0], begin + found[1])
