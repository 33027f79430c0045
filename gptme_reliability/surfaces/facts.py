"""What is known of a model: what the user said, and beneath it a probe, its card and its name."""

from __future__ import annotations

from gptme_reliability.identity import identify
from gptme_reliability.probe.card import above, beneath
from gptme_reliability.surfaces.capabilities import Measured
from gptme_reliability.surfaces.sampling import Agreement
from gptme_reliability.types import ModelFacts


def known(
    model: str, said: ModelFacts, agreement: Agreement | None, measured: Measured
) -> ModelFacts:
    """The facts on a model; ``agreement`` is its contract, where there is one."""
    if agreement is not None:
        facts = agreement.contract.facts
    else:
        named = identify(model)
        facts = ModelFacts(family=named.family, size_b=named.size_b, quant=named.quant)
    if measured.card is not None:
        facts = beneath(facts, measured.facts)
    return above(said, facts)
