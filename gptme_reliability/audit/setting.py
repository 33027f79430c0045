"""What a conversation ran with: its model, its format, and the tools on offer.

gptme keeps all three in a ``config.toml`` beside the log.  gptme's own tools come from a table
out of gptme 0.35.1; of others, such as those of MCP servers, only the name is known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.types import HostFormat, Layout, ToolDefinition

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Format: TypeAlias = Literal["tool", "markdown", "xml"]
TextFormat: TypeAlias = Literal["markdown", "xml"]

_FORMATS: Final[Mapping[str, Format]] = {"tool": "tool", "markdown": "markdown", "xml": "xml"}
_POSITIONAL: Final = frozenset({"shell", "ipython", "save", "append", "patch"})
_READING: Final = frozenset({"read", "recall"})
_TABLE: Final = Path(__file__).parent / "data" / "gptme_tools.jsonl"
_LONGEST_CONFIG: Final = 1_000_000
_CALLED: Final = {"python": "ipython"}
"""Tools that are called by another name than the one in the config."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation ran with; ``format`` and ``model`` are None where nothing says it.

    ``markdown`` and ``xml`` are the tools as gptme has them called in these formats.
    """

    format: Format | None
    model: str | None
    tools: tuple[ToolDefinition, ...]
    markdown: Offered
    xml: Offered

    def has(self, name: str) -> bool:
        """Whether a tool of this name was on offer."""
        return any(tool.name == name for tool in self.tools)

    def in_format(self, found: Format) -> Setting:
        """The same, now that the format is known."""
        return replace(self, format=found)

    def with_tool(self, name: str) -> Setting:
        """The same with one more tool, of which a result shows that it was there."""
        known = gptme_tools().get(name)
        tool = known.tool if known and known.tool else ToolDefinition(name)
        return _made(self.format, self.model, (*self.tools, tool))


@dataclass(frozen=True, slots=True)
class Known:
    """A tool of gptme's and the tags of its blocks; ``tool`` is None where it has no calls."""

    tool: ToolDefinition | None
    blocks: tuple[str, ...] = ()


@cache
def gptme_tools() -> Mapping[str, Known]:
    """gptme's own tools by name."""
    return dict(map(_known, _TABLE.read_text(encoding="utf-8").splitlines()))


def _known(line: str) -> tuple[str, Known]:
    row = json.loads(line)
    name = row["name"]
    if row.get("runs") is False:
        return name, Known(None)
    tool = ToolDefinition(name, row["parameters"], read_only=name in _READING)
    return name, Known(tool, tuple(row["blocks"]))


def read_setting(config: Path) -> Setting:
    """The setting out of a chat's ``config.toml``; what it does not say is left open."""
    try:
        if config.stat().st_size > _LONGEST_CONFIG:
            return setting_of({})
        chat = tomllib.loads(config.read_text(encoding="utf-8")).get("chat")
    except (OSError, ValueError, RecursionError):
        return setting_of({})
    return setting_of(chat if isinstance(chat, Mapping) else {})


def setting_of(chat: Mapping[str, Any]) -> Setting:
    """The setting that a ``[chat]`` table says."""
    names, model = chat.get("tools"), chat.get("model")
    return _made(
        _FORMATS.get(str(chat.get("tool_format"))),
        model if isinstance(model, str) and model else None,
        _definitions(list(map(str, names)) if isinstance(names, list) else None),
    )


def _made(found: Format | None, model: str | None, tools: tuple[ToolDefinition, ...]) -> Setting:
    markdown, xml = (Offered(tools, host_format(tools, form)) for form in _TEXT_FORMATS)
    return Setting(found, model, tools, markdown, xml)


_TEXT_FORMATS: Final[tuple[TextFormat, ...]] = ("markdown", "xml")


def _definitions(names: Sequence[str] | None) -> tuple[ToolDefinition, ...]:
    known = gptme_tools()
    wanted = known if names is None else dict.fromkeys(map(_called, names))
    tools = (known[name].tool if name in known else ToolDefinition(name) for name in wanted)
    return tuple(tool for tool in tools if tool is not None)


def _called(name: str) -> str:
    plain = name.lstrip("+")
    return _CALLED.get(plain, plain)


def host_format(tools: Sequence[ToolDefinition], form: TextFormat) -> HostFormat:
    """gptme's text format with these tools."""
    blocks: dict[str, str] = {}
    for tool in tools:
        known = gptme_tools().get(tool.name)
        tags = known.blocks if known else (tool.name,)
        for tag in (*tags, tool.name) if form == "xml" else tags:
            blocks.setdefault(tag, tool.name)
    layouts: dict[str, Layout] = {
        tool.name: "positional" for tool in tools if tool.name in _POSITIONAL
    }
    return HostFormat(form, blocks, layouts)
