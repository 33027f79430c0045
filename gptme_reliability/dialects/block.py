"""A marked call: from the token that opens it to the token that closes it.

Families differ in their tokens more than in their calls, and models mix both.  So one reader
serves all: it steps over the tokens of the table and reads, between them, whatever call stands
there in any of the shapes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.dialects import cues
from gptme_reliability.dialects.found import Budget, Found
from gptme_reliability.dialects.gemma_literals import read_gemma
from gptme_reliability.dialects.heads import (
    BARE,
    CUT_HEAD,
    INSIDE,
    LINE,
    REACT,
    REACT_BEGUN,
    REACT_BLOB,
    SKIPPED,
    STANDALONE,
    header_end,
    react_input,
    recipient,
)
from gptme_reliability.dialects.json_call import envelope_calls
from gptme_reliability.dialects.markers import BY_TOKEN, FILLING, normal
from gptme_reliability.dialects.minimax_m3 import PREFIX, read_m3
from gptme_reliability.dialects.python_call import read_call, read_call_list
from gptme_reliability.dialects.shapes import Flaw, RawCall, Span, flaw_at
from gptme_reliability.dialects.tagged import read_older, read_tagged
from gptme_reliability.repair.syntax import Fault, Reading, read_value
from gptme_reliability.types import Repair

_BETWEEN: Final = re.compile(
    r"[\s,;]{1,256}|```(?:json|python|py|tool_code)?|<\|im_end\|>|</s>"
    # MiniMax M3 puts its prefix before the tags of a section, Step-3 a word before a call.
    r"|\]<\]minimax\[>\[(?=</?tool_call)|function<[|｜]tool[_▁]sep[|｜]>(?=<)|<[|｜]tool[_▁]sep[|｜]>"
)
_MENTIONS_NAME: Final = re.compile(
    r"\b(?:name|tool|tool_name|function|action)[\"']?\s{0,8}:\s{0,8}[\"']?([\w.\-]{1,80})"
)
_LONGEST_CUT_HEAD: Final = 240
_CHEAPER: Final = 16
"""How much less the search for words costs than a failed reading."""
_FAILED_HEAD: Final = 16
"""What looking for a head where none stands costs, in characters."""
_FINAL_ANSWER: Final = re.compile(r"^\s{0,8}Final Answer:", re.IGNORECASE | re.MULTILINE)
_AFTER_REASONING: Final = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_REACT_BEGUN: Final = re.compile(
    r"^(?:Question|Thought|Plan|Action|Observation):", re.IGNORECASE | re.MULTILINE
)
_FAR: Final = 4_000
_ITEM: Final = re.compile(r"[\s,]{0,256}(?=\{)")
_BRACKET: Final = re.compile(r"\s{0,16}\]")
_MOST_HEADS: Final = 4
_DEEPEST_INDENT: Final = 256
_JUNK_BEFORE_TOKEN: Final = re.compile(r"[^<>{\[\n]{1,80}(?=<[|｜])")
_JUNK: Final = re.compile(r"[^\[{<]{1,80}(?=\[\s{0,16}\{)")


class _Block:
    def __init__(self, text: str, budget: Budget) -> None:
        self._text = text
        self._budget = budget
        self._dialect = ""
        self._closed = False
        self._opened_at = -1
        self._token_end = 0
        # How far it was read in vain.
        self.reached = 0
        # Laguna writes this tag for its own; anywhere else it holds what a user said.
        self._in_user_tag = False

    def read(self, start: int) -> Span | None:
        calls: list[RawCall] = []
        dialect: str | None = None
        self._in_user_tag = self._text.startswith("<user>", start)
        position, end = self._behind_junk(self._skip(start)), start
        while (found := self._call(position)) is not None:
            if calls and self._closed and self._only_words(position, found):
                break
            calls += found.calls
            dialect = dialect or found.dialect or self._dialect
            # Where a section was opened only the section's end closes it.
            end, self._opened_at = found.end, -1
            self._closed = found.closed and not self._dialect
            if any(call.flaw is not None for call in found.calls):
                if position == start and self._mentioned(start, found):
                    self.reached = max(self.reached, found.end)
                    return None
                end = self._behind_broken(position, found.end)
            position = self._skip(end)
            # A marker behind the calls begins another block, if it begins anything.
            if self._opened_at >= 0 and position < len(self._text):
                end = self._opened_at
            else:
                end = max(end, self._token_end)
                self._closed = self._closed or self._opened_at >= 0
            if not found.complete and position >= len(self._text):
                break
        if calls:
            return Span(start, end, dialect or "", tuple(calls), True, self._closed)
        if position == start:
            return self._cut_head(start)
        return self._empty(start, position)

    def _only_words(self, position: int, found: Found) -> bool:
        """Whether words behind a closed call only look like one: "[Y/n]", "Confirm (yes/no)"."""
        begin = "".join(self._text[position : position + 16].split())
        return not begin.startswith(("{", "<", "[{")) and found.calls[0].flaw is not None

    def read_line(self, start: int) -> Span | None:
        """The calls that begin with a head at the beginning of a line."""
        for head in LINE:
            if match := head.pattern.match(self._text, start):
                found = self._named(match, head.dialect)
                break
        else:
            line = self._text[start : start + 16]
            behind = start + len(line) - len(line.lstrip(" \t"))
            first = self._header(behind) or self._react(behind)
            if first is None:
                return None
            found = first
        self._opened_at, self._closed = -1, False
        if any(call.flaw is not None for call in found.calls):
            found = replace(found, end=self._behind_broken(start, found.end))
        self._skip(found.end)
        end = self._opened_at if self._opened_at >= 0 else max(found.end, self._token_end)
        dialect = found.dialect or ""
        return Span(start, end, dialect, tuple(found.calls), True, self._closed)

    # --- between the calls ------------------------------------------------------------

    def _skip(self, position: int) -> int:
        """Step over separators and tokens; notes whether a call was closed or opened there."""
        while True:
            if between := _BETWEEN.match(self._text, position):
                position = between.end()
                if not between[0].isspace() and between[0] not in ",;":
                    self._token_end = position
                continue
            token = FILLING.match(self._text, position)
            if token is None:
                self.reached = max(self.reached, position)
                return position
            marker = BY_TOKEN.get(normal(token[0]))
            if token["close"] is not None:
                if marker is not None and marker.dialect == "poolside" and not self._in_user_tag:
                    return position
                self._closed = True
            elif marker is not None and marker.role == "open":
                self._dialect = self._dialect or marker.dialect
                self._opened_at = position if self._opened_at < 0 else self._opened_at
            position = self._token_end = token.end()

    def _behind_junk(self, position: int) -> int:
        """Some models write a few words between the marker of a section and its first call."""
        if self._dialect == "mistral":
            junk = _JUNK.match(self._text, position)
            return junk.end() if junk else position
        junk = _JUNK_BEFORE_TOKEN.match(self._text, position) if self._dialect else None
        token = FILLING.match(self._text, junk.end()) if junk else None
        opens = token is not None and token["open"] is not None
        return self._skip(junk.end()) if junk and opens else position

    def _behind_broken(self, start: int, fault: int) -> int:
        """A call that cannot be read reaches to its closing token, or to the end.

        Where a string is open before the token, the token and all behind it may be its inside.
        """
        closing = self._budget.closing(self._text, fault)
        end = closing.start() if closing else len(self._text)
        escaped = self._text.count('\\"', max(start - 1, 0), end)
        if (self._text.count('"', start, end) - escaped) % 2:
            end = len(self._text)
        self._budget.spend(end - start)
        return end

    def _empty(self, start: int, inside: int) -> Span | None:
        """A marker without a call behind it: a mention in prose, or a call nobody can read."""
        if self._closed or not self._begins_line(start):
            self._budget.spend(inside - start)
            return None
        closing = self._budget.closing(self._text, inside)
        stop = closing.start() if closing else len(self._text)
        flaw = Flaw("envelope", "the call is no JSON object with a 'name' and 'arguments'")
        return Span(start, stop, self._dialect, (RawCall(None, flaw=flaw),), True, bool(closing))

    def _mentioned(self, start: int, found: Found) -> bool:
        """Whether a head amid a line is only named there: no call begins behind it."""
        flaw = found.calls[0].flaw
        return flaw is not None and flaw.rule == "syntax" and not self._begins_line(start)

    def _begins_line(self, start: int) -> bool:
        begin = max(0, start - _DEEPEST_INDENT)
        _, newline, indent = self._text[begin:start].rpartition("\n")
        return not indent.strip() and (begin == 0 or bool(newline))

    def _cut_head(self, start: int) -> Span | None:
        """A head without its call: a mention, or the name was cut off at the end of the text."""
        self._budget.spend(_FAILED_HEAD)
        if len(self._text) - start > _LONGEST_CUT_HEAD or not self._begins_line(start):
            return None
        if CUT_HEAD.search(self._text, start) is None:
            return None
        flaw = Flaw("cut_off", "the output ends within the name of a tool")
        return Span(start, len(self._text), "", (RawCall(None, flaw=flaw),), True, False)

    # --- the shapes -------------------------------------------------------------------

    def _call(self, position: int, depth: int = 0) -> Found | None:
        text = self._text
        if depth > _MOST_HEADS or position >= len(text):
            return None
        if text.startswith("{", position):
            return self._json(position)
        if skipped := SKIPPED.match(text, position):
            return self._behind_head(skipped, depth)
        if text.startswith(PREFIX, position):
            return self._m3(position)
        for head in (*STANDALONE, *INSIDE):
            if match := head.pattern.match(text, position):
                return self._named(match, head.dialect)
        if bare := BARE.match(text, position):
            return Found([RawCall(bare["name"], {})], bare.end(), "mistral")
        if tagged := read_tagged(text, position, self._dialect):
            whole = (tagged.complete, tagged.closed)
            return Found([tagged.call], tagged.end, tagged.dialect, *whole)
        if older := read_older(text, position):
            return Found([older.call], older.end, older.dialect, older.complete, older.closed)
        if gemma := read_gemma(text, position):
            call, end, complete = gemma
            return Found([call], end, "gemma4", complete)
        if text.startswith("[", position):
            listed = read_call_list(text, position)
            if listed:
                return Found(*listed[:2], None, listed[2])
            return self._json(position)
        if python := read_call(text, position):
            call, end = python
            return Found([_without_call_method(call)], end)
        return self._header(position, depth)

    def _behind_head(self, skipped: re.Match[str], depth: int) -> Found | None:
        found = self._call(self._skip(skipped.end()), depth + 1)
        if found is None or not skipped[0].startswith("["):
            return found
        bracket = _BRACKET.match(self._text, found.end)
        return replace(found, end=bracket.end()) if bracket else found

    def _named(self, head: re.Match[str], dialect: str) -> Found:
        name, call_id = head["name"], head.groupdict().get("id")
        reading = self._read(head.end())
        if isinstance(reading, Fault):
            flaw = flaw_at(reading, self._text)
            return Found([RawCall(name, flaw=flaw, id=call_id)], reading.end, dialect, False)
        call = RawCall(name, reading.value, reading.repairs, id=call_id)
        return Found([call], reading.end, dialect, reading.missing_closers == 0)

    def _header(self, position: int, depth: int = 0) -> Found | None:
        """A harmony message to a tool; its body is JSON, or a call in another dialect."""
        end = header_end(self._text, position)
        name = None if end is None else recipient(self._text[position:end])
        if end is None or name is None:
            return None
        body = self._skip(end)
        if not self._text.startswith(("{", "["), body):
            inner = self._call(body, depth + 1)
            flaw = Flaw("syntax", "the arguments are no JSON object")
            return inner or Found([RawCall(name, flaw=flaw)], body, "harmony", False)
        reading = self._read(body)
        if isinstance(reading, Fault):
            flaw = flaw_at(reading, self._text)
            return Found([RawCall(name, flaw=flaw)], reading.end, "harmony", False)
        call = RawCall(name, reading.value, reading.repairs)
        return Found([call], reading.end, "harmony", reading.missing_closers == 0)

    def _react(self, position: int) -> Found | None:
        """``Action: name`` and ``Action Input:`` with JSON, or with the only argument as text."""
        action = REACT.match(self._text, position)
        begun = REACT_BEGUN.match(self._text, position)
        blob = REACT_BLOB.match(self._text, position)
        if not (action or begun or blob):
            return None
        before = self._text[max(0, position - _FAR) : position]
        said = _AFTER_REASONING.split(before)[-1].strip()
        lead = _REACT_BEGUN.split(said, maxsplit=1)[0].strip()
        if not self._budget.spend(len(lead) // _CHEAPER):
            return None
        if cues.STRONG.search(lead) or cues.QUOTED.search(lead) or _FINAL_ANSWER.search(before):
            return None  # quoted in a text, or in the agent's last answer
        if action:
            begin = action.end()
            if self._text.startswith("{", begin):
                return self._named(action, "react")
            written, end = react_input(self._text, begin)
            if isinstance(written, Flaw):
                return Found([RawCall(action["name"], flaw=written)], end, "react", False)
            call = RawCall(action["name"], {}, positional=(written,))
            return Found([call], end, "react")
        if begun and "Thought:" in said:
            flaw = Flaw("cut_off", "the call ends before its input")
            return Found([RawCall(begun["name"], flaw=flaw)], len(self._text), "react", False)
        if blob:
            found = self._json(blob.end())
            return None if found is None else replace(found, dialect="command_r")
        return None

    def _m3(self, position: int) -> Found | None:
        """MiniMax M3 puts its prefix before the section's tags too."""
        while self._text.startswith(PREFIX, position):
            if call := read_m3(self._text, position):
                return Found([call[0]], call[1], "minimax_m3", call[2])
            behind = self._skip(position + len(PREFIX))
            if behind == position + len(PREFIX):
                return None
            position = behind
        return None

    def _json(self, position: int) -> Found | None:
        reading = self._read(position)
        if isinstance(reading, Fault) and self._text[position] == "[":
            return self._items(position, reading)
        if isinstance(reading, Fault):
            named = _MENTIONS_NAME.search(self._text, position, position + 400)
            flaw = flaw_at(reading, self._text)
            return Found(
                [RawCall(named[1] if named else None, flaw=flaw)], reading.end, None, False
            )
        calls = _keyed_calls(reading.value, reading.repairs) if self._dialect == "apertus" else None
        calls = calls or envelope_calls(reading.value, reading.repairs, marked=True)
        if not calls:
            flaw = Flaw("envelope", "the call is no object with a 'name' and 'arguments'")
            calls = [RawCall(None, flaw=flaw)]
        return Found(calls, reading.end, None, reading.missing_closers == 0)

    def _items(self, position: int, fault: Fault) -> Found:
        """The items before the one at which a list of calls breaks."""
        calls: list[RawCall] = []
        end = position + 1
        while item := _ITEM.match(self._text, end):
            found = self._json(item.end())
            if found is None:
                break
            calls += found.calls
            end = found.end
            if any(call.flaw is not None for call in found.calls):
                return Found(calls, end, None, False)
        flaw = flaw_at(fault, self._text)
        return Found([*calls, RawCall(None, flaw=flaw)], max(end, fault.end), None, False)

    def _read(self, position: int) -> Reading | Fault:
        """Read a value; where brackets are missing before the closing token, supply them."""
        reading = read_value(self._text, position)
        if isinstance(reading, Reading):
            return reading
        closing = self._budget.closing(self._text, position)
        if closing is None or not self._budget.spend(closing.start() - position):
            return reading
        inside = read_value(self._text[position : closing.start()])
        if isinstance(inside, Fault) or self._text[position + inside.end : closing.start()].strip():
            return reading
        return replace(inside, start=position, end=position + inside.end, missing_closers=0)


def _keyed_calls(value: Any, repairs: tuple[Repair, ...]) -> list[RawCall] | None:
    """Apertus writes the tool's name as the only key: ``[{"name": {…}}, …]``."""
    items = value if isinstance(value, list) else [value]
    pairs = [next(iter(i.items())) for i in items if isinstance(i, dict) and len(i) == 1]
    if len(pairs) != len(items) or not all(isinstance(inner, dict) for _, inner in pairs):
        return None
    return [RawCall(name, inner, repairs) for name, inner in pairs]


def read_block(text: str, start: int, budget: Budget) -> Span | None:
    """Read the marked calls that begin at ``start``; None when the marker is only mentioned."""
    block = _Block(text, budget)
    span = block.read(start)
    if span is None:
        budget.spend(block.reached - start)
    return span


def read_line_head(text: str, start: int, budget: Budget) -> Span | None:
    """Read a call whose head needs no marker but begins a line."""
    return _Block(text, budget).read_line(start)


def _without_call_method(call: RawCall) -> RawCall:
    """Llama's built-in tools are written ``name.call(…)``."""
    if call.name and call.name.endswith(".call"):
        return replace(call, name=call.name.removesuffix(".call"))
    return call
