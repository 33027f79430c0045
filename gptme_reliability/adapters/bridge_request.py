"""Requests of Anthropic's API, put as chat completions for a server that knows only these.

What such a server has no word for is refused by name, so that nothing is lost in silence.  Only
hints that leave the answer as it is go without one: where a prompt may be cached, and the like.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.adapters.anthropic_messages import Block, read_call
from gptme_reliability.errors import InputError

_SAME: Final = frozenset({"model", "max_tokens", "temperature", "top_p", "top_k", "stream"})
_APART: Final = frozenset({"messages", "system", "tools", "tool_choice"})
_HINTS: Final = frozenset({"cache_control", "service_tier", "inference_geo", "speed"})
_TOOL_HINTS: Final = frozenset({"cache_control", "eager_input_streaming"})
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
# Tokens up to which a budget for thinking is an effort of this name.
_EFFORTS: Final = ((2_048, "low"), (8_192, "medium"))


def to_openai(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion that asks the same.

    Raises:
        InputError: it asks for something that chat completions have no word for; which.
    """
    written: dict[str, Any] = {}
    for key, value in body.items():
        if key in _SAME:
            written[key] = value
        elif key in _WRITERS:
            written.update(_WRITERS[key](value))
        elif key not in _APART and key not in _HINTS:
            raise InputError(_unknown(repr(key)))
    written["messages"] = [*_system(body.get("system")), *_messages(body.get("messages"))]
    if body.get("tools"):
        written["tools"] = [_tool(tool) for tool in _list(body["tools"], "'tools'")]
        written.update(_choice(body.get("tool_choice")))
    if body.get("stream") is True:
        written["stream_options"] = {"include_usage": True}
    return written


def _unknown(what: str) -> str:
    return f"{what} cannot be passed on: the upstream speaks OpenAI's API, which has no such thing"


def _list(value: Any, what: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise InputError(f"{what} must be a list of objects")
    return value


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} must be an object")
    return value


# --- parameters ---------------------------------------------------------------------------


def _metadata(value: Any) -> dict[str, Any]:
    user = _mapping(value, "'metadata'").get("user_id")
    return {"user": user} if user else {}


def _thinking(value: Any) -> dict[str, Any]:
    """How much a model is to think, as an effort."""
    thinking = _mapping(value, "'thinking'")
    if thinking.get("type") == "disabled":
        return {}
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return {}
    effort = next((name for most, name in _EFFORTS if budget <= most), "high")
    return {"reasoning_effort": effort}


def _output_config(value: Any) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for key, given in _mapping(value, "'output_config'").items():
        if key == "effort":
            written["reasoning_effort"] = given
        elif key == "format":
            written.update(_output_format(given))
        else:
            raise InputError(_unknown(f"'output_config.{key}'"))
    return written


def _output_format(value: Any) -> dict[str, Any]:
    form = _mapping(value, "the format of the output")
    if form.get("type") != "json_schema":
        raise InputError(_unknown(f"an output of the format {form.get('type')!r}"))
    schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


_WRITERS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "stop_sequences": lambda value: {"stop": value} if value else {},
    "metadata": _metadata,
    "thinking": _thinking,
    "output_config": _output_config,
    "output_format": _output_format,
}


# --- tools --------------------------------------------------------------------------------


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind, name = tool.get("type"), tool.get("name")
    if kind not in (None, "custom"):
        raise InputError(_unknown(f"the tool {kind!r}, which Anthropic defines,"))
    if not isinstance(name, str) or not name:
        raise InputError("a tool needs a 'name'")
    function: dict[str, Any] = {"name": name}
    examples = ""
    for key, value in tool.items():
        if key == "input_schema":
            function["parameters"] = value
        elif key in ("description", "strict"):
            function[key] = value
        elif key == "input_examples":
            examples = f"\nExamples of its input: {json.dumps(value, ensure_ascii=False)}"
        elif key == "defer_loading" and value:
            raise InputError(_unknown(f"'defer_loading' of the tool {name!r}"))
        elif key == "allowed_callers" and value != ["direct"]:
            raise InputError(_unknown(f"'allowed_callers' of the tool {name!r}"))
        elif key not in (*_TOOL_HINTS, "type", "name", "defer_loading", "allowed_callers"):
            raise InputError(_unknown(f"{key!r} of the tool {name!r}"))
    if examples:
        function["description"] = f"{function.get('description') or ''}{examples}".strip()
    return {"type": "function", "function": function}


def _choice(choice: Any) -> dict[str, Any]:
    if choice is None:
        return {}
    kind = _mapping(choice, "'tool_choice'").get("type")
    written: dict[str, Any] = {}
    if kind == "tool":
        written["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(kind, str) and kind in _CHOICES:
        written["tool_choice"] = _CHOICES[kind]
    else:
        raise InputError(_unknown(f"'tool_choice' of the type {kind!r}"))
    if choice.get("disable_parallel_tool_use"):
        written["parallel_tool_calls"] = False
    return written


# --- messages -----------------------------------------------------------------------------


def _system(system: Any) -> Iterator[dict[str, Any]]:
    if system:
        yield {"role": "system", "content": _plain(system, "the system prompt")}


def _plain(content: Any, where: str) -> str:
    """Content that is nothing but text."""
    if isinstance(content, str):
        return content
    blocks = _list(content, where)
    for block in blocks:
        if block.get("type") != "text":
            raise InputError(_unknown(f"{block.get('type')!r} in {where}"))
    return "\n".join(str(block.get("text")) for block in blocks)


def _messages(messages: Any) -> Iterator[dict[str, Any]]:
    found = _list(messages, "'messages'")
    for message in found:
        role, content = message.get("role"), message.get("content")
        if role == "assistant":
            yield _assistant(content)
        elif role == "user":
            yield from _user(content)
        elif role == "system":
            yield {"role": "system", "content": _plain(content, "a system message")}
        else:
            raise InputError(f"no message has the role {role!r}")
    if found and found[-1].get("role") == "assistant":
        raise InputError(_unknown("the beginning of an answer, as the last message,"))


def _assistant(content: Any) -> dict[str, Any]:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for block in _list(content, "the content of a message"):
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text")))
            case "thinking":
                thoughts.append(str(block.get("thinking")))
            case "tool_use":
                calls.append(read_call(block))
            case other:
                raise InputError(_unknown(f"{other!r} in an answer"))
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
    blocks = _list(content, "the content of a message")
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
    return _list(content, "the content of a result")


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
    raise InputError(_unknown(f"{kind!r} in a message"))


def _cites(block: Block) -> bool:
    citations = block.get("citations")
    return isinstance(citations, Mapping) and bool(citations.get("enabled"))


def _image(source: Mapping[str, Any]) -> str:
    if source.get("type") == "base64":
        return f"data:{source.get('media_type')};base64,{source.get('data')}"
    if source.get("type") == "url":
        return str(source.get("url"))
    raise InputError(_unknown(f"an image from {source.get('type')!r}"))
