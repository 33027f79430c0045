"""The conversation, mended on the wire.

One broken call in a stored conversation makes strict servers refuse every later request.  The
stored log is not touched; what is sent is made well-formed, and nothing else is changed.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.adapters.openai_ids import new_id
from gptme_reliability.adapters.openai_response import is_other
from gptme_reliability.repair.syntax import Reading, read_arguments
from gptme_reliability.types import Repair, RepairKind

NO_RESULT: Final = "(no result was recorded for this call)"
NO_NAME: Final = "unnamed_tool"


def mend_history(
    messages: Sequence[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], tuple[Repair, ...]]:
    """Well-formed messages, and what was changed to make them so.

    Arguments become the text of a JSON object; ids that are missing or used twice are replaced,
    in the results too; a call without a result gets one that says so.
    """
    mender = _Mender(messages)
    mended = [mender.take(position, dict(message)) for position, message in enumerate(messages)]
    return mender.with_results(mended), tuple(mender.repairs)


def known_ids(messages: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """All call ids of a conversation."""
    return frozenset(
        call["id"]
        for message in messages
        for call in stored_calls(message)
        if isinstance(call.get("id"), str)
    )


@dataclass(slots=True)
class _Asked:
    """A stored call as it is sent, and whether a result for it came."""

    id: str
    answered: bool = False


class _Mender:
    """One pass over the messages.

    A result answers the first open call of its id; a later turn that uses the id again closes
    those of earlier turns.
    """

    def __init__(self, messages: Sequence[Mapping[str, Any]]) -> None:
        self._taken = set(known_ids(messages))
        self._seen: set[str] = set()
        self._open: dict[str, deque[_Asked]] = {}  # by the id as stored
        self._asked: dict[int, list[_Asked]] = {}  # by the position of the message
        self.repairs: list[Repair] = []

    def take(self, position: int, message: dict[str, Any]) -> dict[str, Any]:
        """Mend one message in place."""
        if message.get("role") == "tool":
            self._result(position, message)
        elif message.get("role") == "assistant":
            self._assistant(position, message)
        return message

    def with_results(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """All messages, and a result for every call that got none, where results belong."""
        written: list[dict[str, Any]] = []
        owed: list[dict[str, Any]] = []
        for position, message in enumerate(messages):
            if message.get("role") != "tool":
                written += owed
                owed = []
            written.append(message)
            for asked in self._asked.get(position, ()):
                if not asked.answered:
                    owed.append(_no_result(asked.id))
                    path = f"$.messages[{position}]"
                    self._note("history_result", path, None, NO_RESULT, "presentation")
        return written + owed

    def _assistant(self, position: int, message: dict[str, Any]) -> None:
        calls = message.get("tool_calls")
        if not isinstance(calls, list):
            if not calls and "content" not in message:
                self._set(message, "content", "", f"$.messages[{position}]")
            return
        turn: dict[str, deque[_Asked]] = {}
        message["tool_calls"] = mended = []
        for index, call in enumerate(calls):
            path = f"$.messages[{position}].tool_calls[{index}]"
            stored = _stored_id(call, "id")
            mended.append(self._call(path, index, call, stored))
            asked = _Asked(mended[-1]["id"])
            turn.setdefault(stored, deque()).append(asked)
            self._asked.setdefault(position, []).append(asked)
        self._open.update(turn)

    def _call(self, path: str, index: int, call: Any, stored: str) -> dict[str, Any]:
        mended: dict[str, Any] = dict(call) if isinstance(call, Mapping) else {}
        if is_other(mended):
            return self._with_id(path, index, mended, stored, ("", ""))
        function = mended.get("function")
        function = dict(function) if isinstance(function, Mapping) else {}
        self._set(mended, "type", mended.get("type") or "function", path)
        name = function.get("name")
        named = name if isinstance(name, str) and name.strip() else NO_NAME
        self._set(function, "name", named, f"{path}.function")
        arguments, kind = _sane_arguments(function.get("arguments"))
        self._set(function, "arguments", arguments, f"{path}.function", kind)
        mended["function"] = function
        return self._with_id(path, index, mended, stored, (named, arguments))

    def _with_id(
        self, path: str, index: int, mended: dict[str, Any], stored: str, said: tuple[str, str]
    ) -> dict[str, Any]:
        sent = stored
        if not stored or stored in self._seen:
            sent = new_id(index, *said, self._taken)
            self._taken.add(sent)
        self._set(mended, "id", sent, path)
        self._seen.add(sent)
        return mended

    def _result(self, position: int, message: dict[str, Any]) -> None:
        stored = _stored_id(message, "tool_call_id")
        waiting = self._open.get(stored)
        sent = stored
        if waiting:
            # The last one stays: gptme may send one call's result in several messages.
            asked = waiting.popleft() if len(waiting) > 1 else waiting[0]
            asked.answered = True
            sent = asked.id
        elif not sent:
            sent = new_id(position, "", "", self._taken)
            self._taken.add(sent)
        self._set(message, "tool_call_id", sent, f"$.messages[{position}]")

    def _set(
        self,
        target: MutableMapping[str, Any],
        key: str,
        value: Any,
        path: str,
        kind: RepairKind = "lossless",
    ) -> None:
        before = target.get(key)
        if before != value or type(before) is not type(value):
            target[key] = value
            self._note(f"history_{key}", f"{path}.{key}", before, value, kind)

    def _note(
        self, rule: str, path: str, before: Any, after: Any, kind: RepairKind = "lossless"
    ) -> None:
        self.repairs.append(Repair(rule, path, before, after, kind))


def _stored_id(entry: Any, key: str) -> str:
    """The id under ``key``, empty when there is none that can be one."""
    value = entry.get(key) if isinstance(entry, Mapping) else None
    return value if isinstance(value, str) else ""


def _sane_arguments(raw: Any) -> tuple[str, RepairKind]:
    """Arguments as the text of a JSON object, and how far that is from what was stored.

    A stored call has run or has been refused already: what cannot be read is only shown to the
    model, never run, so that an empty object stands in for it.
    """
    if isinstance(raw, Mapping):
        return json.dumps(raw), "lossless"
    if isinstance(raw, str):
        try:
            if isinstance(json.loads(raw), dict):
                return raw, "lossless"
        except (ValueError, RecursionError):
            pass
        reading = read_arguments(raw)
        if isinstance(reading, Reading) and isinstance(reading.value, Mapping):
            return json.dumps(reading.value), "inferred"
    return "{}", "lossy"


def stored_calls(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The calls of a message of a conversation, as far as they are any."""
    calls = message.get("tool_calls") if message.get("role") == "assistant" else None
    return [c for c in calls if isinstance(c, Mapping)] if isinstance(calls, list) else []


def append_text(content: Any, text: str) -> Any:
    """A message's content, a text or a list of parts, with another text behind it."""
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return f"{content}\n\n{text}" if isinstance(content, str) and content else text


def _no_result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": NO_RESULT}
