"""Telling a call from its quotation (law 7).

Calls that stand together are judged together, by where they stand and by the words beside
them.  In code, a quotation, a list or the middle of a sentence a call is an example.  A bare
answer is a call.  With prose beside it, a call must be announced ("Let me look:"): without an
announcement it is unclear and asked about, and next to words that quote, report, explain or
decline it is text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gptme_reliability.dialects import cues
from gptme_reliability.dialects.decode import after_leaked_tokens
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.dialects.table import REASONING, REASONING_ENDS

Placement: TypeAlias = Literal["call", "text", "late", "unclear"]
"""``unclear``: the model must say whether it meant it.
``late``: after prose that followed another call; it may rest on an invented result.
"""

_Lead: TypeAlias = Literal["nothing", "announced", "unannounced", "quoted"]

_NEAR: Final = 240
_FAR: Final = 600
_ENCLOSING: Final = 2_000

_FENCE: Final = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_LISTED: Final = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-zA-Z][.)]|>|\||#{1,6})\s")
_SENTENCE_END: Final = re.compile(r"(?:[.!?:;…。！？：]|\*\*)\s*\Z")
_TRAILING: Final = re.compile(r"\A\s*[.,;:!)}\]\"'»”’`]*\s*")
_SENTENCES: Final = re.compile(r"[.!?。！？\n]\s*")
_CLAUSES: Final = re.compile(r"[,;—–，；]\s*|\s(?:but|and|so)\s")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w\-]{0,40})(?:\s[^<>]{0,200})?>")
_HEREDOC: Final = re.compile(r"<<-?\s?['\"]?([A-Za-z_]\w{0,30})['\"]?")
_INDENTED: Final = re.compile(r"(?: {4,}|\s*\t\s*)\Z")
# Tags that models put around what they say to the user: a call inside them is still a call.
_SPEECH_TAGS: Final = frozenset(
    {opening.strip("<>[]").lower() for opening, _ in REASONING}
    | {"response", "answer", "final", "final_answer", "assistant", "plan", "action", "step"}
)


@dataclass(frozen=True, slots=True)
class _Cluster:
    """Calls with nothing but white space and template tokens between them."""

    first: int
    last: int
    start: int
    end: int


def place(text: str, spans: Sequence[Span]) -> list[Placement]:
    """Say for each span whether it is a call where it stands; ``spans`` are in order."""
    fences = _fence_ranges(text)
    placements: list[Placement] = []
    floor, accepted_end = 0, None
    for cluster in _clusters(text, spans):
        members = spans[cluster.first : cluster.last + 1]
        placement = _judge(text, members, cluster, fences, floor)
        continues = accepted_end is None or _continues(
            text, accepted_end, cluster.start, members[0].marked
        )
        if placement == "call" and not continues:
            placement = "late"
        placements += [placement] * len(members)
        floor = cluster.end
        if placement == "call":
            accepted_end = cluster.end
    return placements


def _clusters(text: str, spans: Sequence[Span]) -> Iterator[_Cluster]:
    first = 0
    for index, span in enumerate(spans):
        following = spans[index + 1] if index + 1 < len(spans) else None
        end = after_leaked_tokens(text, span.end)
        if following is None or following.start > end:
            yield _Cluster(first, index, spans[first].start, end)
            first = index + 1


def _judge(
    text: str,
    members: Sequence[Span],
    cluster: _Cluster,
    fences: Sequence[tuple[int, int]],
    floor: int,
) -> Placement:
    span = members[0]
    found = bisect_right(fences, (cluster.start, -1)) - 1
    inside_fence = found >= 0 and fences[found][0] < cluster.start < fences[found][1]
    if inside_fence or not _stands_free(text, members) or _enclosed(text, cluster):
        return "text"
    # Reasoning that was never closed announces nothing; a marked call ends it.
    before = "" if span.thinking else text[max(floor, cluster.start - _FAR) : cluster.start]
    lead = _lead(before)
    behind = _behind(text[cluster.end : cluster.end + _NEAR].strip())
    if "quoted" in (lead, behind):
        return "text"
    if not span.marked and lead == "unannounced" and behind != "nothing":
        # Between two texts that do not announce it, a call is shown to a reader.
        return "text"
    fenced = text.startswith(("```", "~~~"), cluster.start)
    if lead == "unannounced" or behind == "doubtful" or (fenced and behind != "nothing"):
        # Source code looks like a Python call: no question about that.
        return "text" if span.dialect == "python_call" else "unclear"
    if span.dialect == "python_call" and behind != "nothing":
        return "text"
    return "call"


def _fence_ranges(text: str) -> list[tuple[int, int]]:
    """Start and end of every fenced block; one that never closes reaches to the end."""
    ranges: list[tuple[int, int]] = []
    opening: tuple[int, str] | None = None
    for match in _FENCE.finditer(text):
        if opening is None:
            opening = (match.start(), match[1])
        elif match[1].startswith(opening[1]) and not match[2].strip():
            ranges.append((opening[0], match.end()))
            opening = None
    if opening is not None:
        ranges.append((opening[0], len(text)))
    return ranges


# --- where it stands ----------------------------------------------------------------------


def _stands_free(text: str, members: Sequence[Span]) -> bool:
    """Whether the calls stand on lines of their own, or end a sentence's line."""
    span, end = members[0], members[-1].end
    before = text[max(text.rfind("\n", 0, span.start) + 1, span.start - _NEAR) : span.start]
    newline = text.find("\n", end)
    line_end = len(text) if newline < 0 else newline
    after = text[min(after_leaked_tokens(text, end), line_end) : line_end][:_NEAR]
    lead = _after_reasoning(before).strip()
    if before.count("`") % 2 or _LISTED.match(before.lstrip()) or _INDENTED.match(before):
        return False
    if lead and (span.dialect == "gptme" or not lead[0].isalpha() or lead[-1] in "\"'“‘«(="):
        return False
    if after.lstrip()[:1] in ("?", "`") or (lead and after.lstrip()[:1] in ('"', "'", "”", ")")):
        return False
    return (not lead or bool(_SENTENCE_END.search(lead))) and not _TRAILING.sub("", after)


