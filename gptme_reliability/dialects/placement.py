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
from gptme_reliability.dialects.table import REASONING

Placement: TypeAlias = Literal["call", "text", "late", "unclear"]
"""``unclear``: the model must say whether it meant it.
``late``: after prose that followed another call; it may rest on an invented result.
"""

_Behind: TypeAlias = Literal["nothing", "harmless", "doubtful", "quoted"]
_Lead: TypeAlias = Literal["nothing", "announced", "unannounced", "quoted"]

_SHORT: Final = 80
_NEAR: Final = 240
_FAR: Final = 600
_ENCLOSING: Final = 2_000

_FENCE: Final = re.compile(r"^(?:<\|[\w ]{1,40}\|>)?[ \t]{0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_LISTED: Final = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-zA-Z][.)]|>|\||#{1,6})\s")
_SENTENCE_END: Final = re.compile(r"(?:[.!?:;…。！？：]|\*\*)\s*\Z")
_TRAILING: Final = re.compile(r"\A\s*[.,;:!)}\]\"'»”’`]*\s*")
_SENTENCES: Final = re.compile(r"[.!?。！？\n]\s*")
_SENTENCES_WITH_ENDS: Final = re.compile(r"[^.!?。！？\n]{1,240}(?:[.!?。！？]+(?=\s|\Z)|\n|\Z|.)")
_CLAUSES: Final = re.compile(r"[,;—–，；]\s*|\s(?:but|and|so)\s")
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][\w\-]{0,40})(?:\s[^<>]{0,200})?>")
_HEREDOC: Final = re.compile(r"<<-?\s?['\"]?([A-Za-z_]\w{0,30})['\"]?")
# A heading of a chat template, the end of a string, or a file's name: the model runs on into
# another document, which says nothing about the call.
_OTHER_DOCUMENT: Final = re.compile(
    r"[\s`)\]}]{0,64}(?:\"\"\"|\'\'\'|#{1,6}\s?(?:instr?uction|response|input|question|user|assistant|"
    r"system|end\b)|#[\w./\-]{1,120}\.\w{1,8}\b|#{3,6}\s*\n)",
    re.IGNORECASE,
)
_BLANK_LINE: Final = re.compile(r"[ \t]{0,64}\r?\n[ \t]{0,64}\r?\n")
_MESSAGE_HEAD: Final = re.compile(
    r"\A\s{0,64}(?:<\|(?:start_header_id|end_header_id|im_start|begin_of_text)\|>"
    r"\s{0,8}(?:assistant\b)?\s{0,8}){1,8}"
)
_LABEL: Final = re.compile(r"[\s`)\]}#*]{0,64}(?:\w{1,20} ?){1,3}:\W{0,16}")
_INDENTED: Final = re.compile(r"(?: {4,}|\s*\t\s*)\Z")
_REASONING_TAG: Final = re.compile(
    "|".join(re.escape(tag) for tag in dict.fromkeys(tag for pair in REASONING for tag in pair))
)
_CLOSING_OF: Final = {opening.lower(): closing for opening, closing in REASONING}
_REASONING_OPENS: Final = re.compile(
    "|".join(re.escape(opening) for opening, _ in REASONING), re.IGNORECASE
)
_SPEECH_OPENS: Final = re.compile(r"<(?:answer|response|final|final_answer|assistant)>\s{0,16}\Z")
# What templates put around the parts of an answer.
_TEMPLATE_TOKENS: Final = re.compile(
    r"<\|(?:open|close)\|>(?:response|tools|message)<\|sep\|>|<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|"
    r"<\|(?:end_message|message_model|content_text)\|>"
)
# A few words without any claim about what follows.
_ASIDE: Final = re.compile(
    r"[^\W\d_][^\s:?]{0,20}(?: [^\s:?]{1,20})?|(?:[^\W\d_][^\s:?]{0,20} ){0,3}[^\s:?]{1,20}[.!]"
)
_MOST_REASONINGS: Final = 16
_SPECIAL: Final = re.compile(
    r"<[|｜‖]|<\w{1,30}\|>|<start_function_call>|✿|[ \t]{0,16}to=|\[TOOL_CALLS\]|\]<\]",
    re.IGNORECASE,
)
_OPEN_QUOTES: Final = frozenset("`\"'“‘«(=")
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
    if _alone(text, spans):
        return ["call"]
    fences = _fence_ranges(text)
    placements: list[Placement] = []
    floor, accepted_end = 0, None
    clusters = list(_clusters(text, spans))
    ceilings = [*(cluster.start for cluster in clusters[1:]), len(text)]
    for cluster, ceiling in zip(clusters, ceilings, strict=True):
        members = spans[cluster.first : cluster.last + 1]
        placement = _judge(text, members, cluster, fences, floor, ceiling)
        continues = accepted_end is None or _continues(
            text, accepted_end, cluster.start, members[0].marked
        )
        if placement in ("call", "unclear") and not continues:
            placement = "late"
        placements += [placement] * len(members)
        floor = cluster.end
        if placement == "call":
            accepted_end = cluster.end
    return placements


