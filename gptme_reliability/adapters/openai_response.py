"""Whole chat completions ⇄ the values of the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.enforce import was_cut
from gptme_reliability.feedback import call_json
from gptme_reliability.types import Accept, Call, ModelOutput, Reject

REASONING_KEYS: Final = ("reasoning_content", "reasoning")
"""Where servers put reasoning, in the order in which gptme looks."""

CALL_KEYS: Final = frozenset({"id", "type", "function", "index"})
"""The fields of a call that are read; whatever else there is belongs to the server."""


def is_completion(body: Any) -> bool:
    """Whether this is a whole chat completion that can be checked.

    One that says nothing that can be read is; one with several answers, or with a call of a
    tool that is no function, is not.
    """
    if not isinstance(body, Mapping) or body.get("error"):
        return False
    choices = body.get("choices")
    if choices is None:
        return body.get("object") == "chat.completion"
    if not isinstance(choices, list) or len(choices) > 1:
        return False
    return not any(map(is_other, read_calls(_message(_first_choice(body)))))


def is_other(call: Any) -> bool:
    """Whether this is a call of a ``custom`` tool, whose input is a text without a schema."""
    return (
        isinstance(call, Mapping)
        and call.get("type") == "custom"
        and isinstance(call.get("custom"), Mapping)
    )


def read_response(body: Mapping[str, Any]) -> ModelOutput:
    """Read a whole completion; calls are passed on as received, however broken."""
    choice = _first_choice(body)
    message = _message(choice)
    finish_reason, model = choice.get("finish_reason"), body.get("model")
    return ModelOutput(
        text=_text(message, choice),
        tool_calls=tuple(read_calls(message)),
        reasoning=read_reasoning(message),
        finish_reason=finish_reason if isinstance(finish_reason, str) else None,
        model=model if isinstance(model, str) else None,
    )


def host_readable(body: Mapping[str, Any]) -> bool:
    """Whether the SDK and gptme can read this completion as it stands."""
    choice = _first_choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return False
    content, calls = message.get("content"), message.get("tool_calls")
    if message.get("function_call") and not calls:
        return False
    if not isinstance(content, str | None) or not isinstance(calls, list | None):
        return False
    return all(_readable_call(call) for call in calls or ())


def write_response(
    body: Mapping[str, Any],
    verdict: Accept | Reject,
    text: str,
    reasoning: str | None,
    usage: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """A completion that says what the verdict says; fields we know nothing of are kept."""
    choice = dict(_first_choice(body))
    received = _message(choice)
    message = {k: v for k, v in received.items() if k not in ("function_call", "tool_calls")}
    message["role"] = "assistant"
    message["content"] = text if text or not verdict.calls else None
    _write_reasoning(message, reasoning)
    if verdict.calls:
        extras = call_extras(read_calls(received))
        message["tool_calls"] = [write_call(call, extras) for call in verdict.calls]
    choice["index"] = 0
    choice["message"] = message
    choice["finish_reason"] = finish_word(choice.get("finish_reason"), verdict.calls)
    written: dict[str, Any] = {"object": "chat.completion", **body, "choices": [choice]}
    if usage is not None:
        written["usage"] = dict(usage)
    return written


def finish_word(received: Any, calls: Sequence[Call]) -> str:
    """The finish reason for the host."""
    if calls:
        return "tool_calls"
    if received == "content_filter":
        return "content_filter"
    return "length" if was_cut(received) else "stop"


def write_call(call: Call, extras: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A native call with whatever else the server had said about the one of this id."""
    return {
        **extras.get(call.id or "", {}),
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call_json(call)},
    }


def call_extras(calls: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """By id, the fields of received calls that we know nothing of (signatures and the like)."""
    extras: dict[str, dict[str, Any]] = {}
    for call in calls:
        if isinstance(call, Mapping) and isinstance(call.get("id"), str):
            extras[call["id"]] = {k: v for k, v in call.items() if k not in CALL_KEYS}
    return extras


def read_text(content: Any) -> str | None:
    """The text of a ``content`` field: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (part.get("text") if isinstance(part, Mapping) else part for part in content)
        return "".join(part for part in parts if isinstance(part, str))
    return None


def read_reasoning(message: Mapping[str, Any]) -> str | None:
    """The reasoning of a message or delta."""
    for key in REASONING_KEYS:
        said = message.get(key)
        if said and isinstance(said, str):
            return said
    return None


def read_calls(message: Mapping[str, Any]) -> list[Any]:
    """The calls of a message as received; the legacy field only where there is no other."""
    calls = message.get("tool_calls")
    if calls is not None:
        calls = [calls] if isinstance(calls, Mapping) else calls
        if isinstance(calls, list) and calls:
            return calls
    legacy = message.get("function_call")
    return [{"id": None, "type": "function", "function": legacy}] if legacy else []


def sum_usage(usages: Iterable[Mapping[str, Any] | None]) -> dict[str, Any] | None:
    """What several requests used together; None when no server said anything."""
    total: dict[str, Any] | None = None
    for usage in usages:
        if isinstance(usage, Mapping):
            total = dict(usage) if total is None else _add(total, usage)
    return total


def total_tokens(usage: Mapping[str, Any] | None) -> int:
    """The tokens of a request and its answer; 0 when the server said nothing of them."""
    for keys in (("total_tokens",), ("prompt_tokens", "completion_tokens")):
        counts = [(usage or {}).get(key) for key in keys]
        if total := sum(count for count in counts if type(count) is int and count > 0):
            return total
    return 0


def _add(total: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    added = dict(total)
    for key, value in usage.items():
        before = added.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            added[key] = _add(before, value)
        elif _is_number(value) and _is_number(before):
            added[key] = before + value
        elif before is None or value is not None:
            added[key] = value
    return added


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return choices[0]
    return {}


def _message(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    message = choice.get("message")
    return message if isinstance(message, Mapping) else {}


def _text(message: Mapping[str, Any], choice: Mapping[str, Any]) -> str | None:
    # A refusal and a legacy completion's text would otherwise reach nobody.
    found = (read_text(message.get("content")), message.get("refusal"), choice.get("text"))
    return next((text for text in found if isinstance(text, str) and text), found[0])


def _write_reasoning(message: dict[str, Any], reasoning: str | None) -> None:
    present = [key for key in REASONING_KEYS if isinstance(message.get(key), str)]
    for key in present or REASONING_KEYS[:1]:
        if reasoning:
            message[key] = reasoning
        else:
            message.pop(key, None)


def _readable_call(call: Any) -> bool:
    if not isinstance(call, Mapping) or call.get("type") != "function":
        return False
    function = call.get("function")
    return (
        isinstance(call.get("id"), str)
        and isinstance(function, Mapping)
        and isinstance(function.get("name"), str)
        and isinstance(function.get("arguments"), str)
    )
