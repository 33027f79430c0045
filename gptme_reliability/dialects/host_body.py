"""What stands on the opening line and in the body of a host's call, as arguments of its tool."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gptme_reliability.aliases import TOOL_ALIASES
from gptme_reliability.dialects.host_formats import Places
from gptme_reliability.dialects.json_call import envelope_calls
from gptme_reliability.dialects.shapes import Flaw, RawCall, flaw_at
from gptme_reliability.repair.syntax import Fault, read_value
from gptme_reliability.resolve import properties, required, resolve_tool
from gptme_reliability.types import HostFormat, Layout, Repair, ToolDefinition

LANGUAGES: Final = frozenset({"bash", "sh", "zsh", "python", "python3", "terminal", "console"})
"""Tags that are languages first: a block of code under one of them is mostly for a reader."""

_OTHER_WORDS: Final = LANGUAGES | {"write", "append"}
_JSON_INSIDE: Final = "json_in_block"
_NO_OBJECT: Final = "empty_arguments"


@dataclass(frozen=True, slots=True)
class Offered:
    """The tools on offer and how their host has them called."""

    tools: Sequence[ToolDefinition]
    host: HostFormat
    aliases: bool = True
    resolve: bool = True

    @property
    def blocks(self) -> Mapping[str, str]:
        """Tags that the host runs, and the names of their tools."""
        return self.host.blocks

    def layout(self, tool: ToolDefinition) -> Layout:
        """What calls of this tool hold."""
        return self.host.layouts.get(tool.name, "free")

    def is_own(self, name: str) -> bool:
        """Whether only the tool itself knows what its calls hold."""
        return self.host.layouts.get(name, "free") in ("free", "body")

    def tool(self, tag: str) -> ToolDefinition | None:
        """The tool that a tag means, be it another spelling or another word for it."""
        name = self.blocks.get(tag)
        if name is None and self.resolve:
            known = [replace(tool, name=block) for block, tool in self._by_block().items()]
            found = resolve_tool(tag, None, known, aliases=False)
            name = found.name if found else self._alias(tag)
            name = self.blocks.get(name or "")
        return next((tool for tool in self.tools if tool.name == name), None)

    def _alias(self, tag: str) -> str | None:
        """The tool for which a tag is another word, of those that nobody writes by chance."""
        return TOOL_ALIASES.get(tag.lower()) if self.aliases and _is_word(tag) else None

    def is_language(self, tag: str) -> bool:
        """Whether a tag is the name of a language, and none that the host runs."""
        return tag not in self.blocks and tag.lower() in LANGUAGES

    def _by_block(self) -> dict[str, ToolDefinition]:
        by_name = {tool.name: tool for tool in self.tools}
        return {block: by_name[name] for block, name in self.blocks.items() if name in by_name}


def _is_word(tag: str) -> bool:
    return tag.lower() in _OTHER_WORDS or "_" in tag


def read_body(
    offered: Offered, tag: str, line: str, body: str, notes: Sequence[Repair] = ()
) -> RawCall:
    """The call of the tool that ``tag`` means, out of its opening line and its body."""
    tool = offered.tool(tag)
    if tool is None:
        return RawCall(tag, flaw=Flaw("unknown_tool", "there is no such tool"))
    if tag not in offered.blocks:
        rule = "tool_alias" if _is_word(tag) else "tool_name_case"
        notes = [*notes, Repair(rule, "$", tag, tool.name, "inferred")]
    layout = offered.layout(tool)
    if layout == "json":
        return _from_json(tool, line, body, tuple(notes))
    places = Places.of(tool)
    single = len(places.line) == 1
    words = ([line] if single else line.split(" ")) if line else []
    return _positional(tool, places, words, body, tuple(notes))


def as_it_stands(
    offered: Offered, tool: ToolDefinition, found: Mapping[str, Any] | Flaw
) -> RawCall:
    """A call that only the tool itself can read, with the arguments that are known of it."""
    if isinstance(found, Flaw):
        return RawCall(tool.name, {}, untyped=True)
    if offered.layout(tool) == "body" and not any(map(str.strip, found.values())):
        return RawCall(tool.name, flaw=Flaw("missing", "its body is empty"))
    return RawCall(tool.name, found, untyped=True)


def _positional(
    tool: ToolDefinition,
    places: Places,
    words: Sequence[str],
    body: str,
    notes: tuple[Repair, ...],
) -> RawCall:
    inside = None if words else _object_inside(tool, places, body)
    if isinstance(inside, Flaw):
        return RawCall(tool.name, flaw=inside)
    if inside is not None:
        note = Repair(_JSON_INSIDE, "$", "{…}", "arguments", "inferred")
        return RawCall(tool.name, inside, (*notes, note))
    if words and not places.line and not body.strip() and len(required(tool)) == 1:
        note = Repair("fence_line", "$", " ".join(words)[:80], "body", "inferred")
        body, words, notes = " ".join(words), (), (*notes, note)
    if not body.strip() and not places.line and places.body in required(tool):
        return RawCall(tool.name, {}, notes, untyped=True)
    found = places.arguments(words, body)
    if isinstance(found, Flaw):
        return RawCall(tool.name, flaw=found)
    return RawCall(tool.name, found, notes, untyped=True)


def _object_inside(tool: ToolDefinition, places: Places, body: str) -> Any:
    """The arguments that a body holds as JSON, where plain text was wanted.

    A flaw where it holds an object that is none of the tool's; None where it holds none.
    """
    written = body.strip()
    if not (written.startswith("{") and written.endswith("}")):
        return None
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, Mapping) or not value:
        return None
    if set(value) <= set(properties(tool)) and set(required(tool)) <= set(value):
        return dict(value)
    calls = envelope_calls(value)
    if calls and len(calls) == 1 and calls[0].name == tool.name and not calls[0].flaw:
        return calls[0].arguments
    if places.line or tool.name != "shell":
        return None  # a file may hold any JSON, and so may code
    return Flaw("json_body", "its body is a JSON object where plain text is wanted")


def _from_json(tool: ToolDefinition, line: str, body: str, notes: tuple[Repair, ...]) -> RawCall:
    if line:
        return RawCall(tool.name, flaw=Flaw("positional", "its arguments are one JSON object"))
    if not body.strip():
        # For the host nothing is not an object without members: it would not run the call.
        return RawCall(tool.name, {}, (*notes, Repair(_NO_OBJECT, "$", "", "{}", "inferred")))
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        start = len(body) - len(body.lstrip())
        reading = read_value(body, start)
        if isinstance(reading, Fault):
            return RawCall(tool.name, flaw=flaw_at(reading, body))
        if body[reading.end :].strip():
            return RawCall(tool.name, flaw=Flaw("syntax", "text follows the JSON object"))
        value, notes = reading.value, (*notes, *reading.repairs)
    calls = envelope_calls(value) if isinstance(value, Mapping) else None
    if calls and len(calls) == 1 and calls[0].name == tool.name and not calls[0].flaw:
        note = Repair("nested_call", "$", tool.name, "$", "inferred")
        return RawCall(tool.name, calls[0].arguments, (*notes, note))
    return RawCall(tool.name, value, notes)
