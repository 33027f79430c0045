"""Requests with tools, for servers that know none: the tools are told in words.

``prompted`` asks for calls in text; ``structured`` lets the server hold the answer to a JSON
schema.  Either way ``check`` reads the answer with the tools and messages of the request as it
was before: in the new one a result is a user's message.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.call_schemas import calls_in_order_schema, calls_schema
from gptme_reliability.corrections import corrected
from gptme_reliability.dialects.encode import encode
from gptme_reliability.errors import EncodingError
from gptme_reliability.examples import PLACEHOLDER, example
from gptme_reliability.prompted_messages import without_tools
from gptme_reliability.types import (
    Attempted,
    Call,
    Language,
    ModelRequest,
    Structured,
    ToolDefinition,
)
from gptme_reliability.words import say

_NATIVE: Final = frozenset(
    {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"}
)
_FORMS: Final[Mapping[str, str]] = {
    "hermes": "call_as_json",
    "mistral": "call_as_json",
    "mistral_array": "call_as_json",
    "llama3_json": "call_as_json",
    "plain_json": "call_as_json",
    "gptme": "call_as_json",
    "pythonic": "call_as_python",
    "qwen3_coder": "call_in_tags",
}
"""How a call is written, by the dialects that ``check`` reads."""

_LARGEST_ADDED: Final = 20_000
"""By how many characters a schema of corrected calls may be larger than one of any call."""

_ANY_TOOL: Final = ToolDefinition(
    "tool_name",
    {"type": "object", "properties": {"argument": {"type": "string"}}, "required": ["argument"]},
)
"""Stands in the example where no offered tool has a name that can be written."""


def prompted(request: ModelRequest, dialect: str, language: Language = "en") -> ModelRequest:
    """The request with its tools in the system message, and its conversation in plain text.

    Tools, and what is said about them in ``params``, are gone; ``tool_choice`` becomes words:
    none leaves the tools out, a named tool is the only one told.

    Raises:
        EncodingError: the dialect is none of a model's that can be written and read.
    """
    if dialect not in _FORMS:
        known = ", ".join(sorted(_FORMS))
        raise EncodingError(f"no model can be told of dialect {dialect!r}; known are: {known}")
    closing = "text_is_fine" if _may_answer_in_text(request) else "tool_is_needed"
    return _told(request, dialect, language, ("own_values", "wait_for_result", closing))


def structured(
    request: ModelRequest,
    how: Structured,
    language: Language = "en",
    attempted: Sequence[Attempted] = (),
    voice: str | None = None,
) -> ModelRequest:
    """The request as ``prompted`` in plain JSON, with its answer held to the schema of one call.

    If calls were ``attempted``, it is these in their order, with what was right in them kept, or
    one call of the tool ``voice``; unless that is too much for a schema.

    Such an answer can be nothing but a call, so that only a tool such as ``respond`` lets the
    model answer in words.  A request that has a form for its answer already is none for this:
    the host's own ``response_format`` would be overwritten, and two never go together.
    Without tools on offer there is nothing to hold the answer to.
    """
    offered = _offered(request)
    if not offered:
        return _told(request, "plain_json", language, ("own_values", "only_call"))
    schema = calls_schema(offered)
    narrower = _corrected(offered, attempted, voice, _size(schema) + _LARGEST_ADDED)
    several = narrower is not None and len(attempted) > 1
    closing = ("own_values", "only_calls" if several else "only_call")
    told = _told(request, "plain_json", language, closing)
    return replace(told, params={**told.params, **held_to(how, narrower or schema)})


def _corrected(
    offered: Sequence[ToolDefinition],
    attempted: Sequence[Attempted],
    voice: str | None,
    largest: int,
) -> dict[str, Any] | None:
    """The schema of the attempted calls, corrected; None where it would be too large."""
    if not attempted:
        return None
    tools = [tool for tool in offered if tool.name != voice]
    calls: list[Sequence[ToolDefinition]] = []
    size = 0
    for one in attempted:
        calls.append(corrected(one, tools))
        size += sum(_size(tool.parameters) for tool in calls[-1])
        if size > largest:
            return None
    return calls_in_order_schema(calls, [tool for tool in offered if tool.name == voice])


def _size(schema: Mapping[str, Any]) -> int:
    """How many characters a schema takes as JSON, about."""
    return len(json.dumps(schema, default=_json_value))


def held_to(how: Structured, schema: dict[str, Any]) -> dict[str, Any]:
    """What of a request's body holds its answer to a schema."""
    return _WRITERS[how](schema)


_WRITERS: Final[Mapping[Structured, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    # Not ``strict``: that is refused for every optional argument.
    "response_format": lambda schema: {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "tool_call", "schema": schema},
        }
    },
    "json_schema": lambda schema: {"json_schema": schema},
    "structured_outputs": lambda schema: {"structured_outputs": {"json": schema}},
    "format": lambda schema: {"format": schema},
}


def _told(
    request: ModelRequest, dialect: str, language: Language, closing: Sequence[str]
) -> ModelRequest:
    offered = _offered(request)
    told = _instructions(offered, dialect, language, closing) if offered else ""
    messages = without_tools(request.messages, request.tools, dialect, language, told)
    params = {key: value for key, value in request.params.items() if key not in _NATIVE}
    return replace(request, messages=messages, tools=(), params=params)


def _offered(request: ModelRequest) -> tuple[ToolDefinition, ...]:
    """The tools that the next answer may call."""
    choice = request.params.get("tool_choice")
    if choice == "none":
        return ()
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    return tuple(tool for tool in request.tools if tool.name == name) or request.tools


def _may_answer_in_text(request: ModelRequest) -> bool:
    return request.params.get("tool_choice") in (None, "auto", "none")


# --- what the model is told ---------------------------------------------------------------


def _instructions(
    tools: Sequence[ToolDefinition], dialect: str, language: Language, closing: Sequence[str]
) -> str:
    lines = [
        say("tools_offered", language),
        *map(_line, tools),
        "",
        say(_FORMS[dialect], language),
        _example(tools, dialect),
        "",
        *(say(key, language) for key in closing),
    ]
    return "\n".join(lines)


def _line(tool: ToolDefinition) -> str:
    """A tool as one line of JSON, its description where it has one."""
    described = {"description": tool.description} if tool.description else {}
    told = {"name": tool.name, **described, "parameters": tool.parameters}
    return json.dumps(told, ensure_ascii=False, default=_json_value)


def _json_value(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def _example(tools: Sequence[ToolDefinition], dialect: str) -> str:
    """A right call of an offered tool; if possible one that does not run when it is repeated."""
    for tool in (*sorted(tools, key=_runs_when_repeated), _ANY_TOOL):
        try:
            return encode([Call(tool.name, example(tool))], dialect, [tool])
        except EncodingError:
            continue  # a name or a value that this dialect cannot carry
    raise AssertionError("the last one can be written in every dialect")


def _runs_when_repeated(tool: ToolDefinition) -> bool:
    return PLACEHOLDER not in example(tool).values()
