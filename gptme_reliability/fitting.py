"""What a value that a caller gives must be, and one line where it is something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """Values of which ``fits`` is true; ``words`` say which those are."""

    fits: Callable[[Any], bool]
    words: str


def one_of(known: Sequence[str]) -> Kind:
    """One of these words."""
    return Kind(lambda value: isinstance(value, str) and value in known, _listed(known, " or "))


def set_of(known: Sequence[str]) -> Kind:
    """A set of some of these words."""
    allowed = frozenset(known)
    words = f"a frozenset of {_listed(known, ', ')}"
    return Kind(lambda value: isinstance(value, Set) and value <= allowed, words)


def tuple_of(known: Sequence[str]) -> Kind:
    """Some of these words, in order."""
    words = f"a tuple of {_listed(known, ', ')}"
    return Kind(lambda value: _is_row(value) and all(item in known for item in value), words)


def instance_of(kind: type) -> Kind:
    """An instance of a class."""
    article = "an" if kind.__name__[0] in "AEIOU" else "a"
    return Kind(lambda value: isinstance(value, kind), f"{article} {kind.__name__}")


def or_none(kind: Kind) -> Kind:
    """The same, or None."""
    return Kind(lambda value: value is None or kind.fits(value), f"{kind.words}, or None")


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _listed(words: Sequence[str], between: str) -> str:
    return between.join(f'"{word}"' for word in words)


FLAG: Final = Kind(lambda value: isinstance(value, bool), "True or False")
COUNT: Final = Kind(
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0,
    "a whole number, 0 or more",
)
# Not a number is neither more nor less than 0.
AMOUNT: Final = Kind(
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value >= 0,
    "a number, 0 or more",
)

_LONGEST: Final = 80


def refuse_unfit(owner: object, kinds: Mapping[str, Kind]) -> None:
    """Look at the named attributes of an object.

    Raises:
        ValueError: one does not fit; one line.
    """
    for name, kind in kinds.items():
        value = getattr(owner, name)
        if not kind.fits(value):
            shown = repr(value)
            shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
            raise ValueError(f"{type(owner).__name__}: {name} must be {kind.words}, not {shown}")
