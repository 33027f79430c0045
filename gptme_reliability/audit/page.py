"""The report as a page of HTML that needs nothing but itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from gptme_reliability.audit.advice import Advice
from gptme_reliability.audit.classes import CLASSES
from gptme_reliability.audit.counting import Tally
from gptme_reliability.audit.figures import (
    COST,
    COSTLIEST,
    LIMITS,
    by_class,
    costliest,
    coverage,
    rows,
    share,
)
from gptme_reliability.audit.plots import Bar, bars
from gptme_reliability.audit.words import summary
from gptme_reliability.commands.printing import visible

_MOST_MODELS: Final = 20

_STYLE: Final = """\
:root { color-scheme: light dark; --ink: #1c1e21; --dim: #5c6470; --page: #ffffff;
  --line: #d8dce1; --bar: #2f6fb3; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --dim: #9aa3ae; --page: #15181c;
  --line: #333a42; --bar: #6aa5e0; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.25; } h2 { margin-top: 2.5rem; }
svg { width: 100%; height: auto; }
svg rect { fill: var(--bar); }
svg text { font-size: 13px; fill: var(--ink); dominant-baseline: central; }
svg text.label { text-anchor: end; } svg text.figure { fill: var(--dim); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
pre { border: 1px solid var(--line); padding: .6rem; overflow-x: auto; }
.dim { color: var(--dim); }
"""


def page(tally: Tally, advice: Sequence[Advice], *, interrupted: bool) -> str:
    """All of the report; it loads nothing and runs no script."""
    parts = [
        "<h1>What failed with tools</h1>",
        *(f"<p>{escape(line)}</p>" for line in summary(tally, interrupted=interrupted)),
    ]
    if tally.total:
        parts += [*_classes(tally), *_stages(tally), *_models(tally), *_all(tally)]
        parts += _costliest(tally)
    parts += [*_advice(advice), f'<p class="dim">{escape(LIMITS)}.</p>']
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>What failed with tools</title><style>{_STYLE}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _classes(tally: Tally) -> Iterable[str]:
    yield "<h2>Failures by class</h2>"
    yield bars(
        "Failures by class",
        [
            Bar(kind, count, f"{count} ({share(count, tally.total)})", CLASSES[kind].meaning)
            for kind, count in by_class(tally).items()
        ],
    )


def _stages(tally: Tally) -> Iterable[str]:
    yield "<h2>What would have handled them</h2>"
    yield bars(
        "Failures by the stage that would have handled them",
        [
            Bar(stage, count, f"{count} ({share(count, tally.total)})", meaning)
            for stage, count, meaning in coverage(tally)
        ],
    )


def _models(tally: Tally) -> Iterable[str]:
    failures: Counter[str] = Counter()
    for key, count in tally.failures.items():
        failures[key.model] += count
    found = [
        Bar(model, rate, f"{rate:.1f}", f"{failures[model]} failures in {answers} answers")
        for model, answers in tally.answers.items()
        if (rate := 100 * failures[model] / answers) or answers
    ]
    yield "<h2>Failures per 100 answers, by model</h2>"
    yield bars(
        "Failures per 100 answers, by model",
        sorted(found, key=lambda one: (-one.value, one.label))[:_MOST_MODELS],
    )


def _all(tally: Tally) -> Iterable[str]:
    yield "<h2>All failures</h2>"
    yield _table(
        ("failures", "class", "tool", "format", "model", "messages", "tokens"),
        [
            (count, key.kind, key.tool, key.format, key.model, messages, tokens)
            for key, count, messages, tokens in rows(tally)
        ],
    )


def _costliest(tally: Tally) -> Iterable[str]:
    yield "<h2>The costliest</h2>"
    yield _table(COSTLIEST, costliest(tally))
    yield f'<p class="dim">{escape(COST)}.</p>'


def _advice(advice: Sequence[Advice]) -> Iterable[str]:
    yield "<h2>What to switch on</h2>"
    for one in advice:
        yield f"<h3>{_text(one.model)}</h3>"
        yield f"<p>{one.failures} failures in {one.answers} answers.</p>"
        yield "".join(f"<p>{_text(sentence)}</p>" for sentence in one.why)
        if one.config:
            yield f"<p>In gptme's config.toml:</p><pre>{escape(one.config)}</pre>"


def _table(head: Sequence[str], body: Sequence[Sequence[object]]) -> str:
    heads = "".join(f"<th>{name}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in body)
    return f'<div class="wide"><table><tr>{heads}</tr>{lines}</table></div>'


def _cell(value: object) -> str:
    number = ' class="number"' if isinstance(value, int) else ""
    return f"<td{number}>{_text(str(value))}</td>"


def _text(text: str) -> str:
    return escape(visible(text))
