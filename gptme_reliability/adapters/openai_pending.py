"""What is to be said together with the results of calls, and where in a conversation.

A place is a call at its position: its id, name and arguments, and a digest of what went before.
Servers that use one id again and again, and other conversations, are told apart by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.adapters.openai_history import append_text, stored_calls
from gptme_reliability.types import Call, Repair

# Hosts rewrite their system messages and shorten old results as they go.
_STEADY_ROLES: Final = frozenset({"user", "assistant"})
_ENCODER: Final = json.JSONEncoder(sort_keys=True, default=repr)


# To write all of a long text at once holds up all other threads.
_WINDOW: Final = 65_536


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which conversation a call stands."""

    before: str
    id: str
    name: str
    arguments: str


def place(before: str, call: Call) -> Place:
    """The place of a call behind the conversation with this digest."""
    return Place(before, call.id or "", call.name, _canonical(dict(call.arguments)))


def digest(messages: Sequence[Mapping[str, Any]]) -> str:
    """What tells a conversation from others: what the user and the model said, in order."""
    state = hashlib.sha256()
    for message in messages:
        _add(state, message)
    return state.hexdigest()


def add_pending(
    messages: Sequence[Mapping[str, Any]], pending: Mapping[Place, str]
) -> tuple[list[dict[str, Any]], tuple[Repair, ...]]:
    """Add what is to be said together with the results of calls.

    A text goes once into the last result among the calls of one answer that it belongs to.
    """
    written = [dict(message) for message in messages]
    repairs: list[Repair] = []
    if not pending:
        return written, ()
    for position, before in enumerate(_digests(messages)):
        if position == len(messages):
            break
        texts: dict[str, str] = {}
        for call in stored_calls(messages[position]):
            found = _place(before, call)
            text = None if found is None else pending.get(found)
            if found is not None and text is not None:
                texts[found.id] = text
        for result, text in _last_results(messages, position, texts):
            written[result]["content"] = append_text(written[result].get("content"), text)
            path = f"$.messages[{result}].content"
            repairs.append(Repair("late_feedback", path, None, text, "presentation"))
    return written, tuple(repairs)


def _digests(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The digest of what goes before each message, and of all of them."""
    state = hashlib.sha256()
    yield state.hexdigest()
    for message in messages:
        _add(state, message)
        yield state.hexdigest()


def _add(state: Any, message: Mapping[str, Any]) -> None:
    if message.get("role") in _STEADY_ROLES:
        said = [message["role"], _short(message.get("content")), message.get("tool_calls")]
        state.update(_canonical(said).encode("utf-8", "surrogatepass"))


def _short(content: Any) -> Any:
    """A content to tell it from others by; instead of a long text, its own digest."""
    if not isinstance(content, str) or len(content) <= _WINDOW:
        return content
    state = hashlib.sha256()
    for at in range(0, len(content), _WINDOW):
        state.update(content[at : at + _WINDOW].encode("utf-8", "surrogatepass"))
    return state.hexdigest()


def _last_results(
    messages: Sequence[Mapping[str, Any]], position: int, texts: Mapping[str, str]
) -> list[tuple[int, str]]:
    """Where each text goes: the last result of its calls before the next answer."""
    last: dict[str, int] = {}
    for after in range(position + 1, len(messages)) if texts else ():
        message = messages[after]
        if message.get("role") == "assistant":
            break
        call_id = message.get("tool_call_id") if message.get("role") == "tool" else None
        if isinstance(call_id, str) and call_id in texts:
            last[texts[call_id]] = after
    return [(result, text) for text, result in last.items()]


def _place(before: str, call: Mapping[str, Any]) -> Place | None:
    function, call_id = call.get("function"), call.get("id")
    if not isinstance(function, Mapping) or not isinstance(call_id, str):
        return None
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not isinstance(arguments, str):
        return None
    try:
        # The host may have written the arguments again in its own way.
        return Place(before, call_id, name, _canonical(json.loads(arguments)))
    except (ValueError, RecursionError):
        return None


def _canonical(value: Any) -> str:
    return _ENCODER.encode(value)
