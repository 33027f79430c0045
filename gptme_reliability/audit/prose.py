"""Answers of which the host ran nothing: calls that it did not see or that never came, and talk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gptme_reliability.audit.classes import (
    class_of_repairs,
    class_of_violations,
    stage_of_class,
    stage_of_repairs,
)
from gptme_reliability.audit.failure import Case, Failure, Judged
from gptme_reliability.dialects.cues import PLACEHOLDER
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.host_fences import own_blocks
from gptme_reliability.types import Reject, Retry, Verdict, Violation

_REASONING_ENDS: Final = ("</think>", "</thinking>")
_REASONING_OPENS: Final = ("<think>", "<thinking>")
_OF_NOTATION: Final = frozenset({"partial_markup", "bad_json", "cut_off", "no_call", "loop"})
"""Classes that say more of a call in text than that it is one."""
_FENCE_TAG: Final = re.compile(r"^[ \t]{0,8}(?:`{3,}|~{3,})[ \t]{0,8}([^\s`~]{1,80})", re.MULTILINE)
_ELEMENT: Final = re.compile(r"<([A-Za-z_][\w.\-]{0,80})")
_MOST_TAGS: Final = 200
_BARE_JSON: Final = "json"
"""The dialect of calls without any marker."""
_OF_RECORDS: Final = frozenset({"unknown_tool", "envelope"})
"""What is wrong with JSON that only resembles a call."""


def judged(case: Case, verdict: Verdict, *, in_host_notation: bool = False) -> Judged:
    """Judge an answer of which nothing ran, by what the core says of it.

    ``in_host_notation``: what looks like a call in it is written as the host would have it.
    """
    if _is_empty(case.text):
        return _one(Failure("empty_answer", stage_of_class("empty_answer")))
    violations = verdict.violations if isinstance(verdict, Retry | Reject) else ()
    if verdict.calls and not violations:
        return Judged(tuple(_mendable(verdict, in_host_notation)))
    kind = class_of_violations(violations)
    if _may_be_data(verdict, violations):
        return Judged(doubtful=True)
    if kind is not None:
        if kind not in _OF_NOTATION and not in_host_notation:
            return _one(Failure("leaked_call", "re-ask", _tool(violations, verdict)))
        return _one(Failure(kind, stage_of_class(kind), _tool(violations, verdict)))
    if case.exchange.before == "nudge" and not violations:
        # The host asked for a call, or for the one that ends the session.
        return _one(Failure("no_call", stage_of_class("no_call")))
    return Judged(doubtful=bool(violations))


def runs_a_block(text: str, offered: Offered) -> bool:
    """Whether the host finds a fenced block to run."""
    return "```" in text and any(True for _ in own_blocks(text, offered))


def names_a_tool_as_the_host_does(text: str, offered: Offered) -> bool:
    """Whether a fence or an element of the text is meant for a tool, in whatever spelling."""
    pattern = _FENCE_TAG if offered.host.form == "markdown" else _ELEMENT
    tags = dict.fromkeys(found[1] for found in pattern.finditer(text))
    return any(offered.tool(tag) is not None for tag in list(tags)[:_MOST_TAGS])


def _one(failure: Failure) -> Judged:
    return Judged((failure,))


def _mendable(verdict: Verdict, in_host_notation: bool) -> Iterator[Failure]:
    """A failure for each call of an answer that could have run."""
    for index, call in enumerate(verdict.calls):
        repairs = [one for one in verdict.repairs if one.call in (None, index)]
        found = class_of_repairs(repairs)
        told = found is not None and (in_host_notation or found in _OF_NOTATION)
        kind = found if told and found else _unread(in_host_notation)
        yield Failure(
            kind,
            stage_of_repairs(repairs) if found or not in_host_notation else "repair",
            call.name,
        )


def _unread(in_host_notation: bool) -> str:
    """The class of a call in which nothing is wrong, but that the host did not read."""
    return "partial_markup" if in_host_notation else "leaked_call"


def _may_be_data(verdict: Verdict, violations: Sequence[Violation]) -> bool:
    """Whether it may be a record or a template: bare JSON, or a name to be filled in."""
    if not violations or any(violation.rule not in _OF_RECORDS for violation in violations):
        return False
    return all(
        one.dialect == _BARE_JSON or PLACEHOLDER.fullmatch(one.name or "")
        for one in verdict.refused
    )


def _tool(violations: Sequence[Violation], verdict: Verdict) -> str | None:
    names = (
        *(violation.tool for violation in violations),
        *(refused.name for refused in verdict.refused),
    )
    return next((name for name in names if name), None)


def _is_empty(text: str) -> bool:
    """Whether an answer holds nothing, or nothing but reasoning."""
    body = text.strip()
    for end in _REASONING_ENDS:
        if body.endswith(end) and body.startswith(_REASONING_OPENS):
            return body.count(end) == 1
    return not body
