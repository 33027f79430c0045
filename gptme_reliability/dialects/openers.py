"""Where a call may begin in text.

The decoder looks for calls only where this module finds an opener, and the gate shows text
only up to the first opener it finds: one definition for both, so that text shown early was
never part of a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from gptme_reliability.dialects.markers import FIRST_CHARS, LONGEST, OPENING, may_become_opener
from gptme_reliability.dialects.table import ENVELOPE_KEYS, FUZZY_KEYS, REASONING, REASONING_ENDS
from gptme_reliability.distance import within_one_edit

LONGEST_PARTIAL: Final = 256
"""An opener is decided within this many characters; a longer beginning is none."""

_SPACE: Final = r"\s{0,64}"
_QUOTE: Final = r"(?:\\?[\"'“”‘’`])?"
_OBJECT: Final = rf"\{{{{?{_SPACE}{_QUOTE}(?P<key>[A-Za-z_]\w{{0,40}}){_QUOTE}{_SPACE}(?=[:=])"
_LIST_OF_OBJECTS: Final = (
    rf"\[{_SPACE}\{{{{?{_SPACE}{_QUOTE}(?P<key2>[A-Za-z_]\w{{0,40}}){_QUOTE}{_SPACE}(?=[:=])"
)
_NAME: Final = r"[A-Za-z_][\w.\-]{0,80}"
_LIST_OF_CALLS: Final = rf"\[{_SPACE}(?:\[\s{{0,16}}){{0,2}}{_NAME}{_SPACE}\("
# A list whose first item is a call in quotes, or a quoted name with the arguments behind it.
_TO_QUOTED: Final = r"\[\s{0,32}(?:[\[({]\s{0,16}){0,2}[\"'`]\s{0,2}"
_KEYWORD: Final = r"[A-Za-z_]\w{0,40}\s{0,4}"
_LIST_OF_QUOTED: Final = (
    rf"{_TO_QUOTED}{_NAME}\s{{0,4}}"
    rf"(?:\(|[\"'`]\s{{0,4}}(?:\(|[,:]\s{{0,16}}(?:\{{|{_KEYWORD}=)))"
    rf"|\[\s{{0,32}}{_NAME}\s{{0,4}},\s{{0,16}}{_KEYWORD}="
)
# A host that drops reasoning before it parses sees a line begin behind the closing tag, and
# one that knows old line ends sees one behind a carriage return.
_LINE_START: Final = r"(?:^|(?<=[\r>\]])(?:(?<=\r)|(?<=</think>)|(?<=</thinking>)|(?<=\[/THINK\])))"
_PREFIX: Final = r"(?:functions?\.|tools?\.|default_api\.)?"
# Heads that name a tool at the beginning of a line, without a marker.
_LINE_HEAD: Final = (
    r"[ \t]{0,16}(?:functions[._:]|to=|call:|Action:"
    r"|[A-Za-z_][\w.\-]{0,80}\[ARGS\])"
)

# A line of inline code, or a fence on one line, around calls.
_TICKED: Final = (
    rf"(?:\[[ \t]{{0,8}}){{1,2}}[\"']?{_NAME}(?:[ \t]?\(|[\"'][ \t]?,[ \t]?\{{)|"
    r"\[?\{[ \t]{0,4}[\"']?(?:name|function|tool|tool_name|action)[\"']?[ \t]?:"
)
_PARTIAL_TICKED: Final = re.compile(
    rf"(?:\[[ \t]{{0,8}}){{1,2}}[\"']?(?:{_NAME})?(?:[\"'][ \t]?,?)?[ \t]?\Z|"
    r"\[?(?:\{[ \t]{0,4}[\"']?\w{0,12}[\"']?[ \t]?)?\Z"
)


def _openers() -> re.Pattern[str]:
    """All openers, each tried only where one look at the text says that it may stand there."""
    tags = dict.fromkeys((*(opening for opening, _ in REASONING), *REASONING_ENDS))
    reasoning = "|".join(map(re.escape, tags))
    first = "".join(map(re.escape, sorted({"{", "[", *FIRST_CHARS, *(tag[0] for tag in tags)})))
    host = rf"[\w.:\-]{{1,80}}\([^\s()]{{0,80}}\):{_SPACE}"
    # Without id or colon it is still a call when it names a tool.
    host += rf"|(?P<at>{_NAME})(?:\([^\s()]{{0,80}}\))?:?[ \t]{{0,16}}"
    ticked = rf"{_TICKED}|{_PREFIX}(?P<tick>{_NAME})[ \t]?\("
    anywhere = [
        rf"(?P<reasoning>{reasoning})",
        rf"(?P<marker>{OPENING})",
        rf"(?P<object>{_OBJECT})",
        rf"(?P<quoted>{_LIST_OF_QUOTED})",
        rf"(?P<objects>{_LIST_OF_OBJECTS})",
        rf"(?P<calls>{_LIST_OF_CALLS})",
    ]
    at_line_start = [
        rf"^(?P<host>@(?:{host})(?=\{{))",
        rf"(?P<ticked>[ \t]{{0,3}}(?:`{{1,3}}|[\"'])(?={ticked}))",
        r"(?P<fence>[ \t]{0,3}(?:`{3,}|~{3,}))",
        rf"(?P<line>{_LINE_HEAD})",
        rf"[ \t]{{0,16}}(?P<named>(?P<caller>{_NAME})[ \t]{{0,4}}\n\s{{0,64}}(?=\{{))",
        rf"^[ \t]{{0,16}}(?P<python>{_PREFIX}(?P<callee>{_NAME})[ \t]?\()",
    ]
    return re.compile(
        rf"(?=[{first}])(?:{'|'.join(anywhere)})|{_LINE_START}(?:{'|'.join(at_line_start)})",
        re.MULTILINE | re.IGNORECASE,
    )


OPENERS: Final = _openers()
"""The pattern of all openers; ``opens_call`` tells whether a match really is one."""

# One search holds up all other threads, so a long text is searched in windows.  No opener needs
# to look further than this behind its beginning, runs of ticks aside.
_WINDOW: Final = 16_384
_REACH: Final = 1024


def find_opener(text: str, position: int) -> re.Match[str] | None:
    """The first match of ``OPENERS`` from ``position`` on."""
    while (end := position + _WINDOW) + _REACH < len(text):
        match = OPENERS.search(text, position, end + _REACH)
        if match and match.start() < end:
            whole = match.end() < end + _REACH
            return match if whole else OPENERS.match(text, match.start())
        position = end
    return OPENERS.search(text, position)


@lru_cache(maxsize=4096)
def envelope_key(key: str) -> str | None:
    """The key of a call's envelope that is meant: itself, or the only one a letter away."""
    folded = key.lower()
    if folded in ENVELOPE_KEYS:
        return folded
    if len(folded) < 5:
        return None
    near = [known for known in FUZZY_KEYS if within_one_edit(folded, known)]
    return near[0] if len(near) == 1 else None


