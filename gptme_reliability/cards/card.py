"""The values of sampling cards.  Everything here is frozen and compares by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

Grade: TypeAlias = Literal["read", "quoted", "own"]
"""``read``: the source's text was read; ``quoted``: it was seen only as somebody else tells it;
``own``: a user's own choice."""

ChosenBy: TypeAlias = Literal["vendor", "us"]
"""Who chose the point: the model's vendor published it, or it was chosen for this card, be it
inside a published range or out of what a third party recommends."""

Basis: TypeAlias = Literal["published", "evaluation", "example"]
"""What a preset rests on: the vendor recommends it, the vendor measured the model with it, or
the vendor's example code has it."""

CardMode: TypeAlias = Literal["thinking", "instruct", "base"]

GRADES: Final = ("own", "read", "quoted")
KINDS: Final = (
    "own",
    "vendor_card",
    "vendor_repo",
    "vendor_docs",
    "vendor_code",
    "generation_config",
    "quotation",
    "vendor_product",
    "third_party",
)
"""Kinds of sources, the one with the most authority first; ``sampling_cards/README.md`` says
what each stands for."""


@dataclass(frozen=True, slots=True)
class Value:
    """One sampling value: the point to send, and the published bounds where there are any.

    ``low`` and ``high`` belong to the range, ``below`` does not.
    ``chosen_by`` is None in a user's own card.
    """

    point: float
    low: float | None = None
    high: float | None = None
    below: float | None = None
    chosen_by: ChosenBy | None = None

    def admits(self, number: float) -> bool:
        """Whether a number lies in the published range; without bounds any does."""
        return (
            (self.low is None or number >= self.low)
            and (self.high is None or number <= self.high)
            and (self.below is None or number < self.below)
        )


@dataclass(frozen=True, slots=True)
class Preset:
    """Values for one purpose, to lay over those of the card."""

    values: Mapping[str, Value]
    basis: Basis


@dataclass(frozen=True, slots=True)
class Source:
    """Where the cards of one file come from.

    ``read_at``: the place whose text was read, None for a user's own card.
    ``urls``: the page of each model that the source speaks of, by variant; ``*`` for all.
    ``checked``: the day on which the source was looked at.
    ``place``: the position of the card's directory; the lowest wins.
    """

    path: Path
    grade: Grade
    kind: str
    read_at: str | None = None
    urls: Mapping[str, str] = field(default_factory=dict)
    checked: date | None = None
    place: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        """The authority of the source, the highest sorts first: its grade, then its kind."""
        return GRADES.index(self.grade), KINDS.index(self.kind)


@dataclass(frozen=True, slots=True)
class Card:
    """What one source says about some models in one mode; None is what it does not say.

    ``names``, ``family``, ``variants`` and ``sizes`` (total billions, both ends belong to it)
    say which models are meant; ``mode`` in which mode, None for any but "base".
    ``default``: the model runs in this mode when nobody says anything.
    ``silent``: the vendor recommends nothing, the user has to choose.
    ``required``: values that the source calls indispensable.
    ``dialect``: how the model writes calls; in a user's own card also how it is asked to, where
    its server takes no tools.
    ``reasoning``: opening and closing tag.
    ``native_tools``, ``force``: whether the model calls tools through its own template, and
    whether a forced choice of tool helps it.
    """

    source: Source
    family: str | None = None
    names: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    sizes: tuple[float, float] | None = None
    mode: CardMode | None = None
    default: bool = False
    silent: bool = False
    values: Mapping[str, Value] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    forbid_greedy: bool = False
    presets: Mapping[str, Preset] = field(default_factory=dict)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    dialect: str | None = None
    reasoning: tuple[str, str] | None = None
    native_tools: bool | None = None
    force: bool | None = None
    notes: str = ""

    def url(self, variant: str | None) -> str | None:
        """The page of this variant, else the one that speaks of all; None in a user's own card."""
        return self.source.urls.get(variant or "*") or self.source.urls.get("*")


@dataclass(frozen=True, slots=True)
class Match:
    """The card of a model; ``others`` match too and say less, or with less authority."""

    card: Card
    url: str | None = None
    others: tuple[Card, ...] = ()


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Cards among which nothing decides.

    ``mode``: the model runs in several modes, and nobody said in which one.
    ``values``: equally specific cards of the same rank disagree.
    """

    cards: tuple[Card, ...]
    about: Literal["mode", "values"]
