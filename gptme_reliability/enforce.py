"""What happens to one attempted call, and what the answer's verdict is.

Policy decides here and nowhere else: which classes of repairs may run, what a cut-off means,
how many calls one answer may make, and what becomes of duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gptme_reliability import feedback
from gptme_reliability.past_calls import call_key
from gptme_reliability.sentences import HELD
from gptme_reliability.types import (
    Accept,
    Attempted,
    Call,
    Policy,
    RefusedCall,
    Repair,
    Retry,
    ToolDefinition,
    Verdict,
    Violation,
)

CUT_OFF_REASONS: Final = frozenset(
    {
        "length",
        "max_tokens",
        "max_output_tokens",
        "model_length",
        "disconnected",
        "content_filter",
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "incomplete",
        "interrupted",
        "timeout",
    }
)
"""Finish reasons that say the output was cut or broken off; others count as ended by itself."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One attempted call after all stages: it may run, or these violations speak against it.

    ``attempted`` is what of it can be corrected, None where it is not its form that is wrong.
    """

    call: Call | None
    violations: tuple[Violation, ...] = ()
    repairs: tuple[Repair, ...] = ()
    refused: RefusedCall | None = None
    attempted: Attempted | None = None


def was_cut(finish_reason: str | None) -> bool:
    """Whether somebody said that the output was cut off."""
    return isinstance(finish_reason, str) and finish_reason.strip().lower() in CUT_OFF_REASONS


def forbidden(repairs: Sequence[Repair], policy: Policy) -> list[Repair]:
    """The repairs of classes that the policy does not let run."""
    return [r for r in repairs if r.kind != "presentation" and r.kind not in policy.allow]


def decide(
    judged: Sequence[Judged],
    text: str,
    tools: Sequence[ToolDefinition],
    policy: Policy,
    extra: tuple[Violation, ...] = (),
    late: tuple[RefusedCall, ...] = (),
) -> Verdict:
    """Put the judged calls of an answer together to one verdict.

    ``extra`` are violations of the answer as a whole, ``late`` calls left out without asking.
    """
    attempts = _without_duplicates(judged)
    surplus = len(attempts) + len(late) - policy.max_calls
    attempts = attempts[: policy.max_calls]
    late = late[: policy.max_calls - len(attempts)]
    violations = [*extra, *(v for item in attempts for v in item.violations)]
    refused = [*late, *(item.refused for item in attempts if item.refused is not None)]
    held = _held(attempts, tools, policy) if violations else []
    waiting = {id(item) for item in held}
    standing = [i for i in attempts if i.call is not None and id(i) not in waiting]
    if held:
        violations.append(_about_held(held))
        refused += [_refused(item, HELD) for item in held]
    if surplus > 0:
        # One line: a run-away answer must not flood whoever reads this.
        reason = f"{surplus} more calls were left out; one answer may make {policy.max_calls}"
        refused.append(RefusedCall(None, reason))
    calls = tuple(item.call for item in standing if item.call is not None)
    changes = tuple(r for item in standing for r in item.repairs)
    if not violations:
        return Accept(calls, text, changes, tuple(refused))
    attempted = _correctable([i for i in attempts if i.call is None or id(i) in waiting])
    return Retry(
        feedback=feedback.render(violations, tools, policy, refused, attempted),
        violations=tuple(violations),
        calls=calls,
        text=text,
        repairs=changes if calls else (),
        refused=tuple(refused),
        attempted=attempted,
    )


def _correctable(asked: Sequence[Judged]) -> tuple[Attempted, ...]:
    """What is asked for again, if all of it can be corrected; what was written twice, once."""
    found: dict[str, Attempted] = {}
    for item in asked:
        call = item.call
        one = item.attempted if call is None else Attempted(call.name, call.arguments)
        if one is None:
            return ()
        found.setdefault(_likeness(one), one)
    return tuple(found.values())


def _likeness(one: Attempted) -> str:
    """The same text for attempts at the same call, as far as they could be read."""
    key = None if one.arguments is None else call_key(one.name or "", one.arguments)
    return key or f"unread {id(one)}"


def _without_duplicates(judged: Sequence[Judged]) -> Sequence[Judged]:
    """The attempts without exact repetitions of calls; a repair says how often one was written."""
    if len(judged) < 2:
        return judged
    kept: dict[str, tuple[int, Judged]] = {}
    times: Counter[str] = Counter()
    for index, item in enumerate(judged):
        key = f"fault {index}" if item.call is None else repetition_key(item.call)
        times[key] += 1
        kept.setdefault(key, (index, item))
    return [
        item if times[key] == 1 else _noted_repetition(item, index, times[key])
        for key, (index, item) in kept.items()
    ]


def _noted_repetition(item: Judged, index: int, times: int) -> Judged:
    note = Repair("duplicate_call", "$", times, 1, "inferred", index)
    return replace(item, repairs=(*item.repairs, note))


def _held(
    attempts: Sequence[Judged], tools: Sequence[ToolDefinition], policy: Policy
) -> list[Judged]:
    """The good calls that wait for a faulty one: see ``Policy``."""
    if policy.partial == "hold":
        return [item for item in attempts if item.call is not None]
    reading = {tool.name for tool in tools if tool.read_only is True}
    writing = {tool.name for tool in tools if tool.read_only is False}
    if policy.order is not None:
        # What ends the work must not end it before what was asked for again.
        writing.update(policy.order.terminal)
    faulty = False
    for index, item in enumerate(attempts):
        if item.call is None:
            faulty = faulty or not (item.refused and item.refused.name in reading)
        elif faulty and item.call.name in writing:
            return [later for later in attempts[index:] if later.call is not None]
    return []


def _about_held(held: Sequence[Judged]) -> Violation:
    names = ", ".join(dict.fromkeys(item.call.name for item in held if item.call is not None))
    message = f"not run either, since another call of the answer was faulty: {names}; "
    return Violation("held", "$", message + "write what is still needed again with it")


def _refused(item: Judged, reason: str) -> RefusedCall:
    call = item.call
    if call is None:
        return RefusedCall(None, reason)
    return RefusedCall(call.name, reason, id=call.id, dialect=call.dialect)


def repetition_key(call: Call) -> str:
    """The same text for exact repetitions of a call; one that cannot be written is its own."""
    return call_key(call.name, call.arguments) or f"unwritten {id(call)}"
