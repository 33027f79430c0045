"""What happens to one attempted call, and what the answer's verdict is.

Policy decides here and nowhere else: which classes of repairs may run, what a cut-off means,
how many calls one answer may make, and what becomes of duplicates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gptme_reliability import feedback
from gptme_reliability.types import (
    Accept,
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
    """One attempted call after all stages: it may run, or these violations speak against it."""

    call: Call | None
    violations: tuple[Violation, ...] = ()
    repairs: tuple[Repair, ...] = ()
    refused: RefusedCall | None = None


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
    repairs: tuple[Repair, ...] = (),
    extra: tuple[Violation, ...] = (),
    late: tuple[RefusedCall, ...] = (),
) -> Verdict:
    """Put the judged calls of an answer together to one verdict.

    ``extra`` are violations of the answer as a whole, ``late`` calls left out without asking.
    """
    calls: list[Call] = []
    changes = list(repairs)
    violations = list(extra)
    refused = list(late)
    seen: set[str] = set()
    for item in judged:
        if item.call is None:
            violations.extend(item.violations)
            if item.refused is not None:
                refused.append(item.refused)
            continue
        key = _identity(item.call)
        if key in seen:
            name = item.call.name
            changes.append(Repair("duplicate_call", "$", name, None, "inferred", len(calls)))
            continue
        if len(calls) >= policy.max_calls:
            reason = f"more than {policy.max_calls} calls in one answer"
            refused.append(RefusedCall(item.call.name, reason, id=item.call.id))
            continue
        seen.add(key)
        changes.extend(item.repairs)
        calls.append(item.call)
    if not violations:
        return Accept(tuple(calls), text, tuple(changes), tuple(refused))
    standing = tuple(calls) if policy.partial == "stand" else ()
    if not standing:
        held = "held back, since another call of this answer was faulty"
        refused += [RefusedCall(call.name, held, id=call.id) for call in calls]
    return Retry(
        feedback=feedback.render(violations, tools),
        violations=tuple(violations),
        calls=standing,
        text=text,
        repairs=tuple(changes) if standing else (),
        refused=tuple(refused),
    )


def _identity(call: Call) -> str:
    try:
        return f"{call.name} {json.dumps(call.arguments, sort_keys=True)}"
    except (TypeError, ValueError, RecursionError):
        return f"{call.name} {id(call)}"