def opens_call(match: re.Match[str], names: frozenset[str]) -> bool:
    """Whether a match of ``OPENERS`` can really begin a call.

    ``names`` are those that a bare Python call may use.
    """
    kind = match.lastgroup
    if kind == "object":
        return envelope_key(match["key"]) is not None
    if kind == "objects":
        return envelope_key(match["key2"]) is not None
    if kind in ("python", "ticked", "host", "named"):
        name = match["callee"] or match["tick"] or match["at"] or match["caller"]
        return name is None or name.lower() in _lowered(names)
    return True


@lru_cache(maxsize=64)
def _lowered(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.lower() for name in names)


def partial_start(tail: str, names: Iterable[str], first: int) -> int | None:
    """Where in ``tail`` an opener may have begun that needs more text to be decided.

    ``tail`` is the end of the text so far; what stands before ``first`` is context only.
    Returns an index into ``tail``, or None.
    """
    starts = (
        _partial_marker(tail, first),
        _partial_bracket(tail, first),
        _partial_line(tail, names, first),
    )
    return min((start for start in starts if start is not None), default=None)


_FIRST_CHAR: Final = re.compile(f"[{''.join(map(re.escape, sorted(FIRST_CHARS)))}]")
_BRACKET: Final = re.compile(r"[{\[]")


