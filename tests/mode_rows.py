"""Which scenarios are run in which mode of gptme: a sample, or all of them on demand."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from scenario_tables import CASES, DEFECTS, MUST_NOT_EXECUTE

from gptme_reliability.evals.gptme_run import Run, ToolFormat
from gptme_reliability.evals.scenarios import Scenario, read_scenarios

FULL: Final = os.environ.get("RELIABILITY_MODES") == "all"
"""Whether every row is to be run: many minutes for each mode."""

ROWS: Final[dict[ToolFormat, list[Scenario]]] = {
    "tool": [*DEFECTS, *MUST_NOT_EXECUTE],
    "markdown": read_scenarios(CASES / "markdown.jsonl"),
    "xml": read_scenarios(CASES / "xml.jsonl"),
}


def picked(
    forms: Sequence[ToolFormat], sample: int, *, without: Iterable[str] = ()
) -> list[tuple[ToolFormat, Scenario]]:
    """``sample`` rows of each format, or all; none that calls one of the tools ``without``."""
    absent = frozenset(without)
    found: list[tuple[ToolFormat, Scenario]] = []
    for form in forms:
        rows = [row for row in ROWS[form] if not _called(row) & absent]
        if not FULL:
            rows = [rows[(2 * i + 1) * len(rows) // (2 * sample)] for i in range(sample)]
        found += [(form, row) for row in rows]
    return found


def _called(row: Scenario) -> frozenset[str]:
    calls = [call for call in row.first.get("calls", ()) if isinstance(call, dict)]
    return frozenset([call.get("name", "") for call in calls] + [name for name, _ in row.runs])


def name(job: tuple[Any, ...]) -> str:
    """The name of a test."""
    return "-".join(part.id if isinstance(part, Scenario) else str(part) for part in job)


class Figures:
    """What came of all runs of one mode, told at the end: pytest shows it with ``-s``."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._counts: Counter[str] = Counter()

    def note(self, run: Run) -> Run:
        self._counts[run.outcome] += 1
        self._counts["faulty"] += bool(run.faults)
        return run

    def tell(self) -> None:
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self._counts.items()))
        print(f"\n{self._mode}: {sum(self._counts.values()) - self._counts['faulty']}: {counts}")


def explain(run: Run) -> str:
    """What there is to know of a run that went wrong."""
    log = "\n".join(f"  {m.get('role')}: {str(m.get('content'))[:600]}" for m in run.messages[-5:])
    told = json.dumps(run.told, indent=1)[:2000]
    return (
        f"{run.scenario.id}: {run.outcome}: {run.faults}\n{run.requests} requests, files "
        f"{run.files}\ntold: {told}\nlog:\n{log}\n{run.stderr[-1500:]}"
    )
