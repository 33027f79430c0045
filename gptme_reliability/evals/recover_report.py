"""What the results amount to: a table a family, totals, and the rows that fail."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gptme_reliability.commands.printing import console
from gptme_reliability.evals.recover_scoring import OUTCOMES, Outcome, Result
from gptme_reliability.evals.recover_streaming import SOON

if TYPE_CHECKING:
    from rich.console import Console

# What weighs most comes first.
_GRAVEST: Final[tuple[Outcome, ...]] = ("error", "false", "wrong", "asked", "missed")
_MOST_EARLY: Final = 20
_WIDTH: Final = 160


@dataclass(slots=True)
class Tally:
    """The figures of some rows.

    ``called`` counts the rows that expect calls and gave at least one, ``valid`` those whose
    calls all satisfy the schemas; ``silent`` the rows that expect none, ``bare`` those of them
    whose answer holds nothing like a call, ``spurious`` those of these on which one ran all the
    same.  ``needless`` counts rows whose calls were right and that were asked about.
    """

    rows: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    expecting: int = 0
    recovered: int = 0
    called: int = 0
    valid: int = 0
    silent: int = 0
    bare: int = 0
    spurious: int = 0
    needless: int = 0
    streamed: int = 0
    early: int = 0
    soon: int = 0
    chars: int = 0
    times: list[float] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one more row."""
        self.rows += 1
        self.outcomes[result.outcome] += 1
        self.times.append(result.us)
        self.needless += result.outcome == "right" and result.asked
        if result.expects:
            self.expecting += 1
            self.recovered += result.outcome == "right"
            self.called += bool(result.calls)
            self.valid += result.valid
        elif result.expects == 0:
            self.silent += 1
            self.bare += result.bare
            self.spurious += result.bare and result.outcome == "false"
        if result.shown is not None:
            self.streamed += 1
            self.early += result.shown.early is not None
            self.soon += result.shown.soon
            self.chars += result.shown.chars


def tally(results: Iterable[Result]) -> Tally:
    """The figures of these rows."""
    figures = Tally()
    for result in results:
        figures.add(result)
    return figures


def print_report(results: Sequence[Result], broken: int, fails: int) -> None:
    """Print the table, the totals and at most ``fails`` failing rows on standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What models write need not fit the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    out = console(_WIDTH)
    total = tally(result for result in results if result.counted)
    _print_table(out, results, total)
    for line in summary(total):
        out.print(line, soft_wrap=True, markup=False)
    if broken:
        out.print(f"rows that could not be read: {broken:,}", soft_wrap=True)
    early = [result for result in results if result.shown and result.shown.early]
    for result in early[:_MOST_EARLY]:
        assert result.shown is not None
        line = f"SHOWN TOO EARLY  {result.id}  {result.shown.early}"
        out.print(_visible(line), soft_wrap=True, markup=False)
    for result in _worst(results)[:fails]:
        line = f"{result.outcome:<7}{result.id}  {result.reason}"
        out.print(_visible(line), soft_wrap=True, markup=False)


def _print_table(out: Console, results: Sequence[Result], total: Tally) -> None:
    from rich.markup import escape
    from rich.table import Table

    # A terminal has 80 columns; errors, which should never be, get one where there are any.
    failed = any(result.outcome == "error" for result in results)
    columns = [outcome for outcome in OUTCOMES[1:] if failed or outcome != "error"]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("family", overflow="fold", min_width=20)
    for name in ("rows", "right", "%", *columns, "µs", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    families: dict[tuple[bool, str], Tally] = {}
    for result in results:
        families.setdefault((not result.counted, result.family), Tally()).add(result)
    ordered = sorted(families.items(), key=lambda item: (item[0][0], -item[1].rows, item[0][1]))
    for (apart, family), figures in ordered:
        table.add_row(
            escape(_visible(family)), *_cells(figures, columns), style="dim" if apart else None
        )
    table.add_row("total", *_cells(total, columns), style="bold")
    out.print(table)


def _cells(figures: Tally, columns: Iterable[Outcome]) -> list[str]:
    right = figures.outcomes["right"]
    counts = [figures.outcomes[outcome] for outcome in columns]
    middle, slow = quantile(figures.times, 0.5), quantile(figures.times, 0.99)
    return [
        f"{figures.rows:,}",
        f"{right:,}",
        percent(right, figures.rows),
        *(f"{count:,}" if count else "" for count in counts),
        f"{middle:,.0f}",
        f"{slow:,.0f}",
    ]


def summary(figures: Tally) -> list[str]:
    """The totals in words."""
    lines = []
    if figures.expecting:
        lines.append(
            f"rows that expect calls: {figures.expecting:,}; the expected ones run on "
            f"{figures.recovered:,} ({percent(figures.recovered, figures.expecting)} %), any on "
            f"{figures.called:,} ({percent(figures.called, figures.expecting)} %), only such as "
            f"their schema admits on {figures.valid:,} "
            f"({percent(figures.valid, figures.expecting)} %)"
        )
    if figures.silent:
        lines.append(
            f"rows that expect none: {figures.silent:,}; calls run on "
            f"{figures.outcomes['false']:,}; {figures.bare:,} of them hold nothing like a call, "
            f"and one runs on {figures.spurious:,} of these"
        )
    if figures.needless:
        lines.append(f"right, and the model is asked again all the same: {figures.needless:,}")
    if figures.streamed:
        lines.append(
            f"streamed: {figures.streamed:,} rows, text shown too early on {figures.early:,}; of "
            f"{figures.chars:,} characters of answers with nothing like a call "
            f"{percent(figures.soon, figures.chars)} % shown within {SOON} further ones"
        )
    if figures.times:
        lines.append(
            f"µs a row: median {quantile(figures.times, 0.5):,.0f}, "
            f"p99 {quantile(figures.times, 0.99):,.0f}, max {max(figures.times):,.0f}"
        )
    return lines or ["no rows"]


def percent(part: int, whole: int) -> str:
    """A share with one decimal; ``-`` of nothing."""
    return f"{100 * part / whole:.1f}" if whole else "-"


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which this share of the values lies; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _visible(text: str) -> str:
    """The text with what a terminal would obey, or not show, written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _worst(results: Iterable[Result]) -> list[Result]:
    failing = [result for result in results if result.outcome != "right"]
    return sorted(failing, key=lambda result: (_GRAVEST.index(result.outcome), result.line))
