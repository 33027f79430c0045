"""Whether a call in text only repeats what was quoted in the conversation.

A page, a file or a log that holds a call in some dialect must not be able to make a model run
it by being repeated.  What is compared is the whole envelope with its name and arguments:
white space and the wrapper around it do not matter.  Arguments copied into a call of one's own
are ordinary work and never compared by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gptme_reliability.dialects.python_call import read_call
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.quotations import quotations
from gptme_reliability.repair.syntax import Fault, read_value

HOST_DIALECT: Final = "gptme"
"""The host's own spelling of a call: whoever writes it may have learned it from anywhere."""

_SHORTEST: Final = 12
_MOST_LOOKUPS: Final = 256
_MARKER: Final = r"(?:<[^\s<>=\"'{}()\[\]]{1,60}>|\[/?[A-Z_]{2,30}\]|`{3,}\w{0,20}|~{3,}\w{0,20})"
_MOST_MARKERS: Final = 8
_LEADING: Final = re.compile(rf"(?:[\s,;]{{0,64}}{_MARKER}){{1,{_MOST_MARKERS}}}")
_TRAILING: Final = re.compile(rf"{_MARKER}\Z")
_SEPARATORS: Final = ",; \t\r\n"
_LONGEST_MARKER: Final = 160
# Spellings of the same character: escapes of a string around the call, kinds of quotes.
_SPELLING: Final = str.maketrans({"\\": None, "'": '"', "\u201c": '"', "\u201d": '"'})
_ESCAPED_SPACES: Final = ("\\n", "\\r", "\\t")
# One conversion holds up all other threads, so a long text is converted in windows.
_WINDOW: Final = 65_536
_OPENING_TAG: Final = re.compile(r"<[^\s<>/=]{1,60}")
_FIRST_TAGS: Final = 300
_CALL_START: Final = re.compile(r"\{|(?<![\w.])[A-Za-z_][\w.\-]{0,120}\s{0,16}\(")


class EchoGuard:
    """Compares the calls of one answer with the conversation before it.

    The conversation is not looked at before a call in a foreign dialect needs it.
    """

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self._messages = messages
        self._quoted: str | None = None
        self._known: dict[str, bool] = {}

    def repeated(self, span: Span, text: str) -> tuple[bool, ...]:
        """For each call of this span of ``text``, whether it stood quoted in the conversation."""
        if span.dialect == HOST_DIALECT or not self._messages:
            return (False,) * len(span.calls)
        pieces = _pieces(text[span.start : span.end], len(span.calls))
        stood = tuple(self._stood(_squeezed(_unwrapped(piece))) for piece in pieces)
        return stood if len(stood) == len(span.calls) else (any(stood),) * len(span.calls)

    def _stood(self, envelope: str) -> bool:
        if len(envelope) < _SHORTEST or not self._text():
            return False
        if envelope not in self._known:
            # More calls than anyone means: what is not looked up is not let through either.
            looked_up = len(self._known) < _MOST_LOOKUPS
            self._known[envelope] = not looked_up or envelope in self._text()
        return self._known[envelope]

    def _text(self) -> str:
        if self._quoted is None:
            self._quoted = "\0".join(map(_squeezed, quotations(self._messages)))
        return self._quoted


def _squeezed(text: str) -> str:
    """The text without white space, and without what quoting it in a string would change."""
    squeezed: list[str] = []
    at = 0
    while at < len(text):
        end = at + _WINDOW
        if text[end - 1 : end + 1] in _ESCAPED_SPACES:
            end += 1
        squeezed.append(_squeezed_window(text[at:end]))
        at = end
    return "".join(squeezed)


def _squeezed_window(text: str) -> str:
    for escape in _ESCAPED_SPACES:
        text = text.replace(escape, " ")
    return "".join(text.split()).translate(_SPELLING)


def _pieces(written: str, count: int) -> list[str]:
    """The calls of a span that holds ``count``; all of it where they cannot be told apart."""
    for split in (_at_tags, _behind_values) if count > 1 else ():
        pieces = split(written, count)
        if len(pieces) == count:
            return pieces
    return [written]


def _at_tags(written: str, count: int) -> list[str]:
    """Split before the first kind of tag that stands there once for each call."""
    for tag in dict.fromkeys(_OPENING_TAG.findall(written[:_FIRST_TAGS])):
        if written.count(tag) == count:
            before, *parts = written.split(tag)
            return [before + tag + parts[0], *(tag + part for part in parts[1:])]
    return []


def _behind_values(written: str, count: int) -> list[str]:
    """Split behind each JSON value or Python call."""
    pieces: list[str] = []
    begin = 0
    while len(pieces) <= count and (found := _CALL_START.search(written, begin)):
        if found[0] == "{":
            reading = read_value(written, found.start())
            if isinstance(reading, Fault):
                return []
            end = reading.end
        else:
            call = read_call(written, found.start())
            if call is None or call[0].flaw is not None:
                return []
            end = call[1]
        pieces.append(written[begin:end])
        begin = end
    return pieces


def _unwrapped(written: str) -> str:
    """The envelope: what is left without markers, fences and the brackets of a list."""
    core = written.strip(_SEPARATORS)
    leading = _LEADING.match(core)
    core = core[leading.end() :].strip(_SEPARATORS) if leading else core
    for _ in range(_MOST_MARKERS):
        tail = _TRAILING.search(core, max(0, len(core) - _LONGEST_MARKER))
        # An envelope of tags ends with a tag of its own: one that it has opened.
        if tail is None or (tail[0].startswith("</") and f"<{tail[0][2:].rstrip('>')}" in core):
            break
        core = core[: tail.start()].rstrip(_SEPARATORS)
    if core.startswith("["):
        core = core[1:].removesuffix("]")
    return core
