"""What the host and its user see of calls that were not run: lines that no parser takes for one."""

from __future__ import annotations

from typing import Final

from gptme_reliability.feedback import shorten
from gptme_reliability.types import Accept, Reject

_LONGEST: Final = 200
_INERT: Final = str.maketrans(
    {"{": "(", "}": ")", "<": "(", ">": ")", "`": "'", "@": "at ", "[": "(", "]": ")"}
)


def final_text(verdict: Accept | Reject) -> str:
    """The text the host gets: the answer's own, and for a Reject one inert line per refusal."""
    return verdict.text if isinstance(verdict, Accept) else with_refusals(verdict)


def with_refusals(verdict: Accept | Reject) -> str:
    """The same, with one inert line per refusal whatever the verdict."""
    if isinstance(verdict, Accept) and not verdict.refused:
        return verdict.text
    lines = refusal_lines(verdict)
    return "\n\n".join(part for part in (verdict.text.rstrip(), "\n".join(lines)) if part)


def refusal_lines(verdict: Accept | Reject) -> list[str]:
    """One line for each call that was not run, of a form that no parser takes for a call."""
    lines = [
        f"(not run: {inert(refused.name or 'a tool call')} - {inert(refused.reason)})"
        for refused in verdict.refused
    ]
    if lines or isinstance(verdict, Accept):
        return lines
    return [f"(not run: {inert(verdict.reason)})"]


def inert(text: str) -> str:
    """Text without the characters that calls are made of, on one line, shortened."""
    return shorten(text, _LONGEST).translate(_INERT)
