"""The state of a run: the conversation between asking and running, without any I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from gptme_reliability.adapters.openai_history import known_ids
from gptme_reliability.adapters.openai_ids import assign_ids
from gptme_reliability.adapters.openai_response import (
    call_extras,
    sum_usage,
    total_tokens,
    write_call,
)
from gptme_reliability.budget import Budget
from gptme_reliability.exchange import Attempt, Exchange, Outcome, exchange
from gptme_reliability.ladder import Learned
from gptme_reliability.refusals import final_text, refusal_lines, with_refusals
from gptme_reliability.surfaces.answers import WholeAnswer
from gptme_reliability.surfaces.python_tools import PythonTool
from gptme_reliability.surfaces.tool_calls import CallResult, Job, interrupted, not_run
from gptme_reliability.types import (
    Call,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Policy,
    Reject,
    Repair,
    Retry,
)

Stopped: TypeAlias = Literal["answered", "max_answers", "rejected", "interrupted"]
"""Why a run ended.

``answered``: the model had no more calls to make.  ``max_answers``: it went on calling.
``rejected``: what it wrote could not be run however often it was asked, or its calls failed
again and again.  ``interrupted``: by Ctrl-C, or by cancelling.
"""

EventKind: TypeAlias = Literal["asked", "called", "returned", "failed", "answered", "stopped"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    ``text`` is the answer; for a run that was rejected it says what was not run and why.
    ``messages`` is the whole conversation in OpenAI's form, well-formed however the run ended,
    without the attempts that were asked for again; those stand in ``attempts``.
    ``calls`` are the calls that were to run, in order, with what the model reads as results.
    ``repairs`` is every change that was made to what the model wrote before it ran.
    ``usage`` is the sum over all requests, None when the server said nothing.
    """

    text: str
    messages: tuple[Mapping[str, Any], ...]
    calls: tuple[CallResult, ...]
    attempts: tuple[Attempt, ...]
    repairs: tuple[Repair, ...]
    usage: Mapping[str, Any] | None
    stopped: Stopped


