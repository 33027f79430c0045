"""Requests of Anthropic's API ⇄ ``ModelRequest``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gptme_reliability.adapters.anthropic_messages import Block, read_messages, write_messages
from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.schemas import as_meant
from gptme_reliability.types import ModelRequest, Repair, ToolDefinition

_APART: Final = ("messages", "system", "model", "tool_choice")
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_CHOICES_BACK: Final = {value: key for key, value in _CHOICES.items()}
_CUSTOM: Final = "custom"
_SAMPLING: Final = frozenset({"temperature", "top_p"})

# Tools that the server runs itself, whose calls are none of the host's.
# Source: https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/overview
_RUN_BY_THE_SERVER: Final = (
    "web_search",
    "web_fetch",
    "code_execution",
    "tool_search_tool",
    "mcp_toolset",
)


def read_request(body: Mapping[str, Any]) -> ModelRequest:
    """Read a request's body.

    ``params`` holds everything but messages and model as it is; only ``tool_choice`` is put as
    chat completions have it.

    Raises:
        InputError: the messages are none.
        ToolDefinitionError: an entry of ``tools`` is no tool.
    """
    model = body.get("model")
    params = {key: value for key, value in body.items() if key not in _APART}
    choice = _read_choice(body.get("tool_choice"))
    if choice is not None:
        params["tool_choice"] = choice
    return ModelRequest(
        messages=tuple(read_messages(body)),
        tools=_read_tools(body.get("tools")),
        model=model if isinstance(model, str) else None,
        params=params,
    )


def write_request(
    request: ModelRequest, body: Mapping[str, Any], thinking: Mapping[str, Sequence[Block]]
) -> dict[str, Any]:
    """The body of a request, made from the host's own ``body``.

    Of what is asked for besides, only what this API knows is written.
    """
    written = {
        key: request.params.get(key, value) if key in _SAMPLING else value
        for key, value in body.items()
        if key in request.params or key in _APART
    }
    if thinks(body):  # then there is no other temperature than 1
        written.update({key: body[key] for key in _SAMPLING if key in body})
    system, messages = write_messages(request.messages, thinking)
    written["messages"] = messages
    if system is None:
        written.pop("system", None)
    else:
        written["system"] = system
    tools = _write_tools(request, body)
    if tools:
        written["tools"] = tools
    else:
        written.pop("tools", None)
    choice = request.params.get("tool_choice")
    if not tools or choice is None:
        written.pop("tool_choice", None)
    elif choice != _read_choice(body.get("tool_choice")):
        written["tool_choice"] = _write_choice(choice, body.get("tool_choice"))
    return written


def thinks(body: Mapping[str, Any]) -> bool:
    """Whether the model is to think before it answers, which forbids to force a call."""
    thinking = body.get("thinking")
    return isinstance(thinking, Mapping) and thinking.get("type") not in (None, "disabled")


def mend_tools(tools: Any) -> tuple[Any, tuple[Repair, ...]]:
    """The ``tools`` of a body with their schemas as JSON schema has them; see ``schemas``."""
    if not isinstance(tools, list):
        return tools, ()
    mended, repairs = [], []
    for position, tool in enumerate(tools):
        written = tool
        if isinstance(tool, Mapping) and "input_schema" in tool:
            meant, changes = as_meant(tool["input_schema"])
            if changes:
                written = {**tool, "input_schema": meant}
                path = f"$.tools[{position}]"
                repairs.append(Repair("tool_schema", path, tool, written, "inferred"))
        mended.append(written)
    return (mended, tuple(repairs)) if repairs else (tools, ())


def as_openai(tool: ToolDefinition) -> dict[str, Any]:
    """A tool as chat completions have it."""
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


# --- tools --------------------------------------------------------------------------------


def is_run_by_the_server(tool: Any) -> bool:
    """Whether a tool is none of the host's, which would need a name to call it."""
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if not isinstance(kind, str) or kind == _CUSTOM:
        return False
    return kind.startswith(_RUN_BY_THE_SERVER) or "name" not in tool


def _read_tools(tools: Any) -> tuple[ToolDefinition, ...]:
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise ToolDefinitionError("'tools' must be a list")
    return tuple(_read_tool(tool) for tool in tools if not is_run_by_the_server(tool))


def _read_tool(tool: Any) -> ToolDefinition:
    """A tool; those that Anthropic defined say nothing of their arguments."""
    if not isinstance(tool, Mapping):
        raise ToolDefinitionError(f"a tool must be an object, not {type(tool).__name__}")
    function = {
        "name": tool.get("name"),
        "description": tool.get("description"),
        "parameters": tool.get("input_schema") or {"type": "object"},
    }
    return ToolDefinition.from_openai({"type": "function", "function": function})


def _write_tools(request: ModelRequest, body: Mapping[str, Any]) -> list[Any]:
    raw = request.params.get("tools", body.get("tools"))
    entries = raw if isinstance(raw, list) else []
    offered = [tool.name for tool in request.tools]
    own = {tool.get("name"): tool for tool in entries if not is_run_by_the_server(tool)}
    if request.host is not None or offered == list(own):
        return entries
    elsewhere = [tool for tool in entries if is_run_by_the_server(tool)]
    return elsewhere + [own.get(tool.name) or _write_tool(tool) for tool in request.tools]


def _write_tool(tool: ToolDefinition) -> dict[str, Any]:
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": dict(tool.parameters),
    }


# --- tool_choice --------------------------------------------------------------------------


def _read_choice(choice: Any) -> Any:
    if not isinstance(choice, Mapping):
        return None
    if choice.get("type") == "tool":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return _CHOICES.get(str(choice.get("type")))


def _write_choice(choice: Any, given: Any) -> dict[str, Any]:
    kept = given if isinstance(given, Mapping) else {}
    parallel = {k: v for k, v in kept.items() if k == "disable_parallel_tool_use"}
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": choice["function"]["name"], **parallel}
    return {"type": _CHOICES_BACK[choice], **parallel}
