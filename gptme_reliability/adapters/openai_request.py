"""Chat completion requests ⇄ ``ModelRequest``."""

from __future__ import annotations

import marshal
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from gptme_reliability.errors import InputError, ToolDefinitionError
from gptme_reliability.schemas import as_meant
from gptme_reliability.types import ModelRequest, Repair, ToolDefinition

_FUNCTION: Final = "function"
_DESCRIBED: Final = frozenset({"function", "parameters"})
_LONGEST_KNOWN: Final = 128 * 1024
_MOST_KNOWN: Final = 32


class _Offer(NamedTuple):
    """The functions of a request as they are read, and whether all are right as they are."""

    tools: tuple[ToolDefinition, ...]
    right: bool


def read_request(body: Mapping[str, Any]) -> ModelRequest:
    """Read a request's body; everything but messages and model stays in ``params`` untouched.

    So do tools that are no functions: ``custom`` ones, and those that the server runs itself.

    Raises:
        InputError: the messages are no list of objects.
        ToolDefinitionError: an entry of ``tools`` is no tool.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) for m in messages):
        raise InputError("'messages' must be a list of objects")
    model = body.get("model")
    return ModelRequest(
        messages=tuple(messages),
        tools=_offer(body.get("tools")).tools,
        model=model if isinstance(model, str) else None,
        params={k: v for k, v in body.items() if k not in ("messages", "model")},
    )


def write_request(request: ModelRequest) -> dict[str, Any]:
    """The body of a request; a tool that is still on offer keeps the object it came in.

    Where the host has calls in the text, its own prompt tells of the tools.
    """
    body: dict[str, Any] = {"messages": [dict(message) for message in request.messages]}
    if request.model is not None:
        body["model"] = request.model
    body.update(request.params)
    if request.host is None and (request.tools or "tools" in body):
        body["tools"] = _write_tools(request.tools, body.get("tools"))
    return body


def mend_tools(tools: Any) -> tuple[Any, tuple[Repair, ...]]:
    """The ``tools`` of a body with their parameters as JSON schema has them.

    A strict server refuses a request for one tool whose schema is none.  Each tool that changed
    leaves one ``Repair``; without any, the first is ``tools`` itself, and so is each tool that
    was right.
    """
    if not isinstance(tools, list) or _is_right(tools):
        return tools, ()
    mended, repairs = [], []
    for position, tool in enumerate(tools):
        written = _with_right_schema(tool)
        if written is not tool:
            path = f"$.tools[{position}]"
            repairs.append(Repair("tool_schema", path, tool, written, "inferred"))
        mended.append(written)
    return (mended, tuple(repairs)) if repairs else (tools, ())


def _is_right(tools: list[Any]) -> bool:
    try:
        return _offer(tools).right
    except ToolDefinitionError:
        return False


def _with_right_schema(tool: Any) -> Any:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or "parameters" not in function:
        return tool
    meant, mended = as_meant(function["parameters"])
    if not mended:
        return tool
    right = {**function, "parameters": meant}
    return {**tool, "function": right} if "function" in tool else right


def _is_function(tool: Any) -> bool:
    """Whether a tool is called with arguments that a schema describes; many leave the type out."""
    kind = tool.get("type", _FUNCTION) if isinstance(tool, Mapping) else _FUNCTION
    return kind == _FUNCTION or not isinstance(kind, str) or not tool.keys().isdisjoint(_DESCRIBED)


def _offer(tools: Any) -> _Offer:
    """What is on offer; hosts send the same tools with every request."""
    if tools is None:
        return _Offer((), right=True)
    if not isinstance(tools, list):
        raise ToolDefinitionError("'tools' must be a list")
    try:
        written = marshal.dumps(tools, 2)  # unlike JSON, no two values are written alike
    except ValueError:
        return _read_offer(tools)
    return _known_offer(written) if len(written) <= _LONGEST_KNOWN else _read_offer(tools)


@lru_cache(maxsize=_MOST_KNOWN)
def _known_offer(written: bytes) -> _Offer:
    return _read_offer(marshal.loads(written))


def _read_offer(tools: list[Any]) -> _Offer:
    read = tuple(ToolDefinition.from_openai(tool) for tool in tools if _is_function(tool))
    return _Offer(read, all(_with_right_schema(tool) is tool for tool in tools))


def _write_tools(tools: Sequence[ToolDefinition], raw: Any) -> list[Any]:
    entries = raw if isinstance(raw, list) else []
    known: dict[str, Any] = {}
    for entry in filter(_is_function, entries):
        known.setdefault(ToolDefinition.from_openai(entry).name, entry)
    if [tool.name for tool in tools] == list(known) and isinstance(raw, list):
        return raw
    others = [entry for entry in entries if not _is_function(entry)]
    return others + [known.get(tool.name) or _write_tool(tool) for tool in tools]


def _write_tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}