def _alone(text: str, spans: Sequence[Span]) -> bool:
    """Whether the answer is nothing but one span without a marker: most answers with calls."""
    if len(spans) != 1 or spans[0].marked or spans[0].dialect == "gptme":
        return False
    before = text[: spans[0].start]
    return not before.strip() and after_leaked_tokens(text, spans[0].end) == len(text)


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
    ceiling: int,
) -> Placement:
    """Judge one cluster by the text between ``floor`` and ``ceiling``, its neighbours."""
    span = members[0]
    found = bisect_right(fences, (cluster.start, -1)) - 1
    inside_fence = found >= 0 and fences[found][0] < cluster.start < fences[found][1]
    if inside_fence or _enclosed(text, cluster):
        return "text"
    if span.marked and _SPECIAL.match(text, cluster.start):
        return _judge_special(text, cluster, floor, ceiling, span.thinking)
    opens = floor == 0 and not _behind_head(text[: cluster.start])
    if not _stands_free(text, members, indented=opens and not span.marked):
        return "text"
    # Reasoning that was never closed announces nothing; a marked call ends it.
    before = "" if span.thinking else text[max(floor, cluster.start - _FAR) : cluster.start]
    lead = _lead(before, span.marked)
    if lead == "unannounced" and span.dialect == "react" and "Thought:" in before:
        lead = "announced"  # by the thought that its protocol wants before it
    following = text[cluster.end : min(cluster.end + _NEAR, ceiling)].strip()
    fenced = text.startswith(("```", "~~~"), cluster.start)
    opens = opens and _may_open(span, text[members[-1].end : members[-1].end + _NEAR], fenced)
    quoted = text[cluster.start : cluster.start + 1] in "`\"'" and not fenced
    named = lead == "announced" and cues.CALLS_FOLLOW.search(before[-_SHORT:]) and not following
    if quoted and not opens and not named:
        return "text"
    stated = opens or (lead == "announced" and span.dialect in ("pythonic", "json"))
    stated = stated or (span.marked and lead == "nothing" and span.dialect != "gptme")
    behind = _behind_opening(following) if stated else _behind(following)
    if "quoted" in (lead, behind):
        return "text"
    if not span.marked and lead == "unannounced" and behind != "nothing":
        # Between two texts that do not announce it, a call is shown to a reader.
        return "text"
    if fenced and behind == "harmless" and not stated:
        behind = "doubtful"
    if lead == "unannounced" or behind == "doubtful":
        # Source code looks like a Python call: no question about that.
        return "text" if span.dialect == "python_call" else "unclear"
    if span.dialect == "python_call" and behind != "nothing" and not opens:
        return "text"
    return "call"


def _may_open(span: Span, following: str, fenced: bool) -> bool:
    """Whether calls spelled like this may open an answer that goes on behind them.

    Lists of calls and objects are no plain code; a Python call alone must stand apart.
    """
    if span.dialect in ("pythonic", "json"):
        return True
    apart = _BLANK_LINE.match(following) is not None or not following.strip()
    return span.dialect == "python_call" and (fenced or apart)


def _judge_special(
    text: str, cluster: _Cluster, floor: int, ceiling: int, thinking: bool
) -> Placement:
    """Calls behind a special token of a chat template, which nobody types by chance.

    They may stand anywhere, unless the words beside them make an example of them.
    """
    line = text[max(0, cluster.start - _NEAR) : cluster.start].rpartition("\n")[2]
    if line.count("`") % 2 or line.rstrip()[-1:] in _OPEN_QUOTES or _LISTED.match(line.lstrip()):
        return "text"
    before = "" if thinking else text[max(floor, cluster.start - _FAR) : cluster.start]
    lead = _lead(before, marked=True)
    behind = text[cluster.end : min(cluster.end + _NEAR, ceiling)]
    behind = _behind_opening(_TEMPLATE_TOKENS.sub("", behind).strip())
    if "quoted" in (lead, behind):
        return "text"
    if lead == "unannounced":
        said = _behind_head(before)
        following = text[cluster.end : cluster.end + _NEAR].lstrip()
        aside = _ASIDE.fullmatch(said) and behind != "doubtful"
        goes_on = following[:1].islower() or _LISTED.match(following)
        return "call" if aside and not goes_on else "unclear"
    return "unclear" if behind == "doubtful" else "call"


def _fence_ranges(text: str) -> list[tuple[int, int]]:
    """Start and end of every fenced block; one that never closes reaches to the end."""
    if "```" not in text and "~~~" not in text:
        return []
    ranges: list[tuple[int, int]] = []
    opening: tuple[int, str] | None = None
    reasoned = _closed_reasoning(text)
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


