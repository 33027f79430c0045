"""What the HTTP client asks of the program it works for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from gptme_reliability.exchange import Outcome
from gptme_reliability.surfaces.sampling import Agreement, Terms
from gptme_reliability.types import (
    Call,
    HostFormat,
    ModelFacts,
    Policy,
    Repair,
    Retry,
    ToolDefinition,
)

Channel: TypeAlias = Literal["reasoning", "text"]
"""Where the host shows a piece of an answer."""

Piece: TypeAlias = tuple[Channel, str]
"""What was shown, and where."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one request.

    ``model`` is the full name, provider and all.  ``observe`` changes nothing and only reports
    what the verdict would have been.  ``read_only`` says of the host's own tools whether they
    change nothing, ``parameters`` which schema their arguments have where requests say less.
    ``conversation`` tells apart conversations that begin alike, where the host knows them.
    ``format`` is set for a request without native tools whose answer may call those ``offered``
    in its text; ``first_only`` says that the host runs no call of it but the first.
    ``own_server`` says that the user runs the server, so that it may be asked, and the user
    told how to set it up.
    """

    model: str
    mode: Literal["on", "observe"] = "on"
    policy: Policy = field(default_factory=Policy)
    facts: ModelFacts = field(default_factory=ModelFacts)
    read_only: Mapping[str, bool] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    conversation: str = ""
    format: HostFormat | None = None
    offered: tuple[ToolDefinition, ...] = ()
    first_only: bool = False
    own_server: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What was done about one request.

    ``outcome`` is None when no verdict was reached.  ``repairs`` are those outside verdicts:
    the conversation mended on the wire, text made inert, ids.  ``error`` is set when this layer
    broke or could not read the answer, so that the host got the original bytes; it names the
    exception and the place, never its message, which may quote anything.  ``faults`` are the
    HTTP statuses of errors that were read as answers.  ``interrupted`` says that the host left
    before the end; ``outcome`` then holds the attempts so far.  ``tools`` were on offer.
    ``notes`` are what the user should know of the server, a line each.
    """

    settings: Settings
    outcome: Outcome | None
    repairs: tuple[Repair, ...] = ()
    streamed: bool = False
    error: str | None = None
    faults: tuple[int, ...] = ()
    interrupted: bool = False
    tools: tuple[ToolDefinition, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Saying:
    """What an answer is about to say to the host beside its calls.

    ``shown`` is what earlier attempts of a ``streamed`` answer left on the screen, in order: it
    stands before reasoning and text in the host's message and cannot be changed.
    """

    reasoning: str | None
    text: str
    streamed: bool
    shown: tuple[Piece, ...] = ()


Settled: TypeAlias = tuple[str | None, str, tuple[Repair, ...]]
"""Reasoning and text as the host gets them, and what was changed in them."""


class Host(Protocol):
    """The program on whose behalf the client works."""

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """What is to be agreed on the sampling of a request; None leaves it as it is."""

    def agreed(self, agreement: Agreement) -> None:
        """A request goes out as this says.  Must not raise."""

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """What holds for a request with this body; None leaves it alone."""

    def defuse(self, said: Saying, calls: Sequence[Call]) -> Settled:
        """Make inert whatever the host would run from what is said beside ``calls``."""

    def settle_text(self, said: Saying, written: Sequence[str], form: HostFormat) -> Settled:
        """The same for a host with calls in the text: it runs those ``written`` and no more."""

    def runnable_tag(self, tag: str) -> bool:
        """Whether the host would run a fence with this tag."""

    def usable_id(self, call_id: str) -> bool:
        """Whether the host can carry this call id."""

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        """Re-ask number ``attempt`` of at most ``retries`` is about to be sent."""

    def answering(self) -> None:
        """The answer to a re-ask is about to be shown where ``asking_again`` may stand."""

    def done(self, report: Report) -> None:
        """A request is finished.  Must not raise."""
