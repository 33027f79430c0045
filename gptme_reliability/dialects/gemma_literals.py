"""Gemma's own literals: ``call:name{key:<|"|>text<|"|>,n:3}`` (Gemma 4, FunctionGemma).

Strings stand between quoting tokens that the model's template reserves for them, so that
nothing inside is escaped; keys are bare, and lists and objects nest.  Source: the chat
templates of the two families.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from gptme_reliability.dialects.markers import CLOSING
from gptme_reliability.dialects.shapes import Flaw, RawCall
from gptme_reliability.repair.reading import Broken, same
from gptme_reliability.repair.scalars import LITERALS, is_number, read_scalar
from gptme_reliability.repair.syntax import Fault, read_value
from gptme_reliability.types import Repair

HEAD: Final = re.compile(r"call:\s{0,8}(?P<name>[A-Za-z_][\w.:\-]{0,120})\s{0,8}(?P<open>[{(])")
_QUOTES: Final = ('<|"|>', "<escape>")
_KEY: Final = re.compile(
    r"\s*(?:<\|\"\|>|<escape>|[\"'])?([\w.\-$]{1,160})(?:<\|\"\|>|<escape>|[\"'])?\s*[:=]\s*"
)
_BRACE: Final = re.compile(r"\s{0,16}\{")
_BRACKET: Final = re.compile(r"\s{0,16}\)")
_SPACE: Final = re.compile(r"\s*")
_SEPARATOR: Final = re.compile(r"[\s,;]*")
_BARE: Final = re.compile(r"[^,{}\[\]()<>\"'\n]{1,400}")
_SINGLE_QUOTED: Final = re.compile(r"'([^'\"\\\n]{0,100000})'(?=\s{0,16}[,}\])])")
_PLAIN_STRING: Final = re.compile(
    r"(\"(?:[^\"\\\x00-\x1f]|\\[\"\\/bfnrt]){0,100000}\")(?=\s{0,16}[,}\])])"
)
_DEEPEST: Final = 64


class _Broken(Exception):
    def __init__(self, rule: str, message: str, position: int) -> None:
        super().__init__(message)
        self.rule, self.message, self.position = rule, message, position


def read_gemma(text: str, start: int) -> tuple[RawCall, int, bool] | None:
    """Read one call at ``start``: the call, the index behind it, and whether it was closed."""
    head = HEAD.match(text, start)
    if head is None:
        return None
    reader = _Reader(text)
    try:
        arguments, end, closed = reader.arguments(head.end(), head["open"])
    except (_Broken, Broken) as broken:
        flaw = Flaw(broken.rule, broken.message)
        return RawCall(head["name"], flaw=flaw), broken.position, False
    return RawCall(head["name"], arguments, tuple(reader.repairs)), end, closed


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.repairs: list[Repair] = []

    def arguments(self, position: int, opening: str) -> tuple[dict[str, Any], int, bool]:
        """All arguments: in braces, in round brackets, or in both."""
        both = _BRACE.match(self._text, position) if opening == "(" else None
        if both is None:
            return self.members(position, ")" if opening == "(" else "}", 1)
        found, end, closed = self.members(both.end(), "}", 1)
        bracket = _BRACKET.match(self._text, end)
        return found, bracket.end() if bracket else end, closed

    def members(self, position: int, closing: str, depth: int) -> tuple[dict[str, Any], int, bool]:
        """The members of an object up to its closing bracket."""
        found: dict[str, Any] = {}
        while True:
            position = self._behind_separator(position)
            if self._text.startswith(closing, position):
                return found, position + 1, True
            if position >= len(self._text):
                if self._text.rstrip().endswith(","):
                    raise _Broken("cut_off", "an argument is missing behind a comma", position)
                return found, position, False
            if CLOSING.match(self._text, position):
                self.repairs.append(Repair("missing_bracket", "$", None, closing, "lossless"))
                return found, position, True
            key = _KEY.match(self._text, position)
            if key is None:
                raise _Broken("syntax", "a name and a colon are expected", position)
            value, position = self._value(key.end(), depth)
            if key[1] in found and not same(found[key[1]], value):
                raise _Broken("duplicate_key", f"the argument {key[1]!r} is given twice", position)
            found[key[1]] = value
            self._check_end(position)

    def _items(self, position: int, depth: int) -> tuple[list[Any], int]:
        found: list[Any] = []
        while True:
            position = self._behind_separator(position)
            if self._text.startswith("]", position):
                return found, position + 1
            value, position = self._value(position, depth)
            found.append(value)
            self._check_end(position)

    def _value(self, position: int, depth: int) -> tuple[Any, int]:
        if depth > _DEEPEST:
            raise _Broken("too_deep", "the arguments are nested too deeply", position)
        text = self._text
        for quote in _QUOTES:
            if text.startswith(quote, position):
                return self._quoted(quote, position + len(quote))
        if text.startswith("{", position):
            value, end, closed = self.members(position + 1, "}", depth + 1)
            if not closed:
                raise _Broken("cut_off", "an object has no end", end)
            return value, end
        if text.startswith("[", position):
            return self._items(position + 1, depth + 1)
        if text[position : position + 1] in ('"', "'"):
            return self._json_string(position)
        return self._bare(position)

    def _quoted(self, quote: str, begin: int) -> tuple[str, int]:
        end = self._text.find(quote, begin)
        if end < 0:
            raise _Broken("cut_off", "a string has no end", len(self._text))
        return self._text[begin:end], end + len(quote)

    def _json_string(self, position: int) -> tuple[Any, int]:
        single = _SINGLE_QUOTED.match(self._text, position)
        if single:
            self.repairs.append(Repair("single_quotes", "$", "'", '"', "lossless"))
            return single[1], single.end(1) + 1
        plain = _PLAIN_STRING.match(self._text, position)
        if plain:
            return json.loads(plain[1]), plain.end(1)
        reading = read_value(self._text, position, stop=")")
        if isinstance(reading, Fault):
            raise _Broken(reading.rule, reading.message, reading.end)
        self.repairs.extend(reading.repairs)
        return reading.value, reading.end

    def _bare(self, position: int) -> tuple[Any, int]:
        match = _BARE.match(self._text, position)
        token = match[0].rstrip() if match else ""
        end = position + len(token)
        if end >= len(self._text):
            raise _Broken("cut_off", "a value may go on behind the end", end)
        if token in LITERALS or is_number(token):
            value, rule = read_scalar(token, position, words=False)
            if rule is not None:
                self.repairs.append(Repair(rule[0], "$", token, value, rule[1]))
            return value, end
        if not token:
            raise _Broken("syntax", "a value is expected", end)
        # The template writes every text in quotes; a bare word has no other reading here.
        self.repairs.append(Repair("unquoted_string", "$", token, token, "inferred"))
        return token, end

    def _behind_separator(self, position: int) -> int:
        match = _SEPARATOR.match(self._text, position)
        return match.end() if match else position

    def _check_end(self, position: int) -> None:
        """A value ends at a separator or a bracket; a missing comma is the next key's start."""
        match = _SPACE.match(self._text, position)
        after = match.end() if match else position
        if self._text[after : after + 1] in (",", "}", "]", ")", ";", ""):
            return
        if CLOSING.match(self._text, after):
            return
        if _KEY.match(self._text, after):
            self.repairs.append(Repair("missing_comma", "$", None, ",", "lossless"))
            return
        raise _Broken("syntax", "text stands behind a value", after)
