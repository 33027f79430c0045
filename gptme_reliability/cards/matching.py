"""Which card a model gets.

A user's card wins over a shipped one, then the more specific over the more general, then the
source of higher rank.  A card is taken whole: cards are never mixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from typing import Final

from gptme_reliability.cards.card import Ambiguous, Card, CardMode, Match
from gptme_reliability.distance import fold
from gptme_reliability.identity import Identity

_MOST_NEIGHBOURS: Final = 3
_LIKENESS: Final = 0.6


def find(
    identity: Identity, cards: Iterable[Card], mode: CardMode | None = None
) -> Match | Ambiguous | None:
    """The card of a model, in ``mode`` or else in the mode that its name says.

    Without either, the card counts whose mode the model runs in by itself.
    None where no card speaks of the model in this mode.
    """
    wanted = mode or identity.mode
    found = sorted(
        (card for card in cards if _speaks_of(card, identity) and _in_mode(card, wanted)),
        key=lambda card: (*closeness(card), *authority(card, wanted), card.source.path),
    )
    if not found:
        return None
    closest = [card for card in found if closeness(card) == closeness(found[0])]
    if wanted is None and len({card.mode for card in closest}) > 1:
        defaults = [card for card in closest if card.default]
        closest = defaults or [card for card in closest if card.mode is None]
        if len({card.mode for card in closest}) != 1:
            return Ambiguous(tuple(found), "mode")
    best = closest[0]
    equals = [c for c in closest if authority(c, wanted) == authority(best, wanted)]
    if any(disagree(best, card) for card in equals):
        return Ambiguous(tuple(equals), "values")
    others = tuple(card for card in found if card is not best)
    return Match(best, best.url(identity.variant), others)


def modes_of(identity: Identity, cards: Iterable[Card]) -> tuple[CardMode, ...]:
    """The modes of a model that have cards of their own."""
    return tuple(sorted({c.mode for c in cards if c.mode is not None and _speaks_of(c, identity)}))


def disagree(left: Card, right: Card) -> bool:
    """Whether two cards would lead to different requests."""
    return any(
        getattr(left, name) != getattr(right, name)
        for name in (
            *("values", "silent", "required", "forbid_greedy"),
            *("presets", "chat_template_kwargs"),
        )
    )


def nearest(identity: Identity, cards: Sequence[Card]) -> list[str]:
    """The names that come nearest to a model without a card, the nearest first, three at most.

    Near is what is written alike: variants where the family has cards, else families.
    """
    variants = dict.fromkeys(
        name for c in cards if c.family and c.family == identity.family for name in c.variants
    )
    name = identity.name.rstrip("/").rsplit("/", 1)[-1]
    if variants:
        wanted = fold(identity.variant or name)
        return sorted(variants, key=lambda v: -_likeness(wanted, fold(v)))[:_MOST_NEIGHBOURS]
    wanted = fold(identity.family or name)
    likeness = {
        family: _likeness(wanted, fold(family)) for family in {c.family for c in cards if c.family}
    }
    near = sorted((-much, family) for family, much in likeness.items() if much >= _LIKENESS)
    return [family for _, family in near[:_MOST_NEIGHBOURS]]


def _likeness(name: str, other: str) -> float:
    """How alike two names begin, from 0 to 1; what follows is sizes and quantisations."""
    return SequenceMatcher(None, name[: len(other)], other, autojunk=False).ratio()


def _speaks_of(card: Card, identity: Identity) -> bool:
    if card.names:
        name = identity.name.lower()
        spellings = {name, name.rsplit("/", 1)[-1]}
        return any(fnmatchcase(s, pattern.lower()) for pattern in card.names for s in spellings)
    if card.family is None or card.family != identity.family:
        return False
    if card.variants and identity.variant not in card.variants:
        return False
    if card.sizes is None:
        return True
    low, high = card.sizes
    return identity.size_b is not None and low <= identity.size_b <= high


def _in_mode(card: Card, wanted: CardMode | None) -> bool:
    """Whether a card holds in a mode; what is said of a tuned model is not said of its base."""
    if wanted is None or wanted == "base":
        return card.mode == "base" if wanted else card.mode != "base"
    return card.mode in (None, wanted)


def closeness(card: Card) -> tuple[int, int, float]:
    """Whose card it is and how many models it may mean; the user's and the closest sort first."""
    if card.names:
        return card.source.place, 0, 0.0
    if card.variants:
        return card.source.place, 1, 0.0
    if card.sizes:
        return card.source.place, 2, card.sizes[1] - card.sizes[0]
    return card.source.place, 3, 0.0


def authority(card: Card, wanted: CardMode | None) -> tuple[bool, int, int]:
    """What is said of this very mode sorts before what is said of any, then the rank decides."""
    return wanted is not None and card.mode is None, *card.source.rank
