"""MiniMax M3: every tag carries a prefix, and arguments nest as tags.

Objects are tags named after their keys, lists are ``item`` tags, all else is text.  Source: the
family's chat template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from gptme_reliability.dialects.shapes import Flaw, RawCall, Untyped

PREFIX: Final = "]<]minimax[>["
_TAG: Final = re.compile(
    re.escape(PREFIX)
    + r"<(?P<close>/)?(?P<tag>[\w.\-]{1,120})(?: name=\"(?P<name>[^\"\n]{0,160})\")? ?>"
)
_DEEPEST: Final = 64


@dataclass(slots=True)
class _Element:
    tag: str
    begin: int
    children: list[tuple[str, Any]] = field(default_factory=list)


def read_m3(text: str, start: int) -> tuple[RawCall, int, bool] | None:
    """Read one call whose ``invoke`` tag stands at ``start``, behind other tags at most."""
    opening = _TAG.match(text, start)
    if opening is None or opening["close"] or opening["tag"] != "invoke":
        return None
    name = opening["name"] or ""
    open_tags = [_Element("invoke", opening.end())]
    position = opening.end()
    while match := _TAG.search(text, position):
        position = match.end()
        if not match["close"]:
            if len(open_tags) > _DEEPEST:
                return (
                    RawCall(name, flaw=Flaw("too_deep", "the tags nest too deeply")),
                    position,
                    False,
                )
            open_tags.append(_Element(match["tag"], position))
            continue
        element = open_tags.pop()
        if element.tag != match["tag"]:
            flaw = Flaw("syntax", f"the tag {element.tag!r} is not closed")
            return RawCall(name, flaw=flaw), position, False
        if not open_tags:
            if len({tag for tag, _ in element.children}) < len(element.children):
                flaw = Flaw("duplicate_key", "an argument is given twice")
                return RawCall(name, flaw=flaw), position, True
            return RawCall(name, dict(element.children), untyped=True), position, True
        open_tags[-1].children.append((element.tag, _content(element, text, match.start())))
    if len(open_tags) == 1 and not text[position:].strip():
        # Every value was closed: only the end of the call is missing.
        return RawCall(name, dict(open_tags[0].children), untyped=True), len(text), False
    flaw = Flaw("cut_off", "the call ends before its last tag")
    return RawCall(name, flaw=flaw), len(text), False


def _content(element: _Element, text: str, end: int) -> Any:
    if not element.children:
        return Untyped(text[element.begin : end])
    if all(tag == "item" for tag, _ in element.children):
        return [value for _, value in element.children]
    return dict(element.children)
