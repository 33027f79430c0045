"""Unquoted values as models write them: numbers, literals, bare words."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from gptme_reliability.repair.reading import LONGEST_NUMBER, Broken, OddInteger
from gptme_reliability.types import RepairKind

LITERALS: Final = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip

_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_OTHER_NUMBER: Final = re.compile(
    r"[+-]?(?:(?P<based>0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+)"
    r"|(?P<whole>(?:0|[1-9]\d*)(?:_\d+)*)"
    r"|(?P<broken>(?:(?:0|[1-9]\d*)\.\d*|\.\d+)(?:[eE][+-]?\d+)?|(?:0|[1-9]\d*)[eE][+-]?\d+))",
    re.ASCII,
)
_END: Final = r",{}\[\]()\"'`\u201c\u201d\u2018\u2019\\<>=:"
_BARE: Final = re.compile(rf"[^{_END}\s](?:[^{_END}\n]|:(?=[^\s,}}\]]))*")
# Words and the signs that stand in names, paths, dates and addresses; all other signs, and
# some of these between numbers or spaces, may be operators of an expression.
_TEXT: Final = re.compile(r"(?=.*\w)[\w\s./:@~#\u0080-\U0010ffff-]*(?:(?<=\w)[?!]+|(?<=\d)%)?")
_EXPRESSION: Final = re.compile(
    r"\.\.\.|\u2026|--$|\s[-/]\s|^\S+ (?:or|and|in|is|not) \S+$|^[\d.]+[-/][\d.]+$"
)
_CHOICE: Final = {"if", "else"}
_COMMENT: Final = re.compile(r"\s(?:#|//|/\*)")
# Words that stand for something JSON cannot say: reading them as text would invent a value.
_NO_VALUES: Final = frozenset({"undefined", "nan", "infinity", "inf", "+infinity", "-infinity"})

Scalar = tuple[Any, tuple[str, RepairKind] | None]


def parse_int(digits: str) -> int:
    """An integer's value.

    Raises:
        ValueError: it has more digits than are read.
    """
    if len(digits) > LONGEST_NUMBER:
        raise ValueError("a number has too many digits")
    return OddInteger(digits) if digits == "-0" else int(digits)


def parse_float(digits: str) -> float:
    """A fraction's value.

    Raises:
        ValueError: it is too large for a number, or has more digits than are read.
    """
    if len(digits) > LONGEST_NUMBER:
        raise ValueError("a number has too many digits")
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def read_token(text: str, at: int, stop: str) -> str:
    """The unquoted value that starts here, as far as one may reach.

    ``stop`` are more characters that end it.

    Raises:
        Broken: a comment may follow it or be part of it.
    """
    match = _BARE.match(text, at)
    token = match[0] if match else ""
    cuts = [cut for char in stop if (cut := token.find(char)) >= 0]
    token = token[: min(cuts)] if cuts else token
    comment = _COMMENT.search(token)
    if comment is not None:
        token = token[: comment.start()].rstrip()
        if token not in LITERALS and not is_number(token):
            raise Broken("ambiguous", at, "a word without quotes is followed by a comment sign")
    return token.rstrip()


def is_number(token: str) -> bool:
    """Whether the token is a number in any spelling that is read."""
    return bool(_JSON_NUMBER.fullmatch(token) or _OTHER_NUMBER.fullmatch(token))


def is_expression(token: str) -> bool:
    """Whether words without quotes look like something that stands for its result."""
    if not _TEXT.fullmatch(token) or _EXPRESSION.search(token):
        return True
    return _CHOICE.issubset(token.split())


def read_scalar(token: str, at: int, *, words: bool) -> Scalar:
    """What an unquoted token means, and the rule that was needed to read it.

    ``words`` allows bare words, which become strings.

    Raises:
        Broken: it means nothing, or nothing that JSON can say.
    """
    if token in LITERALS:
        return LITERALS[token], None if token[0].islower() else ("python_literal", "lossless")
    try:
        number = _number(token)
    except ValueError as error:
        raise Broken("number_too_long", at, f"{error} to be read") from None
    if number is not None:
        return number
    if not token or not words or token.lower() in _NO_VALUES:
        raise Broken("syntax", at, "no value starts here")
    if is_expression(token):
        raise Broken("ambiguous", at, "a value without quotes looks like an expression")
    return token, ("unquoted_string", "inferred")


def _number(token: str) -> Scalar | None:
    """The number, and a rule unless JSON spells it so; None when it is none."""
    plain = _JSON_NUMBER.fullmatch(token)
    if plain is not None:
        fraction = plain[1] or plain[2]
        return (parse_float(token) if fraction else parse_int(token)), None
    other = _OTHER_NUMBER.fullmatch(token)
    if other is None:
        return None
    if other["based"] is not None:
        if len(token) > LONGEST_NUMBER:
            raise ValueError("a number has too many digits")
        try:
            value: Any = OddInteger(int(token, 0))
        except ValueError:
            # Underscores in odd places.
            return None
    elif other["whole"] is not None:
        value = OddInteger(parse_int(token.replace("_", "").lstrip("+")))
    else:
        value = parse_float(token)
    return value, ("number_spelling", "lossless")
