"""One streamed answer: what may be passed on now, what is held, what it amounts to.

No I/O.  Events go on in the bytes they came in and in the order they came; from the first that
must be held on, all are held.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.adapters.openai_response import read_calls, read_reasoning, read_text
from gptme_reliability.adapters.openai_stream import StreamReader, first_choice, read_delta
from gptme_reliability.adapters.server_errors import error_fault
from gptme_reliability.adapters.sse import Event, EventReader
from gptme_reliability.gate import Gate
from gptme_reliability.resolve import callable_names
from gptme_reliability.types import ModelOutput, ToolDefinition

DISCONNECTED: Final = "disconnected"
"""The finish reason of a stream that broke off without one; counts as cut off."""

Channel: TypeAlias = Literal["reasoning", "text"]


@dataclass(frozen=True, slots=True)
class _Held:
    """An event that waits; ``until`` is the place in the gate's text that must be clear.

    None: only the end of the answer decides.
    """

    raw: bytes
    until: int | None
    pieces: tuple[tuple[Channel, str], ...]


class StreamedAnswer:
    """Reads one answer as it arrives.

    ``ended`` is set by the event that ends the stream, ``error`` holds the bytes of an error
    that is no answer of a model, and ``foreign`` is set by an event of an unknown shape.
    """

    def __init__(
        self, tools: Sequence[ToolDefinition], runnable_tag: Callable[[str], bool]
    ) -> None:
        self._events = EventReader()
        self._gate = Gate(callable_names(tools), runnable_tag)
        self._held: deque[_Held] = deque()
        self._fed = 0
        self._safe = 0
        self._channel: Channel | None = None
        self._shown: dict[Channel, list[str]] = {"reasoning": [], "text": []}
        self._fault: ModelOutput | None = None
        self.reader = StreamReader([tool.name for tool in tools])
        self.last_channel: Channel | None = None
        self.ended = False
        self.foreign = False
        self.error: bytes | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Add bytes; return those that may go on now."""
        for event in self._events.feed(chunk):
            self._take(event)
        return self._release()

    def close(self) -> bytes:
        """The connection ended; read what is left and return what may go on now."""
        for event in self._events.close():
            self._take(event)
        return self._release()

    def shown(self, channel: Channel) -> str:
        """What went on so far."""
        return "".join(self._shown[channel])

    def output(self) -> ModelOutput:
        """What the model wrote."""
        output = self.reader.output()
        if self._fault is not None:
            return _with_fault(output, self._fault)
        if output.finish_reason is None and not self.ended:
            return replace(output, finish_reason=DISCONNECTED)
        return output

    @property
    def host_readable(self) -> bool:
        """Whether the host would read the events of this stream as they are meant."""
        return self.reader.host_readable and self._fault is None

    def _take(self, event: Event) -> None:
        if self.ended or self.foreign:
            self._hold(event.raw, None)
            return
        if event.data is None:
            self._hold(event.raw, self._fed)
        elif event.done:
            self.ended = True
            self._hold(event.raw, None)
        else:
            self._take_data(event)

    def _take_data(self, event: Event) -> None:
        try:
            chunk = json.loads(event.data or "")
        except (ValueError, RecursionError):
            chunk = None
        if isinstance(chunk, Mapping) and chunk.get("error"):
            self._fault = error_fault(chunk)
            if self._fault is None:
                self.error = event.raw
            self.ended = True
            self._hold(event.raw, None)
            return
        if not isinstance(chunk, Mapping) or not isinstance(chunk.get("choices"), list):
            # The end of a broken connection is no event; an event that is no chunk is foreign.
            self.foreign = event.terminated
            self._hold(event.raw, None)
            return
        self._take_chunk(event, chunk)

    def _take_chunk(self, event: Event, chunk: Mapping[str, Any]) -> None:
        self.reader.feed(chunk)
        if not event.terminated:
            self.reader.host_readable = False
        choice = first_choice(chunk)
        delta = read_delta(choice)
        pieces = tuple(_pieces(delta))
        for channel, text in pieces:
            self._feed_gate(channel, text)
        decisive = (
            read_calls(delta)
            or choice.get("finish_reason")
            or (not pieces and chunk.get("usage"))
            or not event.terminated
            or "message" in choice
        )
        self._hold(event.raw, None if decisive else self._fed, pieces)

    def _feed_gate(self, channel: Channel, text: str) -> None:
        # The host writes reasoning as a block of its own, so that a line begins at each change.
        if self._channel not in (None, channel):
            text = f"\n{text}"
        self._channel = channel
        self._fed += len(text)
        self._safe = self._gate.feed(text)

    def _hold(
        self, raw: bytes, until: int | None, pieces: tuple[tuple[Channel, str], ...] = ()
    ) -> None:
        self._held.append(_Held(raw, until, pieces))

    def _release(self) -> bytes:
        """Take from the front of what is held whatever is clear."""
        free: list[bytes] = []
        while self._held:
            until = self._held[0].until
            if until is None or until > self._safe:
                break
            held = self._held.popleft()
            free.append(held.raw)
            for channel, text in held.pieces:
                self._shown[channel].append(text)
                self.last_channel = channel
        return b"".join(free)


def _pieces(delta: Mapping[str, Any]) -> list[tuple[Channel, str]]:
    """The texts of a delta in the order in which the host shows them."""
    reasoning, text = read_reasoning(delta), read_text(delta.get("content"))
    pieces: list[tuple[Channel, str]] = []
    if reasoning:
        pieces.append(("reasoning", reasoning))
    if text:
        pieces.append(("text", text))
    return pieces


def _with_fault(output: ModelOutput, fault: ModelOutput) -> ModelOutput:
    """An answer that ended because the server could not read the rest of it."""
    text = (output.text or "") + (fault.text or "")
    calls = (*output.tool_calls, *fault.tool_calls)
    if text and not calls and not fault.text:
        # What the server could not read was a call, and the text before it is no whole answer.
        calls = ({"id": None, "type": "function", "function": {"name": "", "arguments": ""}},)
    reason = DISCONNECTED if calls else output.finish_reason
    return replace(output, text=text or None, tool_calls=calls, finish_reason=reason)
