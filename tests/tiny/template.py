"""The chat templates, and how a conversation reads in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from gptme_reliability.types import ToolDefinition

HERE: Final = Path(__file__).parent
TEMPLATES: Final = ("tools", "no_tools", "strict")


def source(name: str) -> str:
    """A template: with tools, with the tools silently dropped, or with strict roles besides."""
    return (HERE / f"{name}.jinja").read_text("utf-8")


def on_the_wire(tool: ToolDefinition) -> dict[str, Any]:
    """A tool as a request offers it."""
    return {"type": "function", "function": {"name": tool.name, "parameters": tool.parameters}}


def rendered(
    messages: Iterable[Mapping[str, Any]],
    tools: Sequence[ToolDefinition] = (),
    *,
    prompt: bool = False,
    name: str = "tools",
) -> str:
    """A conversation as the model sees it by a template; ``prompt`` asks for its answer."""
    return str(
        _compiled(name).render(
            messages=[_readable(message) for message in messages],
            tools=[on_the_wire(tool) for tool in tools] or None,
            add_generation_prompt=prompt,
        )
    )


def _readable(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose calls hold their arguments as objects, as servers hand them over."""
    calls = [
        {
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": json.loads(call["function"]["arguments"]),
            },
        }
        for call in message.get("tool_calls") or ()
    ]
    return {**message, "tool_calls": calls} if calls else dict(message)


@lru_cache(maxsize=2)
def _compiled(name: str) -> Any:
    from jinja2 import Environment

    environment = Environment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(source(name))
