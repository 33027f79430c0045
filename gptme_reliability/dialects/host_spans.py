"""Stretches of an answer as calls may stand in them: put in order, and told by their tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.shapes import Span


def apart(spans: Sequence[Span]) -> list[Span]:
    """The spans in order, without those that begin inside another."""
    apart: list[Span] = []
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        if not apart or span.start >= apart[-1].end:
            apart.append(span)
    return apart


def masked_spans(text: str, spans: Sequence[Span]) -> str:
    """The text with one word for each of these calls, so that none of it is looked at."""
    parts: list[str] = []
    position = 0
    for span in spans:
        parts += [text[position : span.start], "x" * (span.end - span.start)]
        position = span.end
    return "".join([*parts, text[position:]])


def heads_a_result(between: str) -> bool:
    """Whether the last line before a call heads what a tool is said to have answered."""
    lines = [line for line in between.strip().split("\n") if line.strip()]
    return any(
        line.strip().lower().rstrip("*_ ").endswith(("output:", "result:", "results:"))
        or line.strip().lower().startswith(("output:", "result:", "results:", "observation:"))
        for line in lines
    )


def named_by_tools(text: str, offered: Offered, spans: Iterable[Span]) -> list[Span]:
    """Those blocks whose tag is a tool's own name."""
    return [
        span
        for span in spans
        if not offered.is_language(tag_of(text[span.start : span.end])) and span.calls[0].name
    ]


def tag_of(block: str) -> str:
    words = block.lstrip(" \t").lstrip("`~ \t").split(None, 1) if _is_fence(block) else ()
    return words[0].rstrip("`~") if words else ""


def _is_fence(block: str) -> bool:
    return block.lstrip(" \t").startswith(("```", "~~~"))
