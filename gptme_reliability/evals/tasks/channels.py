"""How a host speaks with a model: what it sends, which calls it reads, how results go back.

These are plain hosts: what is written as it was agreed is read, anything else is text.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from gptme_reliability.adapters.openai_request import write_request
from gptme_reliability.dialects.host_blocks import find_blocks
from gptme_reliability.evals.tasks.modes import Mode
from gptme_reliability.examples import example
from gptme_reliability.prompt_dialects import DEFAULT
from gptme_reliability.prompting import prompted
from gptme_reliability.types import HostFormat, ModelRequest, ToolDefinition

Message = Mapping[str, Any]

_CALL: Final = ("<tool_call>", "</tool_call>")
_SECTION: Final = ("<tool-use>", "</tool-use>")


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the host reads it; ``fault`` says why it can read none."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fault: str | None = None


class Channel(Protocol):
    """One way of speaking."""

    def body(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> dict[str, Any]:
        """What is sent: messages, and tools where the API has a field for them."""

    def read(self, message: Message) -> list[Asked]:
        """The calls in a message of the model."""

    def turn(
        self, message: Message, asked: Sequence[Asked], results: Sequence[str]
    ) -> list[Message]:
        """The message and the results of its calls, for the conversation."""


def channel_of(mode: Mode, *, guarded: bool) -> Channel:
    """The way of speaking in a mode; the guard itself tells a model of tools in words."""
    if mode.format == "markdown" or mode.format == "xml":
        return InText(mode.format)
    return Prompted() if mode.format == "prompted" and not guarded else Native()


def host_format(mode: Mode, tools: Sequence[ToolDefinition]) -> HostFormat | None:
    """What the guard is told of a host that reads calls in the text."""
    if mode.format == "markdown" or mode.format == "xml":
        names = {tool.name: tool.name for tool in tools}
        layouts: dict[str, Literal["positional", "json", "free"]] = dict.fromkeys(names, "json")
        return HostFormat(mode.format, names, layouts, strict=True)
    return None


def _parted(message: Message, marks: tuple[str, str]) -> tuple[list[str], str]:
    """What stands between two marks in a message, each time, and the text around them."""
    (opening, closing), text = marks, message.get("content") or ""
    inside, around, at = list[str](), list[str](), 0
    while (begin := text.find(opening, at)) >= 0:
        end = text.find(closing, begin)
        if end < 0:
            break
        around.append(text[at:begin])
        inside.append(text[begin + len(opening) : end])
        at = end + len(closing)
    return inside, "".join((*around, text[at:]))


# --- in the API's own field ---------------------------------------------------------------


class Native:
    """Calls where the API has them."""

    def body(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> dict[str, Any]:
        return write_request(ModelRequest(tuple(messages), tuple(tools)))

    def read(self, message: Message) -> list[Asked]:
        return [_native(call) for call in message.get("tool_calls") or ()]

    def turn(
        self, message: Message, asked: Sequence[Asked], results: Sequence[str]
    ) -> list[Message]:
        calls = list(message.get("tool_calls") or ())
        said = {"role": "assistant", "content": message.get("content"), "tool_calls": calls}
        return [said, *(_result(call.get("id"), r) for call, r in zip(calls, results, strict=True))]


def _native(call: Any) -> Asked:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        return Asked("", fault="this is no call")
    return _from_json(str(function.get("name")), function.get("arguments"))


def _from_json(name: str, written: Any) -> Asked:
    try:
        return _with(name, json.loads(written))
    except (ValueError, TypeError, RecursionError) as error:
        return Asked(name, fault=f"the arguments are no JSON: {error}")


def _with(name: str, arguments: Any) -> Asked:
    if not isinstance(arguments, dict):
        return Asked(name, fault="the arguments are no JSON object")
    return Asked(name, arguments)


def _result(call_id: Any, content: str) -> Message:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


# --- in tags that the prompt asks for -----------------------------------------------------


class Prompted:
    """The tools in the system prompt, in the same words as the guard has, and calls in tags."""

    def __init__(self) -> None:
        self._count = 0

    def body(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> dict[str, Any]:
        return write_request(prompted(ModelRequest(tuple(messages), tuple(tools)), DEFAULT))

    def read(self, message: Message) -> list[Asked]:
        return [_tagged(written) for written in _parted(message, _CALL)[0]]

    def turn(
        self, message: Message, asked: Sequence[Asked], results: Sequence[str]
    ) -> list[Message]:
        if any(one.fault for one in asked):
            told = "\n".join(results)
            return [_said(message), {"role": "user", "content": told}]
        calls: list[dict[str, Any]] = []
        for one in asked:
            self._count += 1
            function = {"name": one.name, "arguments": json.dumps(one.arguments)}
            calls.append({"id": f"call_{self._count}", "type": "function", "function": function})
        text = _parted(message, _CALL)[1].strip()
        said = {"role": "assistant", "content": text or None, "tool_calls": calls}
        return [said, *(_result(call["id"], r) for call, r in zip(calls, results, strict=True))]


def _tagged(written: str) -> Asked:
    try:
        call = json.loads(written)
        return _with(str(call["name"]), call["arguments"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return Asked("", fault=f"the tool call is no JSON object with a name: {error}")


def _said(message: Message) -> Message:
    return {"role": "assistant", "content": message.get("content") or ""}


# --- in the text --------------------------------------------------------------------------


class InText:
    """Calls in fenced blocks or in tags, and their results as messages of the user."""

    def __init__(self, form: Literal["markdown", "xml"]) -> None:
        self._form = form
        self._names: frozenset[str] = frozenset()

    def body(self, messages: Sequence[Message], tools: Sequence[ToolDefinition]) -> dict[str, Any]:
        self._names = frozenset(tool.name for tool in tools)
        system = {"role": "system", "content": _instructions(self._form, tools)}
        return {"messages": [system, *messages] if tools else list(messages)}

    def read(self, message: Message) -> list[Asked]:
        found = _in_blocks(message) if self._form == "markdown" else _in_tags(message)
        return [call for call in found if call.name in {"", *self._names}]

    def turn(
        self, message: Message, asked: Sequence[Asked], results: Sequence[str]
    ) -> list[Message]:
        told = (
            f"Result of {one.name}:\n{result}" for one, result in zip(asked, results, strict=True)
        )
        return [_said(message), {"role": "user", "content": "\n\n".join(told)}]


def _in_blocks(message: Message) -> Iterator[Asked]:
    for block in find_blocks(message.get("content") or ""):
        if block.closed and block.tag:
            yield _from_json(block.tag, block.content)


def _in_tags(message: Message) -> Iterator[Asked]:
    for section in _parted(message, _SECTION)[0]:
        try:
            root = ElementTree.fromstring(f"<section>{section}</section>")
        except ElementTree.ParseError as error:
            yield Asked("", fault=f"the tool use is no XML: {error}")
            continue
        for element in root:
            yield _from_json(element.tag, "".join(element.itertext()))


_WRITTEN: Final = {
    "markdown": "```{name}\n{body}\n```",
    "xml": "<tool-use>\n<{name}>\n{body}\n</{name}>\n</tool-use>",
}
_TOLD: Final = {
    "markdown": "To use a tool, write a code block with the tool's name as its language and the "
    "arguments as a JSON object in it:",
    "xml": "To use a tool, write a tag with the tool's name and the arguments as a JSON object in "
    "it, within <tool-use>:",
}


def _instructions(form: Literal["markdown", "xml"], tools: Sequence[ToolDefinition]) -> str:
    lines = ["You can use these tools:", ""]
    for tool in tools:
        lines += [f"## {tool.name}", tool.description, json.dumps(tool.parameters), ""]
    body = json.dumps(example(tools[0]))
    lines += [_TOLD[form], "", _WRITTEN[form].format(name=tools[0].name, body=body), ""]
    lines.append("Then stop: its result comes with the next message. Without a tool, just answer.")
    return "\n".join(lines)
