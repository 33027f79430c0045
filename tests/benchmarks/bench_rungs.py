"""What each rung of the ladder brings, on the scripted weak models.

Run ``python tests/benchmarks/bench_rungs.py``; it takes a few minutes.  It prints two tables in
Markdown: the rungs switched on one by one, and each with ``re_ask`` alone.  ``--each`` prints
which behaviours came right instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parent.parent))

from weak_models import BEHAVIOURS, RETRIES
from weak_sdk import Run, converse

from gptme_reliability.types import RUNGS, Policy, Rung

_HEAD: Final = (
    "| rungs on | recovered | of | added requests | spurious calls |\n|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Row:
    """The runs of all behaviours with these rungs on."""

    name: str
    runs: Sequence[Run]

    def __str__(self) -> str:
        right = sum(run.right for run in self.runs)
        added = sum(run.added for run in self.runs)
        spurious = sum(len(run.spurious) for run in self.runs)
        share = f"{right} ({right / len(self.runs):.0%})"
        return f"| {self.name} | {share} | {len(self.runs)} | {added} | {spurious} |"


def measured(name: str, rungs: Sequence[Rung]) -> Row:
    """A row of the table; without rungs nobody is asked again."""
    runs = [
        converse(
            behaviour,
            Policy(
                retries=RETRIES if rungs else 0, rungs=tuple(rungs), backoff=0, **behaviour.policy
            ),
            streamed=False,
        )
        for behaviour in BEHAVIOURS
    ]
    return Row(name, runs)


def climbing() -> list[Row]:
    """The rungs switched on one by one, from below."""
    rows = [measured("none", ())]
    for count, rung in enumerate(RUNGS, start=1):
        rows.append(measured(f"`{rung}`" if count == 1 else f"+ `{rung}`", RUNGS[:count]))
    return rows


def alone() -> list[Row]:
    """Each of the higher rungs with the lowest one alone."""
    return [measured(f"`re_ask`, `{rung}`", ("re_ask", rung)) for rung in RUNGS[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--each", action="store_true", help="print every behaviour")
    if parser.parse_args().each:
        _print_each(measured("all", RUNGS))
        return
    print(f"At most {RETRIES} added requests for each request of the host.\n\n{_HEAD}")
    for row in climbing():
        print(row)
    print(f"\n{_HEAD}")
    for row in alone():
        print(row)


def _print_each(row: Row) -> None:
    print("| behaviour | helped by | comes right | requests |\n|---|---|---|---|")
    for run in row.runs:
        behaviour = run.behaviour
        helped = ", ".join(f"`{rung}`" for rung in behaviour.helped_by) or "nothing"
        right = "yes" if run.right else "no"
        print(f"| {behaviour.name}: {behaviour.does} | {helped} | {right} | {len(run.bodies)} |")


if __name__ == "__main__":
    main()
