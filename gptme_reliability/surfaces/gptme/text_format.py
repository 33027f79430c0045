"""Chats in which gptme has calls written in the text: which requests they are, and their tools.

Without native tools a request says nothing about what may be called; gptme's own registry does,
MCP tools included.  What gptme asks beside the chat (titles, summaries, selections) looks the
same on the wire: it lacks the list of tools in the system prompt, or it ends in words that
stand in no log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.quotations import text_parts
from gptme_reliability.types import HostFormat, Layout, ToolDefinition

_HEADINGS: Final = {"markdown": r"^## {name}[ \t]*$", "xml": r'<tool name="{name}">'}
POSITIONAL: Final = frozenset({"shell", "ipython", "save", "append", "patch"})
"""Tools whose line and body gptme maps to parameters in order; others read them in other ways."""
_FIRST: Final = 4
_HEAD: Final = 200
_RECENT: Final = 3


@dataclass(frozen=True, slots=True)
class Chat:
    """The format of a chat and the tools that it may call."""

    format: HostFormat
    tools: tuple[ToolDefinition, ...]


def chat_of(body: Mapping[str, Any]) -> Chat | None:
    """The chat that a request without native tools belongs to; None where it is none of one."""
    form = _form()
    if form is None:
        return None
    from gptme.tools import get_tools

    specs = [spec for spec in get_tools() if spec.execute is not None and _blocks(spec, form)]
    messages = body.get("messages")
    if not specs or not isinstance(messages, list) or not _is_turn(messages, specs, form):
        return None
    tools: list[ToolDefinition] = []
    blocks: dict[str, str] = {}
    layouts: dict[str, Layout] = {}
    for spec in specs:
        tool = definition(spec)
        if tool is None:
            continue
        tools.append(tool)
        for block in _blocks(spec, form):
            blocks.setdefault(block, tool.name)
        if getattr(spec, "is_mcp", False):
            layouts[tool.name] = "json"
        elif spec.name in POSITIONAL:
            layouts[tool.name] = "positional"
    return Chat(HostFormat(form, blocks, layouts, strict=_is_strict()), tuple(tools))


def _form() -> Literal["markdown", "xml"] | None:
    """The format of the current conversation, of which a server has one for each."""
    from gptme.config import get_config
    from gptme.tools import get_tool_format

    chat = getattr(get_config(), "chat", None)
    form = getattr(chat, "tool_format", None) or get_tool_format()
    if form == "markdown":
        return "markdown"
    return "xml" if form == "xml" else None


def _is_strict() -> bool:
    """Whether gptme reads tags with the standard library's parser, which takes no other text."""
    from gptme.tools import base

    return not getattr(base, "_LXML_AVAILABLE", True)


def _blocks(spec: Any, form: str) -> tuple[str, ...]:
    blocks = tuple(spec.block_types or ())
    return blocks if form == "markdown" else tuple(dict.fromkeys((*blocks, spec.name)))


def definition(spec: Any) -> ToolDefinition | None:
    """A tool of gptme's registry as requests would define it; None where it cannot be defined."""
    from gptme.llm.utils import parameters2dict

    blocks = spec.block_types or (spec.name,)
    function = {
        "name": blocks[0],
        "description": spec.desc or "",
        "parameters": parameters2dict(spec.parameters),
    }
    try:
        return ToolDefinition.from_openai(function)
    except ToolDefinitionError:
        return None


# --- whether it is a turn of the chat -----------------------------------------------------


def _is_turn(messages: Sequence[Any], specs: Sequence[Any], form: str) -> bool:
    told = "\n".join(text for message in messages[:_FIRST] for text in _texts(message))
    patterns = (_HEADINGS[form].format(name=re.escape(spec.name)) for spec in specs)
    if not any(re.search(pattern, told, re.MULTILINE) for pattern in patterns):
        return False
    logged = _logged()
    return logged is None or _ends_in(messages, logged)


def _logged() -> list[str] | None:
    """How the last messages of the current log begin; None where no log is known."""
    from gptme_reliability.surfaces.gptme.current import current_log

    manager = current_log()
    if manager is None or not manager.log.messages:
        return None
    recent = manager.log.messages[-_RECENT:]
    return [head for message in recent if (head := message.content.strip()[:_HEAD].strip())]


def _ends_in(messages: Sequence[Any], logged: Sequence[str]) -> bool:
    """Whether the last words are of the log; what gptme itself adds behind them is skipped."""
    for message in reversed(messages):
        said = "\n".join(_texts(message)).strip()
        if any(head in said for head in logged):
            return True
        if message.get("role") != "system" and not said.startswith("<system>"):
            return False
    return False


def _texts(message: Any) -> Iterator[str]:
    if isinstance(message, Mapping):
        yield from text_parts(message.get("content"))
