"""The report in words and tables."""

from __future__ import annotations

from collections.abc import Sequence

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
from gptme_reliability.commands.printing import print_table, visible
from gptme_reliability.lint.rules import counted


def print_report(tally: Tally, advice: Sequence[Advice], *, interrupted: bool) -> None:
    """Print all of the report."""
    for line in summary(tally, interrupted=interrupted):
        print(line)
    if tally.total:
        _failures(tally)
        _coverage(tally)
        _costliest(tally)
    _advice(advice)
    print(f"\n{LIMITS}")


def summary(tally: Tally, *, interrupted: bool) -> list[str]:
    """What was read, and how much of it failed, in a few lines."""
    answers = tally.answers.total()
    lines = [
        f"{tally.logs:,} of {counted(tally.found, 'log')}, {counted(tally.messages, 'message')}, "
        f"{counted(answers, 'answer')}, {counted(tally.calls, 'call')} run",
        f"{counted(tally.total, 'failure')} ({_per_hundred(tally.total, answers)} per 100 answers)",
    ]
    if interrupted:
        lines.insert(0, "interrupted: this is what was known by then")
    asides = (
        (tally.broken_lines, "line", "skipped: no message can be read there"),
        (tally.unreadable, "log", "could not be read"),
        (tally.doubtful, "answer", "may have meant to call; nothing shows it, so not counted"),
        (tally.other_requests, "request", "failed on the way to the server; not counted"),
        (tally.unanswered, "log", "ended with a question that nobody answered; not counted"),
    )
    return [*lines, *(f"{counted(count, noun)} {what}" for count, noun, what in asides if count)]


def _failed(advice: Advice) -> str:
    return f"{counted(advice.failures, 'failure')} in {counted(advice.answers, 'answer')}"


def _per_hundred(count: int, answers: int) -> str:
    return f"{100 * count / answers:.1f}" if answers else "-"


def _failures(tally: Tally) -> None:
    print("\nfailures")
    print_table(
        ("failures", "class", "tool", "format", "model", "messages", "tokens"),
        [
            (str(count), key.kind, key.tool, key.format, key.model, str(messages), str(tokens))
            for key, count, messages, tokens in rows(tally)
        ],
    )
    print("\nclasses")
    print_table(
        ("failures", "class", "meaning"),
        [(str(count), kind, CLASSES[kind].meaning) for kind, count in by_class(tally).items()],
    )


def _coverage(tally: Tally) -> None:
    print("\nwhat would have handled them")
    print_table(
        ("stage", "failures", "share", "what it does"),
        [
            (stage, str(count), share(count, tally.total), meaning)
            for stage, count, meaning in coverage(tally)
        ],
    )


def _costliest(tally: Tally) -> None:
    print("\nthe costliest")
    print_table(COSTLIEST, [tuple(map(str, row)) for row in costliest(tally)])
    print(COST)


def _advice(advice: Sequence[Advice]) -> None:
    for one in advice:
        print(f"\n{visible(one.model)}: {_failed(one)}")
        for sentence in one.why:
            print(f"  {sentence}")
        if one.config:
            print("  in gptme's config.toml:")
            print("\n".join(f"    {line}".rstrip() for line in one.config.splitlines()))
