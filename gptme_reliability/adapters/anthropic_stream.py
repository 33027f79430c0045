"""Streamed answers of Anthropic's API, read event by event."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gptme_reliability.adapters.adapter import Heard, Said
from gptme_reliability.adapters.anthropic_response import (
    CHECKED,
    SEPARATOR,
    goes_on,
    is_named,
    joined,
    read_word,
)
from gptme_reliability.types import ModelOutput

_NOT_IN_TEMPLATE: Final = frozenset({"content", "stop_reason", "stop_sequence", "usage"})
_REASONS: Final = ("stop_reason", "stop_sequence")
_KINDS_OF_DELTAS: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}
_TEXTS: Final = ("text", "thinking")
_PIECES: Final = {"text_delta": "text", "thinking_delta": "thinking"}


@dataclass(slots=True)
class _Open:
    """One block while its deltas arrive."""

    start: dict[str, Any]
    parts: list[str] = field(default_factory=list)
    citations: list[Any] = field(default_factory=list)
    signature: str | None = None

    @property
    def kind(self) -> Any:
        return self.start.get("type")

    def block(self) -> dict[str, Any]:
        """All of it."""
        if self.kind in _TEXTS:
            whole = {**self.start, self.kind: "".join(self.parts)}
            if self.citations:
                whole["citations"] = self.citations
            return whole if self.signature is None else {**whole, "signature": self.signature}
        if not self.parts:
            return self.start
        try:
            return {**self.start, "input": json.loads("".join(self.parts))}
        except (ValueError, RecursionError):
            return self.start

    def call(self) -> dict[str, Any]:
        """The call, its arguments in the text that came."""
        arguments: Any = "".join(self.parts)
        if not arguments.strip():
            given = self.start.get("input")
            arguments = json.dumps(given or {}, ensure_ascii=False)
        function = {"name": self.start.get("name"), "arguments": arguments}
        return {"id": self.start.get("id") or None, "type": "function", "function": function}


class AnthropicReader:
    """Puts the events of one streamed answer together.

    ``tail`` is the event that says why it ended.
    """

    def __init__(self) -> None:
        self._opened: list[_Open] = []
        self._at: dict[Any, _Open] = {}
        self._called = False
        self._last: dict[Any, _Open] = {}  # the last block that said anything, of each kind
        self._model: str | None = None
        self.tail: Mapping[str, Any] = {}
        self.usage: dict[str, Any] | None = None
        self.template: dict[str, Any] = {}
        self.host_readable = True

    def hear_again(self, data: str) -> str | None:
        """None: what a delta means depends on those before it."""
        return None

    def hear(self, chunk: Mapping[str, Any], data: str = "") -> Heard:
        """Take one event; what is not understood says nothing."""
        match chunk.get("type"):
            case "message_start":
                self._begin(_mapping(chunk, "message"))
            case "content_block_start":
                return self._open(chunk.get("index"), dict(_mapping(chunk, "content_block")))
            case "content_block_delta":
                return self._continue(chunk.get("index"), _mapping(chunk, "delta"))
            case "content_block_stop":
                found = self._found(chunk.get("index"))
                return Heard(decisive=found is not None and found.kind == "tool_use")
            case "message_delta":
                return self._end(chunk)
            case "message_stop":
                return Heard(ended=True)
        return Heard()

    def output(self) -> ModelOutput:
        """The answer as far as it has arrived."""
        blocks = self.blocks()
        reason = _mapping(self.tail, "delta").get("stop_reason")
        return ModelOutput(
            text=joined(blocks, "text") or None,
            tool_calls=tuple(one.call() for one in self._opened if one.kind == "tool_use"),
            reasoning=joined(blocks, "thinking") or None,
            finish_reason=read_word(reason),
            model=self._model,
        )

    def blocks(self) -> list[dict[str, Any]]:
        """Its blocks."""
        return [one.block() for one in self._opened]

    def take(self, body: Mapping[str, Any]) -> None:
        """The answer came in one piece."""
        self._begin(body)
        content = body.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, Mapping):
                self._open(index, dict(block))
        self.tail = {"delta": {key: body[key] for key in _REASONS if key in body}}

    def _begin(self, message: Mapping[str, Any]) -> None:
        self.template = {k: v for k, v in message.items() if k not in _NOT_IN_TEMPLATE}
        self._use(message)
        if isinstance(message.get("model"), str):
            self._model = message["model"]

    def _use(self, scope: Mapping[str, Any]) -> None:
        said = {key: value for key, value in _mapping(scope, "usage").items() if value is not None}
        if said:
            self.usage = {**(self.usage or {}), **said}

    def _open(self, index: Any, start: dict[str, Any]) -> Heard:
        opened = _Open(start)
        if type(index) is not int or (self._called and opened.kind in _TEXTS):
            self.host_readable = False
        self._opened.append(opened)
        self._at[index if type(index) is int else None] = opened
        if opened.kind == "tool_use":
            self._called = True
            if start.get("input") or not is_named(start):
                self.host_readable = False
            return Heard(decisive=True)
        first = start.get(opened.kind) if opened.kind in _TEXTS else None
        if not first or not isinstance(first, str):
            return Heard()
        self.host_readable = False  # gptme passes over what comes before the first delta
        return Heard(self._told(opened, first).said, decisive=True)

    def _continue(self, index: Any, delta: Mapping[str, Any]) -> Heard:
        kind = str(delta.get("type"))
        wanted = _KINDS_OF_DELTAS.get(kind)
        found = self._found(index)
        strange = found is None or (found.kind in CHECKED and wanted not in (None, found.kind))
        if strange and wanted is None:
            return Heard()
        if found is None or strange:  # the host could not tell where this belongs
            self._open(index, {"type": wanted})
            self.host_readable = False
            found = self._opened[-1]
        elif found is not self._opened[-1]:
            self.host_readable = False
        heard = self._add(found, kind, delta)
        return Heard(heard.said, heard.decisive or strange)

    def _add(self, found: _Open, kind: str, delta: Mapping[str, Any]) -> Heard:
        if kind == "signature_delta" and isinstance(delta.get("signature"), str):
            found.signature = (found.signature or "") + delta["signature"]
        elif kind == "citations_delta":
            found.citations.append(delta.get("citation"))
        elif kind == "input_json_delta":
            if isinstance(delta.get("partial_json"), str):
                found.parts.append(delta["partial_json"])
            return Heard(decisive=found.kind == "tool_use")
        elif kind in _PIECES and isinstance(delta.get(_PIECES[kind]), str):
            return self._told(found, delta[_PIECES[kind]])
        return Heard()

    def _told(self, found: _Open, text: str) -> Heard:
        """What a text adds to the answer; the first of a block begins a line."""
        if not text:
            return Heard()
        before = None if found.parts else self._last.get(found.kind)
        found.parts.append(text)
        self._last[found.kind] = found
        if before is None:
            return Heard((_said(found.kind, text),))
        # A host may show both blocks as one text, and see something to run across the border.
        across = found.kind == "text" and _unfinished("".join(before.parts))
        if across:
            self.host_readable = False
        return Heard((_said(found.kind, SEPARATOR + text),), decisive=across)

    def _found(self, index: Any) -> _Open | None:
        return self._at.get(index if type(index) is int else None)

    def _end(self, chunk: Mapping[str, Any]) -> Heard:
        self._use(chunk)
        reason = _mapping(chunk, "delta").get("stop_reason")
        if not reason:
            return Heard()
        self.tail = chunk
        return Heard(decisive=True, foreign=goes_on(reason, self.blocks()))


def _unfinished(text: str) -> bool:
    """Whether the last line may be the beginning of what some host would run."""
    line = text.rpartition("\n")[2].lstrip()
    return line.startswith(("@", "`")) or line.endswith("`") or line.rfind("<") > line.rfind(">")


def _said(kind: str, text: str) -> Said:
    return ("text" if kind == "text" else "reasoning", text)


def _mapping(scope: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = scope.get(key)
    return found if isinstance(found, Mapping) else {}