def _partial_marker(tail: str, first: int) -> int | None:
    for begun in _FIRST_CHAR.finditer(tail, max(first, len(tail) - LONGEST)):
        if may_become_opener(tail[begun.start() :]):
            return begun.start()
    return None


_OPEN_BRACKET: Final = re.compile(
    r"(?:"
    rf"(?:\[{_SPACE})?\{{{{?{_SPACE}\\?[\"'“”‘’`]?(?:[A-Za-z_]\w{{0,40}})?\\?[\"'“”‘’`]?{_SPACE}"
    rf"|\[{_SPACE}(?:\[\s{{0,16}}){{0,2}}(?:{_NAME})?{_SPACE}"
    rf"|\[\s{{0,32}}(?:[\[({{]\s{{0,16}}){{0,2}}"
    rf"|{_TO_QUOTED}(?:{_NAME})?\s{{0,4}}(?:[\"'`]\s{{0,4}})?(?:[,:]\s{{0,16}}(?:{_KEYWORD})?)?"
    rf"|\[\s{{0,32}}{_NAME}\s{{0,4}},\s{{0,16}}(?:{_KEYWORD})?"
    r")\Z",
    re.IGNORECASE,  # as ``OPENERS``: a few letters beyond ASCII count as one within
)


def _partial_bracket(tail: str, first: int) -> int | None:
    for begun in _BRACKET.finditer(tail, first):
        if _OPEN_BRACKET.match(tail, begun.start()):
            return begun.start()
    return None


# What a line begins behind.
_LINE_ENDS: Final = ("\n", "\r", "</think>", "</thinking>", "[/THINK]")
_DEEPEST_INDENT: Final = 16
# The first word of a line, which a sign behind it may turn into the head of a call.
_FIRST_WORD: Final = re.compile(r"[A-Za-z_][\w.\-]{0,80}(?:\[[A-Za-z]{0,4})?\Z")
_NAME_LINE: Final = re.compile(
    r"(?:^|[\n>])[ \t]{0,16}([A-Za-z_][\w.\-]{0,80})[ \t]{0,4}\n\s{0,64}\Z"
)
_PREFIXES: Final = ("functions.", "function.", "tools.", "tool.", "default_api.")


def _partial_line(tail: str, names: Iterable[str], first: int) -> int | None:
    start = max(tail.rfind(end) + len(end) if end in tail else -1 for end in _LINE_ENDS)
    if start < 0:
        return None
    named = _NAME_LINE.search(tail, max(first - 1, len(tail) - LONGEST_PARTIAL, 0))
    if named and any(name.lower() == named[1].lower() for name in names):
        return max(named.start(1), first)
    line = tail[start:].lower()
    word = line.lstrip(" \t")
    start = max(start, first)
    if len(line) - len(word) > _DEEPEST_INDENT or len(tail) - len(word) < first:
        return None
    if not word.strip("`~") or word.startswith("@") or _FIRST_WORD.match(word):
        return start
    ticks = 1 if word[:1] in ("'", '"') else len(word) - len(word.lstrip("`"))
    if 0 < ticks <= 3 and _PARTIAL_TICKED.match(word, ticks):
        return start
    word = word[ticks:]
    for prefix in _PREFIXES:
        if prefix.startswith(word):
            return start
        word = word.removeprefix(prefix)
    return start if any((n.lower() + " (").startswith(word) for n in names) else None
