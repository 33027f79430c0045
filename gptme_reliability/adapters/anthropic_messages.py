"""Conversations of Anthropic's API ⇄ messages as chat completions have them.

One message there may be several here: every result of a call is a message of its own.  Each
keeps where it came from, so that what was not changed is written as it was read, with all that
nothing is known of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from gptme_reliability.errors import InputError

Block: TypeAlias = Mapping[str, Any]

ORIGIN: Final = "anthropic"
"""The key of a message's ``Origin``; no field of chat completions."""

_SYSTEM: Final = -1


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message came from.

    ``index`` is the position of the ``raw`` message, ``blocks`` are those of its blocks that are
    here, ``parts`` is how many messages were made of it, ``read`` is what was made of them.
    """

    index: int
    raw: Mapping[str, Any] = field(repr=False)
    blocks: tuple[Block, ...] = field(repr=False)
    read: Mapping[str, Any] = field(repr=False)
    parts: int = field(default=1, repr=False)


# --- read ---------------------------------------------------------------------------------


def read_messages(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The messages of a request's body, its system prompt first.

    Raises:
        InputError: they are no messages.
    """
    if body.get("system"):
        yield _with_origin(_SYSTEM, {}, (), {"role": "system", "content": body["system"]}, 1)
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise InputError("'messages' must be a list")
    for index, raw in enumerate(messages):
        content = raw.get("content") if isinstance(raw, Mapping) else None
        if not _is_content(content):
            raise InputError("a message must be an object with content")
        read = _read_assistant if raw.get("role") == "assistant" else _read_other
        made = list(read(raw["role"], content))
        for blocks, message in made:
            yield _with_origin(index, raw, blocks, message, len(made))


_Made: TypeAlias = Iterator[tuple[tuple[Block, ...], dict[str, Any]]]


def _is_content(content: Any) -> bool:
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(isinstance(block, Mapping) for block in content)


def _with_origin(
    index: int,
    raw: Mapping[str, Any],
    blocks: tuple[Block, ...],
    message: dict[str, Any],
    parts: int,
) -> dict[str, Any]:
    return {**message, ORIGIN: Origin(index, raw, blocks, message, parts)}


