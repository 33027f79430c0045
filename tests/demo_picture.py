"""The picture of the demo in the README, drawn from what a run of the demo printed.

``python tests/demo_picture.py --write`` runs the demo, up to three minutes, and draws it anew.
The picture has its colours inside, for day and night, and loads nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Final

from gptme_reliability.evals.demo import _WORDS

PICTURE: Final = Path(__file__).parent.parent / "docs" / "demo.svg"
DEMO: Final = (sys.executable, "-m", "gptme_reliability.cli", "demo")

_ROW: Final = re.compile(r"^│ (.+?) +│ (\w+) +│ (.+?) +│ (.+?) +│$", re.MULTILINE)
_TOTAL: Final = re.compile(r"^(?:gptme alone|with the plugin): +(.+)$", re.MULTILINE)
_KINDS: Final = {
    "green": "right",
    "yellow": "short",
    "red": "dead",
    "bold red": "wrong",
}
"""What a colour of the terminal says of an outcome."""
_COLUMNS: Final = (20, 335, 425, 680)
_WIDTH: Final = 870
_LINE: Final = 24
_TOP: Final = 44
COLOURS: Final = {
    "text": ("#1f2328", "#e6edf3"),
    ".paper": ("#ffffff", "#0d1117"),
    ".stripe": ("#f6f8fa", "#151b23"),
    ".faint": ("#59636e", "#9198a1"),
    ".right": ("#1a7f37", "#3fb950"),
    ".short": ("#8a5a00", "#d9a520"),
    ".dead": ("#c21c28", "#ff7b72"),
    ".wrong": ("#c21c28", "#ff7b72"),
}
"""By day and by night; the picture brings its own paper, for a page may be of either kind."""


def _rules(night: bool) -> str:
    return "".join(f"{name}{{fill:{both[night]}}}" for name, both in COLOURS.items())


_STYLE: Final = (
    'text{font:14px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}'
    ".paper{stroke:#8b949e}.head,.wrong,.total{font-weight:600}"
    f"\n{_rules(False)}\n@media (prefers-color-scheme:dark){{{_rules(True)}}}"
)


@dataclass(frozen=True, slots=True)
class Printed:
    """What the demo printed: its rows, and the totals of both arms.

    A row is what the model does, how it was sent, and the outcome without and with the plugin.
    """

    rows: tuple[tuple[str, ...], ...]
    totals: tuple[str, ...]


def printed(stdout: str) -> Printed:
    """The demo's table, taken apart."""
    return Printed(tuple(_ROW.findall(stdout)), tuple(_TOTAL.findall(stdout)))


def picture(demo: Printed, gptme: str) -> str:
    """The table as an SVG; ``gptme`` is the version that ran."""
    bottom = _TOP + _LINE * (len(demo.rows) + 1)
    about = f"gptme-reliability demo: gptme {gptme} without and with the plugin"
    heads = ("what the model does", "", "gptme alone", "with the plugin")
    totals = (f"gptme {gptme}", "", *(total.partition(",")[0] for total in demo.totals))
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 16}" '
        f'role="img" aria-label="{escape(about)}"><title>{escape(about)}</title>',
        f"<style>{_STYLE}</style>",
        f'<rect class="paper" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{bottom + 15}" rx="8"/>',
        *_texts(heads, 30, ("faint head",) * 4),
        *(line for at, row in enumerate(demo.rows) for line in _row(row, at)),
        *_texts(totals, bottom + 2, ("faint", "", "total", "total")),
        "</svg>\n",
    ]
    return "\n".join(drawn)


def _row(row: Sequence[str], at: int) -> Iterator[str]:
    y = _TOP + _LINE * at
    if at % 2 == 0:
        yield f'<rect class="stripe" x="8" y="{y}" width="{_WIDTH - 16}" height="{_LINE}" rx="4"/>'
    kinds = {words: _KINDS[colour] for words, colour in _WORDS.values()}
    yield from _texts(row, y + 17, ("", "faint", kinds[row[2]], kinds[row[3]]))


def _texts(words: Sequence[str], y: int, classes: Sequence[str]) -> Iterator[str]:
    for x, word, kind in zip(_COLUMNS, words, classes, strict=True):
        if word:
            name = f' class="{kind}"' if kind else ""
            yield f'<text{name} x="{x}" y="{y}">{escape(word)}</text>'


def main() -> int:
    """Run the demo and draw it, or draw what comes in; the demo's exit code."""
    if sys.argv[1:] != ["--write"]:
        print(picture(printed(sys.stdin.read()), version("gptme")), end="")
        return 0
    done = subprocess.run(DEMO, stdout=subprocess.PIPE, text=True)
    if done.returncode == 0:
        PICTURE.write_text(picture(printed(done.stdout), version("gptme")), encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
