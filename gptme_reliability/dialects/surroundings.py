"""What stands around calls: fences, tags and strings that are open, and tokens behind them."""

from __future__ import annotations

import re
from typing import Final

from gptme_reliability.dialects.table import LEAKED_TOKENS, REASONING

_ENCLOSING: Final = 2_000

_FENCE: Final = re.compile(r"^(?:<\|[\w ]{1,40}\|>)?[ \t]{0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w\-]{0,40})(?:\s[^<>]{0,200})?>")
_HEREDOC: Final = re.compile(r"<<-?\s?['\"]?([A-Za-z_]\w{0,30})['\"]?")
_CLOSING_OF: Final = {opening.lower(): closing for opening, closing in REASONING}
_REASONING_OPENS: Final = re.compile(
    "|".join(re.escape(opening) for opening, _ in REASONING), re.IGNORECASE
)
_MOST_REASONINGS: Final = 16
# Tags that models put around what they say to the user: a call inside them is still a call.
_SPEECH_TAGS: Final = frozenset(
    {opening.strip("<>[]").lower() for opening, _ in REASONING}
    | {"response", "answer", "final", "final_answer", "assistant", "plan", "action", "step"}
)


def fence_ranges(text: str) -> list[tuple[int, int]]:
    """Start and end of every fenced block; one that never closes reaches to the end."""
    if "```" not in text and "~~~" not in text:
        return []
    ranges: list[tuple[int, int]] = []
    opening: tuple[int, str] | None = None
    reasoned = closed_reasoning(text)
    for match in _FENCE.finditer(text):
        if any(start < match.start() < end for start, end in reasoned):
            continue
        if opening is None:
            opening = (match.start(), match[1])
        elif match[1].startswith(opening[1]) and not match[2].strip():
            ranges.append((opening[0], match.end()))
            opening = None
    if opening is not None:
        ranges.append((opening[0], len(text)))
    return ranges


def closed_reasoning(text: str) -> list[tuple[int, int]]:
    """The stretches of closed reasoning: a fence that opens there does not reach further."""
    found: list[tuple[int, int]] = []
    while len(found) < _MOST_REASONINGS:
        opening = _REASONING_OPENS.search(text, found[-1][1] if found else 0)
        if opening is None:
            break
        closing = _CLOSING_OF[opening[0].lower()]
        end = text.find(closing, opening.end())
        if end < 0:
            break
        found.append((opening.start(), end + len(closing)))
    return found


def enclosed(text: str, start: int, end: int) -> bool:
    """Whether markup, a comment, a string or a here-document is open around this stretch."""
    before = text[max(0, start - _ENCLOSING) : start]
    behind = text[end : end + _ENCLOSING]
    if "<" in before:
        if before.rfind("<!--") > before.rfind("-->") and "-->" in behind:
            return True
        if any(f"</{name}>" in behind for name in _open_tags(before)):
            return True
        words = _HEREDOC.findall(before)
        if words and re.search(rf"^\s*{words[-1]}\s*$", behind, re.MULTILINE):
            return True
    return any(before.count(quote) % 2 and quote in behind for quote in ("'''", '"""'))


def _open_tags(before: str) -> list[str]:
    opened: list[str] = []
    for match in _TAG.finditer(before):
        name = match[2]
        if not match[1]:
            opened.append(name)
        elif name in opened:
            del opened[len(opened) - 1 - opened[::-1].index(name) :]
    return [name for name in opened if name.lower() not in _SPEECH_TAGS]


_LEAKED: Final = re.compile(rf"(?:\s|{'|'.join(map(re.escape, LEAKED_TOKENS))})*")
# A token that was begun where the text ends.
_BEGUN: Final = re.compile(
    r"(?:<[/|｜]{0,2}[\w:▁|｜]{0,40}|\[/?[A-Z_]{0,20}|`{1,2}|✿[A-Z]{0,10}|\]<?\]?[a-z]{0,8}\[?>?\[?)\Z"
)


def after_leaked_tokens(text: str, position: int) -> int:
    """The index behind white space and leaked template tokens that start at ``position``.

    A token that is only begun when the text ends counts as one.
    """
    match = _LEAKED.match(text, position)
    end = match.end() if match else position
    return len(text) if _BEGUN.match(text, end) else end
