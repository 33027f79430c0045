"""What asking again may cost, counted over everything that asks the same.

An SDK that sends a request again, a host that does, and a host's nudge after a refused answer
all ask the same question once more, so that the count goes on: whoever drives an exchange keeps
what was ``Spent`` under the question, and gives it to the next ``Budget``.

No I/O, no clock, no randomness: the driver measures tokens and seconds, and waits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.nudges import is_nudge
from gptme_reliability.types import ModelOutput, ModelRequest, Policy

About: TypeAlias = Literal["format", "doubt", "loop"]
"""What a re-ask is about: how a call was written, whether it was meant at all, or that it
leads nowhere.  The last is counted by itself, as an error of the tool."""

_LONGEST_WAIT: Final = 10  # times the first one
_CHARACTERS: Final = 4  # of a token
_TIMES: Final = {1: "once", 2: "twice"}


@dataclass(frozen=True, slots=True)
class Spent:
    """What the re-asks of one question have cost so far.

    ``failures`` are digests of what was asked about, in order.
    """

    format_faults: int = 0
    tool_errors: int = 0
    tokens: int = 0
    seconds: float = 0.0
    failures: tuple[str, ...] = ()

    @property
    def asked(self) -> int:
        """The number of re-asks."""
        return self.format_faults + self.tool_errors


@dataclass(frozen=True, slots=True)
class Question:
    """A re-ask that may be sent after ``wait_s`` seconds."""

    wait_s: float


class Budget:
    """What one exchange may still spend; ``spent`` outlives it.

    ``seed`` tells apart the waiting times of exchanges that fail alike.
    """

    def __init__(self, policy: Policy, spent: Spent = Spent(), seed: str = "") -> None:
        self.spent = spent
        self._policy = policy
        self._seed = seed
        self._before = spent.asked
        self._price: int | None = None

    def charge(self, tokens: int = 0, seconds: float = 0.0) -> None:
        """Account for an answer; the first one is the host's own and adds nothing.

        ``tokens`` are those that the method of this name counts.
        """
        if self._price is not None:
            spent = self.spent
            self.spent = replace(
                spent, tokens=spent.tokens + tokens, seconds=spent.seconds + seconds
            )
        self._price = tokens

    def tokens(self, said: int, request: ModelRequest, output: ModelOutput) -> int:
        """How many tokens an answer cost: what the server ``said``, else an estimate.

        0 where the server does not say and the policy does not ask.
        """
        if said or self._policy.max_added_tokens is None:
            return said
        return estimated_tokens(request, output)

    def failed_before(self, failure: str) -> bool:
        """Whether this was asked about before."""
        return failure in self.spent.failures

    def ask(self, about: About, failure: str, *, fresh: bool = False) -> Question | str:
        """Take one re-ask from the budget; a text says why there is none.

        ``failure`` is a digest of what went wrong.  The same is asked about twice, unless
        ``fresh`` says that it is done in a new way.
        """
        spent = self.spent
        times = spent.failures.count(failure)
        wait = self._wait(failure)
        if not self._left(about):
            return self._asked_before()
        if times > 1 and not fresh:
            return f"it failed in the same way {times + 1} times"
        if why := self._too_dear(wait):
            return why
        self.spent = replace(
            spent,
            format_faults=spent.format_faults + (about != "loop"),
            tool_errors=spent.tool_errors + (about == "loop"),
            failures=(*spent.failures, failure),
        )
        return Question(wait)

    def _left(self, about: About) -> bool:
        """Whether there are attempts left."""
        spent, retries = self.spent, self._policy.retries
        # Whether something was meant is asked once: an explanation may rightly stay one.  So is
        # whether a call that led nowhere is really wanted.
        asked, most = {
            "format": (spent.format_faults, retries),
            "doubt": (spent.asked, min(retries, 1)),
            "loop": (spent.tool_errors, min(retries, 1)),
        }[about]
        return asked < most

    def _asked_before(self) -> str:
        """Where the number of attempts does not say that they are used up, what does."""
        if not self._before:
            return ""
        times = _TIMES.get(self._before, f"{self._before} times")
        return f"it was asked for again {times} before"

    def _too_dear(self, wait: float) -> str | None:
        tokens, seconds = self._policy.max_added_tokens, self._policy.max_added_seconds
        # The next answer costs what the last one did, at least: the conversation only grows.
        if tokens is not None and self.spent.tokens + max(self._price or 0, 1) > tokens:
            return f"asking again would cost more than {tokens} tokens"
        if seconds is not None and self.spent.seconds + wait >= seconds:
            return f"asking again would take more than {seconds} seconds"
        return None

    def _wait(self, failure: str) -> float:
        """Nothing before the first re-ask, then doubling, each somewhere in its upper half."""
        asked, first = self.spent.asked, self._policy.backoff
        if not asked:
            return 0.0
        longest: float = first * min(2 ** (asked - 1), _LONGEST_WAIT)
        seed = hashlib.sha256(f"{self._seed} {failure} {asked}".encode("utf-8", "replace"))
        return longest * (0.5 + seed.digest()[0] / 512)


def estimated_tokens(request: ModelRequest, output: ModelOutput) -> int:
    """About how many tokens a request and its answer are: a quarter of their characters.

    A rule of thumb for English; too few for other scripts.
    """
    said = [tool.parameters for tool in request.tools], list(request.messages)
    heard = (output.text or "", output.reasoning or "", *map(str, output.tool_calls or ()))
    return (len(repr(said)) + sum(map(len, heard))) // _CHARACTERS


def question_end(messages: Sequence[Mapping[str, Any]]) -> int:
    """How many of the messages ask the question.

    Behind it stand answers that called nothing, each with the host's nudge to call something.
    """
    end = len(messages)
    while True:
        before = end
        while before and is_nudge(messages[before - 1]):
            before -= 1
        answer = messages[before - 1] if before else {}
        if before == end or answer.get("role") != "assistant" or answer.get("tool_calls"):
            return end
        end = before - 1