def _closed_reasoning(text: str) -> list[tuple[int, int]]:
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


# --- where it stands ----------------------------------------------------------------------


def _stands_free(text: str, members: Sequence[Span], indented: bool = False) -> bool:
    """Whether the calls stand on lines of their own, or end a sentence's line.

    ``indented`` says that spaces before them on their line make no block of code of them.
    """
    span, end = members[0], members[-1].end
    before = text[max(0, span.start - _NEAR) : span.start].rpartition("\n")[2]
    behind = after_leaked_tokens(text, end)
    after = "" if "\n" in text[end:behind] else text[behind : behind + _NEAR].partition("\n")[0]
    lead = _behind_head(before)
    if (
        before.count("`") % 2
        or _LISTED.match(before.lstrip())
        or (_INDENTED.match(before) and not indented)
    ):
        return False
    if lead and (
        span.dialect == "gptme" or not lead.lstrip("*")[:1].isalpha() or lead[-1] in "\"'“‘«(="
    ):
        return False
    if after.lstrip()[:1] in ("?", "`") or (lead and after.lstrip()[:1] in ('"', "'", "”", ")")):
        return False
    ends = not lead or span.marked or bool(_SENTENCE_END.search(lead))
    return ends and not _TRAILING.sub("", after)


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
    """After closed reasoning the answer begins anew, and reasoning itself announces nothing."""
    end = 0
    for tag in _REASONING_TAG.finditer(before):
        end = tag.end()
    return before[end:]


def _behind_head(before: str) -> str:
    """The words before the calls, without reasoning and the tokens that open a message."""
    if not before:
        return before
    said = _after_reasoning(before)
    if said != before:
        # Hunyuan opens its answer with a tag, behind its reasoning.
        said = _SPEECH_OPENS.sub("", said)
    return _MESSAGE_HEAD.sub("", _TEMPLATE_TOKENS.sub("", said), count=1).strip()


def _lead(before: str, marked: bool = False) -> _Lead:
    """What the words before the calls make of them; behind a marker any announcement counts."""
    before = _behind_head(before)
    if not before:
        return "nothing"
    if marked and cues.GREETING.fullmatch(before) and not cues.QUOTED.search(before):
        return "announced"
    paragraph = before.rpartition("\n\n")[2][-_NEAR:]
    sentence = next((s for s in reversed(_SENTENCES.split(paragraph)) if s.strip(" *_:")), "")
    if cues.CALLS_FOLLOW.search(sentence) and not cues.STRONG.search(before):
        return "announced"
    clause = _CLAUSES.split(sentence)[-1]
    announced = cues.INTENT.search(clause) or cues.INTENT.search(sentence)
    if announced and not cues.RECORDED.search(paragraph):
        plain = any(
            cues.INTENT.search(near) and not (cues.STRONG.search(near) or cues.QUOTED.search(near))
            for near in ((clause, sentence) if marked else (clause,))
        )
        return "announced" if plain and not cues.VETO.search(sentence) else "unannounced"
    if cues.STRONG.search(before) or cues.QUOTED.search(paragraph) or paragraph.endswith("?"):
        return "quoted"
    if cues.RECORDED.search(paragraph) or cues.IMPERATIVE.search(paragraph):
        return "quoted"
    # Without a colon the words before a marker are no heading.
    heading = cues.DATA_HEADING.search(paragraph) and (not marked or before.endswith(":"))
    return "quoted" if heading else "unannounced"


def _behind(behind: str) -> _Behind:
    """What the words behind the calls make of them."""
    if not behind:
        return "nothing"
    if cues.QUOTED_BEHIND.search(behind) or cues.RECORDED.search(behind) or behind.endswith("?"):
        return "quoted"
    foreign = sum(not char.isascii() for char in behind) > len(behind) // 5
    return "doubtful" if foreign or cues.DOUBTFUL_BEHIND.search(behind) else "harmless"


def _behind_opening(behind: str) -> _Behind:
    """What is said first behind calls that open the answer makes of them.

    They are calls by where they stand: it takes more to turn them into an example.
    """
    if not behind:
        return "nothing"
    if _OTHER_DOCUMENT.match(behind):
        return "harmless"
    label = _LABEL.match(behind)
    passage = behind[label.end() :] if label else behind
    said = behind[: label.end()] if label else ""
    said += "".join(_SENTENCES_WITH_ENDS.findall(passage.partition("\n\n")[0])[:2])
    if cues.OPENED_BEHIND.search(said) or cues.RECORDED.search(said) or said.endswith("?"):
        return "quoted"
    return "harmless" if cues.TOLD_BEHIND.search(said) else _behind(said)


def _continues(text: str, end: int, start: int, marked: bool) -> bool:
    """Whether further calls belong to the calls before them, with nothing invented between."""
    between = text[end:start].strip()
    return len(between) <= (200 if marked else 80) and not cues.INVENTED_RESULT.search(between)
