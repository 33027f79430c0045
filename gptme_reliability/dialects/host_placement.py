"""Telling a call from its quotation, for blocks in the host's own format (law 7)."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from gptme_reliability.dialects import host_cues as cues
from gptme_reliability.dialects.cues import (
    INTENT,
    PLAIN_REMARK,
    QUESTION,
    REMARK,
    TAKEN_BACK,
)
from gptme_reliability.dialects.surroundings import enclosed
from gptme_reliability.nudges import is_nudge
from gptme_reliability.quotations import text_parts

_NEAR: Final = 400
_FEW_WORDS: Final = 3
_SENTENCES: Final = re.compile(r"(?<=[.!?])\s+|\n+")
_REASONING_ENDS: Final = ("</think>", "</thinking>")
_OPEN_QUOTES: Final = frozenset("`\"'“‘«(=>")
_LISTED: Final = re.compile(r"\s{0,16}(?:[-*+•>|]|\d{1,3}[.)])\s")


def place_own(
    text: str,
    start: int,
    end: int,
    floor: int,
    ceiling: int,
    fences: Sequence[tuple[int, int]],
    *,
    asks: bool = False,
) -> Literal["call", "text", "unclear"]:
    """Whether the call at this stretch is meant, judged by what stands around it.

    It is, unless words make an example of it; where they introduce it as if it were another's
    it is unclear.

    ``floor`` and ``ceiling`` are where its neighbours end and begin; ``fences`` are the fenced
    blocks of other kinds.  ``asks`` says that the call itself asks the user something.
    """
    found = bisect_right(fences, (start, -1)) - 1
    if found >= 0 and fences[found][0] < start < fences[found][1]:
        return "text"
    before = text[max(floor, start - _NEAR) : start]
    if (
        enclosed(text, start, end)
        or _in_line(text, start, end)
        or _said_before(before, asks=asks)
        or (not asks and _said_behind(text[end : min(end + _NEAR, ceiling)]))
    ):
        return "text"
    if not asks and (_introduced(before) or _doubted_behind(text[end : min(end + _NEAR, ceiling)])):
        return "unclear"
    return "call"


def _in_line(text: str, start: int, end: int) -> bool:
    """Whether the call stands amid a sentence, a quotation or a list."""
    before = text[max(0, start - _NEAR) : start].rpartition("\n")[2]
    if not before.strip():
        return False
    if before.count("`") % 2 or before.rstrip()[-1] in _OPEN_QUOTES or _LISTED.match(before):
        return True
    behind = text[end : end + _NEAR].partition("\n")[0].strip()
    return bool(behind.strip(".!")) or before.rstrip()[-1] not in ".!:>;"


def _last_sentence(before: str) -> str:
    """The last sentence behind the reasoning; empty where nothing is said."""
    for closing in _REASONING_ENDS:
        before = before.rpartition(closing)[2]
    paragraphs = [part for part in re.split(r"\n\s*\n", before) if part.strip()]
    if not paragraphs:
        return ""
    return [part for part in _SENTENCES.split(paragraphs[-1]) if part.strip()][-1].strip()


def _introduced(before: str) -> bool:
    """Whether words introduce what follows as if it were another's, and not as the next step."""
    last = _last_sentence(before)
    if not last or last.rstrip("*_` ").endswith((".", "!", "。", "…")):
        return False
    if cues.WAITS.search(last):
        return True
    if any(words.search(last) for words in (cues.INTENT, cues.UNDER_WAY, INTENT)):
        return False
    return bool(cues.DOUBTFUL.search(last)) or not cues.OWN.search(last)


def _said_before(before: str, *, asks: bool = False) -> bool:
    last = _last_sentence(before)
    if not last:
        return False
    return (not asks and _asks(last)) or _makes_example(last)


def _asks(sentence: str) -> bool:
    return bool(cues.ASKED.search(sentence) or QUESTION.search(sentence))


def _makes_example(sentence: str) -> bool:
    """Whether the last sentence before a block makes an example of it."""
    if cues.REFUSED.search(sentence):
        return True
    if cues.INTENT.search(sentence):
        return bool(cues.SHOWING.search(sentence))
    if cues.SURELY_SHOWN.search(sentence):
        return True
    # A sentence that has ended introduces nothing.
    return not sentence.endswith((".", "!")) and any(
        words.search(sentence) for words in (cues.EXAMPLE, cues.READER, cues.RECALLED)
    )


def _said_behind(behind: str) -> bool:
    said = behind.strip()
    if not said:
        return False
    first = _first_sentences(said)
    return bool(cues.TAKEN_BACK.search(first) or cues.ASKED.search(first))


def _doubted_behind(behind: str) -> bool:
    """Whether what is said behind a block may take it back, or asks the user for leave."""
    said = behind.strip()
    first = _first_sentences(said)
    if TAKEN_BACK.search(first) or cues.LEAVE.search(first):
        return True
    short = len(said.split()) <= _FEW_WORDS and REMARK.fullmatch(said)
    return bool(short) and not PLAIN_REMARK.match(said)


def _first_sentences(said: str) -> str:
    return "\n".join(_SENTENCES.split(said)[:3])


def announced(before: str) -> bool:
    """Whether the words before a block say, in the first person, that it is now to be run."""
    return bool(cues.INTENT.search(_last_sentence(before))) and not _said_before(before)


def asks_for_code(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the user last asked for something to read, which code may be."""
    for message in reversed(messages):
        if message.get("role") == "user" and not is_nudge(message):
            said = "\n".join(text_parts(message.get("content")))
            return cues.ASKS_FOR_CODE.search(said[:_NEAR]) is not None
    return False
