"""Sampling cards: what the publishers of models say about sampling, and which card a model gets.

``card.py`` holds the values, ``reading.py`` turns a file into cards, ``matching.py`` finds the
card of a model, ``checking.py`` looks for faults in card files that nobody has loaded yet.
The format is described in ``sampling_cards/README.md`` and in ``schema.json``.
"""

from __future__ import annotations

from gptme_reliability.cards.card import Ambiguous, Card, Match, Preset, Source, Value
from gptme_reliability.cards.matching import find, modes_of, nearest
from gptme_reliability.cards.reading import load_cards

__all__ = [
    "Ambiguous",
    "Card",
    "Match",
    "Preset",
    "Source",
    "Value",
    "find",
    "load_cards",
    "modes_of",
    "nearest",
]
