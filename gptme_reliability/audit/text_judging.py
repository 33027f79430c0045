"""Failures in gptme's markdown and xml formats: what it ran, and what the core makes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gptme_reliability.audit import prose
from gptme_reliability.audit.classes import (
    class_of_repairs,
    class_of_violations,
    stage_of_class,
    stage_of_repairs,
)
from gptme_reliability.audit.failure import Case, Failure, Judged, Made
from gptme_reliability.audit.results import digest, fate
from gptme_reliability.audit.shown import shown
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.host_fences import own_blocks
from gptme_reliability.dialects.host_tags import own_tags
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.in_text import check_in_text
from gptme_reliability.types import ModelOutput, Reject, Retry, Verdict

_FIRST_TAG: Final = re.compile(
    r"<(?:tool-use|function_calls)>\s{0,256}<(?:invoke\s{1,16}name=[\"'])?([A-Za-z_][\w.\-]{0,120})"
)
_RAN_FOR_NOTHING: Final = frozenset({"missing_argument", "mixed_notation"})
"""Faults with which the host runs a call all the same."""


def judge_in_text(case: Case, offered: Offered) -> Judged:
    """Judge an answer of a conversation whose calls stand in the text."""
    answered = bool(case.exchange.results) and case.exchange.behind != "nudge"
    spans = _own(case.text, offered, answered=answered)
    if not spans and answered and _runs_a_tag(case.text, offered):
        return Judged(made=(Made("", {}, None),))
    runs = bool(spans) and case.exchange.behind != "nudge"
    verdict = check_in_text(
        ModelOutput(case.text), offered.tools, offered.host, messages=case.recent
    )
    if not runs:
        near = bool(spans) or prose.names_a_tool_as_the_host_does(case.text, offered)
        return prose.judged(case, verdict, in_host_notation=near)
    results = [one for one in case.exchange.results if one.content.strip()]
    fated = fate(results)
    if fated in ("stopped", "nothing"):
        return Judged()
    failures = list(_of_what_ran(spans, verdict, failed=fated == "failed"))
    return Judged(tuple(failures), () if fated == "failed" else tuple(_made(spans, verdict, case)))


def _own(text: str, offered: Offered, *, answered: bool) -> list[Span]:
    """The calls that the host runs: their tags are those of tools, as they are written.

    ``answered`` says that something ran; then capital letters did not matter to the host, as
    they do not where it has lxml.
    """
    if offered.host.form == "markdown":
        if "```" not in text:
            return []
        return [span for span, _ in own_blocks(text, offered)]
    spans = []
    for span in own_tags(text, offered):
        tag = _FIRST_TAG.match(text, span.start)
        if tag and (tag[1].lower() if answered else tag[1]) in offered.blocks:
            spans.append(span)
    return spans


def _runs_a_tag(text: str, offered: Offered) -> bool:
    """Whether the host finds a call in tags that the core reads as another notation."""
    if offered.host.form == "markdown":
        return False
    return any(tag[1] in offered.blocks for tag in _FIRST_TAG.finditer(text))


def _of_what_ran(spans: Sequence[Span], verdict: Verdict, *, failed: bool) -> Iterator[Failure]:
    name = spans[0].calls[0].name
    if found := shown(spans, verdict):
        yield from found
        return
    violations = verdict.violations if isinstance(verdict, Retry | Reject) else ()
    kind = class_of_violations(violations)
    if kind is not None and (failed or kind in _RAN_FOR_NOTHING):
        yield Failure(kind, stage_of_class(kind), name)
        return
    kind = class_of_repairs(verdict.repairs)
    if kind is not None and (failed or kind in _RAN_FOR_NOTHING):
        yield Failure(kind, stage_of_repairs(verdict.repairs), name)
    elif failed:
        yield Failure("tool_error", "nobody", name)


def _made(spans: Sequence[Span], verdict: Verdict, case: Case) -> Iterator[Made]:
    """The calls that ran; only a single one is known by its result."""
    result = digest(case.exchange.results) if len(spans) == 1 else None
    for span in spans:
        call = span.calls[0]
        arguments = call.arguments if isinstance(call.arguments, dict) else {}
        yield Made(call.name or "", arguments, result)
