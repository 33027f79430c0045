"""One exchange, stepped by a surface that puts its I/O between the steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gptme_reliability.adapters.openai_history import known_ids
from gptme_reliability.adapters.openai_ids import assign_ids
from gptme_reliability.exchange import Attempt, Outcome, exchange, give_up
from gptme_reliability.feedback import final_text
from gptme_reliability.surfaces.host import Host, Settings
from gptme_reliability.types import Accept, Call, ModelOutput, ModelRequest, Repair, Retry


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
    """Steps an exchange and turns its outcome into what the host gets."""

    def __init__(
        self, host: Host, settings: Settings, request: ModelRequest, *, streamed: bool
    ) -> None:
        self._host = host
        self._settings = settings
        self._streamed = streamed
        self._request = request
        self._attempts: list[Attempt] = []
        self._steps = exchange(request, settings.policy, settings.facts, self._attempts)
        next(self._steps)

    def answer(self, output: ModelOutput) -> ModelRequest | Ending:
        """Take the model's answer; return what to send next, or the end."""
        try:
            following = self._steps.send(output)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return self._ending(outcome, len(outcome.attempts) - 1)
        verdict = self._attempts[-1].verdict
        if isinstance(verdict, Retry):
            retries = self._settings.policy.retries
            self._host.asking_again(len(self._attempts), retries, verdict)
        return following

    def give_up(self, why: str) -> Ending | None:
        """The model cannot be asked again: the end, from the last answer that says anything.

        None when no answer so far is one.
        """
        self._steps.close()
        for position in reversed(range(len(self._attempts))):
            attempt = self._attempts[position]
            said = (attempt.output.text or "").strip() or attempt.output.tool_calls
            if said and isinstance(attempt.verdict, Retry):
                verdict = give_up(attempt.verdict, 1)
                verdict = replace(verdict, reason=f"{verdict.reason}; {why}")
                return self._ending(Outcome(verdict, tuple(self._attempts), None), position)
        return None

    def _ending(self, outcome: Outcome, position: int) -> Ending:
        verdict = outcome.verdict
        output = outcome.attempts[position].output
        text = final_text(verdict)
        reasoning, shown, defused = self._host.defuse(
            output.reasoning, text, verdict.calls, streamed=self._streamed
        )
        taken = known_ids(self._request.messages)
        calls, named = assign_ids(verdict.calls, self._host.usable_id, taken)
        clean = isinstance(verdict, Accept) and not verdict.changed and not defused and not named
        return Ending(
            outcome=outcome,
            attempt=position,
            reasoning=reasoning,
            text=shown,
            calls=calls,
            repairs=(*defused, *named),
            untouched=clean and len(outcome.attempts) == 1,
        )


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
