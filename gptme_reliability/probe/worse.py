"""What a card shows to be worse than an earlier one has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gptme_reliability.probe.card import CapabilityCard
from gptme_reliability.probe.fields import FIELDS, is_bad
from gptme_reliability.probe.finding import UNCLEAR

_TAKEN: Final = frozenset({"read", "accepted"})


@dataclass(frozen=True, slots=True)
class Loss:
    """What got lost: what it is, in words, as it was and as it is."""

    what: str
    before: str
    after: str


def losses(old: CapabilityCard, new: CapabilityCard) -> list[Loss]:
    """What the server of the old card did and that of the new one does not.

    What is unclear now is no loss: a model may have failed where its server did its part.  What
    did not work before either is none.
    """
    return [*_of_fields(old, new), *_of_parameters(old, new), *_of_context(old, new)]


def _of_fields(old: CapabilityCard, new: CapabilityCard) -> Iterator[Loss]:
    for name, row in FIELDS.items():
        before, after = old.value(name), new.value(name)
        good_no_more = before in row.good and after not in row.good and after != UNCLEAR
        if good_no_more or (is_bad(name, after) and not is_bad(name, before)):
            yield Loss(row.asks, before, after)


def _of_parameters(old: CapabilityCard, new: CapabilityCard) -> Iterator[Loss]:
    for name, before in old.sampling.items():
        after = new.sampling.get(name, UNCLEAR)
        if before in _TAKEN and after == "rejected":
            yield Loss(f"the sampling parameter {name}", before, after)


def _of_context(old: CapabilityCard, new: CapabilityCard) -> Iterator[Loss]:
    before, after = old.context.serving, new.context.serving
    if before is not None and after is not None and after < before:
        yield Loss("tokens of context", str(before), str(after))
