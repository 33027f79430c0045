"""What the sampling contract amounts to.  Everything here is frozen and compares by content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gptme_reliability.backends import NotApplied
from gptme_reliability.cards.card import Card, Grade
from gptme_reliability.contract_words import card_id
from gptme_reliability.types import ModelFacts

Origin: TypeAlias = Literal["user", "config", "served", "preset", "card"]
"""Who chose a value: the user for this request, the user's config for the model,
the served model, a preset of its card, the card."""

Unknown: TypeAlias = Literal["refuse", "warn"]

BrokenKind: TypeAlias = Literal[
    "unknown", "silent", "mode", "cards", "range", "greedy", "required", "config"
]
NoticeKind: TypeAlias = Literal["quoted", "low_bits", "conflict", "unknown"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """One value of the contract, and who chose it.

    ``source`` says it in words; ``grade`` and ``url`` are those of the card, if it was one.
    """

    value: float
    origin: Origin
    source: str
    grade: Grade | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What the user should know although the contract holds; show it once a model.

    ``quoted``: the card was seen only as somebody else quotes it.  ``low_bits``: little is left
    of the weights.  ``conflict``: another source says something else.  ``unknown``: no card.
    """

    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class Contract:
    """What a model is to be sampled with.

    ``values`` by the names of the cards.  ``presets`` are those of the card that were laid over
    it.  ``facts`` is what name and card say of the model.  ``card`` is the one that counts,
    ``url`` its page on this model, ``others`` those that rank below it.  ``served`` is what the
    served model declares.  ``bound`` is False where nobody described the model and the user
    allowed that: then what the host sends stays as it is.
    """

    name: str
    values: Mapping[str, Chosen] = field(default_factory=dict)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    presets: tuple[str, ...] = ()
    facts: ModelFacts = field(default_factory=ModelFacts)
    card: Card | None = None
    url: str | None = None
    others: tuple[Card, ...] = ()
    served: Mapping[str, float] = field(default_factory=dict)
    bound: bool = True
    notices: tuple[Notice, ...] = ()

    @property
    def card_id(self) -> str | None:
        """The card's file without its ending, and the mode it speaks of, if it names one."""
        return card_id(self.card) if self.card else None


@dataclass(frozen=True, slots=True)
class Broken:
    """No contract: ``message`` is one paragraph that says why and what to do.

    ``unknown``: no card and nobody said a temperature.  ``silent``: the vendor recommends none.
    ``mode``: the model has several modes, and nobody said which.  ``cards``: cards contradict each
    other.  ``range``, ``greedy``: a value that the card rules out.  ``required``: the server does
    not apply what the card calls indispensable.  ``config``: a setting is none.
    """

    kind: BrokenKind
    message: str


@dataclass(frozen=True, slots=True)
class Wire:
    """A contract as one backend takes it.

    Take the keys of ``remove`` out of the request's body, then put those of ``params`` in.
    """

    params: Mapping[str, Any]
    remove: tuple[str, ...] = ()
    not_applied: tuple[NotApplied, ...] = ()
