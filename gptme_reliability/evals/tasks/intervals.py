"""How sure a share is, and whether two shares differ."""

from __future__ import annotations

from collections.abc import Callable
from math import comb, exp, lgamma, log, log1p, sqrt
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


_MISSED: Final = 0.025
"""How often each end of an interval may be missed."""
_HALVINGS: Final = 40


def exact(successes: int, trials: int) -> tuple[float, float]:
    """The exact 95 % interval of a share; all of [0, 1] without any trials.

    Source: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), 404-413.

    Raises:
        ValueError: the counts are none of a share.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"no share of trials: {successes} of {trials}")
    low = _last(lambda share: _at_least(successes, trials, share) < _MISSED)
    high = _last(lambda share: 1.0 - _at_least(successes + 1, trials, share) > _MISSED)
    return (low if successes else 0.0), (high if successes < trials else 1.0)


def difference(more: int, less: int, count: int) -> tuple[float, float]:
    """An interval, of 95 % at least, of the difference between two paired shares.

    ``more`` and ``less`` count the pairs in which only the one or only the other succeeded, of
    ``count``.  How many pairs differ and how those split are two independent shares, each with
    its exact interval; the ends are the outermost products.  It holds 0 exactly where McNemar's
    exact p is 0.05 or more.

    Raises:
        ValueError: the counts are none of pairs.
    """
    fewest, most = exact(more + less, count)
    to_less, to_more = (2.0 * end - 1.0 for end in exact(more, more + less))
    low = to_less * (fewest if to_less > 0 else most)
    high = to_more * (most if to_more > 0 else fewest)
    return low, high


def _at_least(successes: int, trials: int, share: float) -> float:
    """How likely so many successes or more are; the share is neither 0 nor 1."""
    yes, no = log(share), log1p(-share)
    ways = lgamma(trials + 1)
    return sum(
        exp(
            ways
            - lgamma(times + 1)
            - lgamma(trials - times + 1)
            + times * yes
            + (trials - times) * no
        )
        for times in range(successes, trials + 1)
    )


def _last(holds: Callable[[float], bool]) -> float:
    """The last share in [0, 1] for which something holds that holds up to there."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
