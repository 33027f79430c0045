"""Statistics by hand, against values that others published or that can be counted out."""

from __future__ import annotations

import pytest

from gptme_reliability.evals.tasks.intervals import mcnemar, wilson


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
