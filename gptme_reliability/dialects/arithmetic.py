"""Numbers that models write as sums: ``0.05 / 12``, ``2 * 3.14``."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from typing import Final, TypeAlias

_Number: TypeAlias = int | float

_SUM: Final = re.compile(r"[-+(]{0,4}\d[\d.eE_+\-*/() ]{0,80}(?=\s{0,16}[,)\]])")
_OPERATORS: Final[dict[type[ast.AST], Callable[[_Number, _Number], _Number]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
_HIGHEST_POWER: Final = 64
_LARGEST: Final = 1e15


def read_sum(text: str, start: int) -> tuple[_Number, int] | None:
    """The value of a sum of plain numbers at ``start`` and the index behind it.

    None when no such sum stands there, or when its value is no usual number.
    """
    match = _SUM.match(text, start)
    if match is None:
        return None
    written = match[0].rstrip()
    # The bracket that ends the call is no part of the sum.
    while written.count(")") > written.count("("):
        written = written[: written.rindex(")")].rstrip()
    try:
        value = _value(ast.parse(written, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    if isinstance(value, complex) or not math.isfinite(value) or abs(value) > _LARGEST:
        return None
    return value, start + len(written)


def _value(node: ast.AST) -> _Number:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number: _Number = node.value
        return number
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _value(node.operand)
        return -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.Pow) and not abs(right) <= _HIGHEST_POWER:
            raise ValueError("a power too high")
        found = _OPERATORS[type(node.op)](left, right)
        if abs(found) > _LARGEST:
            raise ValueError("a number too large")
        return found
    raise ValueError("no plain number")
