"""Calls written as a host reads them, and the text beside them made such that it reads no more."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gptme_reliability.dialects.encode import encode
from gptme_reliability.dialects.host_blocks import find_blocks
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.errors import EncodingError
from gptme_reliability.types import Call, Repair

_FENCE: Final = re.compile(r"(?:^|(?<=\r))(`{3,})([^\S\r\n]*)(?=([^\s`]*))", re.MULTILINE)
_SECTION: Final = re.compile(r"<(?=/?(?:tool-use|function_calls)\b)", re.IGNORECASE)
_TAG_NAME: Final = re.compile(r"[A-Za-z_][\w.\-]{0,120}")
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_EXCERPT: Final = 60
_ENDS: Final = ("</think>", "</thinking>")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer; with ``calls`` it is these calls as the host reads them.

    ``made`` says that it was not written so by the model.
    """

    text: str
    calls: tuple[Call, ...] = ()
    made: bool = False


def write_call(call: Call, offered: Offered) -> str:
    """One call as its host reads it.

    Raises:
        EncodingError: the format cannot carry it.
    """
    tool = next((tool for tool in offered.tools if tool.name == call.name), None)
    if tool is not None and _holds_object(call, offered):
        return _with_object(call, offered)
    return encode([replace(call, id=None)], offered.host.dialect, offered.tools)


def _with_object(call: Call, offered: Offered) -> str:
    body = json.dumps(dict(call.arguments), ensure_ascii=False, indent=2)
    if offered.host.form == "markdown":
        if call.name.split() != [call.name] or "`" in call.name:
            raise EncodingError(f"{call.name!r} cannot stand as the tag of a block")
        return f"```{call.name}\n{body}\n```"
    if not _TAG_NAME.fullmatch(call.name) or call.name != call.name.lower():
        raise EncodingError(f"{call.name!r} cannot stand as the name of a tag")
    inside = body.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f"<tool-use>\n<{call.name}>\n{inside}\n</{call.name}>\n</tool-use>"


def inert(pieces: Sequence[Piece], offered: Offered) -> tuple[str, tuple[Repair, ...]]:
    """The answer in one, such that its host runs the calls of the pieces and nothing else.

    What would run beside them gets the smallest visible change: ```` ```text shell ````,
    ``< tool-use>``.
    """
    if offered.host.form == "xml":
        marked = [piece if piece.calls else _without_sections(piece) for piece in pieces]
        if offered.host.strict and any(piece.calls for piece in pieces):
            marked = [piece if piece.calls else Piece(well_formed(piece.text)) for piece in marked]
        return _joined(marked), _changes(pieces, marked)
    wanted = [block for piece in pieces if piece.calls for block in _run(piece.text, offered)]
    marked = list(pieces)
    for mark in (_keep, _as_text, _escaped):
        marked = [piece if piece.calls else mark(piece, offered) for piece in pieces]
        text = _joined(marked)
        if _run(text, offered) == wanted and not _run_early(text, offered):
            break
    return text, _changes(pieces, marked)


def _run(text: str, offered: Offered) -> list[tuple[str, str]]:
    """What the host runs of a text."""
    return [
        (block.tag, block.content)
        for block in find_blocks(text)
        if block.closed and block.tag.partition(" ")[0] in offered.blocks
    ]


def _run_early(text: str, offered: Offered) -> bool:
    """Whether it would run something that the end of reasoning, further on, makes text of."""
    ends = (text.find(end) for end in _ENDS)
    return any(end >= 0 and _run(text[:end], offered) for end in ends)


def _keep(piece: Piece, offered: Offered) -> Piece:
    return piece


def _as_text(piece: Piece, offered: Offered) -> Piece:
    def marked(fence: re.Match[str]) -> str:
        return f"{fence[1]}text {fence[2]}" if fence[3] in offered.blocks else fence[0]

    return Piece(_FENCE.sub(marked, piece.text))


def _escaped(piece: Piece, offered: Offered) -> Piece:
    """Every fence of the piece from the first on that the host would run."""
    first = next((f.start() for f in _FENCE.finditer(piece.text) if f[3] in offered.blocks), None)
    if first is None:
        return piece
    return Piece(piece.text[:first] + _FENCE.sub(r"\\\g<0>", piece.text[first:]))


def _without_sections(piece: Piece) -> Piece:
    return Piece(_SECTION.sub("< ", piece.text))


def well_formed(text: str) -> str:
    """The text as it is, or with the signs of XML as entities where a strict reader would fail."""
    try:
        ElementTree.fromstring(f"<text>{text}</text>")
    except ElementTree.ParseError:
        plain = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
        return plain.replace("&", "&amp;").replace("<", "&lt;").replace("]]>", "]]&gt;")
    return text


def reads_as(written: str, calls: Sequence[Call], offered: Offered) -> bool:
    """Whether a strict reader of tags finds these calls in a section, and all of their texts."""
    try:
        root = ElementTree.fromstring(f"<text>{written}</text>")
        made = [ElementTree.fromstring(f"<text>{write_call(one, offered)}</text>") for one in calls]
    except (ElementTree.ParseError, EncodingError):
        return False
    found, wanted = _elements([root]), _elements(made)
    if any(_holds_object(call, offered) for call in calls):
        found, wanted = list(map(_parsed, found)), list(map(_parsed, wanted))
    return found == wanted


def _holds_object(call: Call, offered: Offered) -> bool:
    return offered.host.layouts.get(call.name) == "json"


def _parsed(element: tuple[str, list[str], Any]) -> tuple[str, list[str], Any]:
    """The same with its body as the JSON it is, where it is any."""
    name, values, body = element
    try:
        return name, values, json.loads(body)
    except (ValueError, RecursionError):
        return element


def _elements(roots: Sequence[ElementTree.Element]) -> list[tuple[str, list[str], Any]]:
    found: list[tuple[str, list[str], Any]] = []
    for root in roots:
        for section in root.iter("tool-use"):
            found += [(c.tag, [*c.attrib.values()], "".join(c.itertext()).strip()) for c in section]
        for section in root.iter("function_calls"):
            for call in section.iter("invoke"):
                values = [value for name, value in call.attrib.items() if name != "name"]
                body = "".join(call.itertext()).strip()
                found.append((call.get("name") or "", values, body))
    return found


def _joined(pieces: Sequence[Piece]) -> str:
    """The pieces in one text, each call that was made on lines of its own."""
    parts: list[str] = []
    before: Piece | None = None
    for piece in pieces:
        apart = before is not None and (
            piece.made or before.made or not (piece.calls or before.calls)
        )
        text = piece.text
        if apart:
            text = text.strip("\n") if piece.made else text.lstrip("\r\n")
            while parts and not parts[-1].strip():
                parts.pop()
            if parts:
                parts[-1] = parts[-1].rstrip()
                parts.append("\n\n" if text.strip() else "")
        parts.append(text)
        before = piece
    return "".join(parts)


def _changes(before: Sequence[Piece], after: Sequence[Piece]) -> tuple[Repair, ...]:
    return tuple(
        Repair("defuse", "$.text", one.text[:_EXCERPT], other.text[:_EXCERPT], "presentation")
        for one, other in zip(before, after, strict=True)
        if one.text != other.text
    )
