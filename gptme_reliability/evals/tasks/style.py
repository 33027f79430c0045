"""How the page of results looks, by day and by night."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Each colour for light and dark; those of neighbouring kinds differ in lightness too.
_COLOURS: Final[Mapping[str, tuple[str, str]]] = {
    "bare": ("#9aa3ad", "#7d8792"),
    "strict": ("#c9a227", "#d9b84a"),
    "guarded": ("#1f6feb", "#58a6ff"),
    "done": ("#2da44e", "#3fb950"),
    "wrong": ("#cf222e", "#f85149"),
    "refused": ("#1f6feb", "#58a6ff"),
    "no-call": ("#9aa3ad", "#7d8792"),
    "unfinished": ("#d4a72c", "#d9b84a"),
    "endless": ("#8250df", "#a371f7"),
    "no-answer": ("#5f6b76", "#b1bac4"),
    "server": ("#57380c", "#a5713a"),
}
_SWITCHED_OFF: Final = ("#7aa7d9", "#3f6ea8")


def _rules(night: bool) -> str:
    own = "".join(f".k-{kind}{{fill:{both[night]}}}" for kind, both in _COLOURS.items())
    return f"[class^=k-]{{fill:{_SWITCHED_OFF[night]}}}{own}"


_LAYOUT: Final = """
:root{--paper:#fff;--ink:#1f2328;--faint:#59636e;--line:#d1d9e0;--stripe:#f6f8fa}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:1rem}
h1{margin:.5rem 0}h2{margin:2.5rem 0 .5rem}h3{margin:1.2rem 0 .2rem;font-size:1rem}
svg{width:100%;height:auto;display:block}
svg text{fill:var(--ink);font-size:13px;dominant-baseline:central}
svg .label{text-anchor:end}svg .tick{text-anchor:middle;fill:var(--faint);font-size:11px}
svg .grid{stroke:var(--line)}svg .whisker{stroke:var(--ink);stroke-width:1.5;fill:none}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem}
th,td{padding:.25rem .6rem;text-align:left;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--faint);font-weight:600}.n{text-align:right;font-variant-numeric:tabular-nums}
tbody tr:nth-child(even){background:var(--stripe)}
.legend{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.3rem 1rem}
.legend svg{display:inline-block;width:.8rem;height:.8rem}
"""
_NIGHT: Final = (
    ":root{--paper:#0d1117;--ink:#e6edf3;--faint:#9198a1;--line:#3d444d;--stripe:#151b23}"
)

STYLE: Final = (
    f"{_LAYOUT}{_rules(False)}@media (prefers-color-scheme:dark){{{_NIGHT}{_rules(True)}}}"
)
