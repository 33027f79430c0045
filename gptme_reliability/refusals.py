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
    if isinstance(verdict, Accept):
        return verdict.text
    lines = refusal_lines(verdict)
    return "\n\n".join(part for part in (verdict.text.rstrip(), "\n".join(lines)) if part)


def refusal_lines(verdict: Reject) -> list[str]:
    """One line for each call that was not run, of a form that no parser takes for a call."""
    lines = [
        f"(not run: {inert(refused.name or 'a tool call')} - {inert(refused.reason)})"
        for refused in verdict.refused
    ]
    return lines or [f"(not run: {inert(verdict.reason)})"]


def inert(text: str) -> str:
    """Text without the characters that calls are made of, on one line, shortened."""
    return shorten(text, _LONGEST).translate(_INERT)
