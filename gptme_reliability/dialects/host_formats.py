"""gptme's own text formats: a fenced block, and a tag inside ``<tool-use>``.

Both carry texts without names: some on the line that opens the call, one as its body.  They
belong to a tool's parameters by position: the body is the last required parameter (the first of
all where none is required), the line holds those declared before it, and what is declared
behind it has no place.  Sources: ``ToolUse`` in ``gptme/tools/base.py`` and the tools of gptme
0.35.1; a file's path may hold spaces, so that a single value on the line is all of it.

In no other setting are these calls: a fence in an answer with native tools is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from gptme_reliability.dialects.host_blocks import find_blocks
from gptme_reliability.dialects.shapes import Flaw, RawCall, Span, Untyped
from gptme_reliability.errors import EncodingError
from gptme_reliability.types import Call, ToolDefinition

MARKDOWN: Final = "gptme_markdown"
XML: Final = "gptme_xml"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a tool's parameters stand: on the opening line, and in the body."""

    line: tuple[str, ...]
    body: str | None
    body_required: bool

    @classmethod
    def of(cls, tool: ToolDefinition) -> Places:
        properties, required = tool.parameters.get("properties"), tool.parameters.get("required")
        names = list(properties) if isinstance(properties, Mapping) else []
        needed = [n for n in names if isinstance(required, list) and n in required]
        body = needed[-1] if needed else next(iter(names), None)
        return cls(tuple(names[: names.index(body)]) if body else (), body, bool(needed))

    def arguments(self, line: Sequence[str], body: str) -> dict[str, Untyped] | Flaw:
        """The arguments that stand at these places."""
        if len(line) > len(self.line):
            return Flaw("positional", "its opening line holds more than the tool's arguments")
        if body.strip() and self.body is None:
            return Flaw("positional", "the tool takes no arguments, and the call has a body")
        found = {name: Untyped(text) for name, text in zip(self.line, line, strict=False)}
        if self.body is not None and (body or self.body_required):
            found[self.body] = Untyped(body)
        return found


def _raw(name: str, places: Places, line: Sequence[str], body: str) -> RawCall:
    found = places.arguments(line, body)
    if isinstance(found, Flaw):
        return RawCall(name, flaw=found)
    return RawCall(name, found, untyped=True)


# --- reading ------------------------------------------------------------------------------


def decode_markdown(text: str, tools: Sequence[ToolDefinition]) -> tuple[Span, ...]:
    """Find the blocks that gptme would run: those whose tag begins with a tool's name."""
    return tuple(_fenced(text, {tool.name: Places.of(tool) for tool in tools}))


def _fenced(text: str, places: Mapping[str, Places]) -> Iterator[Span]:
    for block in find_blocks(text):
        name, _, rest = block.tag.partition(" ")
        if name not in places:
            continue
        if block.closed:
            whole = len(places[name].line) == 1
            line = ([rest] if whole else rest.split(" ")) if rest else []
            call = _raw(name, places[name], line, block.content)
        else:
            call = RawCall(name, flaw=Flaw("cut_off", "the block has no closing fence"))
        yield Span(block.start, block.end, MARKDOWN, (call,), True, block.closed)


_OPENING: Final = re.compile(r"<(tool-use|function_calls)>\s{0,256}(?=<[A-Za-z_])")
_ATTRIBUTE: Final = re.compile(
    r"\s{1,64}([\w.:\-]{1,120})\s{0,8}=\s{0,8}(?:\"([^\"<]*)\"|'([^'<]*)')"
)
_SPACE: Final = re.compile(r"\s{1,256}")
_HEAD: Final = re.compile(r"<([A-Za-z_][\w.\-]{0,120})")
_HEAD_END: Final = re.compile(r"\s{0,64}(/?)>")
_ENTITY: Final = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_ENTITIES: Final = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_LINE_END: Final = re.compile(r"\r\n?")
_LINE_WHITE: Final = re.compile(r"\r\n|[\r\n\t]")


def decode_xml(text: str, tools: Sequence[ToolDefinition]) -> tuple[Span, ...]:
    """Find the sections with calls as tags: ``<tool-use>``, and ``<function_calls>`` where every
    call is an ``<invoke>``.

    A body may hold markup that nobody escaped; it ends at the closing tag of its call that has
    another call or the section's end behind it.
    """
    return tuple(_XmlReader(text, tools).spans())


