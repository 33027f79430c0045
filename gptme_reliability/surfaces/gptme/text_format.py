"""Chats in which gptme has calls written in the text: which requests they are, and their tools.

Without native tools a request says nothing about what may be called; gptme's own registry does,
MCP tools included.  What gptme asks beside the chat (titles, summaries, selections) looks the
same on the wire.  A turn of the chat begins with the list of tools, or else with the very first
message of the current log, and it ends in words that stand in that log.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.quotations import text_parts
from gptme_reliability.surfaces.gptme.mcp_tools import given_parameters, is_mcp
from gptme_reliability.types import HostFormat, Layout, ToolDefinition

_HEADINGS: Final = {"markdown": r"^## {name}[ \t]*$", "xml": r'<tool name="{name}">'}
LAYOUTS: Final[Mapping[str, Layout]] = {
    **dict.fromkeys(("shell", "ipython", "save", "append", "patch"), "positional"),
    **dict.fromkeys(("tmux", "mcp", "morph", "hashline_edit"), "positional"),
    **dict.fromkeys(("choice", "elicit", "form", "watch"), "body"),
}
"""How gptme's tools read a block, as far as it can be checked (gptme 0.35.1, ``tools/*.py``).

Of the others, some take words in a way of their own (``gh``, ``patch_many``, ``read``, ``todo``),
and some take nothing (``complete``, ``restart``).
"""
POSITIONAL: Final = frozenset(name for name, layout in LAYOUTS.items() if layout == "positional")
"""Tools whose line and body gptme maps to parameters in order; others read them in other ways."""
_FIRST: Final = 4
_HEAD: Final = 200
_RECENT: Final = 3
_LONG: Final = 40


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
        if is_mcp(spec):
            layouts[tool.name] = "json"
        elif spec.name in LAYOUTS:
            layouts[tool.name] = LAYOUTS[spec.name]
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
        "parameters": given_parameters(spec) or parameters2dict(spec.parameters),
    }
    try:
        return ToolDefinition.from_openai(function)
    except ToolDefinitionError:
        return None


# --- whether it is a turn of the chat -----------------------------------------------------


def _is_turn(messages: Sequence[Any], specs: Sequence[Any], form: str) -> bool:
    logged = _logged()
    told = _tells_tools(messages, specs, form)
    if not told and (logged is None or not _begins_as(messages, logged.first)):
        return False
    return logged is None or _ends_in(messages, logged.recent)


def _tells_tools(messages: Sequence[Any], specs: Sequence[Any], form: str) -> bool:
    told = "\n".join(text for message in messages[:_FIRST] for text in _texts(message))
    patterns = (_HEADINGS[form].format(name=re.escape(spec.name)) for spec in specs)
    return any(re.search(pattern, told, re.MULTILINE) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class _Logged:
    """What the current log says: its first message, and how its last ones begin."""

    first: str
    recent: tuple[str, ...]


def _logged() -> _Logged | None:
    """The current log; None where none is known."""
    from gptme_reliability.surfaces.gptme.current import current_log

    manager = current_log()
    if manager is None or not manager.log.messages:
        return None
    logged = manager.log.messages
    recent = (message.content.strip()[:_HEAD].strip() for message in logged[-_RECENT:])
    return _Logged(logged[0].content.strip(), tuple(head for head in recent if head))


def _begins_as(messages: Sequence[Any], first: str) -> bool:
    """Whether the first message is the log's, all of it."""
    return bool(messages) and bool(first) and _unwrapped("\n".join(_texts(messages[0]))) == first


def _ends_in(messages: Sequence[Any], logged: Sequence[str]) -> bool:
    """Whether the last words are of the log; what gptme itself adds behind them is skipped."""
    for message in reversed(messages):
        said = "\n".join(_texts(message)).strip()
        if any(_says(said, head) for head in logged):
            return True
        if message.get("role") != "system" and not said.startswith("<system>"):
            return False
    return False


def _says(said: str, head: str) -> bool:
    """Whether a logged message stands here, perhaps behind another one of the same role.

    Few words stand in any text by chance.
    """
    if len(head) >= _LONG:
        return head in said
    return _unwrapped(said).startswith(head) or f"\n\n{head}" in said


def _unwrapped(said: str) -> str:
    """A message without the tags that gptme puts around its own words for some models."""
    said = said.strip()
    if said.startswith("<system>") and said.endswith("</system>"):
        said = said[len("<system>") : -len("</system>")].strip()
    return said


def _texts(message: Any) -> Iterator[str]:
    if isinstance(message, Mapping):
        yield from text_parts(message.get("content"))
