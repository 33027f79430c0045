"""The page to read first: from what a model wrote to a verdict.

::

    decode    native calls, and dialects over the text outside reasoning
    validate  no violation → untouched
    repair    rules in order, each leaves a Repair     resolve  names: one match or none
    validate  again, the same function                 enforce  policy → Verdict

Pure: no I/O, no clock, no randomness; nothing a model writes raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gptme_reliability import enforce, feedback, intent, loops, no_call, order
from gptme_reliability.confidence import cost_of_place, doubted, weigh
from gptme_reliability.dialects.cues import PLACEHOLDER
from gptme_reliability.dialects.decode import decode
from gptme_reliability.dialects.placement import place
from gptme_reliability.dialects.shapes import Flaw, RawCall, Span
from gptme_reliability.dialects.surroundings import after_leaked_tokens
from gptme_reliability.distance import fold
from gptme_reliability.echo import EchoGuard
from gptme_reliability.enforce import Judged
from gptme_reliability.given import refuse_wrong
from gptme_reliability.native import read_native
from gptme_reliability.resolve import callable_names, resembles
from gptme_reliability.settle import settle
from gptme_reliability.types import (
    Accept,
    ModelFacts,
    ModelOutput,
    Policy,
    RefusedCall,
    ToolDefinition,
    Verdict,
    Violation,
)

LATE: Final = "it follows text that follows another call; ask for it after the results"
"""Why a call is left out that may rest on an invented result."""

_FENCE_HEAD: Final = re.compile(r"\s{0,256}(`{3,})[ \t]{0,8}([^\s`]{1,80})[^\n]{0,400}\n")
_LONGEST_PLACEHOLDER: Final = 80


def check(
    output: ModelOutput,
    tools: Sequence[ToolDefinition],
    policy: Policy = Policy(),
    *,
    messages: Sequence[Mapping[str, Any]] = (),
    facts: ModelFacts | None = None,
) -> Verdict:
    """Decide what may run of one answer, and what must be asked again.

    ``messages`` is the conversation so far: a call in text that only repeats what was quoted
    in it is not run, nor is one that goes on with a loop, or that comes before what it needs
    (``policy.order``).  Where the server delivered native calls, the text beside them is text.
    ``facts`` describes the model; nothing in this version depends on it.

    Raises:
        ToolDefinitionError: the parameters of a tool in question are no JSON schema.
        TypeError: an argument is of another type; one line says what it should be.
    """
    refuse_wrong(output, tools, policy, messages, facts)
    text = output.text or ""
    if not tools:
        return Accept(text=text, refused=_not_on_offer(output.tool_calls or (), policy))
    cut = enforce.was_cut(output.finish_reason)
    natives = read_native(output.tool_calls or ())
    judged = [
        settle(cut_native(raw, cut and index == len(natives) - 1), tools, policy, index)
        for index, raw in enumerate(natives)
    ]
    judged = [
        item if weigh(item, tools, policy, place=0) == "run" else doubted(item, index)
        for index, item in enumerate(judged)
    ]
    if judged:
        judged = _stopped(judged, messages, tools, policy)
        return enforce.decide(no_call.settled(judged, text), text, tools, policy)
    found = _calls_in_text(text, tools, policy, cut, messages)
    if not found.judged and not found.late:
        extra = _whole_answer(output, text, tools)
        if not extra and not cut and (step := intent.announced(text, tools, messages)):
            extra = (intent.violation(step),)
        return enforce.decide((), text, tools, policy, extra=extra)
    judged = _stopped(found.judged, messages, tools, policy)
    settled = no_call.settled(judged, found.text)
    return enforce.decide(settled, found.text, tools, policy, late=found.late)


def _not_on_offer(tool_calls: Sequence[Any], policy: Policy) -> tuple[RefusedCall, ...]:
    """Native calls where no tool is on offer: none runs, and each is named."""
    named = tuple(
        RefusedCall(raw.name, "no tools were on offer", id=raw.id)
        for raw in read_native(tool_calls[: policy.max_calls])
    )
    surplus = len(tool_calls) - len(named)
    if not surplus:
        return named
    return (*named, RefusedCall(None, f"no tools were on offer for {surplus} more calls either"))


def _stopped(
    judged: Sequence[Judged],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[ToolDefinition],
    policy: Policy,
) -> list[Judged]:
    """The calls with those held back that are right in themselves, and not in their place."""
    judged = loops.stop(judged, messages, tools, policy)
    return order.keep(judged, messages, tools, policy)


def cut_native(raw: RawCall, struck: bool) -> RawCall:
    """The call at which the output was cut is asked for again, however whole it looks."""
    if not struck:
        return raw
    return replace(raw, flaw=Flaw("cut_off", "the output was cut off at this call"))


def _whole_answer(
    output: ModelOutput, text: str, tools: Sequence[ToolDefinition]
) -> tuple[Violation, ...]:
    """Faults of an answer that makes no call: it is empty, or nothing but a fence for a tool."""
    if not text.strip():
        what = "only reasoning" if (output.reasoning or "").strip() else "nothing"
        return (Violation("empty", "$", f"the answer held {what}: no text and no tool call"),)
    body = text.rpartition("</think>")[2]
    fence = _FENCE_HEAD.match(body)
    alone = fence and body.rstrip().endswith(f"\n{fence[1]}", fence.end())
    if fence and alone and any(tool.name == fence[2] for tool in tools):
        name = fence[2]
        message = f"a code block is not a call of {name}; nothing was run"
        return (Violation("fence", "$", message, tool=name),)
    return ()


@dataclass(frozen=True, slots=True)
class _Found:
    judged: list[Judged]
    text: str
    late: tuple[RefusedCall, ...] = ()


def _calls_in_text(
    text: str,
    tools: Sequence[ToolDefinition],
    policy: Policy,
    cut: bool,
    messages: Sequence[Mapping[str, Any]],
) -> _Found:
    head = text[: policy.max_chars]
    spans = decode(head, callable_names(tools))
    if not spans:
        return _Found([], text)
    guard = EchoGuard(messages if policy.echo_guard else ())
    judged: list[Judged] = []
    late: list[RefusedCall] = []
    removed: list[tuple[int, int]] = []
    for span, placement in zip(spans, place(head, spans), strict=True):
        if placement == "text" or not is_attempt(span, tools):
            continue
        written = head[span.start : span.end]
        if placement == "unclear":
            judged += unclear_span(span, tools, policy, len(judged), written)
            continue
        stretch = (span.start, after_leaked_tokens(head, span.end))
        if placement == "late":
            removed.append(stretch)
            late += [RefusedCall(raw.name, LATE, feedback.shorten(written)) for raw in span.calls]
            continue
        flaws = flaws_of(span, head, cut, guard)
        found = judged_span(span, flaws, tools, policy, len(judged), written)
        if found:
            removed.append(stretch)
            judged += found
    return _Found(judged, _without(text, removed), tuple(late))


def judged_span(
    span: Span,
    flaws: Sequence[Flaw | None],
    tools: Sequence[ToolDefinition],
    policy: Policy,
    first: int,
    written: str,
) -> list[Judged]:
    """The calls of a span; none where it takes so much guessing that it is text."""
    raws = [
        raw if raw.flaw or not flaw else replace(raw, flaw=flaw)
        for raw, flaw in zip(span.calls, flaws, strict=True)
    ]
    found = [
        settle(raw, tools, policy, first + i, span.dialect, written) for i, raw in enumerate(raws)
    ]
    place_cost = cost_of_place(span)
    weighed = [weigh(item, tools, policy, place_cost) for item in found]
    if "text" in weighed and not span.marked:
        return []
    return [
        item if verdict == "run" else doubted(item, first + i, feedback.shorten(written))
        for i, (item, verdict) in enumerate(zip(found, weighed, strict=True))
    ]


def unclear_span(
    span: Span, tools: Sequence[ToolDefinition], policy: Policy, first: int, written: str
) -> list[Judged]:
    """Calls that may be meant or shown: asked about, and left in the text as they are.

    Without a marker only what could run as it stands is worth a question.
    """
    found = [settle(raw, tools, policy, first + i) for i, raw in enumerate(span.calls)]
    if not span.marked and any(item.call is None for item in found):
        return []
    flaw = Flaw("unclear", "it is not clear whether this call is meant or only shown")
    asked = [replace(raw, flaw=flaw) for raw in span.calls]
    return [
        settle(raw, tools, policy, first + index, span.dialect, written)
        for index, raw in enumerate(asked)
    ]


def is_attempt(span: Span, tools: Sequence[ToolDefinition]) -> bool:
    """Whether a span that stands like a call tries to call something at all.

    Without a marker, data can look like a call: then it must name a tool, or bring the
    arguments of one.
    """
    if span.marked or span.dialect == "gptme":
        return True
    return all(_speaks_of_tools(raw, tools) for raw in span.calls)


def _speaks_of_tools(raw: RawCall, tools: Sequence[ToolDefinition]) -> bool:
    if raw.name is not None:
        whole = raw.flaw is None and isinstance(raw.arguments, Mapping)
        return whole or resembles(raw.name, tools)
    if not isinstance(raw.arguments, Mapping) or not raw.arguments:
        return False
    return any(set(raw.arguments) <= set(tool.parameters.get("properties") or ()) for tool in tools)


def flaws_of(span: Span, text: str, cut: bool, guard: EchoGuard) -> Sequence[Flaw | None]:
    """For each call of a span, what its place and the conversation say against it."""
    flaw = span_flaw(span, cut)
    if flaw is not None:
        return [flaw] * len(span.calls)
    echo = Flaw("echo", "the call only repeats what was quoted in the conversation")
    flaws = [echo if repeated else None for repeated in guard.repeated(span, text)]
    at_end = after_leaked_tokens(text, span.end) >= len(text)
    # A value that ends without its own tag may have been cut within a text about tags.
    whole = span.marked and span.closed and not span.calls[-1].has("missing_tag")
    if cut and at_end and not whole:
        # The cut struck the last call; those before it were whole.
        flaws[-1] = Flaw("cut_off", "the output was cut off at this call")
    return flaws


def span_flaw(span: Span, cut: bool) -> Flaw | None:
    """What speaks against every call of a span, however well it reads."""
    # A marker may end reasoning without its tag, but not where the reasoning was cut off.
    if span.thinking and (cut or not span.marked):
        return Flaw("unfinished_reasoning", "the call stands in reasoning that was never closed")
    # One template among several calls makes templates of them all.
    for raw in span.calls:
        if flaw := _placeholder_flaw(raw):
            return flaw
    return None


def _placeholder_flaw(raw: RawCall) -> Flaw | None:
    """A call out of a template: some argument says what should stand there."""
    named = raw.arguments.items() if isinstance(raw.arguments, Mapping) else ()
    for name, value in (*named, *(("", value) for value in raw.positional)):
        if not isinstance(value, str) or not value or len(value) > _LONGEST_PLACEHOLDER:
            continue
        if PLACEHOLDER.fullmatch(value) or fold(value) == fold(str(name)) != "":
            shown = feedback.shorten(value)
            return Flaw("placeholder", f"{shown!r} stands where a value should be")
    return None


def _without(text: str, removed: Sequence[tuple[int, int]]) -> str:
    """The text without these stretches and the white space around them."""
    if not removed:
        return text
    kept: list[str] = []
    position = 0
    for start, end in removed:
        kept.append(text[position:start])
        position = end
    kept.append(text[position:])
    head = kept[0].rstrip()
    return "\n\n".join(part for part in (head, *(p.strip() for p in kept[1:])) if part)
