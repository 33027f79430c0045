"""Results as one page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from typing import Final

from gptme_reliability.evals.tasks.earned import earnings
from gptme_reliability.evals.tasks.figures import Cell, Pair, Place, Share, cells_of, pairs_of
from gptme_reliability.evals.tasks.modes import ABLATION, BARE, GUARDED, STRICT, read_mode
from gptme_reliability.evals.tasks.play import OUTCOMES
from gptme_reliability.evals.tasks.results import Result
from gptme_reliability.evals.tasks.style import STYLE
from gptme_reliability.evals.tasks.summary import percent
from gptme_reliability.evals.tasks.svg import (
    Bar,
    amount_bar,
    css_class,
    legend,
    plot,
    share_bar,
    stacked_bar,
)

_MAIN: Final = (BARE, STRICT, GUARDED)
_NOTES: Final = """\
<p>A task is <b>done</b> when the final state is exactly what was wanted, no call did anything
else on the way, and the model came to an end. A <b>wrong execution</b> is a call that ran and
did what nobody wanted. Arms: <b>bare</b> is a plain host that hands errors back as results,
<b>strict</b> the same with arguments validated first, <b>guarded</b> has this package in
between; the others are the guard with one stage switched off.</p>
<p>Lines over bars are 95&nbsp;% intervals (Wilson) over scenarios: repeats of a scenario make its
share finer, not the interval narrower. p is that of the exact two-sided McNemar test over
scenarios; many tests on one page find something by chance. What a stage earned is the share of
scenarios that came out better for having it, less those that came out worse; where p is 0.05 or
more, the test shows nothing. Its interval is exact, and wide where few scenarios differ.</p>"""


def page(results: Sequence[Result]) -> str:
    """The page."""
    cells, pairs = cells_of(results), pairs_of(results)
    main = [cell for cell in cells if cell.place.arm in _MAIN]
    sections = [
        ("Tasks done", _shares(main, "tasks done", lambda cell: cell.done)),
        ("Wrong executions", _shares(main, "tasks with a wrong execution", lambda c: c.wrong)),
        ("The same scenarios compared", _table_of_pairs(pairs, ablation=False)),
        ("Each stage switched off", _ablation(cells, pairs)),
        ("How tasks ended", _endings(main)),
        ("What a task costs", _costs(main)),
        ("By kind of task", _categories(main)),
        ("All figures", _table(cells)),
    ]
    body = "".join(f"<section><h2>{title}</h2>{text}</section>" for title, text in sections if text)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>gptme-reliability: evaluation</title><style>{STYLE}</style></head>"
        f"<body><main><h1>Evaluation</h1>{_setups(results)}{body}"
        f"<section><h2>How to read this</h2>{_NOTES}</section></main></body></html>\n"
    )


def _setups(results: Sequence[Result]) -> str:
    rows = []
    for setup in {repr(result.setup): result.setup for result in results}.values():
        own = [result for result in results if result.setup == setup]
        scenarios = len({result.scenario for result in own})
        params = ", ".join(f"{key} {value}" for key, value in setup.params.items())
        rows.append(
            [
                *(setup.model, setup.backend, str(scenarios), str(len(own)), params),
                *(str(setup.seed), setup.version),
            ]
        )
    head = ["model", "server", "scenarios", "runs", "parameters", "seed", "version"]
    return _tabled(head, rows, words=1)


# --- plots --------------------------------------------------------------------------------


def _titled(place: Place) -> str:
    return f"{place.mode} {place.arm}"


def _grouped(cells: Sequence[Cell]) -> Iterator[tuple[str, list[Cell]]]:
    """The cells of each model."""
    for model, setting in dict.fromkeys((c.place.model, c.place.setting) for c in cells):
        own = [cell for cell in cells if cell.place[:2] == (model, setting)]
        yield f"{model} ({setting})", own


def _plots(cells: Sequence[Cell], what: str, draw: Callable[[Cell, bool], Bar], ticks: bool) -> str:
    parts = []
    for name, own in _grouped(cells):
        own = sorted(own, key=lambda cell: (read_mode(cell.place.mode).bare.name, cell.place.mode))
        before = [None, *(cell.place.mode for cell in own)]
        bars = [
            draw(cell, cell.place.mode != last) for cell, last in zip(own, before, strict=False)
        ]
        parts.append(f"<h3>{escape(name)}</h3>{plot(f'{what}: {name}', bars, ticks=ticks)}")
    return "".join(parts)


def _shares(cells: Sequence[Cell], what: str, share: Callable[[Cell], Share]) -> str:
    def draw(cell: Cell, apart: bool) -> Bar:
        label = _titled(cell.place)
        return share_bar(label, css_class(cell.place.arm), share(cell), apart=apart)

    return _plots(cells, what, draw, True)


def _endings(cells: Sequence[Cell]) -> str:
    def draw(cell: Cell, apart: bool) -> Bar:
        counts: dict[str, int] = {one: cell.outcomes.get(one, 0) for one in OUTCOMES}
        return stacked_bar(_titled(cell.place), counts, apart=apart)

    seen = [one for one in OUTCOMES if any(cell.outcomes.get(one) for cell in cells)]
    return legend(seen) + _plots(cells, "how tasks ended", draw, True)


def _costs(cells: Sequence[Cell]) -> str:
    kinds: tuple[tuple[str, Callable[[Cell], float | None]], ...] = (
        ("requests for a task", lambda cell: cell.requests),
        ("tokens for a task", lambda cell: cell.tokens),
        ("seconds for a task", lambda cell: cell.seconds),
    )
    parts = []
    for what, amount in kinds:
        largest = max((amount(cell) or 0.0 for cell in cells), default=0.0)

        def draw(
            cell: Cell,
            apart: bool,
            amount: Callable[[Cell], float | None] = amount,
            largest: float = largest,
        ) -> Bar:
            label, kind = _titled(cell.place), css_class(cell.place.arm)
            return amount_bar(label, kind, amount(cell), largest, apart=apart)

        parts.append(f"<h3>{what[0].upper()}{what[1:]}</h3>{_plots(cells, what, draw, False)}")
    return "".join(parts)


def _ablation(cells: Sequence[Cell], pairs: Sequence[Pair]) -> str:
    switched = {cell.place._replace(arm=GUARDED) for cell in cells if cell.place.arm in ABLATION}
    if not switched:
        return ""
    own = [c for c in cells if c.place.arm in (GUARDED, *ABLATION)]
    own = [c for c in own if c.place._replace(arm=GUARDED) in switched]
    done = _shares(own, "tasks done", lambda cell: cell.done)
    wrong = _shares(own, "tasks with a wrong execution", lambda cell: cell.wrong)
    table = _table_of_pairs(pairs, ablation=True)
    told = "".join(
        f"<li>{escape(f'{place.model} {_titled(place)}: {sentence}')}</li>"
        for place, sentence in earnings(pairs)
    )
    parts = (
        f"<h3>What each stage earned</h3><ul>{told}</ul>",
        f"<h3>Tasks done</h3>{done}<h3>Wrong executions</h3>{wrong}{table}",
    )
    return "".join(parts)


# --- tables -------------------------------------------------------------------------------


def _table_of_pairs(pairs: Sequence[Pair], *, ablation: bool) -> str:
    head = ["model", "mode", "arm", "against", "scenarios", "better", "worse", "p"]
    head += ["wrong less often", "more often", "p"]
    rows = [
        [
            *(pair.second.model, pair.second.mode, pair.second.arm, pair.first.arm),
            *(str(pair.scenarios), str(pair.better), str(pair.worse), f"{pair.p:.3g}"),
            *(str(pair.less_wrong), str(pair.more_wrong), f"{pair.p_wrong:.3g}"),
        ]
        for pair in pairs
        if (pair.second.arm in ABLATION) == ablation
    ]
    return _tabled(head, rows, words=4) if rows else ""


def _categories(cells: Sequence[Cell]) -> str:
    names = sorted({name for cell in cells for name in cell.categories})
    rows = [
        [cell.place.model, cell.place.mode, cell.place.arm]
        + [_percent(cell.categories.get(name)) for name in names]
        for cell in cells
    ]
    return _tabled(["model", "mode", "arm", *names], rows, words=3)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def _table(cells: Sequence[Cell]) -> str:
    head = ["model", "mode", "arm", "runs", "done", "wrong", "wrong calls", "of", "requests"]
    head += ["tokens", "seconds"]
    rows = [
        [
            *(cell.place.model, cell.place.mode, cell.place.arm, str(cell.runs)),
            *(percent(cell.done), percent(cell.wrong), str(cell.strays), str(cell.executed)),
            f"{cell.requests:.2f}",
            "–" if cell.tokens is None else f"{cell.tokens:.0f}",
            f"{cell.seconds:.2f}",
        ]
        for cell in cells
    ]
    return _tabled(head, rows, words=3)


def _tabled(head: Sequence[str], rows: Iterable[Sequence[str]], words: int) -> str:
    """A table whose first ``words`` columns are words, the others figures."""

    def row(cells: Sequence[str], tag: str) -> str:
        made = (
            f"<{tag}{'' if at < words else ' class=n'}>{escape(cell)}</{tag}>"
            for at, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    return (
        f'<div class="scroll"><table><thead>{row(head, "th")}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
