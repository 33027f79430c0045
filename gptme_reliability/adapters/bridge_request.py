"""Requests of Anthropic's API, put as chat completions for a server that knows only these.

What such a server has no word for is refused by name, so that nothing is lost in silence.  Only
hints that leave the answer as it is go without one: where a prompt may be cached, and the like.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from gptme_reliability.adapters.bridge_messages import objects, unknown, write_messages
from gptme_reliability.errors import InputError

_SAME: Final = frozenset({"model", "max_tokens", "temperature", "top_p", "top_k", "stream"})
_APART: Final = frozenset({"messages", "system", "tools", "tool_choice"})
_HINTS: Final = frozenset({"cache_control", "service_tier", "inference_geo", "speed"})
_TOOL_HINTS: Final = frozenset({"cache_control", "eager_input_streaming"})
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
# Tokens up to which a budget for thinking is an effort of this name.
_EFFORTS: Final = ((2_048, "low"), (8_192, "medium"))
# Servers know three efforts, and refuse the others of Anthropic's API.
_HIGHEST: Final = {"max": "high", "xhigh": "high"}
# What a server may leave out of the prompt; one that leaves nothing out answers as well.
# Source: https://docs.anthropic.com/en/docs/build-with-claude/context-editing
_EDITS: Final = ("clear_thinking_", "clear_tool_uses_", "compact_")
# OpenAI's API refuses a longer name of the user.
_LONGEST_USER: Final = 64


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
            raise InputError(unknown(repr(key)))
    written["messages"] = write_messages(body.get("system"), body.get("messages"))
    if body.get("tools"):
        written["tools"] = [_tool(tool) for tool in objects(body["tools"], "'tools'")]
        written.update(_choice(body.get("tool_choice")))
    if body.get("stream") is True:
        written["stream_options"] = {"include_usage": True}
    return written


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} must be an object")
    return value


# --- parameters ---------------------------------------------------------------------------


def _metadata(value: Any) -> dict[str, Any]:
    """Who asks, which is for statistics only."""
    user = _mapping(value, "'metadata'").get("user_id")
    return {"user": user} if isinstance(user, str) and 0 < len(user) <= _LONGEST_USER else {}


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


def _context_management(value: Any) -> dict[str, Any]:
    """Nothing: what it asks for is to leave something out where the prompt is long."""
    for key, edits in _mapping(value or {}, "'context_management'").items():
        if key != "edits":
            raise InputError(unknown(f"'context_management.{key}'"))
        for edit in objects(edits, "'context_management.edits'"):
            if not str(edit.get("type")).startswith(_EDITS):
                raise InputError(unknown(f"the edit {edit.get('type')!r} of the context"))
    return {}


def _output_config(value: Any) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for key, given in _mapping(value, "'output_config'").items():
        if key == "effort":
            written["reasoning_effort"] = _HIGHEST.get(str(given), given)
        elif key == "format":
            written.update(_output_format(given))
        else:
            raise InputError(unknown(f"'output_config.{key}'"))
    return written


def _output_format(value: Any) -> dict[str, Any]:
    form = _mapping(value, "the format of the output")
    if form.get("type") != "json_schema":
        raise InputError(unknown(f"an output of the format {form.get('type')!r}"))
    schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


_WRITERS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "stop_sequences": lambda value: {"stop": value} if value else {},
    "metadata": _metadata,
    "thinking": _thinking,
    "context_management": _context_management,
    "output_config": _output_config,
    "output_format": _output_format,
}


# --- tools --------------------------------------------------------------------------------


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind, name = tool.get("type"), tool.get("name")
    if kind not in (None, "custom"):
        raise InputError(unknown(f"the tool {kind!r}, which Anthropic defines,"))
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
            raise InputError(unknown(f"'defer_loading' of the tool {name!r}"))
        elif key == "allowed_callers" and value != ["direct"]:
            raise InputError(unknown(f"'allowed_callers' of the tool {name!r}"))
        elif key not in (*_TOOL_HINTS, "type", "name", "defer_loading", "allowed_callers"):
            raise InputError(unknown(f"{key!r} of the tool {name!r}"))
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
        raise InputError(unknown(f"'tool_choice' of the type {kind!r}"))
    if choice.get("disable_parallel_tool_use"):
        written["parallel_tool_calls"] = False
    return written
