"""Calls in fenced blocks, for a host that runs such blocks: those it reads, and those it misses.

``own_blocks`` are the blocks that the host itself would run.  ``near_blocks`` are blocks that
were meant for it and that it would pass over: indented, between tildes, on one line, closed by
too many or too few backticks or not at all, or under another name of the tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gptme_reliability.dialects.host_blocks import Block, find_blocks, open_script
from gptme_reliability.dialects.host_body import Offered, as_it_stands, read_body
from gptme_reliability.dialects.host_formats import MARKDOWN, Places
from gptme_reliability.dialects.shapes import Flaw, RawCall, Span
from gptme_reliability.types import Repair

_LINES: Final = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")
_OPENING: Final = re.compile(
    r"(?P<indent>[ \t]{0,3})(?P<fence>`{3,200}|~{3,200})[ \t]{0,8}(?P<tag>[^`~\n]{0,400})"
    r"(?P<closing>`{3,200}|~{3,200})?[ \t]{0,64}\Z"
)
_INLINE: Final = re.compile(
    r"(?P<lead>[^`\n]{0,400}\S[ \t]{0,8})(?P<fence>`{3})(?P<tag>[\w.\-]{1,80})\s*\Z"
)
_BARE: Final = re.compile(r"[ \t]{0,8}(?P<fence>`{3,200}|~{3,200})[ \t]{0,64}\Z")
_TAGGED: Final = re.compile(r"[ \t]{0,8}(?:`{3,200}|~{3,200})[ \t]{0,8}[^\s`~]")
_ENDED: Final = re.compile(r"(?P<text>.*?\S)(?P<fence>`{3,200})[ \t]{0,64}\Z")
_LIST_ITEM: Final = re.compile(r"[ \t]{0,3}(?:[-*+•]|\d{1,3}[.)])\s")
_PROMPT: Final = re.compile(r"[ \t]{0,8}(?:\$|>>>|%|#)\s")
# A line of a script that asks for another one.
_GOES_ON: Final = re.compile(r"(?:&&|\|\|?|\\|[({\[,=]|\b(?:do|then|else|in))[ \t]{0,8}\Z")
# What may be the beginning of a fence that was to close the block.
_TRAILING: Final = re.compile(r"(?<!`)`{1,2}[ \t]{0,8}\Z")
_UNFINISHED: Final = "the output was cut off in this block"
_UNCLEAR_END: Final = "it is not clear where this block ends"


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def own_blocks(text: str, offered: Offered) -> Iterator[tuple[Span, Block]]:
    """The blocks that the host would run, in order."""
    for block in find_blocks(text):
        tag, _, rest = block.tag.partition(" ")
        if block.closed and tag in offered.blocks:
            call = _read(offered, tag, rest.strip(), block.content)
            yield Span(block.start, block.end, MARKDOWN, (call,), True, True), block


def _read(offered: Offered, tag: str, line: str, body: str) -> RawCall:
    tool = offered.tool(tag)
    if tool is None or not offered.is_own(tool.name):
        return read_body(offered, tag, line, body)
    places = Places.of(tool)
    return as_it_stands(offered, tool, places.arguments([line] if line else [], body))


def near_blocks(
    text: str, begin: int, offered: Offered, taken: Mapping[int, int], *, ended: bool
) -> Iterator[Span]:
    """The blocks behind ``begin`` that were meant for the host; ``taken`` are others' stretches.

    ``ended`` says that the model ended its answer itself, so that its last line is whole.
    """
    yield from _Scanner(text, begin, offered, taken, ended=ended).spans()


class _Scanner:
    def __init__(
        self, text: str, begin: int, offered: Offered, taken: Mapping[int, int], *, ended: bool
    ) -> None:
        self._offered = offered
        self._taken = taken
        self._ended = ended
        self._lines: list[_Line] = []
        for line in _LINES.finditer(text, begin):
            self._lines.append(_Line(line[1], line.start()))

    def spans(self) -> Iterator[Span]:
        index = 0
        while index < len(self._lines):
            line = self._lines[index]
            if line.start in self._taken:
                index = self._behind(index, self._taken[line.start])
                continue
            span, index = self._at(index, line)
            if span is not None:
                yield span

    def _behind(self, index: int, end: int) -> int:
        """The first line behind ``index`` that begins at or behind ``end``."""
        index += 1
        while index < len(self._lines) and self._lines[index].start < end:
            index += 1
        return index

    def _at(self, index: int, line: _Line) -> tuple[Span | None, int]:
        """The block that opens on this line, if one does, and the line at which to go on."""
        opening = _OPENING.match(line.text)
        if opening is None:
            inline = _INLINE.match(line.text) if "```" in line.text else None
            if inline is None or not self._offered.tool(inline["tag"]):
                return None, index + 1
            start = line.start + inline.start("fence")
            return self._block(index, start, "`" * 3, inline["tag"], "", 0, "fence_place")
        tag, _, rest = opening["tag"].strip().partition(" ")
        known = tag and self._offered.tool(tag) and not self._listed(index, opening["indent"])
        if not known:
            return None, self._behind_foreign(index, opening)
        start = line.start
        if opening["closing"]:
            return self._on_one_line(start, line, tag, rest), index + 1
        indent = len(opening["indent"])
        rule = "fence_tildes" if opening["fence"][0] == "~" else "fence_indent" if indent else None
        return self._block(index, start, opening["fence"], tag, rest.strip(), indent, rule)

    def _listed(self, index: int, indent: str) -> bool:
        """Whether an indented fence belongs to an item of a list."""
        if not indent:
            return False
        for line in reversed(self._lines[max(0, index - 8) : index]):
            if _LIST_ITEM.match(line.text):
                return True
            if line.text[:1].strip():
                return False
        return False

    def _behind_foreign(self, index: int, opening: re.Match[str]) -> int:
        """The line behind a block of another kind; the end where it has none."""
        if opening["closing"]:
            return index + 1
        for behind in range(index + 1, len(self._lines)):
            bare = _BARE.match(self._lines[behind].text)
            if bare and bare["fence"].startswith(opening["fence"]):
                return behind + 1
            if self._lines[behind].start in self._taken:
                # The host sees a block here, so that for it the other one has ended.
                return behind
        return len(self._lines)

    def _on_one_line(self, start: int, line: _Line, tag: str, rest: str) -> Span | None:
        if not rest.strip():
            return None
        note = Repair("fence_line", "$", line.text.strip()[:80], tag, "inferred")
        call = read_body(self._offered, tag, "", rest.strip(), (note,))
        return Span(start, line.end, MARKDOWN, (call,), closed=True)

    def _block(
        self, index: int, start: int, fence: str, tag: str, rest: str, indent: int, rule: str | None
    ) -> tuple[Span | None, int]:
        notes: list[Repair] = []
        if rule:
            notes.append(Repair(rule, "$", fence[:80], "```", "lossless"))
        body: list[str] = []
        for behind in range(index + 1, len(self._lines)):
            line = self._lines[behind]
            bare = _BARE.match(line.text)
            if bare and bare["fence"][0] == fence[0]:
                if len(bare["fence"]) != len(fence):
                    notes.append(Repair("fence_length", "$", bare["fence"], fence, "lossless"))
                return self._made(start, line.end, tag, rest, body, indent, notes), behind + 1
            if _TAGGED.match(line.text):
                flaw = Flaw("fence_end", _UNCLEAR_END)
                return self._faulty(start, tag, flaw), len(self._lines)
            closes = fence[0] == "`" and line.text.rstrip().endswith(fence)
            ended = _ENDED.match(line.text) if closes else None
            if ended and len(ended["fence"]) == len(fence) and "`" not in ended["text"]:
                body.append(ended["text"])
                notes.append(Repair("fence_place", "$", ended["fence"], "\n```", "inferred"))
                return self._made(start, line.end, tag, rest, body, indent, notes), behind + 1
            body.append(line.text)
        return self._unclosed(start, tag, rest, body, indent, notes), len(self._lines)

    def _unclosed(
        self, start: int, tag: str, rest: str, body: list[str], indent: int, notes: list[Repair]
    ) -> Span:
        """A block that nothing closes: whole where the model itself stopped behind its one line.

        Of several, the last ones may be words behind the call.
        """
        while body and not body[-1].strip():
            body.pop()
        whole = self._ended and body and not _GOES_ON.search(body[-1])
        if not whole or "```" in body[-1] or _ends_in_ticks(body[-1]):
            return self._faulty(start, tag, Flaw("cut_off", _UNFINISHED))
        if len(body) > 1:
            return self._faulty(start, tag, Flaw("fence_end", _UNCLEAR_END))
        notes = [*notes, Repair("closing_fence", "$", None, "```", "inferred")]
        end = self._lines[-1].end
        return self._made(start, end, tag, rest, body, indent, notes, closed=False)

    def _made(
        self,
        start: int,
        end: int,
        tag: str,
        rest: str,
        body: Sequence[str],
        indent: int,
        notes: Sequence[Repair],
        *,
        closed: bool = True,
    ) -> Span:
        lines = _without_indent(body, indent)
        tool = self._offered.tool(tag)
        if lines is None:
            return self._faulty(start, tag, Flaw("fence_indent", "its lines are indented unevenly"))
        if tool is not None and open_script(tool.name, lines):
            flaw = Flaw("open_quote", "a quotation or here-document in it is not closed")
            return self._faulty(start, tag, flaw, end)
        call = read_body(self._offered, tag, rest, "\n".join(lines), notes)
        return Span(start, end, MARKDOWN, (call,), closed=closed)

    def _faulty(self, start: int, tag: str, flaw: Flaw, end: int | None = None) -> Span:
        stop = self._lines[-1].end if end is None else end
        return Span(start, stop, MARKDOWN, (RawCall(tag, flaw=flaw),), closed=end is not None)


def _ends_in_ticks(line: str) -> bool:
    """Whether a line ends in a backtick or two that close nothing on it: most of a fence."""
    trailing = _TRAILING.search(line)
    return trailing is not None and trailing[0].rstrip() not in line[: trailing.start()]


def _without_indent(body: Sequence[str], indent: int) -> list[str] | None:
    """The lines without the indent of their fence; None where only some of them have it."""
    written = [line for line in body if line.strip()]
    if not indent or not written or not written[0][:1].isspace():
        return list(body)
    margin = " " * indent
    if all(line.startswith(margin) for line in written):
        return [line[indent:] for line in body]
    return None


def is_transcript(text: str, span: Span) -> bool:
    """Whether a block holds what a terminal showed, prompts and all."""
    body = text[span.start : span.end].split("\n")[1:]
    return any(_PROMPT.match(line) and not line.lstrip().startswith("#!") for line in body[:1])
