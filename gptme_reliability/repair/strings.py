"""Strings as models write them: where one ends.

A quote ends a string when what follows it continues the structure around it.  A quote that
was left unescaped inside a value is mended only when one reading of the text remains.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from gptme_reliability.repair.escapes import unescape
from gptme_reliability.repair.reading import Broken
from gptme_reliability.repair.scalars import LITERALS
from gptme_reliability.repair.strict import decode
from gptme_reliability.types import RepairKind

CLOSING_QUOTE: Final = {
    '"': '"',
    "'": "'",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u201d": "\u201d",
}
CLOSING_BRACKET: Final = {"{": "}", "{{": "}", "[": "]", "(": ")"}
BARE_KEY: Final = re.compile(r"[^\W\d][\w$.\-]*|\$[\w$.\-]*|\d+")
SPACE: Final = re.compile(r"[\s\ufeff\u200b]*")

_QUOTE_RULE: Final = {"'": "single_quotes", "\u201c": "smart_quotes", "\u2018": "smart_quotes"}
_NEXT_SPECIAL: Final = {c: re.compile(f"[{c}\\\\]") for c in CLOSING_QUOTE.values()}
_NEWLINE_OR_QUOTE: Final = {c: re.compile(f"[{c}\\\\\n]") for c in CLOSING_QUOTE.values()}
_CONTROL: Final = re.compile(r"[\x00-\x1f]")
_WORD: Final = re.compile(r"\w+")
_ASSIGNED: Final = re.compile(r"\s*[^\W\d]\w*\s*=")
_LOOKAHEAD: Final = 16
_MOST_INNER: Final = 10_000
# What stands between two strings of an expression: signs alone, or signs around names.
_JOINT: Final = re.compile(r"[\s!-/:-@\[-^`{-~]+|\s*[+.,;&|%?](?:.*[+.,;&|%?:(\[])\s*", re.DOTALL)


@dataclass(slots=True)
class Place:
    """Where a string stands.

    ``brackets`` are the brackets open around it, outermost first; ``stop`` the characters that
    end the argument list of a call it stands in.  ``budget`` is the number of characters that
    may still be looked at ahead of the reading, ``inner`` that of the quotes that may still be
    taken for content: they keep hostile text linear, and quick.  ``reached`` is the furthest
    index that was looked at.
    """

    text: str
    stop: str
    brackets: list[str] = field(default_factory=list)
    is_key: bool = False
    budget: int = 0
    inner: int = _MOST_INNER
    reached: int = 0

    def __post_init__(self) -> None:
        self.budget = _LOOKAHEAD * len(self.text) + 1000

    def spend(self, start: int, end: int) -> None:
        """Pay for looking ahead over these characters."""
        self.budget -= end - start + 1
        self.reached = max(self.reached, end)
        if self.budget < 0 or self.inner < 0:
            raise Broken("ambiguous", start, "too many quotes leave more than one reading")


@dataclass(frozen=True, slots=True)
class StringToken:
    """A string, the index behind it, and the rules that were needed to read it."""

    value: str
    end: int
    rules: tuple[tuple[str, RepairKind], ...]


def read_string(start: int, place: Place, prefix: str = "") -> StringToken:
    """Read the string whose opening quote stands at ``start``.

    ``prefix`` are Python's letters before the quote.

    Raises:
        Broken: it has no end, more than one, or escapes that cannot be read.
    """
    text = place.text
    opening = text[start]
    rules: dict[str, RepairKind] = {}
    if prefix:
        rules["string_prefix"] = "lossless"
    raw = "r" in prefix.lower()
    if text.startswith(opening * 3, start) and opening in "\"'" and not place.is_key:
        begin, closing = start + 3, opening * 3
        stop = _triple_end(text, begin, closing, start)
        rules["triple_quotes"] = "lossless"
    else:
        begin, closing = start + 1, CLOSING_QUOTE[opening]
        stop, inner = _find_end(place, begin, closing)
        if inner:
            rules["inner_quotes"] = "inferred"
        if opening != '"':
            rules[_QUOTE_RULE.get(opening, "smart_quotes")] = "lossless"
    body = text[begin:stop]
    if _CONTROL.search(body):
        if "\x00" in body:
            raise Broken("syntax", begin + body.index("\x00"), "a string holds a NUL byte")
        rules["control_character"] = "lossless"
    value = body if raw else unescape(body, begin, rules)
    return StringToken(value, stop + len(closing), tuple(rules.items()))


def _no_end(position: int) -> Broken:
    return Broken("cut_off", position, "a string that starts here has no end")


def _triple_end(text: str, begin: int, closing: str, start: int) -> int:
    find = _NEXT_SPECIAL[closing[0]].search
    at = begin
    while True:
        found = find(text, at)
        if found is None:
            raise _no_end(start)
        if text[found.start()] == "\\":
            at = found.start() + 2
        elif text.startswith(closing, found.start()):
            return found.start()
        else:
            at = found.start() + 1


# --- where a string ends ------------------------------------------------------------------


@dataclass(slots=True)
class _Quotes:
    """The unescaped quotes seen inside a string so far.

    They come in pairs in what models write (``echo "hi"``), so that after an even number the
    text stands outside every pair, and a quote that may end the string does.  ``last`` is
    where the last one stands; ``opens`` and ``shuts`` say what the text around it makes of it.
    """

    any: bool = False
    counted: int = 0
    opened: bool = False
    last: int = 0
    opens: bool = False
    shuts: bool = False


def _find_end(place: Place, begin: int, closing: str) -> tuple[int, bool]:
    """The index of the quote that ends the string, and whether it has quotes inside."""
    text = place.text
    find = _NEXT_SPECIAL[closing].search
    quotes = _Quotes()
    candidate: int | None = None
    at = begin
    while True:
        found = find(text, at)
        if candidate is not None:
            place.spend(at, found.start() if found else len(text))
        if found is None:
            if candidate is None:
                raise _no_end(begin - 1)
            return candidate, True
        quote = found.start()
        place.reached = max(place.reached, quote)
        at = quote + 1
        if text[quote] == "\\":
            at += 1
            continue
        if place.is_key or not (place.brackets or place.stop):
            return quote, False
        if closing in "'\u2019" and _apostrophe(text, quote):
            quotes.any = True
            continue
        follow = _follow(place, at, quotes.any, closing)
        even = quotes.counted % 2 == 0
        if candidate is not None:
            if follow in ("end", "text_end") and even:
                raise _two_readings(begin - 1)
        elif follow == "text_end" and quotes.any:
            raise _no_end(begin - 1)
        elif follow in ("end", "text_end") and even:
            return quote, quotes.any
        elif follow == "end":
            if quotes.opened:
                raise _two_readings(begin - 1)
            candidate = quote
        elif follow == "doubtful" and even:
            raise _two_readings(begin - 1)
        elif not quotes.any and (whole := _quoted_json(place, begin, closing)) is not None:
            return whole, True
        place.inner -= 1
        _count(quotes, text, quote, begin, candidate is None)


def _two_readings(position: int) -> Broken:
    return Broken("ambiguous", position, "the quotes in a string leave more than one reading")


def _count(quotes: _Quotes, text: str, quote: int, begin: int, before_candidate: bool) -> None:
    """Take a quote as one inside the string."""
    before = text[quote - 1] if quote > begin else " "
    after = text[quote + 1 : quote + 2]
    opens = (before.isspace() or before in "=([{,:") and not after.isspace()
    shuts = not before.isspace() and (after.isspace() or after == "+")
    if before_candidate:
        if quotes.counted % 2 and ((quotes.shuts and opens) or _joined(quotes, text, quote)):
            # "a" + "b": two strings, not one with quotes inside.
            raise _two_readings(begin - 1)
        quotes.opened = quotes.opened or opens
    quotes.last, quotes.opens, quotes.shuts = quote, opens, shuts
    quotes.any = True
    quotes.counted += 1


def _joined(quotes: _Quotes, text: str, quote: int) -> bool:
    """Whether what stands between the last quote and this one may join two strings."""
    if quotes.last + 1 < quote:
        return _JOINT.fullmatch(text, quotes.last + 1, quote) is not None
    # Two quotes in a row are an empty string among other words: grep "" x
    return not quotes.opens or text[quote + 1 : quote + 2].isalnum()


def _apostrophe(text: str, quote: int) -> bool:
    return text[quote - 1].isalnum() and text[quote + 1 : quote + 2].isalnum()


def _quoted_json(place: Place, begin: int, closing: str) -> int | None:
    """The end of a string that holds JSON whose quotes nobody escaped."""
    text = place.text
    if closing != '"' or text[begin : begin + 1] not in ("{", "["):
        return None
    found = decode(text, begin)
    if found is None:
        return None
    end = found[1]
    place.spend(begin, end)
    if text.startswith(closing, end) and _follow(place, end + 1, True, closing) == "end":
        return end
    return None


def _follow(place: Place, at: int, inside: bool, closing: str) -> str:
    """What a quote just before ``at`` is, by what comes after it.

    Returns ``end`` (the structure goes on), ``text_end`` (nothing comes), ``doubtful`` (it
    looks like structure and is none) or ``inner``.  ``inside`` says that other quotes came
    before it, so that more is asked of an end.
    """
    text = place.text
    position = _skip(place, at, not inside)
    if position == len(text):
        return "text_end"
    char = text[position]
    bracket = place.brackets[-1] if place.brackets else ""
    if char == ",":
        return _follow_comma(place, position, inside, bracket)
    if char in "}])" or char in place.stop:
        return _follow_closer(place, position, inside, closing)
    if bracket.startswith("{"):
        if char == ":":
            return "doubtful"
        if position > at or not inside:
            newline = not inside and "\n" in text[at:position]
            if _key_follows(place, position, quoted_only=not newline):
                return "end"
    return "inner"


def _follow_comma(place: Place, position: int, inside: bool, bracket: str) -> str:
    text = place.text
    while position < len(text) and text[position] == ",":
        position = _skip(place, position + 1, not inside)
    if position == len(text):
        return "text_end"
    char = text[position]
    if char == CLOSING_BRACKET.get(bracket) or (not bracket and char in place.stop):
        return "end"
    if bracket.startswith("{"):
        return "end" if _key_follows(place, position, quoted_only=False) else "doubtful"
    if not bracket and _ASSIGNED.match(text, position):
        return "end"
    if not bracket and inside:
        return "doubtful"
    if char in CLOSING_QUOTE or char in "{[(-+." or char.isdigit():
        return "end"
    word = _WORD.match(text, position)
    known = word is not None and (word[0] in LITERALS or word.end() == len(text))
    return "end" if known or not bracket else "doubtful"


def _follow_closer(place: Place, position: int, inside: bool, closing: str) -> str:
    text, brackets = place.text, place.brackets
    char = text[position]
    closes = [CLOSING_BRACKET[bracket] for bracket in brackets]
    if char not in closes and (char not in place.stop or brackets):
        return "inner"
    if not inside:
        return "end"
    if closes and closes[-1] != char:
        return "doubtful"
    after_at = _skip(place, position + 1, False)
    after = text[after_at : after_at + 1]
    if len(brackets) <= 1:
        return "doubtful" if after and after == closing else "end"
    return "end" if not after or after in ",}])" else "doubtful"


def _key_follows(place: Place, position: int, *, quoted_only: bool) -> bool:
    """Whether a key and its colon stand here, or the text ends before that can be told."""
    text = place.text
    opening = text[position]
    if opening in CLOSING_QUOTE:
        closing = CLOSING_QUOTE[opening]
        find = _NEWLINE_OR_QUOTE[closing].search
        at = position + 1
        while (found := find(text, at)) is not None and text[found.start()] == "\\":
            at = found.start() + 2
        place.spend(position, found.start() if found else len(text))
        if found is None:
            return True
        if text[found.start()] != closing:
            return False
        end = found.end()
    else:
        key = None if quoted_only else BARE_KEY.match(text, position)
        if key is None:
            return False
        end = key.end()
        place.spend(position, end)
    end = _skip(place, end, False)
    return end == len(text) or text[end] in ":="


def _skip(place: Place, at: int, comments: bool) -> int:
    """The index of the next character that is neither space nor, if asked, comment."""
    text = place.text
    position = at
    while True:
        match = SPACE.match(text, position)
        position = match.end() if match else position
        end = comment_end(text, position) if comments else None
        if end is None:
            break
        position = end
    place.spend(at, position)
    return position


def comment_end(text: str, at: int) -> int | None:
    """The index behind the comment that starts here; None when none does."""
    if text.startswith("/*", at):
        end = text.find("*/", at + 2)
        return len(text) if end < 0 else end + 2
    if text.startswith(("#", "//"), at):
        end = text.find("\n", at)
        return len(text) if end < 0 else end
    return None
