"""What the words of a model's name say: sizes, mode, and words of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from gptme_reliability.model_names.words import EDITED, MODES, PACKING, RETRAINED, SpelledMode

_SIZE: Final = re.compile(r"(?:[0-9]{1,3}x)?e?([0-9]{1,4}(?:\.[0-9]{1,3})?)([bmt])")
_ACTIVE: Final = re.compile(r"a([0-9]{1,3}(?:\.[0-9]{1,2})?)([bm])")
_CONTEXT: Final = re.compile(r"[0-9]{1,4}k")
_EDITION: Final = re.compile(r"v[0-9](?:\.[0-9])?")
_BILLIONS: Final = {"m": 0.001, "b": 1.0, "t": 1000.0}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Facets:
    """What the words after a family's name say; unsaid is None.

    ``size``, ``active``: as spelled: "7b", "e4b", "8x7b", "a3b".
    ``words``: what is left when everything that this module knows is taken away.
    ``vague``: trained further, or of two modes: no published model.
    ``clash``: of two sizes: a merge of models, or none.
    """

    size: str | None
    active: str | None
    mode: SpelledMode | None
    words: frozenset[str]
    vague: bool
    clash: bool


def read_facets(words: Iterable[str], own: frozenset[str] = frozenset()) -> Facets:
    """Sort the words of a name; those in ``own`` belong to the model's name, whatever they say."""
    sizes: set[str] = set()
    actives: set[str] = set()
    modes: set[SpelledMode] = set()
    rest: set[str] = set()
    edits: set[str] = set()
    for word in words:
        if word in own:
            rest.add(word)
        elif word in MODES:
            modes.add(MODES[word])
        elif _SIZE.fullmatch(word):
            sizes.add(word)
        elif _ACTIVE.fullmatch(word):
            actives.add(word)
        elif word in EDITED or word in RETRAINED:
            edits.add(word)
        elif not _is_packing(word, bool(edits)):
            rest.add(word)
    return Facets(
        size=_only(sizes),
        active=_only(actives),
        mode=_only(modes),
        words=frozenset(rest),
        vague=bool(edits & RETRAINED) or len(modes) > 1,
        clash=len(sizes) > 1 or len(actives) > 1,
    )


def _is_packing(word: str, edited: bool) -> bool:
    """A version belongs to the edit before it: ``abliterated-v2``."""
    if word in PACKING or _CONTEXT.fullmatch(word):
        return True
    return edited and _EDITION.fullmatch(word) is not None


def _only(found: set[_T]) -> _T | None:
    return next(iter(found)) if len(found) == 1 else None


def total_of(size: str | None) -> float | None:
    """Billions of parameters: "270m" is 0.27, "e4b" is 4; a count of experts says no total."""
    match = _SIZE.fullmatch(size or "")
    if match is None or "x" in match[0]:
        return None
    return _billions(match)


def active_of(active: str | None) -> float | None:
    """Billions of parameters active per token: "a3b" is 3."""
    match = _ACTIVE.fullmatch(active or "")
    return _billions(match) if match else None


def _billions(match: re.Match[str]) -> float:
    return round(float(match[1]) * _BILLIONS[match[2]], 6)
