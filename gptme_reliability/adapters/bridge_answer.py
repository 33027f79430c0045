"""Chat completions, put as answers of Anthropic's API, faults and all.

Nothing is judged here: a call that cannot be read arrives as one that cannot be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.adapters.anthropic_response import empty_answer, thought
from gptme_reliability.adapters.anthropic_writing import event
from gptme_reliability.adapters.density import too_dense
from gptme_reliability.adapters.error_texts import LONGEST_MESSAGE, messages_of, read_error
from gptme_reliability.adapters.openai_response import (
    is_completion,
    read_reasoning,
    read_response,
    read_text,
)
from gptme_reliability.adapters.openai_stream import StreamReader, first_choice, read_delta
from gptme_reliability.adapters.sse import Event, EventReader, is_no_event
from gptme_reliability.enforce import was_cut
from gptme_reliability.repair.syntax import Reading, read_arguments
from gptme_reliability.types import ModelOutput

ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""What Anthropic's API calls an error, by its status."""

# How servers say that a model sees no pictures: llama.cpp, vLLM, LM Studio, OpenAI's own.
_BLIND: Final = re.compile(
    r"image input is not supported|is not a multimodal model|does not support images"
    r"|image_url is only supported",
    re.IGNORECASE,
)
_PICTURE: Final = b'"image_url"'
_HEAD: Final = 500
_NO_COMPLETION: Final = "the upstream sent what is no chat completion"
_QUOTED: Final = "failed_generation"
"""Where servers put what the model wrote and they could not read."""


def to_message(body: Any, mark: str = "") -> dict[str, Any] | None:
    """A whole completion as a message; None for what is no completion.

    ``mark`` is a part of the message's id.  Clients take messages with one id for parts of one
    message, and servers give few ids, or always the same.
    """
    if not is_completion(body):
        return None
    output = read_response(body)
    content: list[Any] = [thought(output.reasoning)] if output.reasoning else []
    if output.text:
        content.append({"type": "text", "text": output.text})
    content += [_whole_call(call) for call in output.tool_calls]
    message = empty_answer(_named(body, mark), output.model or "")
    message["content"] = content
    message.update(_ending(output, first_choice(body)))
    message["usage"] = {**message["usage"], **_usage(body.get("usage"))}
    return message


def to_error(status: int, raw: bytes, asked: bytes = b"") -> tuple[int, dict[str, Any]]:
    """An error's status and body as Anthropic's API has it, with all that tells whose fault it was.

    ``asked`` is the request's body.  A model that cannot see a picture in it never will: by
    Anthropic's words for that Claude Code leaves it out and goes on, where it would ask again.
    """
    error = read_error(raw)
    said = next(messages_of(error), "")
    if _PICTURE in asked and _BLIND.search(said[:_HEAD]):
        return 400, _error(f"Could not process image: {said[:_HEAD]}", ERROR_TYPES[400])
    return status, _error(error, ERROR_TYPES.get(status, "api_error"))


