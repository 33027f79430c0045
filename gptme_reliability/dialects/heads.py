"""Calls that name their tool in a head, with JSON arguments behind it.

A row is a pattern with the group ``name`` (and ``id`` where the family writes one); the
arguments follow at once.  Sources: the chat templates and tool parsers of the named families.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gptme_reliability.dialects.shapes import Flaw

_BAR: Final = r" ?[|｜‖]{1,2} ?"
_NAME: Final = r"(?P<name>[A-Za-z_][\w.\-]{0,120}?)"
_FENCE: Final = r"(?:```(?:json)?\s{0,16})?"


def _token(name: str) -> str:
    """The pattern of ``<|name|>`` in its spellings."""
    return rf"<{_BAR}{name.replace('_', '[_▁ ]')}{_BAR}>"


_ARGUMENT_BEGIN: Final = _token("tool_call_argument_begin")
_SEPARATOR: Final = _token("tool_sep")


@dataclass(frozen=True, slots=True)
class Head:
    """One way to name the tool before its arguments."""

    dialect: str
    pattern: re.Pattern[str]


def _head(dialect: str, source: str) -> Head:
    return Head(dialect, re.compile(source, re.IGNORECASE))


# Looked for only behind another marker, or where a call has begun already.
INSIDE: Final = (
    _head(
        "kimi_k2",
        rf"(?:functions?[._:])?{_NAME}(?::(?P<id>\d{{1,6}}))?\s{{0,16}}{_ARGUMENT_BEGIN}\s{{0,16}}",
    ),
    _head("deepseek_v3", rf"function{_SEPARATOR}{_NAME}(?:{_SEPARATOR})?\s{{0,16}}{_FENCE}(?=\{{)"),
    _head("deepseek_v31", rf"{_NAME}{_SEPARATOR}\s{{0,16}}{_FENCE}(?=\{{)"),
    _head(
        "solar_open",
        rf"(?P<id>[\w\-]{{1,80}})?{_token('tool_call:name')}{_NAME}{_token('tool_call:args')}\s{{0,16}}",
    ),
    _head(
        "mistral",
        rf"{_NAME}\s{{0,16}}(?:\[CALL_ID\]\s{{0,16}}(?P<id>[\w\-]{{1,80}})\s{{0,16}})?"
        r"(?:\[ARGS\])?\s{0,16}(?=\{)",
    ),
)

# A call without arguments: only the end of the message tells that it is whole.
BARE: Final = re.compile(rf"{_NAME}\[ARGS\]\s{{0,16}}(?=</s>)")

# Enough by themselves.
STANDALONE: Final = (
    _head("functionary_v32", rf">>>{_NAME}\s{{0,16}}\n\s{{0,16}}(?=\{{)"),
    _head(
        "functionary_v2",
        rf"(?:{_token('from')}assistant\s{{0,16}})?(?:{_token('recipient')}) ?{_NAME}\s{{0,16}}"
        rf"{_token('content')}\s{{0,16}}(?=\{{)",
    ),
    _head("qwen_agent_fn", rf"✿FUNCTION✿:\s{{0,16}}{_NAME}\s{{0,16}}✿ARGS✿:\s{{0,16}}(?=\{{)"),
    _head(
        "solar_open",
        rf"{_token('tool_call:name')}{_NAME}{_token('tool_call:args')}\s{{0,16}}(?=\{{)",
    ),
)

# At the beginning of a line only.
LINE: Final = (
    _head("mistral", rf"[ \t]{{0,16}}{_NAME}\[ARGS\]\s{{0,16}}(?=\{{)"),
    _head(
        "kimi_k2",
        rf"[ \t]{{0,16}}functions[._:]{_NAME}:(?P<id>\d{{1,6}})\s{{0,16}}{_ARGUMENT_BEGIN}"
        r"\s{0,16}(?=\{)",
    ),
    _head("chatml_fc", rf"[ \t]{{0,16}}(?:to=)?functions\.{_NAME}:\s{{0,16}}(?=\{{)"),
)

# What stands before the JSON of a whole call and names nothing itself.
SKIPPED: Final = re.compile(
    rf"(?:{_token('message_sep')}\s{{0,16}})?function call{_token('role_sep')}\s{{0,16}}(?=\{{)"
    rf"|functools\s{{0,4}}(?=\[\s{{0,16}}\{{)|\[Calling tool:\s{{0,16}}(?=[A-Za-z_])"
    r"|<user>\s{0,16}(?=[A-Za-z_][\w.\-]{0,120}\s{0,16}<arg_key>)"
    rf"|{_token('message_model')}[\w.\-]{{0,80}}(?={_token('content_invoke_tool_json')})",
    re.IGNORECASE,
)

# The agents of the ReAct paper, and Command R, which writes a list of calls as its action.
REACT: Final = re.compile(
    rf"Action:\s{{0,8}}{_NAME}\s{{0,8}}\n\s{{0,8}}Action Input:\s{{0,8}}", re.IGNORECASE
)
REACT_BEGUN: Final = re.compile(
    rf"Action:\s{{0,8}}{_NAME}[ \t]{{0,8}}"
    r"(?:\n\s{0,8}(?:A[a-z]{0,5}(?: I[a-z]{0,4}:?)?)?)?\s{0,8}\Z"
)
"""An action without its input, where the output ends."""
REACT_BLOB: Final = re.compile(r"Action:\s{0,8}(?:```(?:json)?\s{0,8})?(?=[\[{])", re.IGNORECASE)

_OBSERVATION: Final = re.compile(r"\n\s{0,8}Observation:", re.IGNORECASE)
_QUOTED: Final = re.compile(r"\"([^\"\\\n]{0,4000})\"")

CUT_HEAD: Final = re.compile(
    r"(?:<function ?= ?|name ?= ?\"|\[Calling tool: ?)[\w.\-]{0,120}\Z"
    r"|to=[\w.\-]{1,120}(?:(?!message)[^{}\n]){0,80}(?:message[|｜]?>?\s{0,16})?\Z"
    r"|recipient[|｜]>\s{0,8}(?!all\b)[\w.\-]{1,120}\s{0,8}(?:<[|｜]?[a-z]{0,7}[|｜]?>?\s{0,8})?\Z"
)
"""A head that was cut off before its call began."""

# OpenAI's harmony, and Muse Glimmer, which words its headers the same way.
_MESSAGE: Final = re.compile(rf"<{_BAR}message{_BAR}>\s{{0,16}}", re.IGNORECASE)
_HEADER_PIECE: Final = re.compile(
    rf"<{_BAR}(?:start|channel|constrain|recipient){_BAR}>|[^<>{{}}\n]{{1,120}}|\n", re.IGNORECASE
)
_MOST_PIECES: Final = 16
_RECIPIENT: Final = re.compile(r"\bto=(?:functions?\.)?([\w.\-]{1,120})")
_NO_TOOL: Final = frozenset({"assistant", "user", "self", "all"})


def react_input(text: str, begin: int) -> tuple[str | Flaw, int]:
    """The only argument of an action, written as text, and the index behind it.

    It ends where an observation follows.  Without one, several lines leave two readings: the
    later ones may be what the agent said next.
    """
    observed = _OBSERVATION.search(text, begin)
    end = observed.start() if observed else len(text)
    written = text[begin:end].strip()
    if not written:
        return Flaw("cut_off", "the call ends before its input"), end
    if observed is None and "\n" in written:
        return Flaw("ambiguous", "where the input ends is not clear; write it as JSON"), end
    quoted = _QUOTED.fullmatch(written)
    return quoted[1] if quoted else written, end


def recipient(header: str) -> str | None:
    """The tool that a harmony header is addressed to; None when it speaks to nobody's tool."""
    names = [name for name in _RECIPIENT.findall(header) if name.lower() not in _NO_TOOL]
    return names[-1] if names else None


def header_end(text: str, start: int) -> int | None:
    """The index behind a harmony header that begins at ``start``; None when none does."""
    position = start
    for _ in range(_MOST_PIECES):
        if message := _MESSAGE.match(text, position):
            return message.end()
        piece = _HEADER_PIECE.match(text, position)
        if piece is None:
            return None
        position = piece.end()
    return None
