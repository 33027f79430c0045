"""What is known of a model: what the user said, and beneath it a probe, its card and its name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gptme_reliability.identity import LONGEST_NAME, identify
from gptme_reliability.probe.card import above, beneath
from gptme_reliability.types import ModelFacts

if TYPE_CHECKING:
    from gptme_reliability.surfaces.capabilities import Measured
    from gptme_reliability.surfaces.sampling import Agreement


def known(
    model: str, said: ModelFacts, agreement: Agreement | None, measured: Measured
) -> ModelFacts:
    """The facts on a model; ``agreement`` is its contract, where there is one."""
    facts = _named(model) if agreement is None else agreement.contract.facts
    return _together(said, facts, None if measured.card is None else measured.facts)


def with_name(model: str | None, said: ModelFacts | None) -> ModelFacts:
    """What somebody said of a model, and where they said nothing, what its name says."""
    return above(said or ModelFacts(), _named(model or ""))


def _named(model: str) -> ModelFacts:
    # A longer name says nothing, and is not worth remembering.
    return _read(model) if len(model) <= LONGEST_NAME else ModelFacts()


@lru_cache(maxsize=256)
def _read(model: str) -> ModelFacts:
    named = identify(model)
    return ModelFacts(family=named.family, size_b=named.size_b, quant=named.quant)


@lru_cache(maxsize=256)
def _together(said: ModelFacts, facts: ModelFacts, measured: ModelFacts | None) -> ModelFacts:
    return above(said, facts if measured is None else beneath(facts, measured))
