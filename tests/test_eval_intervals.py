"""Statistics by hand, against values that others published or that can be counted out."""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

import pytest

from gptme_reliability.evals.tasks.intervals import difference, exact, mcnemar, wilson


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    [  # R. G. Newcombe, Statistics in Medicine 17 (1998), 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(successes: int, count: int, low: float, high: float) -> None:
    """To the four digits that were printed."""
    assert wilson(successes / count, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_its_ends() -> None:
    """Nothing known is anything; an interval mirrors that of the failures, and stays in [0, 1]."""
    assert wilson(0.0, 0) == (0.0, 1.0)
    low, high = wilson(1.0, 20)
    assert (1 - high, 1 - low) == pytest.approx(wilson(0.0, 20)) and high <= 1.0
    for share, count in ((1.1, 3), (-0.1, 3), (0.5, -1)):
        with pytest.raises(ValueError, match="no share"):
            wilson(share, count)


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [
        (0, 0, 1.0),
        (0, 5, 2 / 32),
        (6, 0, 2 / 64),
        (1, 9, 22 / 1024),
        (5, 5, 1.0),
        (10, 3, 2 * (1 + 13 + 78 + 286) / 8192),
    ],
)
def test_mcnemar(better: int, worse: int, p: float) -> None:
    """The tails of the binomial distribution, counted out; both sides are alike."""
    assert mcnemar(better, worse) == mcnemar(worse, better) == pytest.approx(p)
    with pytest.raises(ValueError, match="no counts"):
        mcnemar(better, -1)


@pytest.mark.parametrize(("successes", "count"), [(81, 263), (15, 148), (0, 20), (1, 29), (8, 8)])
def test_exact(successes: int, count: int) -> None:
    """At each end, what was seen or more of it has a chance of 2.5 %; failures mirror it."""

    def chance(seen: Iterable[int], share: float) -> float:
        return sum(comb(count, n) * share**n * (1 - share) ** (count - n) for n in seen)

    low, high = exact(successes, count)
    assert exact(count - successes, count) == pytest.approx((1 - high, 1 - low))
    assert low == 0.0 or chance(range(successes, count + 1), low) == pytest.approx(0.025)
    assert high == 1.0 or chance(range(successes + 1), high) == pytest.approx(0.025)
    assert (low == 0.0, high == 1.0) == (successes == 0, successes == count)


def test_exact_at_its_ends() -> None:
    """Nothing known is anything; large counts are none too many."""
    assert exact(0, 0) == (0.0, 1.0)
    low, high = exact(2500, 5000)
    assert 0.48 < low < 0.5 < high < 0.52
    for successes, count in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no share"):
            exact(successes, count)


@pytest.mark.parametrize("count", [1, 12, 52])
def test_an_interval_agrees_with_the_test(count: int) -> None:
    """It holds 0 exactly where the test finds nothing, and the difference that was seen."""
    for more in range(min(count, 14) + 1):
        for less in range(min(count - more, 14) + 1):
            low, high = difference(more, less, count)
            assert -1.0 <= low <= (more - less) / count <= high <= 1.0
            assert (low <= 0.0 <= high) is (mcnemar(more, less) >= 0.05)
            assert difference(less, more, count) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize(("better", "worse"), [(0.1, 0.0), (0.5, 0.5), (0.3, 0.1), (0.0, 0.95)])
def test_an_interval_is_missed_rarely_enough(better: float, worse: float) -> None:
    """Counted out over all that 20 pairs can show: in 5 of 100 cases at most."""
    count, missed = 20, 0.0
    for more in range(count + 1):
        for less in range(count - more + 1):
            low, high = difference(more, less, count)
            if not low <= better - worse <= high:
                alike = count - more - less
                ways = comb(count, more) * comb(count - more, less)
                missed += ways * better**more * worse**less * (1 - better - worse) ** alike
    assert missed <= 0.05
