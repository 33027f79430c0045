"""A log as exchanges: an answer of the model, and what the host wrote about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

from gptme_reliability.audit.reading import Message
from gptme_reliability.nudges import is_nudge

_MOST_RESULTS: Final = 200
_STUCK: Final = "<system>You appear stuck"

Voice: TypeAlias = Literal["user", "nudge", "stuck"]
"""Who speaks in the user's role: the user, or the host, which saw no call, or a repetition."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer, the host's messages that follow it, and who spoke before and afterwards.

    ``before`` and ``behind`` are None where another answer, or nothing, stands there.
    ``ended`` says that the log ends with it.
    """

    answer: Message
    results: tuple[Message, ...]
    before: Voice | None
    behind: Voice | None
    ended: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """What the host wrote of a request that failed, with no answer before it."""

    message: Message


@dataclass(frozen=True, slots=True)
class Said:
    """A message in the user's role."""

    message: Message
    voice: Voice


Event: TypeAlias = Exchange | Failed | Said


@dataclass(slots=True)
class _Open:
    answer: Message
    before: Voice | None
    results: list[Message] = field(default_factory=list)

    def closed(self, behind: Voice | None, *, ended: bool) -> Exchange:
        return Exchange(self.answer, tuple(self.results), self.before, behind, ended)


def exchanges(messages: Iterable[Message]) -> Iterator[Event]:
    """The events of a log in order; an exchange comes when it is known what follows it."""
    pending: _Open | None = None
    before: Voice | None = None
    for message in messages:
        if message.role == "system":
            if _is_about_a_request(message):
                if pending is not None:
                    yield pending.closed(None, ended=False)
                    pending = None
                yield Failed(message)
            elif pending is not None and len(pending.results) < _MOST_RESULTS:
                pending.results.append(message)
            continue
        voice = voice_of(message) if message.role == "user" else None
        if pending is not None:
            yield pending.closed(voice, ended=False)
            pending = None
        if voice is not None:
            yield Said(message, voice)
        else:
            pending = _Open(message, before)
        before = voice
    if pending is not None:
        yield pending.closed(None, ended=True)


FAILED_REQUEST: Final = "LLM request failed:"
"""How gptme begins the message about a failed request in an interactive session."""


def _is_about_a_request(message: Message) -> bool:
    if message.call_id is not None or message.tool is not None:
        return False
    return message.error is not None or message.content.startswith(FAILED_REQUEST)


def voice_of(message: Message) -> Voice:
    """Who speaks in a message of the user's role."""
    if not is_nudge({"role": "user", "content": message.content}):
        return "user"
    return "stuck" if message.content.startswith(_STUCK) else "nudge"
