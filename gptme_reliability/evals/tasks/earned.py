"""What each stage earned, in words: the guard against the guard without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gptme_reliability.evals.tasks.figures import Pair, Place
from gptme_reliability.evals.tasks.intervals import difference, mcnemar
from gptme_reliability.evals.tasks.modes import STAGES

_SURE: Final = 0.05
"""From this p on a difference may be chance, and nothing is said to be earned."""

_DONE: Final = "tasks done"
_CLEAN: Final = "tasks without a wrong execution"


@dataclass(frozen=True, slots=True)
class Earned:
    """How many of ``scenarios`` came out better and worse for having the stage; of ``what``."""

    what: str
    better: int
    worse: int
    scenarios: int

    @property
    def p(self) -> float:
        """That of the exact McNemar test."""
        return mcnemar(self.better, self.worse)

    @property
    def verdict(self) -> str:
        """What it earned, in words."""
        if self.p >= _SURE:
            return f"earned nothing of {self.what}"
        word = "earned" if self.better > self.worse else "cost"
        return f"{word} {abs(self.better - self.worse) / self.scenarios:.1%} of {self.what}"

    def __str__(self) -> str:
        low, high = difference(self.better, self.worse, self.scenarios)
        return (
            f"{self.verdict} [{low:+.1%}, {high:+.1%}] (better in {self.better}, worse in "
            f"{self.worse} of {self.scenarios}, p = {self.p:.3g})"
        )


def earnings(pairs: Iterable[Pair]) -> Iterator[tuple[Place, str]]:
    """For each arm without a stage, where it was, and a sentence about the stage."""
    for pair in pairs:
        if pair.second.arm not in STAGES:
            continue
        # A pair says what became better without the stage.
        done = Earned(_DONE, pair.worse, pair.better, pair.scenarios)
        clean = Earned(_CLEAN, pair.more_wrong, pair.less_wrong, pair.scenarios)
        yield pair.second, f"{STAGES[pair.second.arm]} {_sentence(done, clean)}"


def _sentence(done: Earned, clean: Earned) -> str:
    if not any((done.better, done.worse, clean.better, clean.worse)):
        low, high = difference(0, 0, done.scenarios)
        same = f"all {done.scenarios} scenarios came out the same"
        return f"earned nothing: {same} [{low:+.1%}, {high:+.1%}]"
    return f"{done}; {clean}"
