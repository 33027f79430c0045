"""One streamed answer: what may be passed on now, what is held, what it amounts to.

No I/O.  The events of a first answer go on in the bytes they came in and in the order they
came; from the first that must be held on, all are held.  Of an answer to a re-ask only the
clear text goes on, so that it fits behind what the host has seen already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final, NamedTuple

from gptme_reliability.adapters.adapter import Adapter, Heard
from gptme_reliability.adapters.density import too_dense
from gptme_reliability.adapters.encoding import decode
from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.adapters.server_errors import error_fault
from gptme_reliability.adapters.sse import Event, EventReader, is_no_event
from gptme_reliability.gate import Gate
from gptme_reliability.resolve import callable_names
from gptme_reliability.surfaces.host import Channel, Piece
from gptme_reliability.types import HostFormat, ModelOutput, ToolDefinition

DISCONNECTED: Final = "disconnected"
"""The finish reason of a stream that broke off without one; counts as cut off."""


class _Held(NamedTuple):
    """An event that waits; ``until`` is the place in the gate's text that must be clear.

    None: only the end of the answer decides.  ``pieces`` is how many texts it brings.
    """

    raw: bytes
    until: int | None
    pieces: int


class _Waiting(NamedTuple):
    """A text that was not shown yet, and where it begins in the gate's text."""

    begin: int
    channel: Channel
    text: str


class StreamedAnswer:
    """Reads one answer as it arrives.

    Of a ``verbatim`` answer the events go on as they came.
    ``ended`` is set by the event that ends the stream, ``error`` holds the bytes of an error
    that is no answer of a model, and ``foreign`` is set by an event of an unknown shape, or at
    the end of what was no event stream at all.
    """

    def __init__(
        self,
        tools: Sequence[ToolDefinition],
        runnable_tag: Callable[[str], bool],
        *,
        verbatim: bool = True,
        form: HostFormat | None = None,
        adapter: Adapter = OPENAI,
    ) -> None:
        self.verbatim = verbatim
        self._events = EventReader()
        self._new_gate = partial(Gate, callable_names(tools), runnable_tag, form)
        self._gate = self._new_gate()
        self._held: deque[_Held] = deque()
        self._waiting: deque[_Waiting] = deque()
        self._ungated: list[str] = []
        self._fed = 0
        self._safe = 0
        self._channel: Channel | None = None
        self._fault: ModelOutput | None = None
        self.pieces: list[Piece] = []
        self.reader = adapter.reader([tool.name for tool in tools])
        self.ended = False
        self.foreign = False
        self._strange = False
        self._told = False
        self.error: bytes | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Add bytes; return those that may go on now."""
        for event in self._events.feed(chunk):
            self._take(event)
        self._pass_gate()
        return self._release()

    def close(self) -> bytes:
        """The connection ended; read what is left and return what may go on now."""
        for event in self._events.close():
            self._take(event)
        self.foreign = self.foreign or (self._strange and not self._told)
        self._pass_gate()
        return self._release()

    def take(self, output: ModelOutput) -> None:
        """The answer came in one piece."""
        self.reader.host_readable = False
        for channel, text in _texts(output.reasoning, output.text):
            self._add(channel, text)
        self._pass_gate()

    def settle(self) -> None:
        """No more comes: look at all of it at once, so that what is clear does not depend on
        the pieces it came in."""
        parts: list[str] = []
        before: Channel | None = None
        waiting = ((piece.channel, piece.text) for piece in self._waiting)
        for channel, text in chain(self.pieces, waiting):
            parts += ["\n" if before not in (None, channel) else "", text]
            before = channel
        self._safe = max(self._safe, self._new_gate().feed("".join(parts)))

    def clear(self) -> list[Piece]:
        """What may be shown and was not; it counts as shown from now on."""
        first = len(self.pieces)
        while self._waiting and self._waiting[0].begin < self._safe:
            waiting = self._waiting.popleft()
            size = self._safe - waiting.begin
            self.pieces.append((waiting.channel, waiting.text[:size]))
            if size < len(waiting.text):
                rest = _Waiting(self._safe, waiting.channel, waiting.text[size:])
                self._waiting.appendleft(rest)
        return self.pieces[first:]

    @property
    def last_channel(self) -> Channel | None:
        """Where the host was shown something last."""
        return self.pieces[-1][0] if self.pieces else None

    def shown(self, channel: Channel) -> str:
        """What the host was shown so far."""
        return "".join(text for where, text in self.pieces if where == channel)

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
            if event.data is not None and not event.done:
                self.reader.host_readable = False  # some clients read on behind the end
            self._hold(event.raw, None)
            return
        if event.data is None:
            self._strange = self._strange or is_no_event(event.raw)
            self._hold(event.raw, self._fed)
            return
        self._told = True
        if event.done:
            self.ended = True
            self._hold(event.raw, None)
        else:
            self._take_data(event, event.data)

    def _take_data(self, event: Event, data: str) -> None:
        text = self.reader.hear_again(data) if event.terminated else None
        if text is not None:
            self._add("text", text)
            self._hold(event.raw, self._fed, 1)
            return
        try:
            chunk = None if too_dense(event.raw) else decode(data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            # The end of a broken connection is no event; an event that is no object is foreign.
            self.foreign = event.terminated
            self._hold(event.raw, None)
            return
        if chunk.get("error"):
            self._fault = error_fault(chunk)
            if self._fault is None:
                self.error = event.raw
            self.ended = True
            self._hold(event.raw, None)
            return
        self._take_heard(event, self.reader.hear(chunk, data))

    def _take_heard(self, event: Event, heard: Heard) -> None:
        if not event.terminated:
            self.reader.host_readable = False
        for channel, text in heard.said:
            self._add(channel, text)
        self.ended, self.foreign = heard.ended, heard.foreign
        held = heard.decisive or heard.ended or heard.foreign or not event.terminated
        self._hold(event.raw, None if held else self._fed, len(heard.said))

    def _add(self, channel: Channel, text: str) -> None:
        # The host writes reasoning as a block of its own, so that a line begins at each change.
        lead = "\n" if self._channel not in (None, channel) else ""
        self._channel = channel
        self._waiting.append(_Waiting(self._fed + len(lead), channel, text))
        self._fed += len(lead) + len(text)
        self._ungated.append(lead + text)

    def _pass_gate(self) -> None:
        """Learn what is clear now; once for all events that came together, for each look costs."""
        if self._ungated:
            self._safe = self._gate.feed("".join(self._ungated))
            self._ungated.clear()

    def _hold(self, raw: bytes, until: int | None, pieces: int = 0) -> None:
        if self.verbatim:
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
            for _ in range(held.pieces):
                waiting = self._waiting.popleft()
                self.pieces.append((waiting.channel, waiting.text))
        return b"".join(free)


def cleared(
    output: ModelOutput,
    tools: Sequence[ToolDefinition],
    runnable_tag: Callable[[str], bool],
    form: HostFormat | None = None,
) -> StreamedAnswer:
    """An answer in one piece, with what a stream of it would have shown."""
    answer = StreamedAnswer(tools, runnable_tag, verbatim=False, form=form)
    answer.take(output)
    answer.settle()
    answer.clear()
    return answer


def _texts(reasoning: str | None, text: str | None) -> list[Piece]:
    """The texts of an answer or a delta in the order in which the host shows them."""
    pieces: list[Piece] = []
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
