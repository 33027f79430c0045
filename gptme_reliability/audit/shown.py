"""Blocks and tags that the host ran although they were only shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gptme_reliability.audit.classes import stage_of_class
from gptme_reliability.audit.failure import Failure
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.host_fences import own_blocks
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.in_text import check_in_text
from gptme_reliability.types import Accept, ModelOutput, Verdict


def shown_blocks(text: str, offered: Offered, recent: Sequence[Mapping[str, Any]]) -> list[Failure]:
    """A failure where a fenced block ran that the core takes for an example."""
    if "```" not in text:
        return []
    spans = [span for span, _ in own_blocks(text, offered)]
    if not spans:
        return []
    verdict = check_in_text(ModelOutput(text), offered.tools, offered.host, messages=recent)
    return shown(spans, verdict)


def shown(spans: Sequence[Span], verdict: Verdict) -> list[Failure]:
    """A failure where one of the calls that the host found is none for the core, without doubt."""
    if not isinstance(verdict, Accept):
        return []
    meant = {_body(call.arguments) for call in verdict.calls}
    for span in spans:
        call = span.calls[0]
        if _body(call.arguments) not in meant and call.flaw is None:
            return [Failure("shown_executed", stage_of_class("shown_executed"), call.name)]
    return []


def _body(arguments: Any) -> str:
    values = arguments.values() if isinstance(arguments, Mapping) else ()
    return "\n".join(str(value).strip() for value in values)
