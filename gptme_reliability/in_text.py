"""From an answer to a verdict, for a host that has calls written in the text.

::

    read      native calls, and what ``host_reading`` finds in the text
    judge     the stages of ``pipeline``
    write     the calls that stand, where they stood

A call that the host reads as it was meant stays as it is, to the character.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from gptme_reliability import enforce, feedback, intent, loops, order
from gptme_reliability.confidence import doubted, weigh
from gptme_reliability.dialects.cues import INVENTED_RESULT
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.host_reading import HostReader
from gptme_reliability.dialects.host_spans import heads_a_result
from gptme_reliability.dialects.placement import Placement
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.dialects.surroundings import after_leaked_tokens
from gptme_reliability.echo import EchoGuard
from gptme_reliability.enforce import Judged
from gptme_reliability.errors import EncodingError
from gptme_reliability.host_writing import Piece, inert, reads_as, write_call
from gptme_reliability.native import read_native
from gptme_reliability.past_text import past_text_calls
from gptme_reliability.pipeline import (
    LATE,
    cut_native,
    flaws_of,
    is_attempt,
    judged_span,
    unclear_span,
)
from gptme_reliability.settle import settle
from gptme_reliability.types import (
    Accept,
    Call,
    HostFormat,
    ModelOutput,
    Policy,
    RefusedCall,
    Retry,
    ToolDefinition,
    Verdict,
    Violation,
)

_ENDED: Final = frozenset({"stop", "end_turn", "eos", "eos_token", "tool_calls", "stop_sequence"})
"""Finish reasons by which a server says that the model itself ended its answer."""


def check_in_text(
    output: ModelOutput,
    tools: Sequence[ToolDefinition],
    host: HostFormat,
    policy: Policy = Policy(),
    messages: Sequence[Mapping[str, Any]] = (),
) -> Verdict:
    """Decide what may run of one answer; the verdict's text has the calls that stand in it.

    ``tools`` are those that the host runs.  Without any there are no calls.

    Raises:
        ToolDefinitionError: the parameters of a tool in question are no JSON schema.
    """
    if not tools:
        return Accept(text=output.text or "")
    return _Answer(output, tools, host, policy, messages).verdict()


@dataclass(slots=True)
class _Attempt:
    """A stretch of the answer that was looked at, and what was found.

    ``kept`` says that its text stays as it is: the host reads it as it was meant, or it is
    asked about.
    """

    start: int
    end: int
    items: list[Judged]
    kept: bool = False
    own: bool = False


class _Answer:
    def __init__(
        self,
        output: ModelOutput,
        tools: Sequence[ToolDefinition],
        host: HostFormat,
        policy: Policy,
        messages: Sequence[Mapping[str, Any]],
    ) -> None:
        self._output = output
        self._tools = tools
        self._host = host
        self._policy = policy
        self._messages = messages
        self._offered = Offered(tools, host, policy.aliases, policy.resolve)
        self._whole = output.text or ""
        self._text = self._whole[: policy.max_chars]
        self._cut = enforce.was_cut(output.finish_reason)
        self._ended = (output.finish_reason or "").strip().lower() in _ENDED
        self._attempts: list[_Attempt] = []
        self._late: list[RefusedCall] = []
        self._count = 0

    def verdict(self) -> Verdict:
        self._read_native()
        self._read_text()
        self._keep_in_place()
        judged = [item for attempt in self._attempts for item in attempt.items]
        if not judged and not self._late:
            extra = self._about_words()
            verdict = enforce.decide((), self._whole, self._tools, self._policy, extra=extra)
        else:
            verdict = enforce.decide(
                judged, self._whole, self._tools, self._policy, late=tuple(self._late)
            )
        return self._finished(verdict)

    def _keep_in_place(self) -> None:
        """Hold back the calls that are right in themselves, and not in their place."""
        past = partial(past_text_calls, offered=self._offered)
        judged = [item for attempt in self._attempts for item in attempt.items]
        judged = loops.stop(judged, self._messages, self._tools, self._policy, past)
        kept = iter(
            order.keep(judged, self._messages, self._tools, self._policy, past, repeats_run=True)
        )
        for attempt in self._attempts:
            attempt.items = [next(kept) for _ in attempt.items]

    # --- reading --------------------------------------------------------------------------

    def _read_native(self) -> None:
        """Calls on the channel that this host does not read."""
        natives = read_native(self._output.tool_calls or ())
        for index, raw in enumerate(natives):
            struck = self._cut and index == len(natives) - 1
            item = settle(cut_native(raw, struck), self._tools, self._policy, index)
            if weigh(item, self._tools, self._policy, place=0) != "run":
                item = doubted(item, index)
            self._add(len(self._text), len(self._text), [item], native=True)

    def _read_text(self) -> None:
        guard = EchoGuard(self._messages if self._policy.echo_guard else ())
        reader = HostReader(self._text, self._offered, self._messages, ended=self._ended)
        for found in reader.stretches():
            if found.kind != "own":
                self._take_other(found.span, found.placement, guard, found.kind == "near")
            elif found.placement != "call":
                self._take_other(found.span, found.placement, EchoGuard(()), True)
            else:
                self._take_own(found.span, found.lead)

    def _take_own(self, span: Span, lead: str) -> None:
        if self._attempts and INVENTED_RESULT.search(lead) and heads_a_result(lead):
            self._leave_out(span)
            return
        flaws = flaws_of(span, self._text, self._cut, EchoGuard(()))
        written = self._text[span.start : span.end]
        items, names = [], [raw.name or "" for raw in span.calls]
        for position, (raw, flaw) in enumerate(zip(span.calls, flaws, strict=True)):
            index = self._count + position
            if self._offered.is_own(raw.name or "") and raw.flaw is None and flaw is None:
                items.append(Judged(Call(raw.name or "", dict(raw.arguments), None, span.dialect)))
                continue
            raw = replace(raw, flaw=raw.flaw or flaw)
            items.append(settle(raw, self._tools, self._policy, index, span.dialect, written))
        kept = all(item.call is not None and not item.repairs for item in items)
        if kept and self._host.form == "xml" and not all(map(self._offered.is_own, names)):
            calls = [item.call for item in items if item.call is not None]
            kept = reads_as(written, calls, self._offered)
        self._add(span.start, span.end, items, kept=kept, own=True)

    def _take_other(self, span: Span, placement: Placement, guard: EchoGuard, near: bool) -> None:
        if placement == "text" or not (near or is_attempt(span, self._tools)):
            return
        written = self._text[span.start : span.end]
        end = after_leaked_tokens(self._text, span.end)
        if placement == "unclear":
            found = unclear_span(span, self._tools, self._policy, self._count, written)
            self._add(span.start, span.end, found, kept=True)
        elif placement == "late":
            self._leave_out(span)
        else:
            flaws = flaws_of(span, self._text, self._cut, guard)
            found = judged_span(span, flaws, self._tools, self._policy, self._count, written)
            self._add(span.start, end, found)

    def _leave_out(self, span: Span) -> None:
        written = feedback.shorten(self._text[span.start : span.end])
        self._late += [RefusedCall(raw.name, LATE, written) for raw in span.calls]
        self._attempts.append(_Attempt(span.start, span.end, []))

    def _add(
        self,
        start: int,
        end: int,
        items: list[Judged],
        *,
        kept: bool = False,
        own: bool = False,
        native: bool = False,
    ) -> None:
        if not kept:
            items = [self._writable(item, self._count + index) for index, item in enumerate(items)]
        self._count += len(items)
        if items:
            self._attempts.append(_Attempt(start, end, items, kept, own))

    def _writable(self, item: Judged, index: int) -> Judged:
        """The call, as one to be asked about where the host's format cannot carry it."""
        if item.call is None:
            return item
        try:
            write_call(item.call, self._offered)
        except (EncodingError, RecursionError) as error:
            message = f"this call cannot be written in this format: {error}"
            violation = Violation("format", "$", message, tool=item.call.name, call=index)
            refused = RefusedCall(item.call.name, message, dialect=self._host.dialect)
            return Judged(None, (violation,), refused=refused)
        return item

    def _about_words(self) -> tuple[Violation, ...]:
        """Faults of an answer without calls: it says nothing, or it announces one."""
        if not self._whole.strip():
            what = "only reasoning" if (self._output.reasoning or "").strip() else "nothing"
            return (Violation("empty", "$", f"the answer held {what}: no text and no tool call"),)
        if self._cut:
            return ()
        step = intent.announced(self._whole, self._tools, self._messages)
        return (intent.violation(step),) if step else ()

    # --- writing --------------------------------------------------------------------------

    def _finished(self, verdict: Verdict) -> Verdict:
        standing = list(verdict.calls)
        pieces = list(self._pieces(standing))
        text, notes = inert(pieces, self._offered)
        calls = tuple(self._host_call(call) for piece in pieces for call in piece.calls)
        written = tuple(piece.text for piece in pieces if piece.calls)
        repairs = (*verdict.repairs, *notes)
        verdict = replace(verdict, calls=calls, text=text, repairs=repairs, written=written)
        if not isinstance(verdict, Retry):
            return verdict
        told = feedback.render(
            verdict.violations,
            self._tools,
            self._policy,
            verdict.refused,
            verdict.attempted,
            dialect=self._feedback_dialect(verdict.violations),
        )
        return replace(verdict, feedback=told)

    def _feedback_dialect(self, violations: Sequence[Violation]) -> str | None:
        names = {violation.tool for violation in violations}
        layouts = {self._host.layouts.get(name or "") for name in names}
        return None if "json" in layouts else self._host.dialect

    def _host_call(self, call: Call) -> Call:
        return replace(call, dialect=self._host.dialect, id=None)

    def _pieces(self, standing: list[Call]) -> list[Piece]:
        """The answer in stretches: text, and calls as they are to stand there."""
        pieces: list[Piece] = []
        position = 0
        for attempt in sorted(self._attempts, key=lambda one: (one.start, one.end)):
            calls = [
                item.call
                for item in attempt.items
                if item.call is not None and _stands(item.call, standing, attempt.own)
            ]
            every = len(calls) == len(attempt.items)
            if attempt.kept and not attempt.own:
                continue  # asked about: its text stays, and is made inert as text
            pieces.append(Piece(self._text[position : attempt.start]))
            if attempt.kept and every:
                pieces.append(Piece(self._text[attempt.start : attempt.end], tuple(calls)))
            else:
                pieces += [
                    Piece(write_call(call, self._offered), (call,), made=True) for call in calls
                ]
            position = attempt.end
        rest = self._whole[position:]
        return [*pieces, Piece(rest)]


def _stands(call: Call, standing: Sequence[Call], own: bool) -> bool:
    """Whether a call runs; one of the host's own twice is run twice, as it was written."""
    return any(call is other or (own and call == other) for other in standing)
