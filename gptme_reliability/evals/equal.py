"""Whether two JSON values say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def same(value: Any, right: Any) -> bool:
    """Whether two values are the same: numbers by what they are worth, true is no 1."""
    if isinstance(value, dict) and isinstance(right, dict):
        return value.keys() == right.keys() and all(same(v, right[k]) for k, v in value.items())
    return alike(value, right, same)


def alike(value: Any, right: Any, equal: Callable[[Any, Any], bool]) -> bool:
    """Lists by their members, numbers by what they are worth, anything else by type and value."""
    if isinstance(value, list) and isinstance(right, list):
        return len(value) == len(right) and all(map(equal, value, right))
    if _is_number(value) and _is_number(right):
        return bool(value == right)
    return type(value) is type(right) and bool(value == right)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
