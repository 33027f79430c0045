"""Whether a call that may run would only repeat what led nowhere.

Three shapes are told from the calls and results since the user last spoke: the same call with
the same result, the same call failing in the same way, and two calls and no other, in whatever
order, with the same results.  Anything done in between is no loop: a file may be read again
after each change.  A call whose results differ is no loop either; it may wait for something.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final

from gptme_reliability.enforce import Judged
from gptme_reliability.feedback import shorten
from gptme_reliability.past_calls import PastCall, ReadPast, call_key, past_calls
from gptme_reliability.types import Call, Policy, RefusedCall, ToolDefinition, Violation

_MOST_MESSAGES: Final = 40
# Whoever waits in between may see something else the next time.
_WAITS: Final = re.compile(r"\b(?:sleep|wait|poll|watch)", re.IGNORECASE)


def stop(
    judged: Sequence[Judged],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[ToolDefinition],
    policy: Policy,
    read_past: ReadPast = past_calls,
) -> list[Judged]:
    """The calls of an answer, those that would go on with a loop as ones to be asked about."""
    if not policy.loops or not messages or all(item.call is None for item in judged):
        return list(judged)
    made = read_past(messages[-_MOST_MESSAGES:])
    if not made:
        return list(judged)
    reading = {tool.name for tool in tools if tool.read_only is True}
    stopped: list[Judged] = []
    for index, item in enumerate(judged):
        call = item.call
        fault = None
        if call is not None:
            fault = _loop(call, made, policy.loops, reads=call.name in reading)
        stopped.append(item if call is None or fault is None else _refused(call, index, fault))
    return stopped


def _loop(call: Call, made: Sequence[PastCall], least: int, *, reads: bool) -> str | None:
    """What is wrong with making this call now, if it goes on with a loop."""
    wanted = call_key(call.name, call.arguments) if made else None
    if wanted is None or _WAITS.search(wanted):
        return None
    run = list(takewhile(lambda one: one.name == call.name and one.call == wanted, made))
    if run and run[0].result is not None:
        same = _run(one.result == run[0].result for one in run)
        if same >= least and (reads or run[0].informs):
            return f"this call was made {same} times in a row with the same result"
        failed = _run(one.failure == run[0].failure for one in run) if run[0].failure else 0
        # A tool that only reads may be asked until its answer changes.
        if failed >= least and not reads:
            return f"this call failed {failed} times in a row in the same way"
    other = next((one for one in made if one.call != wanted), None)
    if other is None or not (reads or other.informs or any(one.informs for one in made[:2])):
        return None
    turns = _turns(wanted, other, made)
    if turns >= max(least, 2):
        return (
            f"this call and one of {other.name} took turns {turns} times, "
            "always with the same results"
        )
    return None


def _turns(wanted: str, other: PastCall, made: Sequence[PastCall]) -> int:
    """How often each of two calls was made, nothing else beside them, with the same results."""
    first: dict[str | None, PastCall] = {other.call: other}
    times = {wanted: 0, other.call: 0}
    if other.call is None or _WAITS.search(other.call):
        return 0
    for one in made:
        if one.call not in times or one.result is None:
            break
        if one.result != first.setdefault(one.call, one).result:
            break
        times[one.call] += 1
    return min(times.values())


def _run(holds: Iterator[bool]) -> int:
    """How long something holds from the start on."""
    return sum(1 for _ in takewhile(bool, holds))


def _refused(call: Call, index: int, message: str) -> Judged:
    written = shorten(call.arguments)
    violation = Violation("loop", "$", message, written, tool=call.name, call=index)
    refused = RefusedCall(call.name, message, written, call.id, call.dialect)
    return Judged(None, (violation,), refused=refused)
