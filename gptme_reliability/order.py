"""Whether a call that may run comes too early, or too late: ``Policy.order``.

A step counts as taken when the tool was called with success since the user last spoke, or
stands earlier in the same answer.  Once taken it stays so, whatever follows.  A call without a
result does not count, nor does one whose result says that it failed.  What a tool that only
reads returns may speak of errors without being one: only its first line is judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gptme_reliability.enforce import Judged, repetition_key
from gptme_reliability.feedback import shorten
from gptme_reliability.past_calls import PastCall, ReadPast, as_json, past_calls
from gptme_reliability.types import Call, Order, Policy, RefusedCall, ToolDefinition, Violation


def keep(
    judged: Sequence[Judged],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[ToolDefinition],
    policy: Policy,
    read_past: ReadPast = past_calls,
    *,
    repeats_run: bool = False,
) -> list[Judged]:
    """The calls of an answer, those that come before what they need as ones to be asked about.

    Calls behind a terminal one that stands are refused without a question: they came too late.
    ``repeats_run`` says that the host runs an exact repetition again.
    """
    order = policy.order
    if order is None:
        return list(judged)
    bound = {*order.terminal, *(one.tool for one in order.before)}
    if not any(item.call is not None and item.call.name in bound for item in judged):
        return list(judged)
    record = _Record(order, read_past(messages), tools, repeats_run=repeats_run)
    return [record.judge(item, index) for index, item in enumerate(judged)]


@dataclass(frozen=True, slots=True)
class _Step:
    """A call of a tool, with the value of one argument as JSON where that matters."""

    tool: str
    argument: str | None = None
    value: str | None = None


class _Record:
    """What was done so far; the calls of the answer are judged in their order."""

    def __init__(
        self,
        order: Order,
        made: Sequence[PastCall],
        tools: Sequence[ToolDefinition],
        *,
        repeats_run: bool,
    ) -> None:
        self._order = order
        self._repeats_run = repeats_run
        self._offered = {tool.name for tool in tools}
        self._done: set[_Step] = set()
        self._failed: set[_Step] = set()
        self._standing: set[str] = set()
        self._ended_by: str | None = None
        reading = {tool.name for tool in tools if tool.read_only is True}
        needed = {*order.required, *(one.needs for one in order.before)}
        for one in made:
            if one.name not in needed or one.result is None:
                continue
            steps = set(_taken(one, order))
            if not steps <= self._done:
                failed = _failed(one, reads=one.name in reading)
                (self._failed if failed else self._done).update(steps)

    def judge(self, item: Judged, index: int) -> Judged:
        """The next call, held back where it is not in its place."""
        call = item.call
        if self._ended_by is not None:
            # An exact repetition counts as the call that it repeats, where it is no other run.
            repeats = call is not None and repetition_key(call) in self._standing
            return item if repeats and not self._repeats_run else _too_late(item, self._ended_by)
        if call is None:
            return item
        missing = [step for step in _needed(call, self._order) if step not in self._done]
        if missing:
            return self._too_early(call, index, missing)
        self._done.update(_taken(call, self._order))
        self._standing.add(repetition_key(call))
        if call.name in self._order.terminal:
            self._ended_by = call.name
        return item

    def _too_early(self, call: Call, index: int, missing: Sequence[_Step]) -> Judged:
        violations = tuple(self._violation(call, index, step) for step in missing)
        reason = "; ".join(violation.message for violation in violations)
        written = shorten(call.arguments)
        refused = RefusedCall(call.name, reason, written, call.id, call.dialect)
        return Judged(None, violations, refused=refused)

    def _violation(self, call: Call, index: int, step: _Step) -> Violation:
        """``allowed`` is the tool that is to be called instead, if it can be."""
        path = f"$.{step.argument}" if step.argument else "$"
        tool = shorten(step.tool)
        if step.tool not in self._offered:
            message = f"{tool} has to be called first, and is not on offer"
            return Violation("order", path, message, tool=call.name, call=index)
        message = f"call {tool} first"
        if step.value is not None:
            shown = shorten(json.loads(step.value))
            message = f"call {tool} with {step.argument}={shown} first"
        if step in self._failed:
            message = f"{message}; the last time it failed"
        return Violation("order", path, message, None, step.tool, call.name, index)


def _needed(call: Call, order: Order) -> list[_Step]:
    """The steps that must have been taken before this call, each once."""
    required = order.required if call.name in order.terminal else ()
    steps = [_Step(name) for name in required]
    for one in order.before:
        if one.tool == call.name:
            steps.append(_step(one.needs, one.same, call.arguments))
    return list(dict.fromkeys(steps))


def _taken(call: Call | PastCall, order: Order) -> Iterator[_Step]:
    """The steps that this call is, in every detail that somebody may need."""
    yield _Step(call.name)
    for one in order.before:
        if one.needs == call.name:
            yield _step(one.needs, one.same, call.arguments)


def _step(tool: str, argument: str | None, arguments: Mapping[str, Any]) -> _Step:
    """A call of a tool with the value that ``argument`` has here; any call where it has none."""
    if argument is None or argument not in arguments:
        return _Step(tool)
    value = as_json(arguments[argument])
    return _Step(tool) if value is None else _Step(tool, argument, value)


def _failed(one: PastCall, *, reads: bool) -> bool:
    return one.begins_as_failure if reads else one.failure is not None


def _too_late(item: Judged, ended_by: str) -> Judged:
    reason = (
        f"it stands behind {shorten(ended_by)}, and nothing runs behind that in the same answer"
    )
    call, refused = item.call, item.refused
    if refused is None and call is not None:
        refused = RefusedCall(call.name, reason, shorten(call.arguments), call.id, call.dialect)
    return Judged(None, refused=refused and replace(refused, reason=reason))
