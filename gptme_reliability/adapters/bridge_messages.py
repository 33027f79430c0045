"""The messages of Anthropic's API, put as those of chat completions.

Chat templates raise on a system message behind the first, and on a role that comes twice in a
row.  Anthropic's API takes the one and makes one turn of the other, so both are put as every
template takes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gptme_reliability.adapters.anthropic_messages import Block, read_call
from gptme_reliability.errors import InputError

_Turn: TypeAlias = tuple[str, Any]
"""Whose it is, ``user`` or ``assistant``, and the content."""

_LATER: Final = "a system message"
_CONTENT: Final = "the content of a message"
# What Claude Code tells Anthropic's servers at the head of the prompt.  It changes from one
# conversation to the next, and with it nothing behind it would be in a server's cache.
_FOR_ANTHROPIC: Final = re.compile(r"x-anthropic-[a-z-]+:[^\n]*\n?")


def write_messages(system: Any, messages: Any) -> list[dict[str, Any]]:
    """The messages of a chat completion.

    What a system message says before the first answer belongs to the system prompt; what it
    says later is told with the user's words, in tags.

    Raises:
        InputError: there is something that chat completions have no word for; what.
    """
    told = [plain(system, "the system prompt")] if system else []
    turns: list[_Turn] = []
    for message in objects(messages, "'messages'"):
        role, content = message.get("role"), message.get("content")
        if role == "system":
            said = plain(content, _LATER)
            if any(whose == "assistant" for whose, _ in turns):
                _add(turns, ("user", f"<system>\n{said}\n</system>"))
            else:
                told.append(said)
        elif role in ("user", "assistant"):
            _add(turns, (role, content))
        else:
            raise InputError(f"no message has the role {role!r}")
    if turns and turns[-1][0] == "assistant":
        raise InputError(unknown("the beginning of an answer, as the last message,"))
    prompt = "\n".join(filter(None, told))
    written: list[dict[str, Any]] = [{"role": "system", "content": prompt}] if prompt else []
    for role, content in turns:
        written += [_assistant(content)] if role == "assistant" else _user(content)
    return written


def unknown(what: str) -> str:
    """That chat completions have no word for this."""
    return f"{what} cannot be passed on: the upstream speaks OpenAI's API, which has no such thing"


def objects(value: Any, what: str) -> Sequence[Mapping[str, Any]]:
    """A list of objects.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise InputError(f"{what} must be a list of objects")
    return value


def plain(content: Any, where: str) -> str:
    """Content that is nothing but text.

    Raises:
        InputError: it is more.
    """
    if isinstance(content, str):
        return content
    blocks = objects(content, where)
    for block in blocks:
        if block.get("type") != "text":
            raise InputError(unknown(f"{block.get('type')!r} in {where}"))
    texts = [str(block.get("text")) for block in blocks]
    return "\n".join(text for text in texts if not _FOR_ANTHROPIC.fullmatch(text))


def _add(turns: list[_Turn], turn: _Turn) -> None:
    """Add a turn, or what it says to the one before."""
    if turns and turns[-1][0] == turn[0]:
        turns[-1] = (turn[0], [*_blocks(turns[-1][1]), *_blocks(turn[1])])
    else:
        turns.append(turn)


def _blocks(content: Any) -> Sequence[Block]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return objects(content, _CONTENT)


def _assistant(content: Any) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in objects(content, _CONTENT):
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text")))
            case "thinking":
                thoughts.append(str(block.get("thinking")))
            case "tool_use":
                calls.append(read_call(block))
            case other:
                raise InputError(unknown(f"{other!r} in an answer"))
    written: dict[str, Any] = {"role": "assistant", "content": "\n".join(texts) or None}
    if thoughts:
        written["reasoning_content"] = "\n".join(thoughts)
    if calls:
        written["tool_calls"] = calls
    else:
        written["content"] = written["content"] or ""
    return written


def _user(content: Any) -> Iterator[dict[str, Any]]:
    """Results first, as they must follow their calls, and pictures in them behind those."""
    if isinstance(content, str):
        yield {"role": "user", "content": content}
        return
    parts: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    blocks = objects(content, _CONTENT)
    for block in blocks:
        if block.get("type") != "tool_result":
            parts.append(_part(block))
            continue
        said = [_part(one) for one in _result(block)]
        texts = "\n".join(part["text"] for part in said if part["type"] == "text")
        if block.get("is_error") and not texts.lower().startswith("error"):
            texts = f"Error: {texts}"
        yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": texts}
        shown += [part for part in said if part["type"] != "text"]
    if shown:
        parts = [{"type": "text", "text": "What the tools have shown:"}, *shown, *parts]
    if not parts and blocks:
        return
    if all(part["type"] == "text" for part in parts):
        yield {"role": "user", "content": "\n".join(part["text"] for part in parts)}
    else:
        yield {"role": "user", "content": parts}


def _result(block: Block) -> Sequence[Block]:
    content = block.get("content")
    if content is None or isinstance(content, str):
        return [{"type": "text", "text": content or ""}]
    return objects(content, "the content of a result")


def _part(block: Block) -> dict[str, Any]:
    kind = block.get("type")
    source = block.get("source")
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind == "image" and isinstance(source, Mapping):
        return {"type": "image_url", "image_url": {"url": _image(source)}}
    plain = kind == "document" and isinstance(source, Mapping) and source.get("type") == "text"
    if plain and isinstance(source, Mapping) and not _cites(block):
        head = "\n".join(str(block[key]) for key in ("title", "context") if block.get(key))
        text = f"{head}\n{source.get('data')}" if head else str(source.get("data"))
        return {"type": "text", "text": text}
    told = unknown(f"{kind!r} in a message")
    # By these words Claude Code leaves it out from then on, and tells its model so.
    raise InputError(f"Could not process PDF: {told}" if kind == "document" else told)


def _cites(block: Block) -> bool:
    citations = block.get("citations")
    return isinstance(citations, Mapping) and bool(citations.get("enabled"))


def _image(source: Mapping[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    if source.get("type") == "url":
        return str(source.get("url"))
    raise InputError(unknown(f"an image from {source.get('type')!r}"))