@dataclass(frozen=True, slots=True)
class Event:
    """Progress of a run.

    ``asked``: a request is about to be sent; ``text`` is the feedback when it is sent again.
    ``called``: a ``call`` is about to run.  ``returned`` and ``failed``: it has, with ``text``.
    ``answered`` and ``stopped`` come last, with the ``result``.  ``number`` counts the
    model's answers from 1; one that is asked for again is still the same.
    """

    kind: EventKind
    number: int
    text: str = ""
    call: Call | None = None
    result: RunResult | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a run may go: answers, answers in a row that only fail, seconds for a call."""

    answers: int
    failures: int
    timeout: float | None


@dataclass(slots=True)
class _Answer:
    """An answer whose calls run; ``pending`` is to be said together with their results."""

    message: dict[str, Any]
    results: list[CallResult]
    pending: str | None


class Run:
    """Stepped by whoever does the I/O: ``exchange``, ``take``, ``close_answer``, until ``over``."""

    def __init__(
        self,
        request: ModelRequest,
        tools: Mapping[str, PythonTool],
        policy: Policy,
        facts: ModelFacts,
        limits: Limits,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self._tools = tools
        self._request = replace(request, tools=tuple(t.definition for t in tools.values()))
        self._policy = policy
        self._facts = facts
        self._limits = limits
        self._on_event = on_event
        self._messages: list[Mapping[str, Any]] = list(request.messages)
        self._attempts: list[list[Attempt]] = []  # of each answer
        self._budget = Budget(policy)  # of the answer at hand
        self._learned = Learned()
        self._asked = request
        self._usages: list[Mapping[str, Any] | None] = []
        self._repairs: list[Repair] = []
        self._calls: list[CallResult] = []
        self._failures = 0  # answers in a row
        self._answer: _Answer | None = None
        self._text = ""
        self._stopped: Stopped = "interrupted"  # unless it comes to an end
        self.over = False

    # --- one answer -----------------------------------------------------------------------

    def exchange(self) -> Exchange:
        """The next exchange with the model."""
        attempts: list[Attempt] = []
        self._attempts.append(attempts)
        self._budget = Budget(self._policy)
        request = replace(self._request, messages=tuple(self._messages))
        return exchange(request, self._policy, self._facts, attempts, self._budget, self._learned)

    def asking(self, request: ModelRequest) -> None:
        """A request is about to be sent."""
        self._asked = request
        attempts = self._attempts[-1]
        verdict = attempts[-1].verdict if attempts else None
        self._tell("asked", verdict.feedback if isinstance(verdict, Retry) else "")

    def heard(self, answer: WholeAnswer, seconds: float) -> ModelOutput:
        """An answer came, after so many seconds."""
        self._usages.append(answer.usage)
        tokens = self._budget.tokens(total_tokens(answer.usage), self._asked, answer.output)
        self._budget.charge(tokens, seconds)
        return answer.output

    def take(self, outcome: Outcome) -> list[Job]:
        """The calls that are to run; without any the run is over."""
        verdict = outcome.verdict
        calls, named = assign_ids(verdict.calls, bool, known_ids(self._messages))
        self._repairs += (*verdict.repairs, *named)
        if not calls:
            self._text = final_text(verdict) or with_refusals(verdict)
            self._messages.append({"role": "assistant", "content": self._text})
            self._stop("rejected" if isinstance(verdict, Reject) else "answered")
            return []
        self._text = verdict.text
        extras = call_extras(outcome.attempts[-1].output.tool_calls)
        message = {
            "role": "assistant",
            "content": verdict.text or None,
            "tool_calls": [write_call(call, extras) for call in calls],
        }
        refused = "\n".join(refusal_lines(verdict)) if isinstance(verdict, Reject) else None
        self._answer = _Answer(
            message, [not_run(call) for call in calls], outcome.pending or refused
        )
        return [self._job(position, call) for position, call in enumerate(calls)]

    def called(self, job: Job) -> None:
        """A call is about to run."""
        self._tell("called", call=job.call)
        self._note(job, interrupted(job.call))

    def ended(self, job: Job, result: CallResult) -> None:
        """A call has its result."""
        self._note(job, result)
        self._tell("failed" if result.failed else "returned", result.content, job.call)

    def close_answer(self) -> None:
        """All calls of the answer have run: their results go into the conversation."""
        answer = self._record()
        if answer is None:
            return
        failed = all(result.failed for result in answer.results)
        self._failures = self._failures + 1 if failed else 0
        if self._failures >= self._limits.failures:
            self._stop("rejected")
            self._text = f"(stopped: all calls of {self._failures} answers in a row failed)"
        elif len(self._attempts) >= self._limits.answers:
            self._stop("max_answers")

    def _record(self) -> _Answer | None:
        """The answer at hand, which becomes part of the conversation."""
        answer, self._answer = self._answer, None
        if answer is not None:
            self._calls += answer.results
            self._messages += [answer.message, *_result_messages(answer)]
        return answer

    # --- the end --------------------------------------------------------------------------

    def interrupt(self) -> RunResult:
        """The run was interrupted wherever it was."""
        self._record()
        return self.finish()

    def finish(self) -> RunResult:
        """How the run ended."""
        result = RunResult(
            text=self._text,
            messages=tuple(self._messages),
            calls=tuple(self._calls),
            attempts=tuple(attempt for answer in self._attempts for attempt in answer),
            repairs=tuple(self._repairs),
            usage=sum_usage(self._usages),
            stopped=self._stopped,
        )
        self._tell("answered" if result.stopped == "answered" else "stopped", result=result)
        return result

    def _stop(self, why: Stopped) -> None:
        self._stopped = why
        self.over = True

    def _job(self, position: int, call: Call) -> Job:
        tool = self._tools[call.name]
        timeout = self._limits.timeout if tool.timeout is None else tool.timeout
        return Job(position, call, tool, timeout)

    def _note(self, job: Job, result: CallResult) -> None:
        if self._answer is not None:
            self._answer.results[job.position] = result

    def _tell(
        self,
        kind: EventKind,
        text: str = "",
        call: Call | None = None,
        result: RunResult | None = None,
    ) -> None:
        if self._on_event is not None:
            self._on_event(Event(kind, len(self._attempts), text, call, result))


def _result_messages(answer: _Answer) -> list[dict[str, Any]]:
    """A tool message for each call; the last one also says what is pending."""
    contents = [result.content for result in answer.results]
    if answer.pending:
        contents[-1] = f"{contents[-1]}\n\n{answer.pending}"
    return [
        {"role": "tool", "tool_call_id": result.call.id, "content": content}
        for result, content in zip(answer.results, contents, strict=True)
    ]