class _XmlReader:
    def __init__(self, text: str, tools: Sequence[ToolDefinition]) -> None:
        self._text = text
        self._places = {tool.name: Places.of(tool) for tool in tools}
        self._names = "|".join(re.escape(name) for name in self._places) or r"(?!)"

    def spans(self) -> Iterator[Span]:
        position = 0
        while opening := _OPENING.search(self._text, position):
            position = opening.end()
            calls, end, closed = self._calls(position, opening[1])
            if calls:
                yield Span(opening.start(), end, XML, tuple(calls), True, closed)
                position = end

    def _calls(self, position: int, section: str) -> tuple[list[RawCall], int, bool]:
        """The calls of a section, the index behind it, and whether it was closed."""
        calls: list[RawCall] = []
        section_end = re.compile(rf"\s{{0,256}}</{section}>")
        while (found := self._call(position, section)) is not None:
            call, position = found
            calls.append(call)
            if closing := section_end.match(self._text, position):
                return calls, closing.end(), True
            if space := _SPACE.match(self._text, position):
                position = space.end()
        return calls, position, False

    def _call(self, position: int, section: str) -> tuple[RawCall, int] | None:
        """The call whose tag stands here, and the index behind it."""
        head = _HEAD.match(self._text, position)
        if head is None:
            return None
        attributes, position = self._attributes(head.end())
        stop = _HEAD_END.match(self._text, position)
        if stop is None:
            return None
        tag = name = head[1]
        if section == "function_calls":
            if tag != "invoke" or not attributes.get("name"):
                return None
            name = attributes.pop("name")
        body, end = ("", stop.end()) if stop[1] else self._body(stop.end(), tag, section)
        if body is None:
            return RawCall(name, flaw=Flaw("cut_off", "the call's tag is not closed")), end
        if name not in self._places:
            return RawCall(name, flaw=Flaw("unknown_tool", "there is no such tool")), end
        return _raw(name, self._places[name], list(attributes.values()), body), end

    def _attributes(self, position: int) -> tuple[dict[str, str], int]:
        found: dict[str, str] = {}
        while match := _ATTRIBUTE.match(self._text, position):
            written = match[2] if match[2] is not None else match[3]
            found[match[1]] = plain_text(_LINE_WHITE.sub(" ", written))
            position = match.end()
        return found, position

    def _body(self, start: int, tag: str, section: str) -> tuple[str | None, int]:
        following = "invoke" if section == "function_calls" else self._names
        end = re.compile(
            rf"</{re.escape(tag)}>(?=\s{{0,256}}(?:</{section}>|<(?:{following})[\s/>]|\Z))"
        ).search(self._text, start)
        if end is None:
            return None, len(self._text)
        return plain_text(_LINE_END.sub("\n", self._text[start : end.start()])).strip(), end.end()


def plain_text(text: str) -> str:
    """A text out of tags, with what its entities stand for."""
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    if entity[1]:
        return _ENTITIES[entity[1]]
    code = int(entity[2]) if entity[2] else int(entity[3], 16)
    return chr(code) if code < 0x110000 else entity[0]


# --- writing ------------------------------------------------------------------------------

_LINE_FENCE: Final = re.compile(r"^`{3,}", re.MULTILINE)
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,120}")


def write_markdown(calls: Sequence[Call], tools: Sequence[ToolDefinition]) -> str:
    """Write each call as a fenced block; ``tools`` are the definitions of the calls, in order.

    What gptme would read otherwise is not refused here: ``encode`` reads it back.

    Raises:
        EncodingError: an argument has no place in a block.
    """
    return "\n\n".join(map(_block, calls, tools))


def _block(call: Call, tool: ToolDefinition) -> str:
    line, body = _placed(call, tool)
    length = 1 + max((len(ticks) for ticks in _LINE_FENCE.findall(body)), default=2)
    # Six backticks before a word are two fences that run into each other.
    fence = "`" * (length if length != 6 else 7)
    return f"{fence}{' '.join([call.name, *line.values()])}\n{body}\n{fence}"


def write_xml(calls: Sequence[Call], tools: Sequence[ToolDefinition]) -> str:
    """Write each call as a tag of its own; ``tools`` are the definitions of the calls, in order.

    Raises:
        EncodingError: an argument has no place in a tag, or holds what no XML can; a name has
            capital letters, which gptme's reader of XML may lower; or gptme would run the calls
            in another order.
    """
    written = "\n".join(map(_element, calls, tools))
    _refuse_other_order(written, calls)
    return written


def _refuse_other_order(written: str, calls: Sequence[Call]) -> None:
    """gptme sorts the calls by where the beginning of their tag is found first in the text.

    So a call goes before others when its tool was called before, or when its name begins like
    that of a tool called before.
    """
    places = {name: written.find(f"<{name}") for name in {call.name for call in calls}}
    for before, call in pairwise(calls):
        if places[call.name] < places[before.name]:
            raise EncodingError(f"{call.name}: gptme would run it before {before.name}")


def _element(call: Call, tool: ToolDefinition) -> str:
    # At first use: it brings a network client along.
    from xml.sax.saxutils import escape, quoteattr

    line, body = _placed(call, tool)
    for name, text in (*line.items(), ("its body", body)):
        if found := _NO_XML.search(text):
            raise EncodingError(f"{call.name}: {name!r} holds {found[0]!r}, which no XML can")
    if call.name != call.name.lower():
        raise EncodingError(f"{call.name}: the name has capital letters")
    # gptme writes one value as ``args`` and reads the values of all attributes in order.
    names = ["args"] if len(line) == 1 else [name.lower() for name in line]
    if len(set(names)) < len(names) or not all(map(_XML_NAME.fullmatch, names)):
        raise EncodingError(f"{call.name}: {', '.join(line)} cannot all be names of attributes")
    pairs = zip(names, line.values(), strict=True)
    attributes = "".join(f" {name}={quoteattr(text)}" for name, text in pairs)
    inside = escape(body, {"\r": "&#13;"})
    return f"<tool-use>\n<{call.name}{attributes}>\n{inside}\n</{call.name}>\n</tool-use>"


def _placed(call: Call, tool: ToolDefinition) -> tuple[dict[str, str], str]:
    """The texts of a call for its opening line, by parameter, and the one for its body."""
    places = Places.of(tool)
    for name in call.arguments:
        if name not in places.line and name != places.body:
            raise EncodingError(f"{call.name}: the argument {name!r} has no place in this format")
    for name in places.line:
        if name not in call.arguments:
            raise EncodingError(f"{call.name}: {name!r} is missing, which stands before others")
    texts = {name: _text(value) for name, value in call.arguments.items()}
    return {name: texts[name] for name in places.line}, texts.get(places.body or "", "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
