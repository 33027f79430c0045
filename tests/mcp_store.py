"""A small MCP server on stdio: it keeps what it is told, and checks it by its own schemas.

Started as ``python mcp_store.py FILE``; every call that gets through is a line of FILE, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import TextContent, Tool, ToolAnnotations

_NUMBER: Final = {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "How many."}
_POINT: Final = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x", "y"],
}
TOOLS: Final = [
    Tool(
        name="put",
        description="Keep a number.",
        inputSchema={
            "type": "object",
            "properties": {"key": {"type": "string"}, "number": _NUMBER},
            "required": ["key", "number"],
        },
    ),
    Tool(
        name="keep",
        description="Keep anything.",
        inputSchema={
            "type": "object",
            "properties": {"value": {"description": "Any value."}},
            "required": ["value"],
            "additionalProperties": True,
        },
    ),
    Tool(
        name="draw",
        description="Draw a line.",
        inputSchema={
            "type": "object",
            "properties": {
                "points": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
                "colour": {"enum": ["red", "blue"]},
            },
            "required": ["points"],
            "$defs": {"Point": _POINT},
        },
    ),
    Tool(
        name="count",
        description="Count what is kept.",
        inputSchema={"type": "object", "properties": {}},
        annotations=ToolAnnotations(readOnlyHint=True),
    ),
]


def main(record: Path) -> None:
    """Serve until the client leaves."""
    server: Server[Any, Any] = Server("store")

    @server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]  # mcp has no types
    async def list_tools() -> list[Tool]:
        return TOOLS

    @server.call_tool()  # type: ignore[untyped-decorator]
    async def call_tool(name: str, arguments: dict[str, Any]) -> list[TextContent]:
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, arguments]) + "\n")
        return [TextContent(type="text", text=f"{name} is done")]

    async def serve() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(serve)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
