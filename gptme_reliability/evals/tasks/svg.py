"""Plots as inline SVG: horizontal bars with a label before and a figure behind each.

Colours are classes, so that the page's style decides them for light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from gptme_reliability.evals.tasks.figures import Share

_WIDTH: Final = 760
_LABEL: Final = 230
_FIGURE: Final = 130
_PLOT: Final = _WIDTH - _LABEL - _FIGURE
_ROW: Final = 22
_BAR: Final = 14
_GAP: Final = 12
_TICKS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: its label, what is written behind it, its colour class, its parts of the width.

    ``parts`` are (class, from, to, tip), each from 0 to 1; ``low`` and ``high`` are the ends of
    an interval.  A bar with ``apart`` stands a little below the one before.
    """

    label: str
    figure: str
    parts: Sequence[tuple[str, float, float, str]]
    low: float | None = None
    high: float | None = None
    apart: bool = False


def share_bar(label: str, kind: str, share: Share, *, apart: bool) -> Bar:
    """A share with its interval."""
    figure = f"{share.value:.0%}  ({share.low:.0%}–{share.high:.0%})"
    part = (kind, 0.0, share.value, f"{label}: {figure}")
    return Bar(label, figure, [part], share.low, share.high, apart)


def amount_bar(label: str, kind: str, value: float | None, largest: float, *, apart: bool) -> Bar:
    """An amount beside the largest of its kind; None for one that is not known."""
    figure = "not counted" if value is None else f"{value:,.4g}"
    width = (value or 0.0) / largest if largest else 0.0
    return Bar(label, figure, [(kind, 0.0, width, f"{label}: {figure}")], apart=apart)


def stacked_bar(label: str, counts: Mapping[str, int], *, apart: bool) -> Bar:
    """Counts of kinds, side by side in their order; their names are the classes."""
    total, begin, parts = sum(counts.values()), 0.0, list[tuple[str, float, float, str]]()
    for kind, count in counts.items():
        if not count:
            continue
        end = begin + count / total
        parts.append((css_class(kind), begin, end, f"{label}: {count} {kind}"))
        begin = end
    return Bar(label, f"{total} runs", parts, apart=apart)


def css_class(kind: str) -> str:
    """The class of a kind."""
    return "k-" + "".join(sign if sign.isalnum() else "-" for sign in kind)


def plot(title: str, bars: Sequence[Bar], *, ticks: bool = True) -> str:
    """The bars as an SVG that a screen reader can name."""
    rows: list[str] = []
    top = _GAP
    for bar in bars:
        top += _GAP if bar.apart and rows else 0
        rows.append(_bar(bar, top))
        top += _ROW
    height = top + (26 if ticks else _GAP)
    grid = _grid(top) if ticks else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{grid}{''.join(rows)}</svg>"
    )


def _bar(bar: Bar, top: float) -> str:
    middle = top + _ROW / 2
    pieces = [
        f'<text class="label" x="{_LABEL - 8}" y="{middle:.1f}">{escape(bar.label)}</text>',
        *(_part(part, top) for part in bar.parts),
    ]
    if bar.low is not None and bar.high is not None:
        low, high = _x(bar.low), _x(bar.high)
        pieces.append(
            f'<path class="whisker" d="M{low:.1f} {middle:.1f}H{high:.1f}'
            f"M{low:.1f} {middle - 4:.1f}v8M{high:.1f} {middle - 4:.1f}v8"
            '"/>'
        )
    x = _LABEL + _PLOT + 10
    pieces.append(f'<text class="figure" x="{x}" y="{middle:.1f}">{escape(bar.figure)}</text>')
    return "".join(pieces)


def _part(part: tuple[str, float, float, str], top: float) -> str:
    kind, begin, end, tip = part
    width = max(0.0, (end - begin) * _PLOT)
    return (
        f'<rect class="{escape(kind)}" x="{_x(begin):.1f}" y="{top + (_ROW - _BAR) / 2:.1f}" '
        f'width="{width:.1f}" height="{_BAR}"><title>{escape(tip)}</title></rect>'
    )


def _grid(bottom: float) -> str:
    return "".join(
        f'<path class="grid" d="M{_x(tick):.1f} {_GAP}V{bottom:.1f}"/>'
        f'<text class="tick" x="{_x(tick):.1f}" y="{bottom + 14:.1f}">{tick:.0%}</text>'
        for tick in _TICKS
    )


def _x(share: float) -> float:
    return _LABEL + share * _PLOT


def legend(kinds: Iterable[str]) -> str:
    """What the colours stand for."""
    items = (
        f'<li><svg viewBox="0 0 12 12" aria-hidden="true"><rect class="{css_class(kind)}" '
        f'width="12" height="12"/></svg> {escape(kind)}</li>'
        for kind in kinds
    )
    return f'<ul class="legend">{"".join(items)}</ul>'
