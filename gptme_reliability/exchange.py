"""Asking again, within a budget: a generator that does no I/O, and its two drivers.

The generator yields requests and receives outputs; whoever drives it sends them any way it
likes.  It ends with the verdict for the host and the log of all attempts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from gptme_reliability import replay
from gptme_reliability.adapters.server_errors import UNREADABLE
from gptme_reliability.budget import About, Budget, Question
from gptme_reliability.enforce import was_cut
from gptme_reliability.errors import RequestRefused
from gptme_reliability.examples import PLACEHOLDER
from gptme_reliability.feedback import DOUBTS, render, shorten
from gptme_reliability.grounding import ungrounded
from gptme_reliability.in_text import check_in_text
from gptme_reliability.ladder import CONSTRAINED, Asked, Ladder, Learned
from gptme_reliability.pipeline import check
from gptme_reliability.respond import spoken
from gptme_reliability.types import (
    Accept,
    Attempted,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Policy,
    RefusedCall,
    Reject,
    Retry,
    Rung,
    Verdict,
    Violation,
)

_REFUSED: Final = "the server refused to be asked again"
_SAME: Final = "nothing else could be said about it"
_UNREAD_CALL: Final = (None, None)
_UNREAD: Final = "the server left the tools out of the prompt"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One answer of the model, what was decided about it, and how it was asked for.

    ``rung`` is None for the host's own request.
    """

    output: ModelOutput
    verdict: Verdict
    rung: Rung | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended.

    ``pending`` is what the model should be told about refused calls together with the results
    of the calls that stand (``Policy.partial == "stand"``), None when there is nothing.
    """

    verdict: Accept | Reject
    attempts: tuple[Attempt, ...]
    pending: str | None = None


_Way: TypeAlias = tuple[Asked, Question]  # what to ask, and how soon
Exchange: TypeAlias = Generator[ModelRequest, ModelOutput, Outcome]


def exchange(
    request: ModelRequest,
    policy: Policy = Policy(),
    facts: ModelFacts | None = None,
    attempts: list[Attempt] | None = None,
    budget: Budget | None = None,
    learned: Learned | None = None,
) -> Exchange:
    """Ask, check, and ask again until the answer may go to the host or the budget is spent.

    Each request yielded is another one than those before: told what was wrong, sampled
    otherwise, or in another shape; ``ladder`` has the ways.  ``attempts`` is a log that each
    attempt is added to as it is judged, for a caller that wants to watch.  ``budget`` is what
    is left for a question that was asked before; without one it is all that the policy allows.
    ``learned`` is what the server has shown of itself, and is added to.

    Whoever drives throws ``RequestRefused`` in where a server does not take a request: the next
    way is taken, and where there is none, the last answer decides; without any it comes out
    again.
    """
    attempts = [] if attempts is None else attempts
    budget = budget or Budget(policy)
    ladder = Ladder(request, policy, facts or ModelFacts(), learned or Learned())
    asked = ladder.first()
    sent = [asked.request]
    wait_s = 0.0
    while True:
        try:
            output = yield replace(asked.request, wait_s=wait_s) if wait_s else asked.request
        except RequestRefused as refusal:
            way = _around(ladder, budget, asked, refusal.tools)
            if way is None or _is_among(sent, way[0].request):
                last = attempts[-1].verdict if attempts else None
                if not isinstance(last, Retry):
                    raise
                return Outcome(give_up(last, len(attempts), _REFUSED), tuple(attempts))
        else:
            verdict = _heard(ladder, asked, output, request, policy, facts)
            anew = None if verdict.calls or verdict.refused else _unread(ladder, budget, asked)
            if anew is not None:
                why_anew = (Violation("tools_unread", "$", _UNREAD),)
                verdict = Retry(_UNREAD, why_anew, text=verdict.text)
            verdict = _grounded(asked, verdict, request, policy, attempts)
            verdict = _filled(asked, verdict, policy, attempts)
            attempts.append(Attempt(output, verdict, asked.rung))
            if not isinstance(verdict, Retry):
                return Outcome(verdict, tuple(attempts), replay.late(verdict, policy))
            if verdict.calls and policy.partial == "stand":
                return Outcome(_standing(verdict), tuple(attempts), replay.pending(verdict, policy))
            again = anew or _again(ladder, budget, attempts, output, verdict)
            if isinstance(again, str) or _is_among(sent, again[0].request):
                why = again if isinstance(again, str) else _SAME
                return Outcome(give_up(verdict, len(attempts), why), tuple(attempts))
            way = again
        asked, question = way
        sent.append(asked.request)
        wait_s = question.wait_s


def _is_among(sent: Sequence[ModelRequest], request: ModelRequest) -> bool:
    """Whether a request is one of those sent."""
    return _said(request) in map(_said, sent)


def _said(request: ModelRequest) -> tuple[Any, ...]:
    """What makes a request another one."""
    return (request.messages, [tool.name for tool in request.tools], request.params)


def _heard(
    ladder: Ladder,
    asked: Asked,
    output: ModelOutput,
    request: ModelRequest,
    policy: Policy,
    facts: ModelFacts | None,
) -> Verdict:
    """The verdict on an answer, with what was said through the tool for talking as its text."""
    if request.host is not None:
        return check_in_text(output, request.tools, request.host, policy, request.messages)
    verdict = check(output, asked.tools, policy, messages=request.messages, facts=facts)
    called = bool(verdict.calls or verdict.refused)
    ladder.heard(asked, called=called)
    if asked.held and not called and was_cut(output.finish_reason):
        # Made to call, it talked to the end: that is no answer to anything.
        cut = (Violation("cut_off", "$", "the output was cut off before any call"),)
        return Retry(render(cut, asked.tools, policy), cut, text=verdict.text)
    return spoken(verdict, output, asked.voice) if asked.voice else verdict


def _grounded(
    asked: Asked,
    verdict: Verdict,
    request: ModelRequest,
    policy: Policy,
    attempts: Sequence[Attempt],
) -> Verdict:
    """The verdict, unless a model that had tried to call was made to write what nobody said."""
    tried = [attempt for attempt in attempts if _has_tried(attempt)]
    if not asked.held or not tried or not verdict.calls:
        return verdict
    faulty = [fault.path for attempt in tried for fault in _violations(attempt)]
    unsaid = ungrounded(verdict.calls, request, [attempt.output for attempt in tried], faulty)
    return _refused(asked, verdict, unsaid, policy) if unsaid else verdict


def _filled(asked: Asked, verdict: Verdict, policy: Policy, attempts: Sequence[Attempt]) -> Verdict:
    """The verdict, unless a native call repeats the placeholder of an example it was shown.

    In text it is one whoever wrote it; a native call may have meant it, unless it was told so.
    """
    shown = f'"{PLACEHOLDER}"'
    if not any(shown in getattr(attempt.verdict, "feedback", "") for attempt in attempts):
        return verdict
    faults = tuple(
        Violation(
            "placeholder",
            f"$.{name}",
            f"{PLACEHOLDER!r} stands where a value should be",
            tool=call.name,
            call=index,
        )
        for index, call in enumerate(verdict.calls)
        for name, value in call.arguments.items()
        if call.dialect is None and value == PLACEHOLDER
    )
    return _refused(asked, verdict, faults, policy) if faults else verdict


def _refused(asked: Asked, verdict: Verdict, found: tuple[Violation, ...], policy: Policy) -> Retry:
    """The verdict with its calls refused for what was found."""
    message, calls = found[0].message, verdict.calls
    left_out = (RefusedCall(one.name, message, shorten(dict(one.arguments))) for one in calls)
    refused = (*verdict.refused, *left_out)
    faults = (*getattr(verdict, "violations", ()), *found)
    told = render(faults, asked.tools, policy, refused)
    return Retry(told, faults, text=verdict.text, repairs=verdict.repairs, refused=refused)


def _has_tried(attempt: Attempt) -> bool:
    return bool(attempt.verdict.refused or attempt.output.tool_calls)


def _standing(verdict: Retry) -> Accept:
    return Accept(verdict.calls, verdict.text, verdict.repairs, verdict.refused, verdict.written)


def _around(ladder: Ladder, budget: Budget, asked: Asked, tools: bool) -> _Way | None:
    """The way around a request that the server does not take."""
    other = ladder.instead(asked, tools=tools)
    question = budget.ask("format", f"refused {asked.held or asked.rung}", fresh=True)
    return None if other is None or isinstance(question, str) else (other, question)


def _unread(ladder: Ladder, budget: Budget, asked: Asked) -> _Way | None:
    """How to ask anew where the model was shown no tools: it could not call any."""
    other = ladder.unread(asked)
    question = None if other is None else budget.ask("format", _UNREAD, fresh=True)
    return (other, question) if other is not None and isinstance(question, Question) else None


def _again(
    ladder: Ladder,
    budget: Budget,
    attempts: Sequence[Attempt],
    output: ModelOutput,
    verdict: Retry,
) -> _Way | str:
    """How the last answer is asked for again; a text says why it is not."""
    failure = _failure(output, verdict)
    about, tried = _about(attempts)
    same = budget.failed_before(failure)
    rung = ladder.next_rung(attempted=tried, same=same or (tried and about == "doubt"))
    if rung in CONSTRAINED:
        about = "format"  # a doubt about a call is asked about once; making it is another matter
    question = budget.ask(about, failure, fresh=rung != "re_ask")
    if isinstance(question, str):
        return question
    closest = _closest(attempts)
    return ladder.again(rung, output, verdict, same=same, attempted=closest), question


def _closest(attempts: Sequence[Attempt]) -> tuple[Attempted, ...]:
    """The calls to correct, out of the attempts at the same calls as the last one.

    Of these it is the one with the fewest faults, of several the first: told what was wrong, a
    weak model often forgets what was right.  What it wanted before it wanted something else is
    past, and a doubt is nothing to correct.
    """
    found = [
        attempt.verdict
        for attempt in attempts
        if isinstance(attempt.verdict, Retry) and attempt.verdict.attempted
    ]
    if not found or _rules(attempts[-1]) & DOUBTS:
        return ()
    last = found[-1].attempted
    same = [verdict for verdict in found if _are_alike(verdict.attempted, last)]
    return min(same, key=lambda verdict: len(verdict.violations)).attempted


def _are_alike(some: Sequence[Attempted], others: Sequence[Attempted]) -> bool:
    """Whether these are as many calls of the same tools, as far as they could be read."""
    return len(some) == len(others) and all(
        one.name == other.name
        or _UNREAD_CALL in ((one.name, one.arguments), (other.name, other.arguments))
        for one, other in zip(some, others, strict=True)
    )


def _about(attempts: Sequence[Attempt]) -> tuple[About, bool]:
    """What the last answer is to be asked about, and whether the model tried to call.

    A model that was told that it announced a call and made none, and does so again, has tried.
    """
    last = attempts[-1]
    rules = _rules(last)
    if rules - {"held"} == {"loop"}:
        return "loop", False
    if rules == {"intent"}:
        return "doubt", sum(_rules(attempt) == {"intent"} for attempt in attempts) == 2
    if rules - {"held"} <= DOUBTS:
        return "doubt", False
    if rules - {"held"} == {"order"}:
        return "format", False  # it calls well enough; what it needs is another plan
    tried = bool(last.verdict.refused or last.output.tool_calls)
    return "format", tried or last.output.finish_reason == UNREADABLE or "cut_off" in rules


def _rules(attempt: Attempt) -> set[str]:
    return {violation.rule for violation in _violations(attempt)}


def _violations(attempt: Attempt) -> Sequence[Violation]:
    return getattr(attempt.verdict, "violations", ())


def _failure(output: ModelOutput, verdict: Retry) -> str:
    """A digest of what was wrong and of the calls it was wrong with; ids and text aside."""
    faults = [(v.rule, v.path, v.tool, v.message, v.written) for v in verdict.violations]
    calls = [raw.get("function") if isinstance(raw, Mapping) else raw for raw in output.tool_calls]
    written = [(refused.name, refused.written) for refused in verdict.refused]
    try:
        said = repr((faults, calls, written))
    except (ValueError, RecursionError):  # nested too deeply, or a number too long
        said = repr([v.rule for v in verdict.violations])
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]


def give_up(verdict: Retry, attempts: int, why: str = "") -> Reject:
    """The verdict when nothing more is asked: what stands stands, the rest is refused.

    ``why`` says what ended it, unless it is the number of attempts.
    """
    faults = "; ".join(dict.fromkeys(v.message for v in verdict.violations))
    times = "" if attempts == 1 else f" after {attempts} attempts"
    return Reject(
        reason=f"{faults}{times}" + (f"; {why}" if why else ""),
        violations=verdict.violations,
        calls=verdict.calls,
        text=verdict.text,
        repairs=verdict.repairs,
        refused=verdict.refused,
        written=verdict.written,
    )


def drive(
    steps: Exchange,
    send: Callable[[ModelRequest], ModelOutput],
    wait: Callable[[float], object] | None = None,
) -> Outcome:
    """Run an exchange with a blocking ``send``; what it raises ends the exchange.

    A ``RequestRefused`` that it raises is told to the exchange first, and ends it with its
    cause where there is no other way to ask.
    ``wait`` lets the seconds pass that a re-ask should wait (``time.sleep``); without one
    nobody waits, which is right for a server that serves nobody else.
    """
    request = next(steps)
    while True:
        if wait is not None and request.wait_s:
            wait(request.wait_s)
        try:
            try:
                output = send(request)
            except RequestRefused as refusal:
                request = _instead(steps, refusal)
            else:
                request = steps.send(output)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome


async def drive_async(
    steps: Exchange,
    send: Callable[[ModelRequest], Awaitable[ModelOutput]],
    wait: Callable[[float], Awaitable[object]] | None = None,
) -> Outcome:
    """The same with an awaitable ``send`` and ``wait`` (``asyncio.sleep``)."""
    request = next(steps)
    while True:
        if wait is not None and request.wait_s:
            await wait(request.wait_s)
        try:
            try:
                output = await send(request)
            except RequestRefused as refusal:
                request = _instead(steps, refusal)
            else:
                request = steps.send(output)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome


def _instead(steps: Exchange, refusal: RequestRefused) -> ModelRequest:
    """What to send instead; the server's own error where there is nothing."""
    try:
        return steps.throw(refusal)
    except RequestRefused:
        raise refusal.__cause__ or refusal from None
