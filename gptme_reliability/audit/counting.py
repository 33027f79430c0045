"""Figures of all logs: how often what failed, what would have handled it, and what it cost.

A stretch begins with an answer that failed.  It ends before the next answer without a fault, mere
talk where the host asked for a call excepted, and else with the log.  What it costs are the
messages from its beginning up to there, and their tokens: the server's figures for answers
where the log has them, a quarter of the characters for all else.  Every message counts once,
for the failure that is nearest before it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gptme_reliability.audit.classes import Stage
from gptme_reliability.audit.failure import Failure

MOST_EXAMPLES: Final = 10
_MOST_NAMES: Final = 200
OTHER: Final = "(other)"
NO_TOOL: Final = "-"


class Key(NamedTuple):
    """What failures are counted by."""

    kind: str
    tool: str
    format: str
    model: str


@dataclass(frozen=True, slots=True)
class Example:
    """A costly stretch: where it begins, its first failure, and what it cost.

    ``line`` is where the first answer stands in its log, from 1, ``failures`` is how many the
    stretch holds; ``recovered`` is False where the log ends in it.  ``excerpt`` is how the answer
    begins, None where that is not to be shown.
    """

    log: str
    line: int
    key: Key
    stage: Stage
    messages: int
    tokens: int
    failures: int
    recovered: bool
    excerpt: str | None


@dataclass(slots=True)
class Stretch:
    """A stretch that is still open."""

    log: str
    line: int
    key: Key
    stage: Stage
    excerpt: str | None
    messages: int = 0
    tokens: int = 0
    failures: int = 0
    nearest: Key | None = None

    def ended(self, *, recovered: bool) -> Example:
        """The stretch as an example."""
        return Example(
            self.log,
            self.line,
            self.key,
            self.stage,
            self.messages,
            self.tokens,
            self.failures,
            recovered,
            self.excerpt,
        )


@dataclass(slots=True)
class Tally:
    """The figures; ``logs`` of ``found`` were read, the others could not be or not yet.

    ``doubtful`` are answers of which nobody can say whether they were meant as calls;
    ``other_requests`` are requests that failed for reasons that have nothing to do with tools;
    ``unanswered`` are logs that end with a question.  ``by_stage`` counts failures by stage
    and key.
    """

    found: int = 0
    logs: int = 0
    unreadable: int = 0
    messages: int = 0
    broken_lines: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    doubtful: int = 0
    other_requests: int = 0
    unanswered: int = 0
    failures: Counter[Key] = field(default_factory=Counter)
    wasted_tokens: Counter[Key] = field(default_factory=Counter)
    wasted_messages: Counter[Key] = field(default_factory=Counter)
    by_stage: Counter[tuple[Stage, Key]] = field(default_factory=Counter)
    _costliest: list[tuple[int, int, int, Example]] = field(default_factory=list)
    _ended: int = 0
    _names: set[str] = field(default_factory=set)

    def failed(self, failure: Failure, key: Key) -> None:
        """Count a failure."""
        self.failures[key] += 1
        self.by_stage[failure.stage, key] += 1

    def wasted(self, key: Key, messages: int, tokens: int) -> None:
        """Count what a failure cost."""
        self.wasted_messages[key] += messages
        self.wasted_tokens[key] += tokens

    def ended(self, example: Example) -> None:
        """Keep a stretch if it is among the costliest; of equal ones the first."""
        self._ended += 1
        entry = (example.tokens, example.messages, -self._ended, example)
        if len(self._costliest) < MOST_EXAMPLES:
            heapq.heappush(self._costliest, entry)
        else:
            heapq.heappushpop(self._costliest, entry)

    def name(self, written: str) -> str:
        """A name that a model gave a tool, or one for all where it gives too many."""
        if written not in self._names and len(self._names) >= _MOST_NAMES:
            return OTHER
        self._names.add(written)
        return written

    @property
    def costliest(self) -> list[Example]:
        """The costliest stretches, the dearest first."""
        return [entry[-1] for entry in sorted(self._costliest, reverse=True)]

    @property
    def total(self) -> int:
        """The number of failures."""
        return self.failures.total()

    def stages(self) -> dict[Stage, int]:
        """The number of failures by stage."""
        counts: Counter[Stage] = Counter()
        for (stage, _), count in self.by_stage.items():
            counts[stage] += count
        return dict(counts)

    def of_model(self, model: str) -> dict[tuple[Stage, str], int]:
        """The number of a model's failures by stage and class."""
        counts: Counter[tuple[Stage, str]] = Counter()
        for (stage, key), count in self.by_stage.items():
            if key.model == model:
                counts[stage, key.kind] += count
        return dict(counts)
