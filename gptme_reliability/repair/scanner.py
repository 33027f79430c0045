"""The tolerant reader: JSON-like values with the slips that models make, in linear time.

It walks the text once, keeping the open containers on a list instead of the call stack.
Every slip it reads over is a named rule in the reading's repairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.repair.reading import (
    DEEPEST,
    Broken,
    Fault,
    FaultRule,
    Reading,
    RepairLog,
    child_path,
    excerpt,
    same,
)
from gptme_reliability.repair.scalars import LITERALS, read_scalar, read_token
from gptme_reliability.repair.strings import (
    BARE_KEY,
    CLOSING_BRACKET,
    CLOSING_QUOTE,
    SPACE,
    Place,
    comment_end,
    read_string,
)
from gptme_reliability.types import RepairKind

_JSON_SPACE: Final = " \t\r\n"
_SEPARATORS: Final = (":", "=>", "=", "\uff1a")
_MOST_VALUES: Final = 100_000
_NO_KEYS: Final = frozenset({"True", "False", "None"})
_PREFIXES: Final = ("r", "R", "u", "U", "b", "B", "f", "F")


def scan_value(text: str, start: int, stop: str) -> Reading | Fault:
    """Read the value that starts at or after ``start``, whatever slips it has."""
    scanner = _Scanner(text, start, stop)
    try:
        return scanner.read()
    except Broken as broken:
        end = scanner.reached(broken)
        return Fault(broken.position, broken.message, broken.rule, end)


@dataclass(slots=True)
class _Open:
    """A container that is still open: its bracket, where, and what it holds so far."""

    bracket: str
    position: int
    value: Any
    key: str = ""
    commas: int = 0

    @property
    def is_object(self) -> bool:
        return self.bracket.startswith("{")


class _Scanner:
    def __init__(self, text: str, start: int, stop: str) -> None:
        self.text = text
        self.position = start
        self._stop = stop
        self._open: list[_Open] = []
        self._log = RepairLog()
        self._place = Place(text, stop)
        self._missing = 0
        self._count = 0
        self._guessed = False  # whether the end of the last scalar is a guess
        self._supplied = False  # whether a comma was supplied before it

    def read(self) -> Reading:
        """Read one value.

        Raises:
            Broken: there is none.
        """
        self._skip()
        start = self.position
        done, value = self._value()
        while not done:
            top = self._open[-1]
            if top.is_object:
                done, value = self._member(top)
            else:
                done, value = self._item(top)
        return Reading(value, start, self.position, self._log.finished(), self._missing)

    def reached(self, broken: Broken) -> int:
        """How far the attempt got that broke."""
        if broken.rule == "cut_off":
            return len(self.text)
        return max(self.position, broken.position, self._place.reached)

    # --- members and items ----------------------------------------------------------------

    def _member(self, top: _Open) -> tuple[bool, Any]:
        """Read a key and its value, or the end of the object."""
        if self._closes(top):
            return self._close(top)
        top.key = self._key()
        self._skip()
        self._separator()
        self._skip()
        return self._value()

    def _item(self, top: _Open) -> tuple[bool, Any]:
        if self._closes(top):
            return self._close(top)
        return self._value()

    def _closes(self, top: _Open) -> bool:
        self._skip()
        if self.position == len(self.text):
            raise self._cut_off("the text ends inside an object or a list")
        return self._char() == CLOSING_BRACKET[top.bracket]

    def _value(self) -> tuple[bool, Any]:
        """Read a value up to its end or, of a container, its opening bracket."""
        if self.position >= len(self.text):
            raise self._cut_off("a value is missing at the end of the text")
        char = self._char()
        if char in "{[(":
            return self._enter(char)
        if char in CLOSING_QUOTE:
            return self._finish(self._string(self.position))
        prefix = self._string_prefix()
        if prefix:
            return self._finish(self._string(self.position + len(prefix), prefix))
        return self._finish(self._bare())

    def _enter(self, char: str) -> tuple[bool, Any]:
        if len(self._open) >= DEEPEST:
            raise self._broken("too_deep", f"values are nested more than {DEEPEST} deep")
        doubled = self.text.startswith("{{", self.position)
        bracket = "{{" if doubled else char
        self._open.append(_Open(bracket, self.position, {} if char == "{" else []))
        self._place.brackets.append(bracket)
        self._supplied = False
        self.position += len(bracket)
        return False, None

    def _finish(self, value: Any) -> tuple[bool, Any]:
        """Put a complete value where it belongs and read on to the next member or item."""
        if not self._open:
            if self._stop and not isinstance(value, dict | list):
                self._check_argument_ends()
            return True, value
        self._put(self._open[-1], value)
        if self._supplied and self._guessed:
            raise self._no_comma()
        self._supplied = False
        return self._after()

    def _put(self, top: _Open, value: Any) -> None:
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._broken("syntax", "damaged text with so many values is not read")
        if not top.is_object:
            top.value.append(value)
            return
        if top.key in top.value:
            if not same(top.value[top.key], value):
                message = f"the key {excerpt(top.key)!r} is given twice with different values"
                raise self._broken("duplicate_key", message)
            self._note("duplicate_key", top.key, "", "lossless")
        top.value[top.key] = value

    def _after(self) -> tuple[bool, Any]:
        """Read what follows a member or an item: a comma, a closing bracket or the end."""
        top = self._open[-1]
        behind = self.position
        self._skip()
        if self.position == len(self.text):
            return self._supply_all()
        char = self._char()
        if char == ",":
            self._commas(top)
            if self._char() == CLOSING_BRACKET[top.bracket]:
                if top.bracket != "(":
                    self._note("trailing_comma", ",", "", "lossless", of_member=False)
                return self._close(top)
            return False, None
        if char in "}])":
            self._supply_before(char)
            return self._close(self._open[-1])
        if self._member_follows(top, behind):
            if self._guessed:
                raise self._no_comma()
            self._supplied = True
            self._note("missing_comma", "", ",", "inferred", of_member=False)
            return False, None
        raise self._broken("syntax", "a comma or a closing bracket is missing here")

    def _no_comma(self) -> Broken:
        """A comma is supplied only between values that certainly end, or start, there."""
        return self._broken("ambiguous", "what follows may belong to the value before it")

    def _commas(self, top: _Open) -> None:
        count = 0
        while self.position < len(self.text) and self._char() == ",":
            count += 1
            self.position += 1
            self._skip()
        if self.position == len(self.text):
            raise self._cut_off("the text ends after a comma")
        top.commas += 1
        if count > 1:
            kind: RepairKind = "lossless" if top.is_object else "inferred"
            self._note("doubled_comma", "," * min(count, 8), ",", kind, of_member=False)

    def _member_follows(self, top: _Open, behind: int) -> bool:
        char = self._char()
        if not top.is_object:
            return char == "{" and self.text[behind - 1] == "}"
        return char in CLOSING_QUOTE or BARE_KEY.match(self.text, self.position) is not None

    # --- closing --------------------------------------------------------------------------

    def _close(self, top: _Open) -> tuple[bool, Any]:
        self.position += 1
        if top.bracket == "{{":
            if not self.text.startswith("}", self.position):
                if self.position == len(self.text):
                    raise self._cut_off("a doubled brace is closed only once")
                raise self._broken("syntax", "a doubled brace is closed only once")
            self.position += 1
            self._note("doubled_braces", "{{ }}", "{ }", "inferred", of_member=False)
        return self._finish(self._pop())

    def _pop(self) -> Any:
        self._guessed = False
        top = self._open.pop()
        self._place.brackets.pop()
        if top.bracket != "(":
            return top.value
        self._note("parentheses", "( )", "[ ]", "lossless")
        # Python: (x) is x itself, (x,) a sequence of one.
        return top.value[0] if len(top.value) == 1 and not top.commas else top.value

    def _supply_before(self, char: str) -> None:
        """Close the containers that were forgotten before this closing bracket."""
        if char not in [CLOSING_BRACKET[frame.bracket] for frame in self._open]:
            raise self._broken("syntax", f"nothing is open that {char!r} closes")
        while CLOSING_BRACKET[self._open[-1].bracket] != char:
            self._supply(self._open[-1])

    def _supply(self, top: _Open) -> None:
        if top.bracket == "{{":
            raise self._broken("syntax", "a doubled brace is not closed")
        self._note(
            "closing_brackets", "", CLOSING_BRACKET[top.bracket], "inferred", of_member=False
        )
        value = self._pop()
        if self._open:
            self._put(self._open[-1], value)

    def _supply_all(self) -> tuple[bool, Any]:
        """The text ends where every value is complete: supply the closing brackets."""
        if any(frame.bracket == "{{" for frame in self._open):
            raise self._cut_off("a doubled brace is not closed")
        self._missing = len(self._open)
        closers = "".join(CLOSING_BRACKET[frame.bracket] for frame in reversed(self._open))
        while len(self._open) > 1:
            value = self._pop()
            self._put(self._open[-1], value)
        value = self._pop()
        self._note("closing_brackets", "", closers, "inferred")
        return True, value

    # --- keys -----------------------------------------------------------------------------

    def _key(self) -> str:
        char = self._char()
        if char in CLOSING_QUOTE:
            self._place.is_key = True
            key = self._string(self.position, of_member=False)
            self._place.is_key = False
            return key
        match = BARE_KEY.match(self.text, self.position)
        if match is None:
            raise self._broken("syntax", "a key is missing here")
        if match[0] in _NO_KEYS:
            raise self._broken("ambiguous", f"the key {match[0]} may be a value or a name")
        self.position = match.end()
        written = excerpt(match[0])
        self._note("unquoted_key", written, f'"{written}"', "lossless", of_member=False)
        return match[0]

    def _separator(self) -> None:
        if self.position == len(self.text):
            raise self._cut_off("the text ends after a key")
        for separator in _SEPARATORS:
            if self.text.startswith(separator, self.position):
                self.position += len(separator)
                if separator != ":":
                    self._note("key_separator", separator, ":", "inferred")
                return
        raise self._broken("syntax", "a colon is missing after a key")

    # --- scalars --------------------------------------------------------------------------

    def _string_prefix(self) -> str:
        """Python's letters before a quote, '' when there are none."""
        for length in (1, 2):
            quote = self.text[self.position + length : self.position + length + 1]
            letters = self.text[self.position : self.position + length]
            if quote and quote in "\"'" and all(letter in _PREFIXES for letter in letters):
                if not set(letters.lower()) <= {"r", "u"}:
                    raise self._broken("ambiguous", f"a {letters}-string is no plain string")
                return letters
        return ""

    def _string(self, start: int, prefix: str = "", *, of_member: bool = True) -> str:
        token = read_string(start, self._place, prefix)
        before = self.text[start - len(prefix) : token.end]
        self.position = token.end
        self._guessed = any(rule == "inner_quotes" for rule, _ in token.rules)
        for rule, kind in token.rules:
            self._note(rule, excerpt(before), excerpt(token.value), kind, of_member=of_member)
        return token.value

    def _bare(self) -> Any:
        start = self.position
        token = read_token(self.text, start, self._stop)
        end = start + len(token)
        self._place.reached = max(self._place.reached, end)
        if token and end == len(self.text) and token not in LITERALS:
            if self._open or self._stop:
                raise self._cut_off("the last value may go on behind the end of the text")
            if any(word.startswith(token) for word in LITERALS):
                raise self._cut_off("the text ends inside a word")
        words = self._open[-1].is_object if self._open else bool(self._stop)
        value, rule = read_scalar(token, start, words=words)
        self.position = end
        self._guessed = isinstance(value, str)
        if self._guessed and self.text.startswith(("(", "["), end):
            raise Broken("ambiguous", start, "a value without quotes looks like an expression")
        if rule is not None:
            after = excerpt(value) if isinstance(value, str) else value
            self._note(rule[0], excerpt(token), after, rule[1])
        return value

    def _check_argument_ends(self) -> None:
        """Inside a call's brackets something must end the argument that was read."""
        self._skip()
        if self.position < len(self.text) and self._char() not in "," + self._stop:
            raise self._broken("syntax", "a comma or a closing bracket is missing here")

    # --- small things ---------------------------------------------------------------------

    def _skip(self) -> None:
        """Go to the next character that is neither space nor comment."""
        while True:
            match = SPACE.match(self.text, self.position)
            end = match.end() if match else self.position
            if self.text[self.position : end].strip(_JSON_SPACE):
                self._note("odd_space", excerpt(self.text[self.position : end]), " ", "lossless")
            self.position = end
            behind = comment_end(self.text, end)
            if behind is None:
                return
            comment = self.text[end:behind]
            if behind == len(self.text) and not comment.endswith("*/"):
                raise self._cut_off("a comment that starts here has no end")
            self._note("comment", excerpt(comment), "", "lossless")
            self.position = behind

    def _char(self) -> str:
        return self.text[self.position]

    def _broken(self, rule: FaultRule, message: str) -> Broken:
        return Broken(rule, self.position, message)

    def _cut_off(self, message: str) -> Broken:
        return self._broken("cut_off", message)

    def _path(self, of_member: bool) -> str:
        """The member or item that is being read, or the container around it."""
        path = "$"
        frames = self._open if of_member else self._open[:-1]
        for frame in frames:
            path = child_path(path, frame.key if frame.is_object else len(frame.value))
        return path

    def _note(
        self, rule: str, before: Any, after: Any, kind: RepairKind, *, of_member: bool = True
    ) -> None:
        if self._log.wants(rule, kind):
            self._log.add(rule, self._path(of_member), before, after, kind)
