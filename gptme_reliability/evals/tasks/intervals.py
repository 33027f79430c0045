"""How sure a share is, and whether two shares differ."""

from __future__ import annotations

from math import comb, sqrt
from typing import Final

_Z95: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


def wilson(share: float, count: int, z: float = _Z95) -> tuple[float, float]:
    """Wilson's score interval of a share of ``count`` trials; all of [0, 1] without any.

    ``share`` may be a mean over trials that are no whole successes.
    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209-212.

    Raises:
        ValueError: the share is none, or the count is negative.
    """
    if not 0.0 <= share <= 1.0 or count < 0:
        raise ValueError(f"no share of trials: {share} of {count}")
    if count == 0:
        return 0.0, 1.0
    spread = z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / count + spread / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(better: int, worse: int) -> float:
    """The exact two-sided p of McNemar's test: how often as lopsided a split comes by chance.

    ``better`` and ``worse`` count the pairs in which only the one or only the other succeeded.
    Source: Q. McNemar, Psychometrika 12 (1947), 153-157, with the binomial distribution in
    place of its approximation.

    Raises:
        ValueError: a count is negative.
    """
    if min(better, worse) < 0:
        raise ValueError(f"no counts of pairs: {better} and {worse}")
    pairs = better + worse
    tail = sum(comb(pairs, times) for times in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / 2**pairs))
