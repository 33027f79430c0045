"""The report as values: what the words, the JSON and the page are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from gptme_reliability.audit.advice import Advice
from gptme_reliability.audit.classes import CLASSES, STAGES
from gptme_reliability.audit.counting import Example, Key, Tally

COST: Final = (
    "cost: all messages from a failed answer up to the next answer without a fault, or to the end "
    "of the log; mere talk where the host asked for a call does not end it; tokens are the "
    "server's figures for answers where the log has them, else characters / 4"
)
LIMITS: Final = (
    "not in a log: further calls of a stream that gptme stopped reading, why an answer ended, "
    "with what it was sampled, and whether a call was wanted where one was made"
)
COSTLIEST: Final = (
    *("tokens", "messages", "failures", "class", "tool", "model", "end", "where", "answer"),
)
"""What the columns of ``costliest`` are called."""


def rows(tally: Tally) -> list[tuple[Key, int, int, int]]:
    """Each key with its failures, messages and tokens, the most frequent first."""
    found = [
        (key, count, tally.wasted_messages[key], tally.wasted_tokens[key])
        for key, count in tally.failures.items()
    ]
    return sorted(found, key=lambda row: (-row[1], -row[3], row[0]))


def by_class(tally: Tally) -> dict[str, int]:
    """The number of failures of each class that has any, the most frequent first."""
    counts: Counter[str] = Counter()
    for key, count in tally.failures.items():
        counts[key.kind] += count
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def coverage(tally: Tally) -> list[tuple[str, int, str]]:
    """Every stage, how many failures it would have handled, and what it does."""
    counts = tally.stages()
    return [(stage, counts.get(stage, 0), meaning) for stage, meaning in STAGES.items()]


def costliest(tally: Tally) -> list[tuple[object, ...]]:
    """The failures that cost most, a row each."""
    return [
        (
            example.tokens,
            example.messages,
            example.failures,
            example.key.kind,
            example.key.tool,
            example.key.model,
            "recovered" if example.recovered else "never",
            f"{example.log}, line {example.line}",
            example.excerpt or "",
        )
        for example in tally.costliest
    ]


def share(count: int, total: int) -> str:
    """A share in per cent."""
    return f"{100 * count / total:.0f} %" if total else "-"


def as_json(tally: Tally, advice: list[Advice], *, interrupted: bool) -> dict[str, Any]:
    """All of the report as one JSON object."""
    return {
        "interrupted": interrupted,
        "logs": {"found": tally.found, "read": tally.logs, "unreadable": tally.unreadable},
        "messages": tally.messages,
        "broken_lines": tally.broken_lines,
        "answers": dict(tally.answers),
        "calls": tally.calls,
        "failures": {
            "total": tally.total,
            "rows": [
                {**_key(key), "count": count, "messages": messages, "tokens": tokens}
                for key, count, messages, tokens in rows(tally)
            ],
        },
        "classes": {
            kind: {"number": CLASSES[kind].number, "meaning": CLASSES[kind].meaning, "count": n}
            for kind, n in by_class(tally).items()
        },
        "coverage": {stage: count for stage, count, _ in coverage(tally)},
        "doubtful": tally.doubtful,
        "other_requests": tally.other_requests,
        "unanswered": tally.unanswered,
        "costliest": [_example(example) for example in tally.costliest],
        "advice": [asdict(one) for one in advice],
        "cost": COST,
        "limits": LIMITS,
    }


def _key(key: Key) -> Mapping[str, str]:
    return {"class": key.kind, "tool": key.tool, "format": key.format, "model": key.model}


def _example(example: Example) -> dict[str, Any]:
    return {
        "log": example.log,
        "line": example.line,
        **_key(example.key),
        "stage": example.stage,
        "messages": example.messages,
        "tokens": example.tokens,
        "failures": example.failures,
        "recovered": example.recovered,
        "excerpt": example.excerpt,
    }