def _read_assistant(role: str, content: Any) -> _Made:
    if isinstance(content, str):
        yield (), {"role": role, "content": content}
        return
    calls = [read_call(block) for block in content if block.get("type") == "tool_use"]
    text = "".join(_texts(content))
    message: dict[str, Any] = {"role": role, "content": text or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    yield tuple(content), message


def _read_other(role: str, content: Any) -> _Made:
    if isinstance(content, str):
        yield (), {"role": role, "content": content}
        return
    gathered: list[Block] = []
    for block in content:
        if block.get("type") != "tool_result":
            gathered.append(block)
            continue
        if gathered:
            yield tuple(gathered), {"role": role, "content": gathered}
            gathered = []
        result = block.get("content")
        message = {
            "role": "tool",
            "tool_call_id": block.get("tool_use_id"),
            "content": "" if result is None else result,
        }
        yield (block,), message
    if gathered or not content:
        yield tuple(gathered), {"role": role, "content": gathered}


def read_call(block: Block) -> dict[str, Any]:
    """A ``tool_use`` block as the call object of a chat completion.

    Input that is no object stays as it is, which is what makes it a fault.
    """
    given = block.get("input")
    arguments = json.dumps(given, ensure_ascii=False) if isinstance(given, Mapping) else given
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def _texts(content: Sequence[Block]) -> Iterator[str]:
    for block in content:
        if block.get("type") == "text" and isinstance(block.get("text"), str):
            yield block["text"]


# --- write --------------------------------------------------------------------------------


@dataclass(slots=True)
class _Turn:
    role: str
    messages: list[Mapping[str, Any]]

    @property
    def last(self) -> Origin | None:
        """The origin of its last message; None for one that was made here."""
        return self.messages[-1].get(ORIGIN)


def write_messages(
    messages: Sequence[Mapping[str, Any]], thinking: Mapping[str, Sequence[Block]]
) -> tuple[Any, list[Any]]:
    """The system prompt, None for none, and the messages.

    ``thinking`` holds, by the id of a call, the blocks that must come back before it.
    """
    system: list[Mapping[str, Any]] = []
    turns: list[_Turn] = []
    for message in messages:
        origin, role = message.get(ORIGIN), _role(message)
        if role == "system" and (origin is None or origin.index == _SYSTEM):
            if not turns:
                system.append(message)
                continue
            role = "user"  # only some models take a system message behind the first
        if turns and turns[-1].role == role and _goes_with(turns[-1].last, origin):
            turns[-1].messages.append(message)
        else:
            turns.append(_Turn(role, [message]))
    return _write_system(system), [_write_turn(turn, thinking) for turn in turns]


def _role(message: Mapping[str, Any]) -> str:
    origin: Origin | None = message.get(ORIGIN)
    if origin is not None and origin.index != _SYSTEM:
        return str(origin.raw["role"])
    role = message.get("role")
    if role in ("system", "developer"):
        return "system"
    return "assistant" if role == "assistant" else "user"


def _goes_with(before: Origin | None, origin: Origin | None) -> bool:
    """Whether two messages of a role are one: they were, or one of them was made here."""
    return before is None or origin is None or before.index == origin.index


def _unchanged(message: Mapping[str, Any]) -> bool:
    origin = message.get(ORIGIN)
    if origin is None:
        return False
    return bool({key: value for key, value in message.items() if key != ORIGIN} == origin.read)


def _write_system(messages: Sequence[Mapping[str, Any]]) -> Any:
    contents = [message["content"] for message in messages if message.get("content")]
    if len(contents) < 2:
        return contents[0] if contents else None
    return [block for content in contents for block in _as_blocks(content)]


def _write_turn(turn: _Turn, thinking: Mapping[str, Sequence[Block]]) -> Any:
    first: Origin | None = turn.messages[0].get(ORIGIN)
    whole = first is not None and len(turn.messages) == first.parts
    if first is not None and whole and all(map(_unchanged, turn.messages)):
        return first.raw
    if len(turn.messages) == 1 and turn.role == "user" and "tool_call_id" not in turn.messages[0]:
        content = turn.messages[0].get("content")  # one text need not become blocks
    else:
        content = [block for message in turn.messages for block in _blocks(message, thinking)]
    return {**(first.raw if first else {}), "role": turn.role, "content": content}


def _blocks(message: Mapping[str, Any], thinking: Mapping[str, Sequence[Block]]) -> list[Block]:
    origin: Origin | None = message.get(ORIGIN)
    if origin is not None and origin.blocks and _unchanged(message):
        return list(origin.blocks)
    if message.get("role") == "assistant":
        return _assistant_blocks(message, origin, thinking)
    if message.get("role") != "tool":
        return _as_blocks(message.get("content"))
    raw = origin.blocks[0] if origin is not None and origin.blocks else {}
    result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id")}
    return [{**raw, **result, "content": message.get("content")}]


def _assistant_blocks(
    message: Mapping[str, Any], origin: Origin | None, thinking: Mapping[str, Sequence[Block]]
) -> list[Block]:
    calls = message.get("tool_calls") or []
    uses = [_write_call(call) for call in calls]
    if origin is not None and message.get("content") == origin.read.get("content"):
        known = iter(uses)
        return [
            {**block, **next(known)} if block.get("type") == "tool_use" else block
            for block in origin.blocks
        ] or _as_blocks(message.get("content"))
    before = next((thinking[use["id"]] for use in uses if use["id"] in thinking), ())
    return [*before, *_as_blocks(message.get("content")), *uses]


def _write_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    given = json.loads(function["arguments"])
    return {"type": "tool_use", "id": call["id"], "name": function["name"], "input": given}


def _as_blocks(content: Any) -> list[Block]:
    if isinstance(content, list):
        return list(content)
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []
