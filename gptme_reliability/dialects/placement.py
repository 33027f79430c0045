"""Telling a call from its quotation (law 7).

A span is judged by where it stands: in code, in a quotation or a list it is an example; in the
middle of a sentence it is prose; next to words that introduce an example or decline to act it
is not meant to run.  When in doubt it is text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from gptme_reliability.dialects.decode import after_leaked_tokens
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.dialects.table import REASONING_ENDS

Placement: TypeAlias = Literal["call", "text", "late"]
"""``late``: a call after prose that followed another call; it may rest on an invented result."""

_NEAR: Final = 240
_FAR: Final = 600

_FENCE: Final = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_LISTED: Final = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-zA-Z][.)]|>|\||#{1,6})\s")
_SENTENCE_END: Final = re.compile(r"(?:[.!?:;…)\]。！？：]|-->?|=>|→|\*\*|</\w+>)\s*\Z")
_ASKED_ABOUT: Final = re.compile(r"\A\s*[?.,;:!)\]\"'»”’`]*\s*")

# Words that make all that stands near them an example or a refusal.
_STRONG_CUES: Final = re.compile(
    r"\b(?:for (?:example|instance|reference)|e\.g|examples?|sample|illustrat\w*|demonstrat\w*|"
    r"hypothetical\w*|documentation|docs|tutorial|manual|format(?:ted)?|syntax|schema|template|"
    r"placeholder|looks? like|would|do(?:es)? not (?:run|execute|call|use)|"
    r"don't (?:run|execute|call|use)|never (?:run|execute|call|use)|"
    r"(?:won't|will not|can't|cannot|can not|refuse to|not going to|unable to)|"
    r"zum beispiel|beispiel|par exemple|exemple|por ejemplo|ejemplo|por exemplo|exemplo|"
    r"ad esempio|esempio|например|пример)\b|\bz\.\s?b\.|例えば|例如|比如|示例|たとえば|예를 들어",
    re.IGNORECASE,
)
# Words that make what follows them directly an example, a plan, a report or a refusal.
_CUES: Final = re.compile(
    r"\b(?:"
    r"such as|like (?:this|so)|could|might|should(?:n't)?|suppose|imagine|"
    r"if (?:you|i|we|the|they|it)|when (?:you|the|a|an)|whenever|unless|"
    r"you (?:can|may|must|need|want|have to|then|just|simply)|you'd|yourself|users? (?:can|may)|"
    r"do(?:es)? not|don't|doesn't|never|not (?:able|allowed|run|call|execute|use)|"
    r"wouldn't|couldn't|refus\w*|declin\w*|"
    r"instead of|rather than|avoid|dangerous|harmful|unsafe|malicious|"
    r"previous(?:ly)?|earlier|already|last time|yesterday|"
    r"i(?:'ve| have)? (?:just )?(?:ran|run|called|executed|used|tried|wrote|sent|made)|"
    r"(?:was|were|is|are|been|be|gets?|got) (?:called|executed|run|sent|invoked|written)|"
    r"(?:you|user|he|she|they|it|which|that) (?:said|wrote|asked|sent|returned|printed|contains?)|"
    r"contains?|containing|returned|output (?:was|is)|result (?:was|is)|"
    r"logs?|logged|recorded|quot\w+|echo(?:es|ed|ing)?|literal(?:ly)?|verbatim|string|"
    r"means?|meaning|is how|this is (?:how|what|the)|here is (?:how|what)|here's (?:how|what)|"
    r"explain\w*|describ\w*|defin\w*|represent\w*|called with|shall i|may i|"
    r"want me to|like me to|options?|alternatively|either|"
    r"würde|könnte|nicht|niemals|kein\w*|"
    r"pourrai\w*|devrai\w*|pas|"
    r"podría|nunca|no (?:ejecut\w*|llam\w*|voy|puedo|debo)|"
    r"potrebbe|potresti|non|não|нельзя|не"
    r")\b|不|无法|没有|可以|ません|ない",
    re.IGNORECASE,
)
# The writer announces what it does next.
_INTENT: Final = re.compile(
    r"\b(?:let me|let's|let us|i'll|i will|i am going to|i'm going to|i need to|"
    r"i'm (?:now )?\w+ing)\b",
    re.IGNORECASE,
)
# An instruction to the reader, not an announcement of the writer's.
_IMPERATIVE: Final = re.compile(
    r"\A\W*(?:(?:then|now|just|simply|please|or|and|to \w+,?) )?"
    r"(?:use|run|try|type|enter|paste|copy|execute|issue|add|put|write|see|consider|compare|note|"
    r"remember|replace|send|submit)\b",
    re.IGNORECASE,
)
# A heading for data: what it announces is shown, not called.
_DATA_HEADING: Final = re.compile(
    r"\b(?:outputs?|results?|stdout|response|json|config\w*|files?|contents?|payload|data|records?|"
    r"entry|entries|snippet|text|messages?|definitions?|documents?|objects?|lines?|values?|"
    r"ran|run|executed|called|used|said|wrote|answer)\W*\Z|"
    r"(?:^|\n)\W*(?:user|assistant|system|human|ai|bot|model)\W*:\W*\Z",
    re.IGNORECASE,
)
# Behind a call fewer words count: models like to comment on what they have just asked for.
_CUES_BEHIND: Final = re.compile(
    r"\b(?:for example|example|illustrat\w*|hypothetical\w*|placeholder|template|syntax|"
    r"(?:would|could|might) (?:run|call|execute|be|delete|remove|list|do|print|show|read|write)|"
    r"(?:is|as|in) (?:the|this|that|what) (?:format|schema|form|call|a call)|looks? like|"
    r"don't run|do not run|never run|not actually|"
    r"not (?:run|running|execute|executing|call|calling|going to)|won't|cannot|can't|"
    r"you can|yourself|was (?:called|run|executed)|means|replace|instead|the above|shown above|"
    r"beispiel|exemple|ejemplo|esempio|пример)\b|例|不要",
    re.IGNORECASE,
)
# Between two calls: signs that the model made up what the first one returned.
_INVENTED_RESULT: Final = re.compile(
    r"\b(?:results?|output|outputs|returned|observation|response|tool_response|stdout)\b",
    re.IGNORECASE,
)


def place(text: str, spans: Sequence[Span]) -> list[Placement]:
    """Say for each span whether it is a call where it stands; ``spans`` are in order."""
    fences = _fence_ranges(text)
    starts = [start for start, _ in fences]
    placements: list[Placement] = []
    accepted_end: int | None = None
    for index, span in enumerate(spans):
        found = bisect_right(starts, span.start) - 1
        in_fence = found >= 0 and fences[found][0] < span.start < fences[found][1]
        if in_fence or not _stands_free(text, span) or _introduced(text, spans, index):
            placements.append("text")
            continue
        if accepted_end is not None and not _continues(text, accepted_end, span):
            placements.append("late")
            continue
        if accepted_end is None and not _opens_or_ends(text, span):
            placements.append("text")
            continue
        placements.append("call")
        accepted_end = span.end
    return placements


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


def _line_before(text: str, start: int) -> str:
    return text[max(text.rfind("\n", 0, start) + 1, start - _NEAR) : start]


def _stands_free(text: str, span: Span) -> bool:
    """Whether the span stands on its own: not in inline code, a list, a quote or a sentence."""
    before = _line_before(text, span.start)
    newline = text.find("\n", span.end)
    line_end = len(text) if newline < 0 else newline
    after_start = after_leaked_tokens(text, span.end)
    after = text[after_start : max(line_end, after_start)][:_NEAR] if after_start < line_end else ""
    if before.count("`") % 2 or _LISTED.match(before.lstrip()):
        return False
    if span.dialect == "gptme" and before:
        return False
    lead = before.strip()
    ends_sentence = not lead or bool(_SENTENCE_END.search(lead))
    if lead and lead[-1] in "\"'“‘«(=":
        return False
    rest = _ASKED_ABOUT.sub("", after)
    if after.lstrip()[:1] in ("?", "`") or (lead and after.lstrip()[:1] in ('"', "'", "”", ")")):
        return False
    if span.marked:
        return ends_sentence or not rest
    return ends_sentence and not rest


def _introduced(text: str, spans: Sequence[Span], index: int) -> bool:
    """Whether the words around the span make it an example, a report or a refusal."""
    span = spans[index]
    floor = spans[index - 1].end if index else 0
    before = _after_reasoning(text[max(floor, span.start - _FAR) : span.start]).rstrip()
    paragraph = before.rpartition("\n\n")[2][-_NEAR:]
    if _STRONG_CUES.search(before) or _CUES.search(paragraph) or paragraph.endswith("?"):
        return True
    announced = _INTENT.search(paragraph)
    if not announced and (_IMPERATIVE.search(paragraph) or _DATA_HEADING.search(paragraph)):
        return True
    ceiling = spans[index + 1].start if index + 1 < len(spans) else len(text)
    behind = text[span.end : min(ceiling, span.end + _NEAR)].strip()
    return bool(_CUES_BEHIND.search(behind)) or behind.endswith("?")


def _after_reasoning(before: str) -> str:
    """After closed reasoning the answer begins anew."""
    for closing in REASONING_ENDS:
        before = before.rpartition(closing)[2]
    return before


def _opens_or_ends(text: str, span: Span) -> bool:
    """Whether the answer begins or ends with the span; a marked call may stand anywhere."""
    if span.marked or after_leaked_tokens(text, span.end) >= len(text):
        return True
    # Between two texts a call is shown to a reader more often than it is meant.
    return not _after_reasoning(text[: span.start]).strip()


def _continues(text: str, end: int, span: Span) -> bool:
    """Whether a further call belongs to the calls before it, with nothing invented between."""
    between = text[after_leaked_tokens(text, end) : span.start].strip()
    if not between:
        return True
    if not span.marked and len(between) > 80:
        return False
    return len(between) <= 200 and not _INVENTED_RESULT.search(between)
