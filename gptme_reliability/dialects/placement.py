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
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.dialects.surroundings import after_leaked_tokens, enclosed, fence_ranges
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
_LISTED: Final = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-zA-Z][.)]|>|\||#{1,6})\s")
_SENTENCE_END: Final = re.compile(r"(?:[.!?:;…。！？：]|\*\*)\s*\Z")
_TRAILING: Final = re.compile(r"\A\s*[.,;:!)}\]\"'»”’`]*\s*")
_SENTENCES: Final = re.compile(r"[.!?]+(?:\s+|\Z)|[。！？\n]\s*")
_SENTENCES_WITH_ENDS: Final = re.compile(r"[^.!?。！？\n]{1,240}(?:[.!?。！？]+(?=\s|\Z)|\n|\Z|.)")
_CLAUSES: Final = re.compile(r"[,;—–，；]\s*|\s(?:but|and|so)\s")
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
# The value of a member, or an item: the call is part of a larger object.
_MEMBER: Final = re.compile(r"[\"']\s{0,8}[:,]\s{0,8}\[?\s{0,8}\Z")
_INDENTED: Final = re.compile(r"(?: {4,}|\s*\t\s*)\Z")
_REASONING_TAG: Final = re.compile(
    "|".join(re.escape(tag) for tag in dict.fromkeys(tag for pair in REASONING for tag in pair))
)
_SPEECH_OPENS: Final = re.compile(r"<(?:answer|response|final|final_answer|assistant)>\s{0,16}\Z")
# What templates put around the parts of an answer.
_TEMPLATE_TOKENS: Final = re.compile(
    r"<\|(?:open|close)\|>(?:response|tools|message)<\|sep\|>|<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|"
    r"<\|(?:end_message|message_model|content_text)\|>"
)
# What a template writes before the next message of the same answer.
_NEXT_MESSAGE: Final = re.compile(
    r"(?:<\|(?:start|end|channel|message|return|im_start|im_end|eot_id|start_header_id|"
    r"end_header_id)\|>\s{0,8}(?:assistant|final|commentary)?\s{0,8}){1,8}"
)
_SPECIAL: Final = re.compile(
    r"<[|｜‖]|<\w{1,30}\|>|<start_function_call>|✿|[ \t]{0,16}to=|\[TOOL_CALLS\]|\]<\]",
    re.IGNORECASE,
)
_OPEN_QUOTES: Final = frozenset("`\"'“‘«(=")


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
    fences = fence_ranges(text)
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
    if inside_fence or enclosed(text, cluster.start, cluster.end):
        return "text"
    if span.marked and _SPECIAL.match(text, cluster.start):
        return _judge_special(text, cluster, floor, ceiling, span.thinking)
    opens = floor == 0 and not _behind_head(text[: cluster.start])
    if not _stands_free(text, members, indented=opens and not span.marked):
        return "text"
    # Reasoning that was never closed announces nothing; a marked call ends it.
    before = "" if span.thinking else text[max(floor, cluster.start - _FAR) : cluster.start]
    lead = _lead(before, span.marked)
    if span.dialect == "react" and "Thought:" in before:
        # The thought that its protocol wants announces nothing by itself.
        lead = _lead(before.partition("Thought:")[0], span.marked)
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
    behind = _NEXT_MESSAGE.sub("", _TEMPLATE_TOKENS.sub("", behind).strip(), count=1)
    behind = _behind_opening(behind)
    if "quoted" in (lead, behind):
        return "text"
    return "unclear" if lead == "unannounced" or behind == "doubtful" else "call"


# --- where it stands ----------------------------------------------------------------------


def _stands_free(text: str, members: Sequence[Span], indented: bool = False) -> bool:
    """Whether the calls stand on lines of their own, or end a sentence's line.

    ``indented`` says that spaces before them on their line make no block of code of them.
    """
    span, end = members[0], members[-1].end
    before = text[max(0, span.start - _NEAR) : span.start].rpartition("\n")[2]
    behind = after_leaked_tokens(text, end)
    after = "" if "\n" in text[end:behind] else text[behind : behind + _NEAR].partition("\n")[0]
    if span.marked and members[-1].calls[-1].flaw and members[-1].calls[-1].name:
        after = ""  # where a call that cannot be read ends is not known
    lead = _behind_head(before)
    if (
        before.count("`") % 2
        or _LISTED.match(before.lstrip())
        or (_INDENTED.match(before) and not indented)
    ):
        return False
    if lead and (
        span.dialect == "gptme"
        or _MEMBER.search(lead)
        or not lead.lstrip("*")[:1].isalpha()
        or lead[-1] in "\"'“‘«(="
    ):
        return False
    if after.lstrip()[:1] in ("?", "`") or (lead and after.lstrip()[:1] in ('"', "'", "”", ")")):
        return False
    ends = not lead or span.marked or bool(_SENTENCE_END.search(lead))
    return ends and not _TRAILING.sub("", after)


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
    if marked and cues.GREETING.fullmatch(before):
        return "announced"
    paragraph = before.rpartition("\n\n")[2][-_NEAR:]
    sentence = next((s for s in reversed(_SENTENCES.split(paragraph)) if s.strip(" *_:")), "")
    if cues.CALLS_FOLLOW.search(sentence) and not cues.STRONG.search(before):
        return "announced"
    clause = _CLAUSES.split(sentence)[-1]
    if cues.QUESTION.search(before) or cues.LEAVE.search(clause) or cues.EXAMPLE.fullmatch(clause):
        return "quoted"
    if cues.LABEL.fullmatch(sentence):
        # A label announces only as much as the words before it.
        above = before[: before.rfind(sentence.strip())].partition("Thought:")[0]
        return "announced" if not above.strip() else _lead(above, marked)
    announced = [near for near in dict.fromkeys((clause, sentence)) if cues.INTENT.search(near)]
    if announced and not cues.RECORDED.search(paragraph):
        plain = any(
            not (cues.STRONG.search(near) or cues.QUOTED.search(near))
            for near in announced
            if marked or near == clause
        )
        return "announced" if plain and not cues.VETO.search(sentence) else "unannounced"
    if cues.STRONG.search(before) or cues.QUOTED.search(paragraph):
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
    if cues.QUOTED_BEHIND.search(behind) or cues.RECORDED.search(behind):
        return "quoted"
    if cues.QUESTION.search(behind):
        return "quoted"
    if cues.TAKEN_BACK.search(behind) or _remarks(behind):
        return "doubtful"
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
    if cues.FOLLOW_UP.fullmatch(behind):
        return "harmless"
    label = _LABEL.match(behind)
    passage = behind[label.end() :] if label else behind
    said = behind[: label.end()] if label else ""
    said += "".join(_SENTENCES_WITH_ENDS.findall(passage.partition("\n\n")[0])[:2])
    if cues.OPENED_BEHIND.search(said) or cues.RECORDED.search(said):
        return "quoted"
    if cues.QUESTION.search(said):
        return "quoted"
    if cues.TAKEN_BACK.search(said) or _remarks(behind):
        return "doubtful"
    return "harmless" if cues.TOLD_BEHIND.search(said) else _behind(said)


def _remarks(behind: str) -> bool:
    """Whether a few words about the calls are all that is said, and not what comes next."""
    return bool(cues.REMARK.fullmatch(behind)) and not cues.PLAIN_REMARK.match(behind)


def _continues(text: str, end: int, start: int, marked: bool) -> bool:
    """Whether further calls belong to the calls before them, with nothing invented between."""
    between = text[end:start].strip()
    return len(between) <= (200 if marked else 80) and not cues.INVENTED_RESULT.search(between)
