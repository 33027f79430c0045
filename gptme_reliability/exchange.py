"""Asking again, within a budget: a generator that does no I/O, and its two drivers.

The generator yields requests and receives outputs; whoever drives it sends them any way it
likes.  It ends with the verdict for the host and the log of all attempts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, replace
from typing import TypeAlias

from gptme_reliability import feedback
from gptme_reliability.pipeline import check
from gptme_reliability.types import (
    Accept,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Policy,
    Reject,
    Retry,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer of the model and what was decided about it."""

    output: ModelOutput
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended.

    ``pending`` is what the model should be told about refused calls together with the results
    of the calls that stand (``Policy.partial == "stand"``), None when there is nothing.
    """

    verdict: Accept | Reject
    attempts: tuple[Attempt, ...]
    pending: str | None = None


Exchange: TypeAlias = Generator[ModelRequest, ModelOutput, Outcome]


def exchange(
    request: ModelRequest,
    policy: Policy = Policy(),
    facts: ModelFacts | None = None,
    attempts: list[Attempt] | None = None,
) -> Exchange:
    """Ask, check, and ask again until the answer may go to the host or the budget is spent.

    The first request yielded is ``request`` itself; later ones carry the failed answer and
    what was wrong with it as further messages.  ``attempts`` is a log that each attempt is added
    to as it is judged, for a caller that wants to watch.
    """
    attempts = [] if attempts is None else attempts
    asked = request
    while True:
        output = yield asked
        verdict = check(output, request.tools, policy, messages=request.messages, facts=facts)
        attempts.append(Attempt(output, verdict))
        if not isinstance(verdict, Retry):
            return Outcome(verdict, tuple(attempts), _late_feedback(verdict))
        if verdict.calls and policy.partial == "stand":
            accepted = Accept(verdict.calls, verdict.text, verdict.repairs, verdict.refused)
            return Outcome(accepted, tuple(attempts), feedback.pending(verdict))
        doubted = feedback.doubts_only(verdict.violations)
        # Whether something was meant is asked once: an explanation may rightly stay one.
        if len(attempts) > (min(policy.retries, 1) if doubted else policy.retries):
            return Outcome(give_up(verdict, len(attempts)), tuple(attempts))
        added = feedback.messages(output, verdict)
        asked = replace(asked, messages=(*asked.messages, *added))


def give_up(verdict: Retry, attempts: int) -> Reject:
    """The verdict when nothing more is asked: what stands stands, the rest is refused."""
    faults = "; ".join(dict.fromkeys(v.message for v in verdict.violations))
    times = "" if attempts == 1 else f" after {attempts} attempts"
    return Reject(
        reason=f"{faults}{times}",
        violations=verdict.violations,
        calls=verdict.calls,
        text=verdict.text,
        repairs=verdict.repairs,
        refused=verdict.refused,
    )


def _late_feedback(verdict: Accept | Reject) -> str | None:
    if not isinstance(verdict, Accept) or not (verdict.calls and verdict.refused):
        return None
    reasons = "\n".join(f"- {r.name or 'tool call'}: {r.reason}" for r in verdict.refused)
    return f"Besides this, something was not run:\n{reasons}"


def drive(steps: Exchange, send: Callable[[ModelRequest], ModelOutput]) -> Outcome:
    """Run an exchange with a blocking ``send``; what it raises ends the exchange."""
    request = next(steps)
    while True:
        try:
            request = steps.send(send(request))
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome


async def drive_async(
    steps: Exchange, send: Callable[[ModelRequest], Awaitable[ModelOutput]]
) -> Outcome:
    """Run an exchange with an awaitable ``send``; what it raises ends the exchange."""
    request = next(steps)
    while True:
        output = await send(request)
        try:
            request = steps.send(output)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
