"""The README's tables of what the tiny models do, made of ``measured.jsonl``.

``python -m tiny.tables --write`` puts them into the README between their marks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from statistics import mean
from typing import Final

from gptme_reliability.evals.tasks.intervals import mcnemar
from tiny.measure import (
    ABLATED_AT,
    ABLATION,
    BARE,
    ESCALATED,
    GUARDED,
    MODELS,
    MODES,
    SEED,
    TEMPERATURES,
    Cell,
    read,
)
from tiny.task import cases
from tiny.template import HERE

FILE: Final = HERE / "measured.jsonl"
README: Final = HERE.parent.parent / "README.md"
MARKED: Final = re.compile(r"(<!-- tiny -->\n).*?(?=<!-- /tiny -->)", re.DOTALL)
_SURE: Final = 0.05
_HEAD: Final = (
    *("model", "tools", "T", "exact calls", "words where due"),
    *("wrong calls ran", "no tool takes it", "requests", "tokens", "ms"),
)


class Measured:
    """The cells by what was measured in them."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = {(c.model, c.mode, c.temperature, c.arm): c for c in cells}
        count = len(cells[0].right)
        self._wanting = [bool(case.calls) for case in cases(count, SEED)]

    def __call__(self, model: str, mode: str, temperature: float, arm: str) -> Cell:
        return self._cells[model, mode, temperature, arm]

    def exact(self, cell: Cell) -> float:
        """The share of the cases that want calls in which exactly these came."""
        return mean(r for r, wants in zip(cell.right, self._wanting, strict=True) if wants)

    def words(self, cell: Cell) -> float:
        """The share of the cases that want none in which none came."""
        return mean(r for r, wants in zip(cell.right, self._wanting, strict=True) if not wants)

    @property
    def counts(self) -> tuple[int, int]:
        """How many cases want calls, and how many want none."""
        return sum(self._wanting), len(self._wanting) - sum(self._wanting)


def beside(measured: Measured) -> Iterator[str]:
    """Bare and guarded, for each model, mode and temperature."""
    yield f"| {' | '.join(_HEAD)} |"
    yield "|" + "---|" * len(_HEAD)
    rows = [(*row, BARE, GUARDED) for row in product(MODELS, MODES, TEMPERATURES)]
    for model, mode, temperature, one, other in rows:
        cells = [measured(model, mode, temperature, arm) for arm in (one, other)]
        yield f"| {model} | {mode} | {temperature} | {_pairs(measured, cells)} |"
    for temperature in TEMPERATURES:
        cells = [measured("noisy", "prompted", temperature, arm) for arm in (BARE, ESCALATED)]
        yield f"| noisy | prompted, then native | {temperature} | {_pairs(measured, cells)} |"


def _pairs(measured: Measured, cells: Sequence[Cell]) -> str:
    shares = (
        [measured.exact(cell) for cell in cells],
        [measured.words(cell) for cell in cells],
        [mean(cell.wrong) for cell in cells],
        [mean(cell.defects) for cell in cells],
    )
    columns = [" → ".join(f"{value:.2f}" for value in pair) for pair in shares]
    columns.append(f"{mean(cells[1].requests):.2f}")
    columns.append(" → ".join(f"{mean(cell.tokens):.0f}" for cell in cells))
    columns.append(" → ".join(f"{1000 * cell.seconds / len(cell.right):.0f}" for cell in cells))
    return " | ".join(columns)


def ablated(measured: Measured) -> Iterator[str]:
    """What becomes of the guarded cells with one stage off, and whether it may be chance."""
    yield "| off (noisy, prompted) | T | right | wrong calls ran | requests | earned |"
    yield "|---|---|---|---|---|---|"
    for temperature in ABLATED_AT:
        whole = measured("noisy", "prompted", temperature, GUARDED)
        for arm in (GUARDED, *ABLATION):
            cell = measured("noisy", "prompted", temperature, arm)
            name = "nothing" if arm == GUARDED else f"`{arm}`"
            yield (
                f"| {name} | {temperature} | {mean(cell.right):.2f} | {mean(cell.wrong):.2f} "
                f"| {mean(cell.requests):.2f} | {'' if arm == GUARDED else earned(whole, cell)} |"
            )


def earned(whole: Cell, without: Cell) -> str:
    """What a stage earned: right answers and wrong calls, as far as that is no chance."""
    found = [
        f"{sum(a) - sum(b):+d} {what} of {len(a)} (p {_shown(_p(a, b))})"
        for what, a, b in (
            ("right", whole.right, without.right),
            ("wrong", whole.wrong, without.wrong),
        )
        if _p(a, b) < _SURE
    ]
    return ", ".join(found) or "nothing that could not be chance"


def _shown(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def _p(one: Sequence[bool], other: Sequence[bool]) -> float:
    pairs = list(zip(one, other, strict=True))
    return mcnemar(pairs.count((True, False)), pairs.count((False, True)))


def text(measured: Measured) -> str:
    """What stands between the marks."""
    calls, words = measured.counts
    counted = (
        f"Each row: {calls} requests that want calls, {words} that want none; "
        "bare → with this project between.\n"
    )
    return "\n".join((counted, *beside(measured), "", *ablated(measured), ""))


def main() -> None:
    made = text(Measured(read(FILE)))
    if sys.argv[1:] != ["--write"]:
        print(made, end="")
        return
    old = README.read_text(encoding="utf-8")
    README.write_text(MARKED.sub(lambda found: found[1] + made, old), encoding="utf-8")


if __name__ == "__main__":
    main()
