"""What the surfaces need of an API: its requests, its answers, its streams.

An adapter is made for one request and may remember what it read of it.  All of them bring
requests into the same shape, messages as in OpenAI's chat completions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from gptme_reliability.adapters.overflow import Overflow
from gptme_reliability.types import (
    Accept,
    Call,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Reject,
    Repair,
)

Said: TypeAlias = tuple[Literal["reasoning", "text"], str]
"""A piece of an answer, and where the host shows it."""


class Heard(NamedTuple):
    """What one event of a stream says.

    A ``decisive`` one must wait for the end of the answer; ``ended`` says that this is the last,
    ``foreign`` that the answer is of a kind that cannot be checked.
    """

    said: tuple[Said, ...] = ()
    decisive: bool = False
    ended: bool = False
    foreign: bool = False


class AnswerReader(Protocol):
    """Puts the events of one streamed answer together.

    ``usage`` is what the server says it used, ``template`` what identifies the answer.
    ``host_readable`` says whether the host would read the calls as they are meant.
    """

    usage: dict[str, Any] | None
    template: dict[str, Any]
    host_readable: bool

    def hear(self, chunk: Mapping[str, Any], data: str = "") -> Heard:
        """Take one event; what is not understood says nothing.

        ``data`` is what it was read from: later ones may be known by it.
        """

    def hear_again(self, data: str) -> str | None:
        """Take one event as it came, where all but its text is known; its text.

        None: it is to be read.
        """

    def take(self, body: Mapping[str, Any]) -> None:
        """The answer came in one piece: keep what identifies it, and what it used."""

    def output(self) -> ModelOutput:
        """The answer as far as it has arrived."""


class AnswerWriter(Protocol):
    """Writes the stream that one host gets, from pieces of one or more answers."""

    def passed(self, reader: AnswerReader, raw: bytes) -> None:
        """The host got these bytes of an answer as they were."""

    def said(
        self, template: Mapping[str, Any], reader: AnswerReader, pieces: Sequence[Said]
    ) -> bytes:
        """The events that say this, from the answer that ``reader`` reads.

        ``template`` identifies the stream as a whole.
        """

    def end(
        self,
        template: Mapping[str, Any],
        reader: AnswerReader,
        output: ModelOutput,
        calls: Sequence[Call],
        usage: Mapping[str, Any] | None,
    ) -> bytes:
        """The calls, and all that ends a stream."""


class Adapter(Protocol):
    """One API."""

    def wanted(self, body: Mapping[str, Any]) -> bool:
        """Whether a request wants one answer to a conversation."""

    def read_request(self, body: Mapping[str, Any]) -> ModelRequest:
        """The request in a body.

        Raises:
            InputError: the messages are none.
            ToolDefinitionError: an entry of ``tools`` is no tool.
        """

    def mend(self, request: ModelRequest) -> tuple[ModelRequest, tuple[Repair, ...]]:
        """The request with the parameters of its tools as JSON schema has them."""

    def view(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body as one of chat completions, for those who only know these."""

    def limits(self, facts: ModelFacts, request: ModelRequest) -> ModelFacts:
        """The facts with what this API cannot do for such a request."""

    def write_request(self, request: ModelRequest) -> dict[str, Any]:
        """The body of a request."""

    def is_answer(self, body: Any) -> bool:
        """Whether a body is a whole answer that can be checked."""

    def read_answer(self, body: Mapping[str, Any]) -> ModelOutput:
        """What the model wrote; calls are passed on as received, however broken."""

    def host_readable(self, body: Mapping[str, Any]) -> bool:
        """Whether the host would read a whole answer as it is meant."""

    def write_answer(
        self,
        body: Mapping[str, Any] | None,
        verdict: Accept | Reject,
        text: str,
        reasoning: str | None,
        usage: Mapping[str, Any] | None,
        model: str,
    ) -> dict[str, Any]:
        """An answer that says what the verdict says; what nothing is known of is kept."""

    def reader(self, tool_names: Iterable[str]) -> AnswerReader:
        """Reads one streamed answer."""

    def writer(self, model: str, created: int) -> AnswerWriter:
        """Writes one; ``created`` is the time in seconds since 1970."""

    def too_long(self, raw: bytes, found: Overflow) -> bytes:
        """The body of an error that says how a prompt does not fit, from the server's own."""

    def error_event(self, raw: bytes) -> bytes:
        """A server's error body as the event that the SDK raises from."""
