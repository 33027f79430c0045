"""What stands around the place where a text broke."""

from __future__ import annotations

import re
from typing import Final

from gptme_reliability.sentences import FRAME

MARK: Final = FRAME["here"].en
"""Stands at the place itself."""

_AROUND: Final = 30
# The end of a call's envelope: a template would take it for its own token.
_TOKEN: Final = re.compile(r"</|<[|\uff5c]|\[/?[A-Z]")


def around(text: str, position: int, reach: int = _AROUND) -> str:
    """The text near the place where it broke, with a mark there."""
    position = min(position, len(text))
    begin, end = max(position - reach, 0), min(position + reach, len(text))
    head, tail = "…" if begin else "", "…" if end < len(text) else ""
    return f"{head}{text[begin:position]}{MARK}{text[position:end]}{tail}"


def around_call(text: str, position: int) -> str:
    """The same within a call: without the tokens that stand around it."""
    position = min(position, len(text))
    begin = max(position - _AROUND, 0)
    before = _TOKEN.split(text[begin:position])[-1]
    behind = _TOKEN.split(text[position : position + _AROUND])[0]
    return f"{before}{MARK}{behind}"
