"""Streaming: which text may be shown before the whole answer is known.

The gate holds one rule: text is shown up to the first place where a call may begin, or where
something begins that the host itself would run.  From there on it is kept until the answer
ended and was decided.  The same openers serve the decoder, so shown text never was part of a
call (law 8).  No I/O; each character is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from gptme_reliability.dialects.openers import (
    LONGEST_PARTIAL,
    OPENERS,
    find_opener,
    opens_call,
    partial_start,
)
from gptme_reliability.dialects.table import CALL_FENCES, FENCES_OF_CALLS
from gptme_reliability.types import HostFormat

# gptme's own pattern for a call in text, cut off before the JSON: a line that begins so.
_HOST_LINE: Final = re.compile(r"@[^\r\n]+?\([\w\-:.]+\):")
# Enough to see the end of a reasoning block, behind which a line begins for some hosts.
_CONTEXT: Final = len("</thinking>")
_FENCE_LINE: Final = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})([^\r\n]*)([\r\n]?)")

# Where a call may begin in a host's own format, beside the fences that begin a line; ``begun``
# is what only more text can decide.  What is no XML keeps a strict host from reading any call,
# and the end of reasoning is none without its beginning.
_INLINE: Final = re.compile(
    r"(?<=[^\s`])[ \t]{0,64}`{3}|<tool-use>|"
    r"(?P<begun>(?<=[^\s`])[ \t]{0,64}`{1,2}\Z|<(?:t(?:o(?:o(?:l(?:-(?:u(?:se?)?)?)?)?)?)?)?\Z)"
)
_TAG: Final = re.compile(r"<(?!/?think(?:ing)?>)(?:(?P<begun>[/a-z]{0,10}\Z)|(?=[A-Za-z/!?]))")
_SIGN: Final = re.compile(r"<(?!think(?:ing)?>)(?:(?P<begun>[/a-z]{0,10}\Z)|)|&")
_HOLDS: Final = {
    ("markdown", False): _INLINE,
    ("markdown", True): _INLINE,
    ("xml", False): _TAG,
    ("xml", True): _SIGN,
}


def _nothing_runs(_tag: str) -> bool:
    return False


def _hosts_own(text: str, position: int) -> int | None:
    """Where a line from ``position`` on begins as a call of gptme's own.

    Lines are found without a pattern: one search would hold up all other threads.
    """
    before = text.find("\n@", position - 1)
    while before >= 0:
        if _HOST_LINE.match(text, before + 1):
            return before + 1
        before = text.find("\n@", before + 1)
    return None


class Gate:
    """Tells, piece by piece, how much of an answer may be shown.

    ``names`` are those a bare Python call may begin with (see ``callable_names``);
    ``runnable_tag`` tells whether the host would run a fence with this tag.  ``form`` is the
    format of a host that reads calls in the text.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        runnable_tag: Callable[[str], bool] = _nothing_runs,
        form: HostFormat | None = None,
    ) -> None:
        self._names = frozenset(names)
        self._runnable_tag = runnable_tag
        self._holds = None if form is None else _HOLDS[form.form, form.strict]
        # The first ``_known`` characters are context: they tell whether a line begins there.
        self._buffer = "\n"
        self._known = 1
        self._spaces: list[str] = []
        self._safe = 0
        self._held = False

    @property
    def held(self) -> bool:
        """Whether something has begun that only the end of the answer can decide."""
        return self._held

    def feed(self, text: str) -> int:
        """Add a piece; return how many characters of all pieces so far may be shown.

        The number never shrinks, and what it covers never ends in white space.
        """
        if self._held:
            return self._safe
        if not text or text.isspace():
            self._spaces.append(text)
            return self._safe
        self._buffer += "".join(self._spaces) + text
        self._spaces.clear()
        self._advance(self._clear_until())
        return self._safe

    def _advance(self, clear: int) -> None:
        """Show the buffer up to ``clear``, without the white space before it."""
        end = self._known + len(self._buffer[self._known : clear].rstrip())
        if end == self._known:
            return
        self._safe += end - self._known
        start = max(0, end - _CONTEXT)
        self._buffer, self._known = self._buffer[start:], end - start

    def _clear_until(self) -> int:
        """The same, and no further than where a host's call may begin amid a line."""
        clear = self._clear_of_openers()
        if self._holds is None:
            return clear
        found = self._holds.search(self._buffer, self._known)
        if found is None or found.start() >= clear:
            return clear
        self._held = self._held or found["begun"] is None
        return found.start()

    def _clear_of_openers(self) -> int:
        """The index in the buffer up to which nothing can be a call; may set ``_held``."""
        host = _hosts_own(self._buffer, self._known)
        limit = len(self._buffer) if host is None else host
        position = self._known
        while (match := find_opener(self._buffer, position)) and match.start() < limit:
            position = match.end()
            if match.lastgroup == "fence":
                held = self._fence(match.start("fence"))
                if held is not False:
                    self._held = bool(held)
                    return match.start("fence")
            elif match.lastgroup != "reasoning":
                if opens_call(match, self._names):
                    self._held = True
                    # A longer opener may have begun before it and not be whole yet.
                    return min(self._host_line(match.start()), self._undecided())
                position = match.start() + 1
        if host is not None:
            self._held = True
            return limit
        return self._undecided()

    def _host_line(self, start: int) -> int:
        """The beginning of the line at ``start`` where it may be the host's own call."""
        line = self._buffer.rfind("\n", 0, start) + 1
        return line if line >= self._known and self._buffer.startswith("@", line) else start

    def _fence(self, start: int) -> bool | None:
        """Whether a fence must be held; None while that cannot be told."""
        line = _FENCE_LINE.match(self._buffer, start)
        if line is None or not line[3]:
            return None if len(self._buffer) - start <= LONGEST_PARTIAL else True
        tag = line[2].strip()
        if self._runnable_tag(tag) or tag.lower() in FENCES_OF_CALLS:
            return True
        if tag.lower() not in CALL_FENCES:
            return False
        content = self._buffer[line.end() : line.end() + LONGEST_PARTIAL]
        inner = content.lstrip()
        if not inner:
            return None if len(content) < LONGEST_PARTIAL else False
        match = OPENERS.match("\n" + inner, 1)
        if (
            match
            and match.lastgroup not in ("fence", "reasoning")
            and opens_call(match, self._names)
        ):
            return True
        partial = partial_start("\n" + inner, self._names, 1)
        return None if partial == 1 and len(inner) < LONGEST_PARTIAL else False

    def _undecided(self) -> int:
        """Where an opener may have begun at the end of the buffer, else its end."""
        line = self._buffer.rfind("\n") + 1
        if line >= self._known and self._buffer.startswith("@", line):
            if len(self._buffer) - line > LONGEST_PARTIAL:
                self._held = True
            return line
        offset = max(0, len(self._buffer) - LONGEST_PARTIAL)
        first = max(self._known - offset, 0)
        partial = partial_start(self._buffer[offset:], self._names, first)
        return len(self._buffer) if partial is None else offset + partial
