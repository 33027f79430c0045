"""Anthropic's messages as an adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.adapters import anthropic_request, anthropic_response
from gptme_reliability.adapters.anthropic_messages import ORIGIN, Block
from gptme_reliability.adapters.anthropic_stream import AnthropicReader
from gptme_reliability.adapters.anthropic_writing import AnthropicWriter, event
from gptme_reliability.adapters.encoding import encode
from gptme_reliability.adapters.error_texts import LONGEST_MESSAGE, read_error
from gptme_reliability.adapters.overflow import Overflow, error_for, told_by_anthropic
from gptme_reliability.types import Accept, ModelFacts, ModelOutput, ModelRequest, Reject, Repair

_THOUGHTS: Final = frozenset({"thinking", "redacted_thinking"})


class Anthropic:
    """The adapter for one request.

    It remembers the host's own body, for what is written is made from that, and the answers it
    read: what a model thought before a call must come back with it.
    """

    def __init__(self) -> None:
        self._body: Mapping[str, Any] = {}
        self._answers: list[Callable[[], Iterable[Block]]] = []

    def wanted(self, body: Mapping[str, Any]) -> bool:
        """All that have messages."""
        return isinstance(body.get("messages"), list)

    def read_request(self, body: Mapping[str, Any]) -> ModelRequest:
        """See ``anthropic_request``."""
        self._body = body
        return anthropic_request.read_request(body)

    def mend(self, request: ModelRequest) -> tuple[ModelRequest, tuple[Repair, ...]]:
        """The schemas of its tools."""
        tools, repairs = anthropic_request.mend_tools(request.params.get("tools"))
        if repairs:
            request = replace(request, params={**request.params, "tools": tools})
        return request, repairs

    def view(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Model, messages and the host's own tools."""
        request = anthropic_request.read_request(body)
        messages = [
            {key: value for key, value in message.items() if key != ORIGIN}
            for message in request.messages
        ]
        viewed = {**request.params, "model": request.model, "messages": messages}
        viewed["tools"] = [anthropic_request.as_openai(tool) for tool in request.tools]
        return viewed

    def limits(self, facts: ModelFacts, request: ModelRequest) -> ModelFacts:
        """No answer is held to a schema, and who thinks first cannot be made to call."""
        if anthropic_request.thinks(self._body):
            facts = replace(facts, tool_choice=False)
        return replace(facts, response_format=False)

    def write_request(self, request: ModelRequest) -> dict[str, Any]:
        """See ``anthropic_request``."""
        return anthropic_request.write_request(request, self._body, self._thinking())

    def is_answer(self, body: Any) -> bool:
        """See ``anthropic_response``."""
        return anthropic_response.is_answer(body)

    def read_answer(self, body: Mapping[str, Any]) -> ModelOutput:
        """See ``anthropic_response``."""
        self._answers.append(lambda: [b for b in body["content"] if isinstance(b, Mapping)])
        return anthropic_response.read_answer(body)

    def host_readable(self, body: Mapping[str, Any]) -> bool:
        """See ``anthropic_response``."""
        return anthropic_response.host_readable(body)

    def write_answer(
        self,
        body: Mapping[str, Any] | None,
        verdict: Accept | Reject,
        text: str,
        reasoning: str | None,
        usage: Mapping[str, Any] | None,
        model: str,
    ) -> dict[str, Any]:
        """See ``anthropic_response``."""
        return anthropic_response.write_answer(body, verdict, text, reasoning, usage, model)

    def reader(self, tool_names: Iterable[str]) -> AnthropicReader:
        """Reads a stream of events."""
        reader = AnthropicReader()
        self._answers.append(reader.blocks)
        return reader

    def writer(self, model: str, created: int) -> AnthropicWriter:
        """Writes a stream of events."""
        return AnthropicWriter(model)

    def too_long(self, raw: bytes, found: Overflow) -> bytes:
        """The error with both numbers and the setting, behind the words of this API."""
        error = error_for(raw, found)["error"]
        message = f"{told_by_anthropic(found)}. {error['message']}"
        return encode({"type": "error", "error": {**error, "message": message}})

    def error_event(self, raw: bytes) -> bytes:
        """The error as an event, with all that the server said."""
        error = read_error(raw)
        inner = error.get("error") if isinstance(error, Mapping) else None
        if not isinstance(inner, Mapping):
            inner = {"type": "api_error", "message": str(error)[:LONGEST_MESSAGE]}
        return event({"type": "error", "error": inner})

    def _thinking(self) -> dict[str, list[Block]]:
        """By the ids of calls, what was thought before them."""
        found: dict[str, list[Block]] = {}
        for answer in self._answers:
            blocks = list(answer())
            thoughts = [block for block in blocks if block.get("type") in _THOUGHTS]
            for block in blocks if thoughts else ():
                if block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                    found[block["id"]] = thoughts
        return found