class Translator:
    """Turns the bytes of one streamed completion into those of a streamed message.

    Texts go on at once.  Calls come at the end, put together: servers send them in all manner
    of pieces, and a message has its blocks one after the other.  ``mark``: see ``to_message``.
    """

    def __init__(self, tool_names: Iterable[str] = (), mark: str = "") -> None:
        self._events = EventReader()
        self._reader = StreamReader(tool_names)
        self._mark = mark
        self._choice: Mapping[str, Any] = {}
        self._begun = False
        self._over = False
        self._index = -1
        self._kind: str | None = None

    def feed(self, chunk: bytes) -> bytes:
        """Add bytes; return what they say."""
        return b"".join(self._take(one) for one in self._events.feed(chunk))

    def close(self) -> bytes:
        """The connection ended: with an end, where the server had said why it stopped."""
        rest = b"".join(self._take(one) for one in self._events.close())
        if self._over:
            return rest
        return rest + (self._end() if self._reader.finish_reason else self._calls())

    def _take(self, one: Event) -> bytes:
        if self._over:
            return b""
        if one.data is None:
            if is_no_event(one.raw):
                return self._fail(_NO_COMPLETION)
            return one.raw  # a comment keeps the connection alive here as well
        if one.done:
            return self._end()
        try:
            chunk = None if too_dense(one.raw) else json.loads(one.data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, Mapping):
            return self._fail(_NO_COMPLETION) if one.terminated else b""
        if chunk.get("error"):
            self._over = True
            return event(_error(chunk, "api_error"))
        return self._said(chunk)

    def _said(self, chunk: Mapping[str, Any]) -> bytes:
        if self._reader.feed(chunk).foreign:
            return self._fail("the upstream sent several answers where one was asked for")
        choice = first_choice(chunk)
        if choice.get("finish_reason"):
            self._choice = choice
        delta = read_delta(choice)
        pieces = [
            self._piece("thinking", read_reasoning(delta)),
            self._piece("text", read_text(delta.get("content")) or _refusal(delta)),
        ]
        return self._begin() + b"".join(pieces)

    def _fail(self, why: str) -> bytes:
        self._over = True
        return event(_error(why, "api_error"))

    # --- events -----------------------------------------------------------------------

    def _begin(self) -> bytes:
        if self._begun or not self._reader.template:
            return b""
        self._begun = True
        message = empty_answer(_named(self._reader.template, self._mark), self._model)
        message["usage"].update(_usage(self._reader.usage), output_tokens=0)
        return event({"type": "message_start", "message": message})

    @property
    def _model(self) -> str:
        return self._reader.output().model or ""

    def _piece(self, kind: str, text: str | None) -> bytes:
        if not text:
            return b""
        begun = self._begin()
        if self._kind != kind:
            start = thought("") if kind == "thinking" else {"type": "text", "text": ""}
            begun += self._close() + self._start(start)
            self._kind = kind
        return begun + self._delta({"type": f"{kind}_delta", kind: text})

    def _calls(self) -> bytes:
        written = self._close()
        for call in self._reader.output().tool_calls:
            block, arguments = _call(call)
            written += self._start({**block, "input": {}})
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            if text:
                written += self._delta({"type": "input_json_delta", "partial_json": text})
            written += event({"type": "content_block_stop", "index": self._index})
        return written

    def _end(self) -> bytes:
        self._over = True
        written = self._begin() + self._calls()
        ending = _ending(self._reader.output(), self._choice)
        usage = {"output_tokens": 0, **_usage(self._reader.usage)}
        written += event({"type": "message_delta", "delta": ending, "usage": usage})
        return written + event({"type": "message_stop"})

    def _start(self, block: Mapping[str, Any]) -> bytes:
        self._index += 1
        start = {"type": "content_block_start", "index": self._index}
        return event({**start, "content_block": block})

    def _delta(self, delta: Mapping[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if self._kind is None:
            return b""
        self._kind = None
        return event({"type": "content_block_stop", "index": self._index})


def _refusal(delta: Mapping[str, Any]) -> str | None:
    said = delta.get("refusal")
    return said if isinstance(said, str) else None


def _named(body: Mapping[str, Any], mark: str) -> dict[str, Any]:
    parts = [part for part in (body.get("id"), mark) if isinstance(part, str) and part]
    named = {"id": "_".join(["msg", *parts])} if parts else {}
    return {**named, **({"model": body["model"]} if isinstance(body.get("model"), str) else {})}


def _call(call: Any) -> tuple[dict[str, Any], Any]:
    """A call as received, as the head of a block, and its arguments."""
    scope = call if isinstance(call, Mapping) else {}
    function = scope.get("function")
    function = function if isinstance(function, Mapping) else {}
    name, call_id = function.get("name"), scope.get("id")
    head = {
        "type": "tool_use",
        "id": call_id if isinstance(call_id, str) else "",
        "name": name if isinstance(name, str) else "",
    }
    return head, function.get("arguments") if scope else call


def _whole_call(call: Any) -> dict[str, Any]:
    """A block; its input is an object where the arguments are nothing else."""
    head, arguments = _call(call)
    reading = read_arguments(arguments) if isinstance(arguments, str) else None
    if not isinstance(reading, Reading) or reading.repairs:
        return {**head, "input": arguments}
    return {**head, "input": reading.value if isinstance(reading.value, Mapping) else arguments}


def _ending(output: ModelOutput, choice: Mapping[str, Any]) -> dict[str, Any]:
    said = choice.get("stop_reason")  # vLLM names the stop sequence there
    if output.finish_reason == "content_filter":
        reason = "refusal"
    elif was_cut(output.finish_reason):
        reason = "max_tokens"
    elif output.tool_calls:
        reason = "tool_use"
    else:
        reason = "stop_sequence" if isinstance(said, str) else "end_turn"
    return {
        "stop_reason": reason,
        "stop_sequence": said if reason == "stop_sequence" else None,
    }


def _usage(usage: Any) -> dict[str, Any]:
    """What was used; tokens from a cache are counted apart."""
    if not isinstance(usage, Mapping):
        return {}
    asked, answered = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    details = usage.get("prompt_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, Mapping) else 0
    written = {"input_tokens": max(asked - cached, 0), "output_tokens": answered}
    return {**written, "cache_read_input_tokens": cached} if cached else written


def _count(scope: Mapping[str, Any], key: str) -> int:
    count = scope.get(key)
    return count if type(count) is int else 0


def _error(error: Any, kind: str) -> dict[str, Any]:
    scopes: Sequence[Any] = (error, error.get("error") if isinstance(error, Mapping) else None)
    inner = {"type": kind, "message": _message(error)}
    for scope in scopes:
        if isinstance(scope, Mapping) and isinstance(scope.get(_QUOTED), str):
            inner[_QUOTED] = scope[_QUOTED]
    return {"type": "error", "error": inner}


def _message(error: Any) -> str:
    """What an error says, wherever the server put it."""
    for _ in range(3):
        if isinstance(error, Mapping):
            found = (error.get(key) for key in ("error", "message", "detail", "msg"))
            error = next((one for one in found if one), "the upstream failed")
    return error if isinstance(error, str) else str(error)[:LONGEST_MESSAGE]
