"""What the HTTP client asks of the program it works for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from gptme_reliability.exchange import Outcome
from gptme_reliability.types import Call, ModelFacts, Policy, Repair, Retry


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one request.

    ``model`` is the full name, provider and all.  ``observe`` changes nothing and only reports
    what the verdict would have been.
    """

    model: str
    mode: Literal["on", "observe"] = "on"
    policy: Policy = field(default_factory=Policy)
    facts: ModelFacts = field(default_factory=ModelFacts)


@dataclass(frozen=True, slots=True)
class Report:
    """What was done about one request.

    ``outcome`` is None when no verdict was reached.  ``repairs`` are those outside verdicts:
    the conversation mended on the wire, text made inert, ids.  ``error`` is set when this layer
    broke and the host got the original bytes; it names the exception and the place, never its
    message, which may quote anything.
    """

    settings: Settings
    outcome: Outcome | None
    repairs: tuple[Repair, ...] = ()
    streamed: bool = False
    error: str | None = None


class Host(Protocol):
    """The program on whose behalf the client works."""

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """What holds for a request with this body; None leaves it alone."""

    def defuse(
        self, reasoning: str | None, text: str, calls: Sequence[Call], *, streamed: bool
    ) -> tuple[str | None, str, tuple[Repair, ...]]:
        """Make inert whatever the host would run from reasoning and text beside ``calls``."""

    def runnable_tag(self, tag: str) -> bool:
        """Whether the host would run a fence with this tag."""

    def usable_id(self, call_id: str) -> bool:
        """Whether the host can carry this call id."""

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        """Re-ask number ``attempt`` of at most ``retries`` is about to be sent."""

    def done(self, report: Report) -> None:
        """A request is finished.  Must not raise."""
