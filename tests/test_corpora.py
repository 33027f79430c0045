"""Recovery on recorded outputs of real models never falls below what it was.

The corpora are no part of this project: they are looked for in ``GPTME_RELIABILITY_CORPORA``
or in ``shared/corpora`` beside the checkout, and the tests are skipped without them.
``corpora_floors.json`` holds the figures; whoever improves recovery raises them.
"""

from __future__ import annotations

import json
import os
from itertools import islice
from pathlib import Path

import pytest

from gptme_reliability.evals.recover import Measure
from gptme_reliability.evals.recover_files import open_corpus
from gptme_reliability.evals.recover_report import Tally, tally
from gptme_reliability.evals.recover_scoring import Result

HERE = Path(__file__).parent
FLOORS = json.loads((HERE / "corpora_floors.json").read_text(encoding="utf-8"))
FOLDER = Path(
    os.environ.get("GPTME_RELIABILITY_CORPORA") or HERE.parent.parent / "shared" / "corpora"
)
CONFORMANCE = "conformance-dev.jsonl.gz"
LEADERBOARD = "bfcl-dev.jsonl.gz"


def measured(name: str, measure: Measure, every: int = 1) -> list[Result]:
    """The results of a corpus, all rows of which can be read; skips where it is absent."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"no {name} here")
    results: list[Result] = []
    with open_corpus(path) as rows:
        for line in islice(rows, 0, None, every):
            for item in measure([line]):
                assert isinstance(item, Result), item.message
                results.append(item)
    return results


def figures(found: Tally) -> dict[str, int]:
    """The figures that have a floor or a ceiling."""
    return {
        "right": found.outcomes["right"],
        "valid": found.valid,
        "false": found.outcomes["false"],
        "spurious": found.spurious,
    }


def hold_to_floors(name: str, only: str) -> None:
    results = measured(name, Measure(only=only))
    assert not [result.id for result in results if result.is_fault]
    found = figures(tally(result for result in results if result.counted))
    for bound, limit in FLOORS[name][only].items():
        figure, _, direction = bound.partition("_")
        kept = found[figure] >= limit if direction == "at_least" else found[figure] <= limit
        assert kept, f"{name}, {only}: {figure} is {found[figure]}, must be {bound} {limit}"


def test_conformance_floors() -> None:
    """The calls that inference servers' own tests expect."""
    hold_to_floors(CONFORMANCE, "*")


@pytest.mark.slow
@pytest.mark.parametrize("only", FLOORS[LEADERBOARD])
def test_leaderboard_floors(only: str) -> None:
    """The calls that leaderboards accept."""
    hold_to_floors(LEADERBOARD, only)


@pytest.mark.parametrize(("name", "every"), [(CONFORMANCE, 2), (LEADERBOARD, 50)])
def test_streamed_equals_whole(name: str, every: int) -> None:
    """On a sample, nothing is shown early, however the answer is cut into pieces."""
    results = measured(name, Measure(streamed=True), every)
    assert results
    assert {result.id: result.shown.early for result in results if result.shown} == {
        result.id: None for result in results
    }
