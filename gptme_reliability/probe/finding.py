"""What samples showed, and when they are enough to say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

UNCLEAR: Final = "unclear"
"""Nothing is claimed: a model may fail where its server would have done its part."""

DISPROVED: Final = frozenset({"no", "accepted"})
"""What no answer of a server shows that does its part."""

MOST_SAMPLES: Final = 3
AGREEING: Final = 2


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, in one word, and a few more about why."""

    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when a sample is judged.

    ``found`` is what earlier canaries settled.  ``bare_tokens`` are those of the prompt that
    asks for a call without tools on offer; ``context`` is how many tokens the server declares.
    """

    found: Mapping[str, Finding] = field(default_factory=dict)
    bare_tokens: int | None = None
    context: int | None = None

    def value(self, name: str) -> str:
        """What was found under a name; unclear where it was not looked for."""
        return self.found[name].value if name in self.found else UNCLEAR


def settle(
    samples: Sequence[Finding], sure: frozenset[str], agreeing: int = AGREEING
) -> Finding | None:
    """What stands after these samples of one field; None while another one may tell.

    ``sure`` are the values that one sample proves; of any other, ``agreeing`` ones are wanted.
    Two that disprove a promise stand against one that keeps it, which may be chance.
    """
    said = [sample for sample in samples if sample.value != UNCLEAR]
    disproved = [sample for sample in said if sample.value in DISPROVED]
    if len(disproved) >= AGREEING:
        return disproved[0]
    values = list(dict.fromkeys(sample.value for sample in said))
    if len(values) == 1 and (values[0] in sure or len(said) >= agreeing):
        return said[0]
    if len(samples) < MOST_SAMPLES:
        return None
    if len(values) > 1:
        return Finding(UNCLEAR, f"samples disagree: {', '.join(values)}")
    if said:
        return Finding(UNCLEAR, f"only {len(said)} of {len(samples)} samples say {values[0]}")
    return samples[-1]
