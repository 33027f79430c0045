"""Calls that say that none is made: ``no_function`` without arguments.

Models that were taught to end every answer in a call write them where no tool fits.  There is
nothing in them to correct; what is missing, if anything, are words for the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gptme_reliability.dialects.table import REASONING_ENDS
from gptme_reliability.distance import fold
from gptme_reliability.enforce import Judged
from gptme_reliability.types import Violation

# As ``fold`` leaves them.  Of 412 recorded answers that should call nothing and name a tool that
# is not on offer, 212 name the first, and no other name stands in more than 8.
_NAMES: Final = frozenset(
    {
        *("nofunction", "nofunctions", "nofunctioncall", "nofunctioncalls"),
        *("notool", "notools", "notoolcall", "notoolcalls", "nocall", "none", "null"),
    }
)
_NOTHING_ELSE: Final = "the answer says that no tool fits, and nothing else"
_BESIDE: Final = "it says that no tool fits"


def settled(judged: Sequence[Judged], text: str) -> Sequence[Judged]:
    """The attempts, with those that say that there is none asked for words instead.

    Where the answer holds anything else, a call or ``text``, they are left out without asking.
    """
    saying = [_says_none(item) for item in judged]
    if not any(saying):
        return judged
    alone = all(saying) and not _said(text)
    return [
        (_asked(item) if alone else _left_out(item)) if says else item
        for item, says in zip(judged, saying, strict=True)
    ]


def _says_none(item: Judged) -> bool:
    """Whether an attempt names no tool that is on offer, but one of these, and gives nothing."""
    if [violation.rule for violation in item.violations] != ["unknown_tool"]:
        return False
    if item.refused is None or item.refused.name is None or item.attempted is None:
        return False
    return fold(item.refused.name) in _NAMES and not item.attempted.arguments


def _said(text: str) -> bool:
    for closing in REASONING_ENDS:
        text = text.rpartition(closing)[2]
    return bool(text.strip())


def _asked(item: Judged) -> Judged:
    asked = Violation("no_tool", "$", _NOTHING_ELSE, call=item.violations[0].call)
    return replace(item, violations=(asked,), attempted=None)


def _left_out(item: Judged) -> Judged:
    refused = item.refused and replace(item.refused, reason=_BESIDE)
    return replace(item, violations=(), refused=refused, attempted=None)
