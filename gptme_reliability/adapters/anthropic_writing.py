"""Streams of Anthropic's API, written for one host.

A stream is a row of numbered blocks, each opened and closed.  What the host got of the server's
own events is read along, so that what is written here goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gptme_reliability.adapters.adapter import AnswerReader, Said
from gptme_reliability.adapters.anthropic_response import (
    call_extras,
    empty_answer,
    is_other,
    stop_word,
    thought,
    write_call,
)
from gptme_reliability.adapters.anthropic_stream import AnthropicReader
from gptme_reliability.adapters.encoding import encode
from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.feedback import call_json
from gptme_reliability.types import Call, ModelOutput

_KINDS: Final = {"reasoning": "thinking", "text": "text"}


@dataclass(slots=True)
class _Open:
    """The block that is open; ``thoughts`` are what it says where it is one of thinking."""

    index: int
    kind: Any
    thoughts: list[str] = field(default_factory=list)
    signed: bool = False


class AnthropicWriter:
    """Writes events."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._events = EventReader()
        self._begun = False
        self._next = 0
        self._open: _Open | None = None
        self._passing: AnthropicReader | None = None
        self._others = 0  # how many of the blocks that nobody looks at went by
        self._readers: list[AnthropicReader] = []

    def passed(self, reader: AnswerReader, raw: bytes) -> None:
        """Read along."""
        self._passing = self._known(reader)
        for event in self._events.feed(raw):
            try:
                chunk = json.loads(event.data or "")
            except (ValueError, RecursionError):
                continue
            if isinstance(chunk, Mapping):
                self._follow(chunk)

    def said(
        self, template: Mapping[str, Any], reader: AnswerReader, pieces: Sequence[Said]
    ) -> bytes:
        """Deltas, in the block that is open where that is of their kind."""
        self._known(reader)
        written = [] if not pieces else [self._begin(template)]
        for channel, text in pieces:
            kind = _KINDS[channel]
            if self._open is None or self._open.kind != kind:
                if kind == "thinking" and text.isspace():
                    continue  # white space between thoughts, and no thought
                written += [
                    self._close(),
                    self._start(thought("") if kind == "thinking" else _TEXT),
                ]
            assert self._open is not None
            self._open.thoughts.append(text)
            delta = {"type": f"{kind}_delta", kind: text}
            written.append(self._delta(delta))
        return b"".join(written)

    def end(
        self,
        template: Mapping[str, Any],
        reader: AnswerReader,
        output: ModelOutput,
        calls: Sequence[Call],
        usage: Mapping[str, Any] | None,
    ) -> bytes:
        """The blocks that nobody looked at, the calls, and why it ended."""
        own = self._known(reader)
        written = [self._begin(template), self._close()]
        blocks = own.blocks()
        others = [block for block in blocks if is_other(block)]
        for block in others[self._others if own is self._passing else 0 :]:
            written += [self._start(block), self._close()]
        extras = call_extras(blocks)
        for call in calls:
            written.append(self._start(write_call(call, {}, extras)))
            written.append(
                self._delta({"type": "input_json_delta", "partial_json": call_json(call)})
            )
            written.append(self._close())
        delta = {"stop_sequence": None, **_mapping(own.tail.get("delta"))}
        delta["stop_reason"] = stop_word(output.finish_reason, calls)
        used = {"output_tokens": 0, **(usage or {})}
        written.append(event({**own.tail, "type": "message_delta", "delta": delta, "usage": used}))
        written.append(event({"type": "message_stop"}))
        return b"".join(written)

    # --- blocks -----------------------------------------------------------------------

    def _begin(self, template: Mapping[str, Any]) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        message = empty_answer(template, self._model)
        used = next((reader.usage for reader in self._readers if reader.usage), {})
        message["usage"] = {**message["usage"], **used, "output_tokens": 0}
        return event({"type": "message_start", "message": message})

    def _start(self, block: Mapping[str, Any]) -> bytes:
        self._open = _Open(self._next, block.get("type"))
        self._next += 1
        start = {"type": "content_block_start", "index": self._open.index}
        return event({**start, "content_block": dict(block)})

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        assert self._open is not None
        head = {"type": "content_block_delta", "index": self._open.index}
        return event({**head, "delta": delta})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        opened, signature = self._open, b""
        if opened.kind == "thinking" and not opened.signed:
            signed = self._signature("".join(opened.thoughts))
            if signed:
                signature = self._delta({"type": "signature_delta", "signature": signed})
        self._open = None
        return signature + event({"type": "content_block_stop", "index": opened.index})

    def _signature(self, thoughts: str) -> str | None:
        """What the server signed these very thoughts with."""
        for reader in self._readers:
            for block in reader.blocks():
                if block.get("type") == "thinking" and block.get("thinking") == thoughts:
                    return block.get("signature") or None
        return None

    # --- what went by -----------------------------------------------------------------

    def _known(self, reader: AnswerReader) -> AnthropicReader:
        assert isinstance(reader, AnthropicReader)
        if not any(reader is one for one in self._readers):
            self._readers.append(reader)
        return reader

    def _follow(self, chunk: Mapping[str, Any]) -> None:
        match chunk.get("type"):
            case "message_start":
                self._begun = True
            case "content_block_start":
                block, index = _mapping(chunk.get("content_block")), chunk.get("index")
                self._open = _Open(index if type(index) is int else self._next, block.get("type"))
                self._next = self._open.index + 1
                self._others += is_other(block)
            case "content_block_delta" if self._open is not None:
                delta = _mapping(chunk.get("delta"))
                self._open.signed |= delta.get("type") == "signature_delta"
                if isinstance(delta.get("thinking"), str):
                    self._open.thoughts.append(delta["thinking"])
            case "content_block_stop":
                self._open = None


_TEXT: Final = {"type": "text", "text": ""}


def event(chunk: Mapping[str, Any]) -> bytes:
    """An event under its own name, as the SDK wants it."""
    return b"event: " + str(chunk["type"]).encode() + b"\ndata: " + encode(chunk) + b"\n\n"


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
