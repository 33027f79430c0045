"""Text → the stretches of it that may be calls.

One pass from opener to opener.  What stands inside closed reasoning is skipped; what a call
spans is not looked into again, so a string argument never yields a call (law 5).  Failed
readings draw on a budget, so that the pass stays linear on hostile text (law 9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from gptme_reliability.dialects.json_call import envelope_calls
from gptme_reliability.dialects.openers import opener_pattern, opens_call
from gptme_reliability.dialects.python_call import read_call, read_call_list
from gptme_reliability.dialects.shapes import Flaw, RawCall, Span
from gptme_reliability.dialects.table import (
    CALL_FENCES,
    LEAKED_TOKENS,
    REASONING,
    WRAPPERS,
    Wrapper,
)
from gptme_reliability.repair.syntax import Fault, Reading, read_value

_OPENING_CHARS: Final = re.compile(r"[{\[<@(`~]")
_CLOSING_OF: Final = {opening.lower(): closing.lower() for opening, closing in REASONING}
_WRAPPER_OF: Final = {wrapper.opening.lower(): wrapper for wrapper in WRAPPERS}
_FENCE_LINE: Final = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})([^\n]{0,200})\n")
_BETWEEN: Final = re.compile(r"[\s,;]{0,64}")
_NAMED: Final = re.compile(
    r"\s{0,64}(?P<name>[A-Za-z_][\w.\-]{0,120})\s{0,16}"
    r"(?:\[CALL_ID\]\s{0,16}(?P<id>[\w\-]{1,80})\s{0,16})?(?:\[ARGS\])?\s{0,16}(?=\{)"
)
_HOST_CALL: Final = re.compile(r"@([\w.\-]{1,80})(?:\(([^\s()]{0,80})\))?:?\s{0,64}")
_MENTIONS_NAME: Final = re.compile(
    r"\b(?:name|tool|tool_name|function|action)[\"']?\s{0,8}:\s{0,8}[\"']?([\w.\-]{1,80})"
)
_SLACK: Final = 16_384


@dataclass(slots=True)
class _Budget:
    """Characters that failed readings may still cost."""

    left: int

    def spend(self, count: int) -> bool:
        self.left -= max(count, 1)
        return self.left > 0


def decode(text: str, names: Iterable[str]) -> tuple[Span, ...]:
    """Find what may be calls in ``text``; ``names`` are those a bare Python call may use."""
    if not _OPENING_CHARS.search(text):
        return ()
    spans: list[Span] = []
    for span in _Scanner(text, frozenset(names)).spans():
        if span is _FORGET:
            spans.clear()
        else:
            spans.append(span)
    return tuple(spans)


_FORGET: Final = Span(-1, -1, "", ())


class _Scanner:
    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text = text
        self._names = names
        self._pattern = opener_pattern(names)
        self._budget = _Budget(len(text) // 4 + _SLACK)
        self._lower: str | None = None
        self._absent: set[str] = set()
        self._thinking = False

    def spans(self) -> Iterator[Span]:
        """The spans in order; ``_FORGET`` says that all before it was reasoning."""
        position = 0
        while match := self._pattern.search(self._text, position):
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
            span = self._span(match)
            if span is None:
                if not self._budget.spend(0):
                    return
                if kind != "fence":
                    position = match.start() + 1
                continue
            yield replace(span, thinking=self._thinking)
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
        return self._bare(match) if opens_call(match) else None

    def _bare(self, match: re.Match[str]) -> Span | None:
        kind = match.lastgroup
        if kind == "marker":
            return self._wrapped(_WRAPPER_OF[match["marker"].lower()], match.start(), match.end())
        if kind == "host":
            return self._host_call(match.start())
        if kind == "calls":
            return self._python_list(match.start())
        if kind == "python":
            return self._python_call(match.start("python"))
        return self._json(match.start())

    # --- the shapes -------------------------------------------------------------------

    def _json(self, start: int) -> Span | None:
        reading = read_value(self._text, start)
        if isinstance(reading, Fault):
            self._budget.spend(reading.end - start)
            return self._broken_json(start, reading)
        calls = envelope_calls(reading.value, reading.repairs)
        if not calls:
            self._budget.spend(reading.end - start)
            return None
        end, closed = reading.end, reading.missing_closers == 0
        more = self._more_json(end)
        while more is not None:
            following, end, closed = more
            calls.extend(following)
            more = self._more_json(end)
        return Span(start, end, "json", tuple(calls), closed=closed)

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
        if named is None or self._closes_reasoning_later(start):
            return None
        # What follows a broken call may be the inside of one of its strings: leave it alone.
        call = RawCall(named[1], flaw=Flaw(fault.rule, fault.message))
        return Span(start, len(self._text), "json", (call,), closed=fault.rule != "cut_off")

    def _closes_reasoning_later(self, start: int) -> bool:
        return any(self._find(closing, start) >= 0 for closing in _CLOSING_OF.values())

    def _python_list(self, start: int) -> Span | None:
        found = read_call_list(self._text, start)
        if found is None:
            return None
        calls, end, closed = found
        if calls[-1].flaw is not None:
            self._budget.spend(end - start)
            if not self._knows(calls[0].name):
                return None
            # The rest may be the inside of a broken string.
            end = len(self._text)
        return Span(start, end, "pythonic", tuple(calls), closed=closed)

    def _python_call(self, start: int) -> Span | None:
        found = read_call(self._text, start)
        if found is None:
            return None
        call, end = found
        if call.flaw is not None:
            self._budget.spend(end - start)
            if call.flaw.rule != "cut_off":
                return None
        return Span(start, end, "python_call", (call,), closed=call.flaw is None)

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
            call = RawCall(head[1], flaw=Flaw(reading.rule, reading.message), id=head[2])
            return Span(start, len(self._text), "gptme", (call,), closed=False)
        call = RawCall(head[1], reading.value, reading.repairs, id=head[2] or None)
        closed = reading.missing_closers == 0
        return Span(start, reading.end, "gptme", (call,), closed=closed)

    def _wrapped(self, wrapper: Wrapper, start: int, inside: int) -> Span | None:
        """A call behind a marker: JSON values, named JSON, or Python calls, as the row says."""
        calls: list[RawCall] = []
        position = self._open_fence(inside)
        closed = False
        while True:
            position = self._skip_between(position, wrapper)
            closing = self._closing(wrapper, position)
            if closing is not None:
                position, closed = closing, True
                break
            found = self._inside(wrapper, position)
            if found is None:
                break
            more, position, complete = found
            calls.extend(more)
            if any(call.flaw is not None for call in more):
                return self._broken_wrapper(wrapper, start, position, calls)
            if not complete:
                break
        if calls:
            return Span(start, position, wrapper.dialect, tuple(calls), True, closed)
        return self._empty_wrapper(wrapper, start, inside)

    def _skip_between(self, position: int, wrapper: Wrapper) -> int:
        """Skip separators, a closing fence, and the marker repeated before another call."""
        while True:
            between = _BETWEEN.match(self._text, position)
            after = between.end() if between else position
            if self._text.startswith("```", after):
                after += 3
            elif wrapper.shape == "named_json" and self._text.startswith(wrapper.opening, after):
                after += len(wrapper.opening)
            if after == position:
                return position
            position = after

    def _open_fence(self, position: int) -> int:
        fence = re.compile(r"\s{0,16}```(?:json|python)?[ \t]{0,4}\n").match(self._text, position)
        return fence.end() if fence else position

    def _closing(self, wrapper: Wrapper, position: int) -> int | None:
        for closing in wrapper.closing:
            if self._text.startswith(closing, position):
                return position + len(closing)
        behind = position + len(wrapper.opening)
        if self._text.startswith(wrapper.opening, position) and not self._text[behind:].strip():
            return behind  # the opening marker written where the closing one belongs
        return None

    def _inside(self, wrapper: Wrapper, position: int) -> tuple[list[RawCall], int, bool] | None:
        if wrapper.shape == "named_json" and (head := _NAMED.match(self._text, position)):
            return self._named(head)
        if self._text.startswith(("{", "["), position):
            listed = read_call_list(self._text, position) if self._text[position] == "[" else None
            return listed or self._json_inside(wrapper, position)
        if wrapper.shape == "python_tag" and (found := read_call(self._text, position)):
            call, end = found
            return [_without_call_method(call)], end, True
        return None

    def _named(self, head: re.Match[str]) -> tuple[list[RawCall], int, bool]:
        reading = read_value(self._text, head.end())
        if isinstance(reading, Fault):
            flaw = Flaw(reading.rule, reading.message)
            return [RawCall(head["name"], flaw=flaw, id=head["id"])], reading.end, False
        call = RawCall(head["name"], reading.value, reading.repairs, id=head["id"])
        return [call], reading.end, reading.missing_closers == 0

    def _read_up_to_closing(self, wrapper: Wrapper, position: int) -> Reading | Fault:
        """Read a value; where brackets are missing before the closing marker, supply them."""
        reading = read_value(self._text, position)
        if isinstance(reading, Reading):
            return reading
        ends = [self._text.find(closing, position) for closing in wrapper.closing]
        end = min((e for e in ends if e >= 0), default=-1)
        if end < 0 or not self._budget.spend(end - position):
            return reading
        inside = read_value(self._text[position:end])
        if isinstance(inside, Fault) or self._text[position + inside.end : end].strip():
            return reading
        return replace(inside, start=position, end=position + inside.end, missing_closers=0)

    def _json_inside(
        self, wrapper: Wrapper, position: int
    ) -> tuple[list[RawCall], int, bool] | None:
        reading = self._read_up_to_closing(wrapper, position)
        if isinstance(reading, Fault):
            named = _MENTIONS_NAME.search(self._text, position, position + 400)
            flaw = Flaw(reading.rule, reading.message)
            return [RawCall(named[1] if named else None, flaw=flaw)], reading.end, False
        calls = envelope_calls(reading.value, reading.repairs, marked=True)
        if not calls:
            flaw = Flaw("envelope", "the call is no object with a 'name' and 'arguments'")
            calls = [RawCall(None, flaw=flaw)]
        return calls, reading.end, reading.missing_closers == 0

    def _broken_wrapper(
        self, wrapper: Wrapper, start: int, position: int, calls: list[RawCall]
    ) -> Span:
        """A marked call that cannot be read reaches to its closing marker, or to the end."""
        ends = [self._text.find(closing, position) for closing in wrapper.closing]
        found = [end + len(c) for end, c in zip(ends, wrapper.closing, strict=True) if end >= 0]
        end = min(found, default=len(self._text))
        self._budget.spend(end - start)
        return Span(start, end, wrapper.dialect, tuple(calls), True, bool(found))

    def _empty_wrapper(self, wrapper: Wrapper, start: int, inside: int) -> Span | None:
        """A marker without JSON behind it: a mention in prose, or a call in another spelling."""
        line = self._text[self._text.rfind("\n", 0, start) + 1 : start]
        if line.strip() and wrapper.shape != "python_tag":
            return None
        ends = [self._text.find(closing, inside) for closing in wrapper.closing]
        end = min((e for e in ends if e >= 0), default=-1)
        flaw = Flaw("envelope", "the call is no JSON object with a 'name' and 'arguments'")
        stop = len(self._text) if end < 0 else end
        return Span(start, stop, wrapper.dialect, (RawCall(None, flaw=flaw),), True, end >= 0)

    def _fenced(self, start: int) -> Span | None:
        """A fence that holds nothing but a call is that call; any other fence is text."""
        line = _FENCE_LINE.match(self._text, start)
        if line is None or line[2].strip().lower() not in CALL_FENCES:
            return None
        content = self._skip_spaces(line.end())
        match = self._pattern.match(self._text, content)
        if match is None or match.lastgroup in ("fence", "reasoning") or not opens_call(match):
            return None
        span = self._bare(match)
        if span is None:
            return None
        behind = self._skip_spaces(span.end)
        if self._text.startswith(line[1], behind):
            return replace(span, start=start, end=behind + len(line[1]), closed=True)
        return replace(span, start=start) if behind >= len(self._text) else None

    def _skip_spaces(self, position: int) -> int:
        limit = min(len(self._text), position + 256)
        while position < limit and self._text[position].isspace():
            position += 1
        return position


def _without_call_method(call: RawCall) -> RawCall:
    """Llama's built-in tools are written ``name.call(…)``."""
    if call.name and call.name.endswith(".call"):
        return replace(call, name=call.name.removesuffix(".call"))
    return call


_LEAKED: Final = re.compile(rf"(?:\s|{'|'.join(map(re.escape, LEAKED_TOKENS))})*")


def after_leaked_tokens(text: str, position: int) -> int:
    """The index behind white space and leaked template tokens that start at ``position``."""
    match = _LEAKED.match(text, position)
    return match.end() if match else position
