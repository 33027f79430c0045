"""Results in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from gptme_reliability.evals.tasks.earned import earnings
from gptme_reliability.evals.tasks.figures import Cell, Pair, Place, Share, cells_of, pairs_of
from gptme_reliability.evals.tasks.modes import BARE, GUARDED, STRICT
from gptme_reliability.evals.tasks.play import OUTCOMES
from gptme_reliability.evals.tasks.results import Result

_MAIN: Final = (BARE, STRICT, GUARDED)
_HEAD: Final = (
    f"{'mode':<16} {'arm':<12} {'runs':>5}  {'done':>16}  {'tasks with wrong':>16}"
    f"  {'wrong calls':>12}  {'requests':>8} {'tokens':>7} {'seconds':>7}"
)


def print_summary(results: Sequence[Result]) -> None:
    """Print the figures on standard output."""
    if not results:
        print("no results")
        return
    for line in summary(results):
        print(line)


def summary(results: Sequence[Result]) -> Iterator[str]:
    """The figures, line by line."""
    cells = cells_of(results)
    for model, setting in dict.fromkeys((c.place.model, c.place.setting) for c in cells):
        yield f"{model} ({setting})"
        yield ""
        yield _HEAD
        yield from (_row(cell) for cell in cells if cell.place[:2] == (model, setting))
        yield ""
    yield "done, with wrong: shares of tasks with 95 % intervals (Wilson, over scenarios);"
    yield "wrong calls: of all that were executed;"
    yield "requests, tokens and seconds: means for a task"
    yield ""
    yield from _failures(cells)
    pairs = pairs_of(results)
    yield from _pairs(pairs)
    yield from _stages(pairs)


def _row(cell: Cell) -> str:
    tokens = "-" if cell.tokens is None else f"{cell.tokens:.0f}"
    return (
        f"{cell.place.mode:<16} {cell.place.arm:<12} {cell.runs:>5}  {percent(cell.done):>16}"
        f"  {percent(cell.wrong):>16}  {f'{cell.strays} of {cell.executed}':>12}"
        f"  {cell.requests:>8.2f} {tokens:>7} {cell.seconds:>7.2f}"
    )


def percent(share: Share) -> str:
    """A share with its interval."""
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"


def _failures(cells: Sequence[Cell]) -> Iterator[str]:
    yield "how the others ended"
    for cell in (cell for cell in cells if cell.place.arm in _MAIN):
        counts = [f"{cell.outcomes[o]} {o}" for o in OUTCOMES[1:] if cell.outcomes.get(o)]
        if counts:
            yield f"  {named(cell.place)}: {', '.join(counts)}"
    yield ""


def _pairs(pairs: Sequence[Pair]) -> Iterator[str]:
    shown = [pair for pair in pairs if pair.second.arm in _MAIN]
    if shown:
        yield "on the same scenarios (exact McNemar test)"
    for pair in shown:
        yield (
            f"  {named(pair.second)} against {pair.first.arm}: better in {pair.better}, worse in "
            f"{pair.worse} of {pair.scenarios}, p = {pair.p:.3g}; wrong less often in "
            f"{pair.less_wrong}, more often in {pair.more_wrong}, p = {pair.p_wrong:.3g}"
        )


def _stages(pairs: Sequence[Pair]) -> Iterator[str]:
    told = list(earnings(pairs))
    if told:
        yield ""
        yield "what each stage earned: the guard against the guard without it, same scenarios;"
        yield "shares of scenarios with 95 % intervals; nothing where the exact McNemar test has"
        yield "p = 0.05 or more; of many tests, some find something by chance"
    for place, sentence in told:
        yield f"  {named(place)}: {sentence}"


def named(place: Place) -> str:
    """A place in words; the setting is left out, it stands above."""
    return f"{place.model} {place.mode} {place.arm}"
