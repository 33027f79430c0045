"""The tiny model's files are those of the recipe, and its task is one that can be done."""

from __future__ import annotations

import hashlib
import json

import pytest
from tiny.asking import Got, read_plainly, right, usable
from tiny.measure import CASES, MODELS, planned, read
from tiny.tables import FILE, MARKED, README, Measured, text
from tiny.task import Case, cases
from tiny.template import HERE

from gptme_reliability.dialects.encode import encode
from gptme_reliability.types import Call

MOST_BYTES = 7_500_000
SUMS: dict[str, str] = dict(
    line.split()[::-1] for line in (HERE / "SHA256SUMS").read_text("utf-8").splitlines()
)


@pytest.mark.parametrize("name", SUMS)
def test_files_are_those_of_the_recipe(name: str) -> None:
    assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == SUMS[name]


def test_models_are_small() -> None:
    models = sorted(HERE.glob("*.gguf"))
    assert [model.name for model in models] == ["gptme.gguf", "noisy.gguf", "steady.gguf"]
    assert sum(model.stat().st_size for model in models) < MOST_BYTES


def test_the_readme_has_the_figures_that_were_measured() -> None:
    """All cells are there, each with all cases, and the tables are made of them."""
    cells = read(FILE)
    wanted = list(planned(MODELS))
    assert [(c.model, c.mode, c.temperature, c.arm) for c in cells] == wanted
    assert {len(cell.right) for cell in cells} == {CASES}
    marked = MARKED.search(README.read_text(encoding="utf-8"))
    assert marked and marked[0] == marked[1] + text(Measured(cells))


def answered(case: Case, *calls: Call) -> Got:
    """An answer with these calls."""
    return Got(calls=tuple((call.name, json.dumps(dict(call.arguments))) for call in calls))


def test_the_same_seed_makes_the_same_cases() -> None:
    assert cases(50, 3) == cases(50, 3) != cases(50, 4)


def test_what_is_right_is_usable() -> None:
    """And is told from what is not: a call too few, another name, a value of another type."""
    for case in cases(200, 3):
        good = answered(case, *case.calls)
        assert right(case, good) and usable(case, good.calls)
        if case.calls:
            assert not right(case, answered(case, *case.calls[1:]))
            other = Call("other", case.calls[0].arguments)
            assert not usable(case, answered(case, other).calls)
            emptied = Call(case.calls[0].name, dict.fromkeys(case.calls[0].arguments))
            assert not usable(case, answered(case, emptied).calls)


def test_calls_in_text_are_read_plainly() -> None:
    """What the bare model is measured by: a strict reader of right text, and of nothing else."""
    for case in cases(50, 3):
        text = encode(case.calls, "hermes") if case.calls else case.answer
        assert right(case, read_plainly(Got(text)))
        if case.calls:
            assert not right(case, read_plainly(Got(text.replace('"', "'"))))
