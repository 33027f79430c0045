"""Calls as Python: ``name(key=value)``, alone or in a list."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gptme_reliability.dialects.shapes import Flaw, RawCall, flaw_at
from gptme_reliability.repair.reading import same
from gptme_reliability.repair.syntax import Fault, Reading, read_value
from gptme_reliability.types import Repair

_NAME: Final = re.compile(r"\s{0,64}([A-Za-z_][\w.\-]{0,120})\s{0,16}\(")
_KEYWORD: Final = re.compile(r"\s*([A-Za-z_]\w{0,120})\s*(?:=(?!=))")
SEPARATOR: Final = re.compile(r"\s*(,?)\s*")
MOST_CALLS: Final = 4096
DICT_ARGUMENT: Final = "dict_argument"
"""The rule of a repair that says: an object stood for all arguments."""
# Spellings that need mending in JSON and are the language's own here.
_PYTHON_SPELLINGS: Final = frozenset(
    {"single_quotes", "triple_quotes", "string_prefix", "python_literal", "parentheses"}
)
# What only an interpreter could tell the value of: a bare name, or quotes around operators.
_EXPRESSIONS: Final = frozenset({"unquoted_string", "inner_quotes"})
_APOSTROPHE: Final = re.compile(r"(?<=[^\W\d_])'(?=[^\W\d_])")
# The arguments that most calls are made of, read without the tolerant reader.
_PLAIN: Final = re.compile(
    r"(?P<key>[A-Za-z_]\w{0,120})\s{0,8}=\s{0,8}(?:"
    r"'(?P<single>[^'\\\n\r]*)'|\"(?P<double>[^\"\\\n\r]*)\"|"
    r"(?P<integer>-?[1-9]\d{0,15}|0)|(?P<number>-?(?:0|[1-9]\d{0,15})\.\d{1,15})|"
    r"(?P<boolean>[Tt]rue|[Ff]alse)"
    r")(?=\s{0,16}[,)\]])"
)
_NOT_CLOSED: Final = "the call ends before its closing bracket"


def read_call(text: str, start: int) -> tuple[RawCall, int] | None:
    """Read one call at ``start``; None when no name with a bracket stands there.

    Returns the call and the index behind it; a call that could not be read carries its flaw.
    """
    head = _NAME.match(text, start)
    if head is None:
        return None
    return read_keywords(text, head.end(), head[1], ")")


def read_keywords(text: str, position: int, name: str, closing: str) -> tuple[RawCall, int]:
    """Read the arguments of a call of ``name`` up to the ``closing`` bracket."""
    keywords: dict[str, Any] = {}
    positional: list[Any] = []
    repairs: list[Repair] = []
    while True:
        separator = SEPARATOR.match(text, position)
        position = separator.end() if separator else position
        if text.startswith(closing, position):
            position += 1
            break
        if position >= len(text):
            return RawCall(name, flaw=Flaw("cut_off", _NOT_CLOSED)), len(text)
        if (keywords or positional) and separator and not separator[1]:
            flaw = Flaw("syntax", "a comma is missing between two arguments")
            return RawCall(name, flaw=flaw), position
        plain = _PLAIN.match(text, position)
        if plain is not None:
            key: str | None = plain["key"]
            value, position = _plain_value(plain), plain.end()
        else:
            argument = _argument(text, position, closing)
            position = argument.end
            if argument.flaw is not None:
                return RawCall(name, flaw=argument.flaw), position
            key, value = argument.key, argument.value
            repairs += argument.repairs
        if key is None:
            positional.append(value)
        elif key in keywords and not same(keywords[key], value):
            flaw = Flaw("duplicate_key", f"the argument {key!r} is given twice")
            return RawCall(name, flaw=flaw), position
        else:
            keywords[key] = value
    return _finished(name, keywords, positional, repairs), position


def _plain_value(plain: re.Match[str]) -> str | int | float | bool:
    kind = plain.lastgroup
    if kind == "integer":
        return int(plain["integer"])
    if kind == "number":
        return float(plain["number"])
    if kind == "boolean":
        return plain["boolean"].lower() == "true"
    return plain[plain.lastindex or 0]


@dataclass(frozen=True, slots=True)
class _Argument:
    """One argument: its name if it has one, its value, or why it could not be read."""

    end: int
    key: str | None = None
    value: Any = None
    repairs: Sequence[Repair] = ()
    flaw: Flaw | None = None


def _argument(text: str, position: int, closing: str) -> _Argument:
    match = _KEYWORD.match(text, position)
    key = match[1] if match else None
    start = _behind_spaces(text, match.end() if match else position)
    reading = read_value(text, start, stop=closing)
    if isinstance(reading, Fault):
        return _Argument(reading.end, flaw=flaw_at(reading, text))
    if reading.missing_closers:
        return _Argument(len(text), flaw=Flaw("cut_off", _NOT_CLOSED))
    if _is_expression(reading, text[reading.start : reading.end]):
        message = "an argument is no plain value but an expression or a name"
        return _Argument(reading.end, flaw=Flaw("ambiguous", message))
    return _Argument(reading.end, key, reading.value, _under(key, reading.repairs))


def _is_expression(reading: Reading, written: str) -> bool:
    """Whether an interpreter would see more than one plain value; an apostrophe is none."""
    rules = {repair.rule for repair in reading.repairs} & _EXPRESSIONS
    if rules != {"inner_quotes"}:
        return bool(rules)
    quote, inside = written[:1], written[1:-1]
    return quote != "'" or len(_APOSTROPHE.findall(inside)) != inside.count(quote)


def _behind_spaces(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _under(name: str | None, repairs: tuple[Repair, ...]) -> list[Repair]:
    """The repairs of one argument's value, with their paths below that argument's name."""
    prefix = "$" if name is None else f"$.{name}"
    return [
        replace(repair, path=prefix + repair.path[1:])
        for repair in repairs
        if repair.rule not in _PYTHON_SPELLINGS
    ]


def _finished(
    name: str, keywords: dict[str, Any], positional: list[Any], repairs: list[Repair]
) -> RawCall:
    if len(positional) == 1 and not keywords and isinstance(positional[0], dict):
        note = Repair(DICT_ARGUMENT, "$", "{…}", "keyword arguments", "inferred")
        return RawCall(name, positional[0], (*repairs, note))
    return RawCall(name, keywords, tuple(repairs), positional=tuple(positional))


def read_call_list(text: str, start: int) -> tuple[list[RawCall], int, bool] | None:
    """Read ``[f(…), g(…)]`` at ``start``; None when the first item is no call.

    Returns the calls, the index behind them, and whether the closing bracket was there.
    """
    calls: list[RawCall] = []
    position = start + 1
    while len(calls) < MOST_CALLS:
        found = read_call(text, position)
        if found is None:
            break
        call, position = found
        calls.append(call)
        if call.flaw is not None:
            return calls, position, False
        separator = SEPARATOR.match(text, position)
        position = separator.end() if separator else position
        if text.startswith("]", position):
            return calls, position + 1, True
        if not (separator and separator[1]):
            break
    return (calls, position, False) if calls else None
