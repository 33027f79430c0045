"""Text → the stretches of it that may be calls.

One pass from opener to opener.  What stands inside closed reasoning is skipped; what a call
spans is not looked into again, so a string argument never yields a call (law 5).  Failed
readings draw on a budget, so that the pass stays linear on hostile text (law 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from gptme_reliability.dialects.block import read_block, read_line_head
from gptme_reliability.dialects.call_list import known_names, object_calls, read_mixed_list
from gptme_reliability.dialects.found import Budget
from gptme_reliability.dialects.json_call import envelope_calls
from gptme_reliability.dialects.openers import OPENERS, envelope_key, find_opener, opens_call
from gptme_reliability.dialects.python_call import read_call, read_call_list
from gptme_reliability.dialects.shapes import RawCall, Span, flaw_at
from gptme_reliability.dialects.table import (
    CALL_FENCES,
    FENCES_OF_CALLS,
    REASONING,
    REASONING_ENDS,
)
from gptme_reliability.repair.syntax import Fault, Reading, read_value

_OPENING_CHARS: Final = "{[<@(`~"
_OPENING_WORDS: Final = ("action:", "action input:")
_LONGEST_WORD: Final = max(map(len, _OPENING_WORDS))
# One conversion holds up all other threads, so a long text is converted in windows.
_WINDOW: Final = 65_536
_CLOSING_OF: Final = {opening.lower(): closing.lower() for opening, closing in REASONING}
_ORPHAN_ENDS: Final = tuple(closing.lower() for closing in REASONING_ENDS)
_FENCE_LINE: Final = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})([^\n]{0,200})\n")
_TICKS: Final = re.compile(r"[ \t]{0,3}(`{1,3}|[\"'])")
_FIRST_NAME: Final = re.compile(r"\[[\s\[({\"'`]{0,160}([A-Za-z_][\w.\-]{0,120})")
_COMMA: Final = re.compile(r"\s{0,16},[ \t]{0,8}\\?\s{0,64}")
_BETWEEN: Final = re.compile(r"[\s,;]{0,64}")
_HOST_CALL: Final = re.compile(r"@([\w.\-]{1,80})(?:\(([^\s()]{0,80})\))?:?\s{0,64}")
_MENTIONS_NAME: Final = re.compile(
    r"\b(?:name|tool|tool_name|function|action)[\"']?\s{0,8}:\s{0,8}[\"']?([\w.\-]{1,80})"
)
_CALLS_BEGUN: Final = re.compile(
    r"\{\s{0,16}\"(?:tool_calls?|function_call)\"\s{0,16}:\s{0,16}[\[{]"
)
_SLACK: Final = 16_384


def decode(text: str, names: Iterable[str]) -> tuple[Span, ...]:
    """Find what may be calls in ``text``; ``names`` are those a bare Python call may use."""
    if not _may_open(text):
        return ()
    spans: list[Span] = []
    for span in _Scanner(text, frozenset(names)).spans():
        if span is _FORGET:
            spans.clear()
        else:
            spans.append(span)
    return tuple(spans)


def _may_open(text: str) -> bool:
    """Whether anything stands there without which no call begins."""
    if any(char in text for char in _OPENING_CHARS):
        return True
    return any(
        word in lowered
        for at in range(0, len(text), _WINDOW)
        for lowered in (text[at : at + _WINDOW + _LONGEST_WORD].lower(),)
        for word in _OPENING_WORDS
    )


_FORGET: Final = Span(-1, -1, "", ())


class _Scanner:
    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text = text
        self._names = names
        self._budget = Budget(len(text) // 4 + _SLACK)
        self._lower: str | None = None
        self._absent: set[str] = set()
        self._thinking = False

    def spans(self) -> Iterator[Span]:
        """The spans in order; ``_FORGET`` says that all before it was reasoning."""
        position = 0
        while match := find_opener(self._text, position):
            position, kind = match.end(), match.lastgroup
            if kind == "reasoning":
                tag = match["reasoning"].lower()
                if tag in _CLOSING_OF:
                    end = self._find(_CLOSING_OF[tag], match.end())
                    self._thinking = self._thinking or end < 0
                    position = match.end() if end < 0 else end + len(_CLOSING_OF[tag])
                else:
                    self._thinking = False
                    yield _FORGET
                continue
            if kind == "python" and not opens_call(match, self._names):
                continue
            span = self._span(match)
            if span is None:
                if not self._budget.spend(0):
                    return
                if kind != "fence":
                    position = match.start() + 1
                continue
            yield replace(span, thinking=True) if self._thinking else span
            position = max(span.end, match.end())

    def _find(self, lowered: str, start: int) -> int:
        """Where a tag stands next, in any case; -1 once and for all when it does not."""
        if lowered in self._absent:
            return -1
        if self._lower is None:
            self._lower = self._text.lower()
            if len(self._lower) != len(self._text):
                # Lowering changed the length of some letter: look for the usual spelling.
                self._lower = self._text
        found = self._lower.find(lowered, start)
        if found < 0:
            self._absent.add(lowered)
        return found

    def _span(self, match: re.Match[str]) -> Span | None:
        if match.lastgroup == "fence":
            return self._fenced(match.start("fence"))
        return self._bare(match) if opens_call(match, self._names) else None

    def _bare(self, match: re.Match[str]) -> Span | None:
        kind = match.lastgroup
        if kind == "marker":
            return read_block(self._text, match.start("marker"), self._budget)
        if kind == "line":
            head = read_line_head(self._text, match.start("line"), self._budget)
            return head or self._prefixed_call(match.start("line"))
        if kind == "host":
            return self._host_call(match.start())
        if kind == "named":
            return self._named_call(match)
        if kind == "ticked":
            return self._ticked(match.start("ticked"))
        if kind == "calls" or (kind == "quoted" and "{" not in match[0][:-1]):
            return self._python_list(match.start())
        if kind == "python":
            return self._python_call(match.start("python"))
        return self._json(match.start())

    # --- the shapes -------------------------------------------------------------------

    def _json(self, start: int) -> Span | None:
        reading = read_value(self._text, start)
        if isinstance(reading, Fault):
            self._budget.spend(reading.end - start)
            return (
                self._mixed_list(start)
                or self._items_before_cut(start, reading)
                or self._broken_json(start, reading)
            )
        calls = self._calls_of(reading)
        if not calls:
            self._budget.spend(reading.end - start)
            return self._mixed_list(start)
        end, closed = reading.end, reading.missing_closers == 0
        more = self._more_json(end)
        while more is not None:
            following, end, closed = more
            calls.extend(following)
            more = self._more_json(end)
        span = Span(start, end, "json", tuple(calls), closed=closed)
        return self._with_more(span) if self._text.startswith("[", start) else span

    def _calls_of(self, reading: Reading) -> list[RawCall] | None:
        if not isinstance(reading.value, list):
            return envelope_calls(reading.value, reading.repairs)
        calls: list[RawCall] = []
        for item in reading.value:
            found = object_calls(item, reading.repairs, known_names(self._names))
            if not found:
                return None
            calls.extend(found)
        return calls or None

    def _mixed_list(self, start: int) -> Span | None:
        """A list of calls that are spelled in several ways; only the text's end may cut it."""
        first = _FIRST_NAME.match(self._text, start)
        if first is None:
            return None
        if first[1] not in known_names(self._names) and envelope_key(first[1]) is None:
            return None
        found = read_mixed_list(self._text, start, known_names(self._names))
        if found is None or (not found[2] and self._text[found[1] :].strip()):
            self._budget.spend(len(self._text) - start)
            return None
        return Span(start, found[1], "pythonic", tuple(found[0]), closed=found[2])

    def _items_before_cut(self, start: int, fault: Fault) -> Span | None:
        """The calls of a list that were whole before the text was cut within a later one."""
        if fault.rule != "cut_off" or not self._text.startswith("[", start):
            return None
        calls: list[RawCall] = []
        position = start + 1
        while (more := self._more_json(position)) is not None:
            following, position, _ = more
            calls.extend(following)
            if following[-1].flaw is not None:
                break
        if len(calls) < 2 or calls[0].flaw is not None or calls[-1].flaw is None:
            return None
        return Span(start, len(self._text), "json", tuple(calls))

    def _more_json(self, position: int) -> tuple[list[RawCall], int, bool] | None:
        """A further call right behind one: adjacent, or after a comma or semicolon."""
        between = _BETWEEN.match(self._text, position)
        start = between.end() if between else position
        if not self._text.startswith("{", start):
            return None
        reading = read_value(self._text, start)
        if isinstance(reading, Fault):
            broken = self._broken_json(start, reading)
            return (list(broken.calls), broken.end, broken.closed) if broken else None
        calls = envelope_calls(reading.value, reading.repairs)
        return (calls, reading.end, reading.missing_closers == 0) if calls else None

    def _broken_json(self, start: int, fault: Fault) -> Span | None:
        """A JSON call that cannot be read: an attempt if it names a tool, else just text."""
        named = _MENTIONS_NAME.search(self._text, start, start + 400)
        begun = _CALLS_BEGUN.match(self._text, start)
        if not (named or begun) or self._closes_reasoning_later(start):
            return None
        # What follows a broken call may be the inside of one of its strings: leave it alone.
        call = RawCall(named[1] if named else None, flaw=flaw_at(fault, self._text))
        cut = fault.rule == "cut_off"
        return Span(start, len(self._text), "json", (call,), marked=bool(begun), closed=not cut)

    def _closes_reasoning_later(self, start: int) -> bool:
        return any(self._find(closing, start) >= 0 for closing in _ORPHAN_ENDS)

    def _python_list(self, start: int) -> Span | None:
        found = read_call_list(self._text, start)
        if found is None or not found[2]:
            mixed = self._mixed_list(start)
            if mixed is not None or found is None:
                return mixed and self._with_more(mixed)
        calls, end, closed = found
        if calls[-1].flaw is not None:
            self._budget.spend(end - start)
            if not self._knows(calls[0].name):
                return None
            # The rest may be the inside of a broken string.
            end = len(self._text)
        return self._with_more(Span(start, end, "pythonic", tuple(calls), closed=closed))

    def _with_more(self, span: Span) -> Span:
        calls = list(span.calls)
        end = self._more_calls(calls, span.end) if span.closed else span.end
        return replace(span, calls=tuple(calls), end=end)

    def _more_calls(self, calls: list[RawCall], end: int) -> int:
        """Add the calls and lists that follow behind a comma; return the index behind them."""
        while comma := _COMMA.match(self._text, end):
            if self._text.startswith("[", comma.end()):
                found = read_mixed_list(self._text, comma.end(), known_names(self._names))
                if found is None or not found[2]:
                    break
                following, behind, _ = found
            else:
                single = read_call(self._text, comma.end())
                if single is None or single[0].name not in known_names(self._names):
                    break
                following, behind = [single[0]], single[1]
            if following[-1].flaw is not None:
                self._budget.spend(behind - end)
                break
            calls.extend(following)
            end = behind
        return end

    def _named_call(self, match: re.Match[str]) -> Span | None:
        """The tool's name on a line, its arguments as JSON below (Functionary 3.2)."""
        reading = read_value(self._text, match.end())
        if isinstance(reading, Fault):
            self._budget.spend(reading.end - match.end())
            call = RawCall(match["caller"], flaw=flaw_at(reading, self._text))
            return Span(match.start("named"), len(self._text), "functionary_v32", (call,))
        call = RawCall(match["caller"], reading.value, reading.repairs)
        closed = reading.missing_closers == 0
        return Span(match.start("named"), reading.end, "functionary_v32", (call,), closed=closed)

    def _python_call(self, start: int) -> Span | None:
        found = read_call(self._text, start)
        if found is None:
            return None
        call, end = found
        if call.flaw is not None:
            self._budget.spend(end - start)
            if call.flaw.rule != "cut_off":
                return None
        return self._with_more(Span(start, end, "python_call", (call,), closed=call.flaw is None))

    def _prefixed_call(self, start: int) -> Span | None:
        """``functions.f(…)`` where ``f`` is a tool."""
        span = self._python_call(start)
        return span if span is not None and self._knows(span.calls[0].name) else None

    def _knows(self, name: str | None) -> bool:
        last = (name or "").rsplit(".", 1)[-1].lower()
        return any(known.lower() in (last, (name or "").lower()) for known in self._names)

    def _host_call(self, start: int) -> Span | None:
        head = _HOST_CALL.match(self._text, start)
        if head is None:
            return None
        reading = read_value(self._text, head.end())
        if isinstance(reading, Fault):
            self._budget.spend(reading.end - start)
            call = RawCall(head[1], flaw=flaw_at(reading, self._text), id=head[2])
            return Span(start, len(self._text), "gptme", (call,), closed=False)
        call = RawCall(head[1], reading.value, reading.repairs, id=head[2] or None)
        closed = reading.missing_closers == 0
        return Span(start, reading.end, "gptme", (call,), closed=closed)

    def _fenced(self, start: int) -> Span | None:
        """A fence that holds nothing but a call is that call; any other fence is text."""
        line = _FENCE_LINE.match(self._text, start)
        if line is None or line[2].strip().lower() not in CALL_FENCES:
            return None
        content = self._skip_spaces(line.end())
        span = self._inside_fence(content)
        if span is None and line[2].strip().lower() in FENCES_OF_CALLS:
            return self._faulty_call(start, content)
        calls: list[RawCall] = []
        while span is not None:
            calls += span.calls
            behind = self._skip_spaces(span.end)
            if self._text.startswith(line[1], behind):
                end = behind + len(line[1])
                return Span(start, end, span.dialect, tuple(calls), span.marked, True)
            if line[1].startswith(self._text[behind:]):
                # The output ends here, or within the line that closes the fence.
                return replace(span, start=start, end=len(self._text), calls=tuple(calls))
            following = self._inside_fence(behind)
            if following is None or following.dialect != span.dialect:
                return None
            span = following
        return None

    def _faulty_call(self, start: int, content: int) -> Span | None:
        """A call that cannot be read, in a fence that says that it holds calls."""
        found = read_call(self._text, content)
        if found is None or found[0].flaw is None or not self._knows(found[0].name):
            return None
        self._budget.spend(found[1] - content)
        return Span(start, len(self._text), "python_call", (found[0],))

    def _inside_fence(self, position: int) -> Span | None:
        match = OPENERS.match(self._text, position)
        if match is None:
            # A Python call counts from the beginning of its line.
            line = self._text.rfind("\n", 0, position) + 1
            if not self._text[line:position].strip(" \t"):
                match = OPENERS.match(self._text, line)
        if match is None or match.lastgroup in ("fence", "reasoning") or match[0][-1:] == "`":
            return None
        return self._bare(match) if opens_call(match, self._names) else None

    def _ticked(self, start: int) -> Span | None:
        """Calls between backticks or quotes that hold nothing else, on lines of their own."""
        ticks = _TICKS.match(self._text, start)
        if ticks is None:
            return None
        inside = ticks.end()
        if self._text.startswith(("[", "{"), inside):
            in_braces = self._text[inside : inside + 2].endswith("{")
            span = self._json(inside) if in_braces else self._python_list(inside)
        else:
            span = self._python_call(inside)
        if span is None or not span.closed:
            return None
        behind = self._skip_spaces(span.end)
        if not self._text.startswith(ticks[1], behind):
            return None
        return replace(span, start=start, end=behind + len(ticks[1]))

    def _skip_spaces(self, position: int) -> int:
        limit = min(len(self._text), position + 256)
        while position < limit and self._text[position].isspace():
            position += 1
        return position
