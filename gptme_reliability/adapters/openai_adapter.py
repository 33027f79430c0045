"""OpenAI's chat completions as an adapter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.adapters import openai_request, openai_response
from gptme_reliability.adapters.adapter import AnswerReader, Heard, Said
from gptme_reliability.adapters.alike import Alike
from gptme_reliability.adapters.encoding import encode
from gptme_reliability.adapters.error_texts import LONGEST_MESSAGE, read_error
from gptme_reliability.adapters.openai_response import call_extras
from gptme_reliability.adapters.openai_stream import (
    StreamReader,
    says_text_only,
    write_delta,
    write_end,
)
from gptme_reliability.adapters.overflow import Overflow, error_for
from gptme_reliability.adapters.sse import DONE, encode_event
from gptme_reliability.types import (
    Accept,
    Call,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Reject,
    Repair,
)

_IDENTITY: Final = ("id", "created", "model", "system_fingerprint")
_ID: Final = "chatcmpl-reliability"


class OpenAI:
    """The adapter; it remembers nothing, so that ``OPENAI`` serves everybody."""

    def wanted(self, body: Mapping[str, Any]) -> bool:
        """All but those for several answers at once."""
        return body.get("n") in (None, 1)

    def read_request(self, body: Mapping[str, Any]) -> ModelRequest:
        """See ``openai_request``."""
        return openai_request.read_request(body)

    def mend(self, request: ModelRequest) -> tuple[ModelRequest, tuple[Repair, ...]]:
        """See ``openai_request``."""
        tools, repairs = openai_request.mend_tools(request.params.get("tools"))
        if repairs:
            request = replace(request, params={**request.params, "tools": tools})
        return request, repairs

    def view(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body itself."""
        return body

    def limits(self, facts: ModelFacts, request: ModelRequest) -> ModelFacts:
        """None that hold for all servers."""
        return facts

    def write_request(self, request: ModelRequest) -> dict[str, Any]:
        """See ``openai_request``."""
        return openai_request.write_request(request)

    def is_answer(self, body: Any) -> bool:
        """See ``openai_response``."""
        return openai_response.is_completion(body)

    def read_answer(self, body: Mapping[str, Any]) -> ModelOutput:
        """See ``openai_response``."""
        return openai_response.read_response(body)

    def host_readable(self, body: Mapping[str, Any]) -> bool:
        """See ``openai_response``."""
        return openai_response.host_readable(body)

    def write_answer(
        self,
        body: Mapping[str, Any] | None,
        verdict: Accept | Reject,
        text: str,
        reasoning: str | None,
        usage: Mapping[str, Any] | None,
        model: str,
    ) -> dict[str, Any]:
        """See ``openai_response``."""
        if body is None:
            body = {"id": _ID, "object": "chat.completion", "created": 0, "model": model}
        return openai_response.write_response(body, verdict, text, reasoning, usage)

    def reader(self, tool_names: Iterable[str]) -> OpenAIReader:
        """Reads a stream of chunks."""
        return OpenAIReader(tool_names)

    def writer(self, model: str, created: int) -> OpenAIWriter:
        """Writes a stream of chunks."""
        return OpenAIWriter(model, created)

    def too_long(self, raw: bytes, found: Overflow) -> bytes:
        """The error with both numbers and the setting."""
        return encode(error_for(raw, found))

    def error_event(self, raw: bytes) -> bytes:
        """The error as the data of an event."""
        error = read_error(raw)
        inner = error.get("error") if isinstance(error, Mapping) else None
        return _event({"error": inner or {"message": str(error)[:LONGEST_MESSAGE]}})


OPENAI: Final = OpenAI()


class OpenAIReader(StreamReader):
    """A ``StreamReader`` that says what each chunk brought."""

    def __init__(self, tool_names: Iterable[str]) -> None:
        super().__init__(tool_names)
        self._alike = Alike()

    def hear(self, chunk: Mapping[str, Any], data: str = "") -> Heard:
        """Take one chunk; one without choices says nothing of the answer."""
        model = self._model
        reasoning, text, decisive, foreign = self.feed(chunk)
        if self._model != model:  # what is known says the model as it was
            self._alike = Alike()
        if text and data and says_text_only(chunk):
            self._alike.learn(data, chunk, text)
        said: tuple[Said, ...] = (("text", text),) if text else ()
        if reasoning:
            said = (("reasoning", reasoning), *said)
        return Heard(said, decisive, foreign=foreign)

    def hear_again(self, data: str) -> str | None:
        """Take a chunk that is known but for its text."""
        text = self._alike.text(data)
        if text is not None:
            self.go_on(text)
        return text

    def take(self, body: Mapping[str, Any]) -> None:
        """The fields that all chunks of a stream have in common."""
        self.template = {key: body[key] for key in _IDENTITY if key in body}
        usage = body.get("usage")
        self.usage = dict(usage) if isinstance(usage, Mapping) else None


class OpenAIWriter:
    """Writes chunks, each of which stands for itself."""

    def __init__(self, model: str, created: int) -> None:
        self._own = {"id": _ID, "created": created, "model": model}

    def passed(self, reader: AnswerReader, raw: bytes) -> None:
        """Chunks do not depend on those before them."""

    def said(
        self, template: Mapping[str, Any], reader: AnswerReader, pieces: Sequence[Said]
    ) -> bytes:
        """A chunk for each piece, under the keys that this server uses."""
        assert isinstance(reader, OpenAIReader)
        base = self._base(template)
        keys = {"reasoning": reader.reasoning_key, "text": "content"}
        return b"".join(_event(write_delta(base, keys[where], text)) for where, text in pieces)

    def end(
        self,
        template: Mapping[str, Any],
        reader: AnswerReader,
        output: ModelOutput,
        calls: Sequence[Call],
        usage: Mapping[str, Any] | None,
    ) -> bytes:
        """The calls, the finish reason, what was used, and the mark of the end."""
        chunks = write_end(
            self._base(template),
            calls=calls,
            finish_reason=output.finish_reason or "stop",
            usage=usage,
            extras=call_extras(output.tool_calls),
        )
        return b"".join(map(_event, chunks)) + encode_event(DONE)

    def _base(self, template: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._own, **template, "object": "chat.completion.chunk"}


def _event(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + encode(chunk) + b"\n\n"
