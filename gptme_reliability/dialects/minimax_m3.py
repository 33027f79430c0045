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
_TWICE: Final = Flaw("duplicate_key", "an argument is given twice")


@dataclass(slots=True)
class _Element:
    """A tag that is open.

    ``behind`` is the index behind it, or behind the last tag within it; ``mixed`` says that
    text stands before a tag within it; ``flaw`` is the first of the values within.
    """

    tag: str
    begin: int
    behind: int
    mixed: bool = False
    children: list[tuple[str, Any]] = field(default_factory=list)
    flaw: Flaw | None = None

    def take(self, tag: str, content: Any, end: int) -> None:
        """Add a tag that is closed now; the first flaw within counts for all of it."""
        self.children.append((tag, content))
        self.behind = end
        if isinstance(content, Flaw):
            self.flaw = self.flaw or content


def read_m3(text: str, start: int) -> tuple[RawCall, int, bool] | None:
    """Read one call whose ``invoke`` tag stands at ``start``, behind other tags at most."""
    opening = _TAG.match(text, start)
    if opening is None or opening["close"] or opening["tag"] != "invoke":
        return None
    name = opening["name"] or ""
    open_tags = [_Element("invoke", opening.end(), opening.end())]
    position = opening.end()
    while match := _TAG.search(text, position):
        position = match.end()
        if not match["close"]:
            if len(open_tags) > _DEEPEST:
                flaw = Flaw("too_deep", "the tags nest too deeply")
                return RawCall(name, flaw=flaw), position, False
            around = open_tags[-1]
            around.mixed |= bool(text[around.behind : match.start()].strip())
            open_tags.append(_Element(match["tag"], position, position))
            continue
        element = open_tags.pop()
        if element.tag != match["tag"]:
            flaw = Flaw("syntax", f"the tag {element.tag!r} is not closed")
            return RawCall(name, flaw=flaw), position, False
        if not open_tags:
            return _call(name, element), position, True
        content = _content(element, text, match.start())
        open_tags[-1].take(element.tag, content, position)
    if len(open_tags) == 1 and not text[position:].strip():
        # Every value was closed: only the end of the call is missing.
        return _call(name, open_tags[0]), len(text), False
    flaw = Flaw("cut_off", "the call ends before its last tag")
    return RawCall(name, flaw=flaw), len(text), False


def _call(name: str, invoke: _Element) -> RawCall:
    flaw = invoke.flaw or (_TWICE if _gives_twice(invoke) else None)
    if flaw is not None:
        return RawCall(name, flaw=flaw)
    return RawCall(name, dict(invoke.children), untyped=True)


def _content(element: _Element, text: str, end: int) -> Any:
    """The value between the tags; a ``Flaw`` where part of it would get lost."""
    if not element.children:
        return Untyped(text[element.begin : end])
    if element.flaw is not None:
        return element.flaw
    if element.mixed or text[element.behind : end].strip():
        return Flaw("syntax", f"text stands beside the tags in {element.tag!r}")
    if all(tag == "item" for tag, _ in element.children):
        return [value for _, value in element.children]
    return _TWICE if _gives_twice(element) else dict(element.children)


def _gives_twice(element: _Element) -> bool:
    return len({tag for tag, _ in element.children}) < len(element.children)
