"""Shared generators: tools, valid calls, damage, and prose around them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from gptme_reliability import ToolDefinition


def tool(name: str, properties: dict[str, Any], required: list[str]) -> ToolDefinition:
    """A tool that takes exactly these arguments, as gptme writes its schemas."""
    return ToolDefinition(
        name,
        {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        },
    )


STRING = {"type": "string"}
SHELL = tool("shell", {"command": STRING}, ["command"])
SAVE = tool("save", {"path": STRING, "content": STRING}, ["path", "content"])
IPYTHON = tool("ipython", {"code": STRING}, ["code"])
COUNT = tool(
    "count_lines",
    {
        "path": STRING,
        "limit": {"type": "integer"},
        "deep": {"type": "boolean"},
        "globs": {"type": "array", "items": STRING},
        "unit": {"type": "string", "enum": ["lines", "bytes"]},
    },
    ["path"],
)
TOOLS = (SHELL, SAVE, IPYTHON, COUNT)

texts = st.text(st.characters(codec="utf-8"), max_size=60)
tricky = st.sampled_from(
    [
        "```shell\nls\n```",
        "<think>x</think>",
        "</tool_call>",
        '{"name": "shell", "arguments": {"command": "rm"}}',
        'it\'s "quoted" {braces} [x]',
        "@shell(call-1): {}",
        "line\nline",
        "\\n \\d \\_ \\u0041",
        "[TOOL_CALLS]",
    ]
)
values = st.one_of(texts, tricky)


@st.composite
def valid_calls(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A tool's name and arguments that satisfy its schema."""
    chosen = draw(st.sampled_from(TOOLS))
    if chosen is SHELL:
        return "shell", {"command": draw(values)}
    if chosen is SAVE:
        return "save", {"path": draw(values), "content": draw(values)}
    if chosen is IPYTHON:
        return "ipython", {"code": draw(values)}
    arguments: dict[str, Any] = {"path": draw(values)}
    if draw(st.booleans()):
        arguments["limit"] = draw(st.integers())
    if draw(st.booleans()):
        arguments["globs"] = draw(st.lists(values, max_size=3))
    if draw(st.booleans()):
        arguments["unit"] = draw(st.sampled_from(["lines", "bytes"]))
    return "count_lines", arguments


def native(name: str, arguments: Any, call_id: str = "call_1") -> dict[str, Any]:
    """A call as a server delivers it."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": written},
    }


pieces = st.sampled_from(
    [
        "<tool_call>",
        "</tool_call>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "<|python_tag|>",
        "<think>",
        "</think>",
        '{"name": "shell", "arguments": ',
        '{"command": "ls"}',
        "}",
        "]",
        "[",
        "{",
        '"',
        "'",
        "```json\n",
        "```shell\n",
        "\n```\n",
        "@shell(call-1): ",
        'shell(command="ls")',
        "[shell(command='ls')]",
        "For example: ",
        "I'll list the files:\n",
        "\n\n",
        "done.",
        "\\",
        "`",
        "~~~",
        "name",
        "save",
        ",",
        ":",
        " ",
    ]
)
outputs = st.lists(st.one_of(pieces, texts), max_size=14).map("".join)
"""Texts made of the pieces that calls, quotations and prose are made of, in any order."""
