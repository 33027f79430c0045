"""Which family a spelled name belongs to: the longest name at its beginning decides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from gptme_reliability.model_names import families, families_other, families_uncarded
from gptme_reliability.model_names.facets import Facets, active_of, read_facets, total_of
from gptme_reliability.model_names.family import Family, Release
from gptme_reliability.model_names.spelling import Spelling, words_of
from gptme_reliability.model_names.words import PUBLISHERS

_Words = tuple[str, ...]

FAMILIES: Final[tuple[Family, ...]] = (
    *(families.QWEN + families.META + families.MISTRAL + families.DEEPSEEK),
    *(families.GOOGLE + families.MICROSOFT + families.IBM),
    *(families_other.NOUS + families_other.CALLERS + families_other.LARGE),
    *(families_other.NVIDIA + families_other.SMALL + families_other.RESEARCH),
    *families_uncarded.UNCARDED,
)
"""Every family that can be named; of those that share a head, the first that fits is meant."""


@dataclass(frozen=True, slots=True)
class Model:
    """A release read the way a user's name is read; the maker's own spelling stands first.

    ``size_b``, ``active_b``: its figures in billions, from its row or else from its name.
    """

    release: Release
    spellings: tuple[Facets, ...]

    @property
    def size_b(self) -> float | None:
        said = self.release.size_b
        return said if said is not None else total_of(self.spellings[0].size)

    @property
    def active_b(self) -> float | None:
        said = self.release.active_b
        return said if said is not None else active_of(self.spellings[0].active)


@dataclass(frozen=True, slots=True)
class Entry:
    """A family, its releases, and the words and sizes that may follow its head."""

    family: Family
    models: tuple[Model, ...]
    words: frozenset[str]
    sizes: frozenset[str]
    needs: tuple[frozenset[str], ...]


def find(spelling: Spelling) -> tuple[Entry, Facets] | None:
    """The family and what the rest of the name says; None where a word is left unexplained."""
    for words in _without_publisher(spelling.words):
        entries, rest = _split(words)
        if entries:
            said = {*rest, *(f"{publisher}/" for publisher in spelling.publishers)}
            return _first_fit(entries, rest, said)
    return None


def _first_fit(
    entries: tuple[Entry, ...], rest: _Words, said: set[str]
) -> tuple[Entry, Facets] | None:
    for entry in entries:
        facets = read_facets(rest, entry.words)
        if _explains(entry, facets) and _has_needs(entry, said):
            return entry, facets
    return None


def _explains(entry: Entry, facets: Facets) -> bool:
    """Whether the family's table has every word, and the sizes."""
    if facets.clash or not facets.words <= entry.words:
        return False
    size, total = facets.size, total_of(facets.size)
    if size is None:
        return True
    actives = {m.active_b for m in entry.models if m.size_b == total}
    if facets.active and actives and active_of(facets.active) not in actives:
        return False
    return size in entry.sizes or total in {m.size_b for m in entry.models}


def _has_needs(entry: Entry, said: set[str]) -> bool:
    return not entry.needs or any(need <= said for need in entry.needs)


def _split(words: _Words) -> tuple[tuple[Entry, ...], _Words]:
    heads = _heads()
    for length in range(max(map(len, heads)), 0, -1):
        if entries := heads.get(words[:length]):
            return entries, words[length:]
    return (), words


@cache
def _publishers() -> frozenset[_Words]:
    return frozenset(words_of(publisher) for publisher in PUBLISHERS)


def _without_publisher(words: _Words) -> list[_Words]:
    """The words as they are, then without a maker's name before them."""
    lengths = sorted({len(publisher) for publisher in _publishers()})
    return [words, *(words[n:] for n in lengths if words[:n] in _publishers())]


@cache
def _heads() -> dict[_Words, tuple[Entry, ...]]:
    found: dict[_Words, tuple[Entry, ...]] = {}
    for family in FAMILIES:
        entry = _entry(family)
        for head in family.heads:
            words = tuple(head.split())
            found[words] = (*found.get(words, ()), entry)
    return found


def _entry(family: Family) -> Entry:
    heads = sorted((tuple(head.split()) for head in family.heads), key=len, reverse=True)
    models = tuple(
        Model(
            release,
            tuple(
                read_facets(_after_head(spelling, heads))
                for spelling in (release.spelling, *release.also)
            ),
        )
        for release in family.releases
    )
    spellings = [facets for model in models for facets in model.spellings]
    words = {word for facets in spellings for word in facets.words}
    sizes = {facets.size for facets in spellings if facets.size}
    return Entry(
        family,
        models,
        frozenset(words.union(family.words.split())),
        frozenset(sizes.union(family.sizes.split())),
        tuple(frozenset(need.split()) for need in family.needs),
    )


def _after_head(spelling: str, heads: list[_Words]) -> _Words:
    for words in _without_publisher(words_of(spelling.lower())):
        for head in heads:
            if words[: len(head)] == head:
                return words[len(head) :]
    raise ValueError(f"no head of the family begins {spelling!r}")
