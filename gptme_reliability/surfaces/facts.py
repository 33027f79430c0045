"""What is known of a model: from its name, from its card, and before both what the user said."""

from __future__ import annotations

from dataclasses import fields, replace

from gptme_reliability.identity import identify
from gptme_reliability.surfaces.sampling import Agreement
from gptme_reliability.types import ModelFacts


def known(model: str, said: ModelFacts, agreement: Agreement | None) -> ModelFacts:
    """The facts on a model; ``agreement`` is its contract, where there is one."""
    if agreement is not None:
        facts = agreement.contract.facts
    else:
        named = identify(model)
        facts = ModelFacts(family=named.family, size_b=named.size_b, quant=named.quant)
    given = {
        entry.name: value
        for entry in fields(said)
        if (value := getattr(said, entry.name)) is not None
    }
    return replace(facts, **given)
