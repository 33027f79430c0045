"""One exchange, stepped by a surface that puts its I/O between the steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any

from gptme_reliability.adapters.openai_history import known_ids
from gptme_reliability.adapters.openai_ids import assign_ids
from gptme_reliability.adapters.openai_response import total_tokens
from gptme_reliability.adapters.server_errors import refusal
from gptme_reliability.errors import RequestRefused
from gptme_reliability.exchange import Attempt, Outcome, exchange, give_up
from gptme_reliability.refusals import final_text, with_refusals
from gptme_reliability.surfaces.host import Piece, Saying, Settings
from gptme_reliability.surfaces.reading import IN_THE_PROMPT
from gptme_reliability.surfaces.streaming import cleared
from gptme_reliability.surfaces.task import Task
from gptme_reliability.types import (
    Accept,
    Call,
    HostFormat,
    ModelOutput,
    ModelRequest,
    Repair,
    Retry,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """What the host gets.

    ``attempt`` is the position of the attempt that it comes from; ``untouched`` says that the
    server's own bytes already say all of it.
    """

    outcome: Outcome
    attempt: int
    reasoning: str | None
    text: str
    calls: tuple[Call, ...]
    repairs: tuple[Repair, ...]
    untouched: bool


class Asking:
    """Steps an exchange and turns its outcome into what the host gets.

    ``shown`` tells, for a streamed answer, what the host was shown of all attempts but the one
    at a position.  What a failed attempt said before its fault stays: a stream has shown it,
    and an answer in one piece begins with it.
    ``request`` is what is to be sent, or was sent last.
    """

    def __init__(self, task: Task, shown: Callable[[int], Sequence[Piece]] | None = None) -> None:
        self._task = task
        self._shown = shown
        self._attempts: list[Attempt] = []
        policy = task.settings.policy
        self._budget = task.memory.budgets.open(task.question, policy)
        self._learned = task.memory.servers.of(task.settings.model)
        self._steps = exchange(
            task.request,
            policy,
            task.settings.facts,
            self._attempts,
            self._budget,
            self._learned,
        )
        self._since = monotonic()
        self.request = next(self._steps)

    def refused(self, response: Any) -> ModelRequest | None:
        """What to send instead of a request that the server does not take; None for nothing.

        Then it is to be given up.
        """
        why = refusal(response.status_code, response.content)
        if why is None:
            return None
        had_tools = not self._learned.lost("tools")
        try:
            self.request = self._steps.throw(why)
        except (RequestRefused, StopIteration):
            return None
        if had_tools and self._learned.lost("tools"):
            self._task.notes.append(f"the server takes no tools for this model; {IN_THE_PROMPT}")
        self._task.memory.budgets.keep(self._task.question, self._budget)
        return self.request

    def answer(
        self, output: ModelOutput, usage: Mapping[str, Any] | None = None
    ) -> ModelRequest | Ending:
        """Take the model's answer and what it used; return what to send next, or the end."""
        tokens = self._budget.tokens(total_tokens(usage), self.request, output)
        self._budget.charge(tokens, monotonic() - self._since)
        self._since = monotonic()
        task = self._task
        try:
            request = self._steps.send(output)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            if isinstance(outcome.verdict, Accept):
                task.memory.budgets.settle(task.question)
            else:
                task.memory.budgets.keep(task.question, self._budget)
            return self._ending(outcome, len(outcome.attempts) - 1)
        # Counted before it is sent: whoever loses the connection will ask the same again.
        task.memory.budgets.keep(task.question, self._budget)
        self.request = request
        return request

    def announce(self) -> None:
        """Tell the host that the model is about to be asked again."""
        verdict = self._attempts[-1].verdict if self._attempts else None
        if isinstance(verdict, Retry):
            asked, retries = self._budget.spent.asked, self._task.settings.policy.retries
            self._task.host.asking_again(asked, max(asked, retries), verdict)

    def give_up(self, why: str) -> Ending | None:
        """The model cannot be asked again: the end, from the last answer that says anything.

        None when no answer so far is one.
        """
        self._steps.close()
        for position in reversed(range(len(self._attempts))):
            attempt = self._attempts[position]
            said = (attempt.output.text or "").strip() or attempt.output.tool_calls
            if said and isinstance(attempt.verdict, Retry):
                return self._ending(self._given_up(attempt.verdict, 1, why), position)
        return None

    def abandoned(self, why: str) -> Outcome | None:
        """For the record: the attempts so far, when the host gets nothing of them."""
        self._steps.close()
        verdict = self._attempts[-1].verdict if self._attempts else None
        if not isinstance(verdict, Retry):
            return None
        return self._given_up(verdict, len(self._attempts), why)

    def _given_up(self, verdict: Retry, attempts: int, why: str) -> Outcome:
        rejected = give_up(verdict, attempts, why)
        return Outcome(rejected, tuple(self._attempts), None)

    def _ending(self, outcome: Outcome, position: int) -> Ending:
        if self._task.settings.format is not None:
            return self._ending_in_text(outcome, position, self._task.settings.format)
        task, verdict = self._task, outcome.verdict
        output = outcome.attempts[position].output
        taken = known_ids(task.request.messages)
        calls, named = assign_ids(verdict.calls, task.host.usable_id, taken, task.conversation)
        saying = self._saying(output.reasoning, final_text(verdict), position)
        reasoning, text, defused = task.host.defuse(saying, calls)
        clean = isinstance(verdict, Accept) and not verdict.changed and not defused and not named
        alone = len(outcome.attempts) == 1
        return Ending(
            outcome=outcome,
            attempt=position,
            reasoning=reasoning,
            text=text,
            calls=calls,
            repairs=(*defused, *named),
            untouched=clean and alone and _says_the_same(output, reasoning, text),
        )

    def _ending_in_text(self, outcome: Outcome, position: int, form: HostFormat) -> Ending:
        """The end for a host that reads the calls in the text: none is left beside it."""
        verdict, output = outcome.verdict, outcome.attempts[position].output
        saying = self._saying(output.reasoning, with_refusals(verdict), position)
        reasoning, text, changes = self._task.host.settle_text(saying, verdict.written, form)
        alone = len(outcome.attempts) == 1 and not output.tool_calls
        return Ending(
            outcome=outcome,
            attempt=position,
            reasoning=reasoning,
            text=text,
            calls=(),
            repairs=changes,
            untouched=alone and _says_the_same(output, reasoning, text),
        )

    def _saying(self, reasoning: str | None, text: str, position: int) -> Saying:
        """What is said at the end, with what earlier attempts said where they said it."""
        if self._shown is not None:
            return Saying(reasoning, text, streamed=True, shown=tuple(self._shown(position)))
        if position:
            reasoning, text = self._behind_earlier(position, reasoning, text)
        return Saying(reasoning, text, streamed=False)

    def _behind_earlier(
        self, position: int, reasoning: str | None, text: str
    ) -> tuple[str | None, str]:
        """Reasoning and text behind what a stream would have shown of earlier attempts."""
        earlier = [
            cleared(
                attempt.output,
                self._task.tools,
                self._task.runnable_tag,
                self._task.settings.format,
            )
            for attempt in self._attempts[:position]
        ]
        thoughts = [*(answer.shown("reasoning") for answer in earlier), reasoning]
        texts = [*(answer.shown("text") for answer in earlier), text]
        return "\n".join(filter(None, thoughts)) or None, "\n".join(filter(None, texts))


def _says_the_same(output: ModelOutput, reasoning: str | None, text: str) -> bool:
    return text == (output.text or "") and (reasoning or "") == (output.reasoning or "")


def observe(settings: Settings, request: ModelRequest, output: ModelOutput) -> Outcome:
    """What the verdict on this answer would have been, with no one asked again."""
    steps = exchange(request, replace(settings.policy, retries=0), settings.facts)
    next(steps)
    try:
        steps.send(output)
    except StopIteration as stop:
        outcome: Outcome = stop.value
        return outcome
    raise RuntimeError("an exchange without a budget asked again")


def remainder(shown: str, final: str) -> str:
    """What of ``final`` is still to be shown after ``shown``; nothing is ever taken back."""
    if final.startswith(shown):
        return final[len(shown) :]
    trimmed, rest = shown.lstrip(), final.lstrip()
    if rest.startswith(trimmed):
        return rest[len(trimmed) :]
    if trimmed.rstrip().startswith(rest.rstrip()):
        return ""
    return final[_common(shown, final) :]


def _common(one: str, other: str) -> int:
    """The length of the common prefix, by bisection over C-speed comparisons."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
