"""Bars as SVG, drawn here; the colours are those of the page that they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

_ROW: Final = 26
_BAR: Final = 16
_LABELS: Final = 190
_BARS: Final = 400
_FIGURES: Final = 90
_WIDTH: Final = _LABELS + _BARS + _FIGURES
_LONGEST_LABEL: Final = 26


class Bar(NamedTuple):
    """A bar: its label, its length in whatever unit, the figure beside it, and a longer text."""

    label: str
    value: float
    figure: str
    title: str


def bars(title: str, rows: Sequence[Bar]) -> str:
    """A chart of horizontal bars; each has its label, its figure, and a title for hovering."""
    most = max((row.value for row in rows), default=0) or 1
    height = _ROW * len(rows)
    body = "".join(_bar(row, index * _ROW, most) for index, row in enumerate(rows))
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {height}" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )


def _bar(row: Bar, top: int, most: float) -> str:
    length = max(_BARS * row.value / most, 1 if row.value else 0)
    middle = top + _ROW // 2
    label = row.label
    if len(label) > _LONGEST_LABEL:
        label = "…" + label[1 - _LONGEST_LABEL :]
    return (
        f"<g><title>{escape(row.title)}</title>"
        f'<text class="label" x="{_LABELS - 8}" y="{middle}">{escape(label)}</text>'
        f'<rect x="{_LABELS}" y="{top + (_ROW - _BAR) // 2}" width="{length:.1f}" '
        f'height="{_BAR}" rx="2"/>'
        f'<text class="figure" x="{_LABELS + length + 6:.1f}" y="{middle}">'
        f"{escape(row.figure)}</text></g>"
    )