def _enclosed(text: str, cluster: _Cluster) -> bool:
    """Whether markup, a comment, a string or a here-document is open around the calls."""
    before = text[max(0, cluster.start - _ENCLOSING) : cluster.start]
    behind = text[cluster.end : cluster.end + _ENCLOSING]
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


# --- the words beside it ------------------------------------------------------------------


def _after_reasoning(before: str) -> str:
    """After closed reasoning the answer begins anew."""
    for closing in REASONING_ENDS:
        before = before.rpartition(closing)[2]
    return before


def _lead(before: str) -> _Lead:
    """What the words before the calls make of them."""
    before = _after_reasoning(before).strip()
    if not before:
        return "nothing"
    paragraph = before.rpartition("\n\n")[2][-_NEAR:]
    sentence = next((s for s in reversed(_SENTENCES.split(paragraph)) if s.strip(" *_:")), "")
    clause = _CLAUSES.split(sentence)[-1]
    announced = cues.INTENT.search(clause) or cues.INTENT.search(sentence)
    if announced and not cues.RECORDED.search(paragraph):
        plain = cues.INTENT.search(clause) and not (
            cues.STRONG.search(clause) or cues.QUOTED.search(clause) or cues.VETO.search(sentence)
        )
        return "announced" if plain else "unannounced"
    if cues.STRONG.search(before) or cues.QUOTED.search(paragraph) or paragraph.endswith("?"):
        return "quoted"
    if cues.RECORDED.search(paragraph) or cues.IMPERATIVE.search(paragraph):
        return "quoted"
    return "quoted" if cues.DATA_HEADING.search(paragraph) else "unannounced"


def _behind(behind: str) -> Literal["nothing", "harmless", "doubtful", "quoted"]:
    """What the words behind the calls make of them."""
    if not behind:
        return "nothing"
    if cues.QUOTED_BEHIND.search(behind) or cues.RECORDED.search(behind) or behind.endswith("?"):
        return "quoted"
    foreign = sum(not char.isascii() for char in behind) > len(behind) // 5
    return "doubtful" if foreign or cues.DOUBTFUL_BEHIND.search(behind) else "harmless"


def _continues(text: str, end: int, start: int, marked: bool) -> bool:
    """Whether further calls belong to the calls before them, with nothing invented between."""
    between = text[end:start].strip()
    return len(between) <= (200 if marked else 80) and not cues.INVENTED_RESULT.search(between)
