r"""Makes text inert that gptme would run although no call was accepted there.

In native tool format gptme still runs ```` ```shell ```` fences and lines like
``@shell(id): {…}`` wherever they stand in an answer, explanations and reasoning included.
What it would run is asked of its own parser, over the message as it will compose it:
text that is not an accepted call but would run gets the smallest visible change that stops it,
``\@shell(id): {…}`` or ```` ```text shell ````.  Then the parser is asked again.

Nothing before the first such place ever changes, for it may have been shown already.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gptme_reliability.surfaces.host import Piece
from gptme_reliability.types import Call, Repair

# gptme's pattern for a call in text, up to the brace its arguments begin with.
_CALL: Final = re.compile(r"^@[^\r\n]+?\([\w\-:.]+\):\s*\{", re.MULTILINE)
_AT: Final = re.compile(r"^@", re.MULTILINE)
_TICKS: Final = re.compile(r"`{3,}")
_TAG: Final = re.compile(r"[^\S\r\n]*(?P<tag>[^\r\n]*)")
# gptme turns carriage returns into newlines and drops all up to the end of reasoning before it
# looks for fences, so that lines begin behind those too.
_LINE_ENDS: Final = ("\n", "\r", "</think>", "</thinking>")

# gptme's parser takes time quadratic in these; beyond them its opinion is not asked for.
MANY_FENCES: Final = 500
_MANY_CALLS: Final = 200
_LONG: Final = 200_000
_EXCERPT: Final = 60
_OPENING: Final = "<think>\n"
_CLOSING: Final = "\n</think>\n"


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place where the host may see something to run; ``insert`` goes in at ``at``.

    ``start`` is where the line begins, ``end`` where its opener ends.
    """

    part: int
    start: int
    at: int
    end: int
    insert: str


@dataclass(frozen=True, slots=True)
class Message:
    """An answer in the pieces gptme composes: ``parts`` are reasoning and text.

    ``shown`` is what stands before them for good.
    """

    parts: tuple[str, str]
    calls: Sequence[Call]
    streamed: bool
    shown: Sequence[Piece] = ()

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))

    def composed(self) -> tuple[str, tuple[int, int], int]:
        """The message as gptme puts it together, where the parts begin, where the calls do."""
        reasoning, text = self.parts
        head, thinking = self._head()
        first = len(head)
        if reasoning:
            opening = "" if thinking else _OPENING
            first += len(opening)
            head += opening + reasoning
            thinking = True
        if thinking:
            head += _CLOSING + ("\n" if self.streamed or text else "")
        begin = len(head)
        body = head + text
        lines = [f"@{_canonical(c.name.strip())}({c.id}): {_arguments(c)}" for c in self.calls]
        if self.streamed:
            tail = "".join("\n" + line for line in lines)
        else:
            tail = ("\n" if body and lines else "") + "\n".join(lines)
        return body + tail, (first, begin), len(body)

    def _head(self) -> tuple[str, bool]:
        """What was shown, and whether it ends in reasoning that is still open."""
        written: list[str] = []
        thinking = False
        for channel, piece in self.shown:
            if (channel == "reasoning") is not thinking:
                written.append(f"{_CLOSING}\n" if thinking else _OPENING)
                thinking = not thinking
            written.append(piece)
        return "".join(written), thinking


def defuse(
    reasoning: str | None,
    text: str,
    calls: Sequence[Call],
    *,
    streamed: bool,
    strict: bool,
    shown: Sequence[Piece] = (),
) -> tuple[str | None, str, tuple[Repair, ...]]:
    """Change reasoning and text so that gptme runs the given calls and nothing else.

    ``streamed`` tells how gptme composes the message.  ``strict`` is for hosts that parse the
    message while it grows: then a later line cannot be relied on to make an earlier one text.
    ``shown`` is what stands before both for good.  It may have opened what closes here, so that
    behind it nothing is left to depend on what is around it.
    """
    message = Message((reasoning or "", text), calls, streamed, shown)
    marks = sorted(_marks(message.parts), key=lambda mark: (mark.part, mark.at))
    chosen = _choose(message, marks, strict or bool(shown))
    if not chosen:
        return reasoning, text, ()
    changed = _applied(message, chosen).parts
    repairs = tuple(_repair(message.parts, mark) for mark in chosen)
    return (changed[0] if reasoning is not None else None), changed[1], repairs


def runnable_tag(tag: str) -> bool:
    """Whether gptme would run a fence with this tag, given the tools loaded now."""
    from gptme.tools import get_tool_for_langtag

    tool = get_tool_for_langtag(tag.strip())
    return tool is not None and tool.execute is not None


def _choose(message: Message, marks: list[_Mark], strict: bool) -> list[_Mark]:
    """The smallest of three sets of changes after which gptme runs the calls and no more."""
    if not any("```" in part or "@" in part for part in message.parts):
        return []
    everything = list(_everything(message.parts, marks))
    if sum(1 for part in message.parts for _ in _fences(part)) > MANY_FENCES:
        return everything
    reference = _uses(Message(("", ""), message.calls, message.streamed))
    sets = [marks, everything]
    if not strict and len(marks) <= _MANY_CALLS and not (marks and message.size > _LONG):
        sets = [[], *sets]
    harmless: list[_Mark] | None = None
    for chosen in sets:
        uses = _uses(_applied(message, chosen))
        if not chosen and uses is not None and not _right(uses, reference):
            chosen = _exact(message, marks, uses)
            uses = _uses(_applied(message, chosen))
        if uses is None:
            continue
        if _right(uses, reference):
            return chosen
        if not uses.unwanted and harmless is None:
            harmless = chosen
    return everything if harmless is None else harmless


@dataclass(frozen=True, slots=True)
class _Uses:
    """What gptme reads from a message: the calls at its end, and all else that it would run."""

    calls: list[tuple[str, str, str]]
    unwanted: list[Any]


def _right(uses: _Uses, reference: _Uses | None) -> bool:
    return not uses.unwanted and (reference is None or uses.calls == reference.calls)


def _uses(message: Message) -> _Uses | None:
    """Ask gptme's parser; None when it fails on this text."""
    from gptme.tools.base import ToolUse

    content, _, end = message.composed()
    try:
        found = list(ToolUse.iter_from_content(content, "tool"))
    # The parser meets what a model wrote; whatever it raises, this text is no safe text.
    except Exception:
        return None
    calls, unwanted = [], []
    for use in found:
        if use.call_id is not None and use.start is not None and use.start >= end:
            calls.append((use.tool, use.call_id, json.dumps(use.kwargs, default=repr)))
        elif use.call_id is not None or use.is_runnable:
            unwanted.append(use)
    return _Uses(calls, unwanted)


def _marks(parts: Sequence[str]) -> Iterator[_Mark]:
    """All places that gptme may run, should nothing around them make them text."""
    for index, part in enumerate(parts):
        for match in _CALL.finditer(part):
            yield _Mark(index, match.start(), match.start(), match.end(), "\\")
        for start, tag, end in _fences(part):
            if runnable_tag(part[tag:end]):
                yield _Mark(index, start, tag, end, "text ")


def _fences(part: str) -> Iterator[tuple[int, int, int]]:
    """Where fences stand that begin a line: their start, the start of their tag, its end."""
    for ticks in _TICKS.finditer(part):
        start = ticks.start()
        if start == 0 or part.endswith(_LINE_ENDS, 0, start):
            match = _TAG.match(part, ticks.end())
            if match is not None:
                yield start, match.start("tag"), match.end()


def _exact(message: Message, marks: list[_Mark], uses: _Uses) -> list[_Mark]:
    """The marks that gptme's parser takes for something to run, or that swallow a call."""
    _, begins, _ = message.composed()
    starts = {use.start for use in uses.unwanted if use.call_id is not None}
    fences = [use for use in uses.unwanted if use.call_id is None]
    swallowed = len(uses.calls) < len(message.calls)
    chosen = []
    for mark in marks:
        if mark.insert == "\\":
            wanted = swallowed or begins[mark.part] + mark.start in starts
        else:
            part = message.parts[mark.part]
            wanted = any(
                part.startswith(use.content or "", mark.end + 1)
                and use.tool == _tool_name(part[mark.at : mark.end])
                for use in fences
            )
        if wanted:
            chosen.append(mark)
    return chosen


def _everything(parts: Sequence[str], marks: list[_Mark]) -> Iterator[_Mark]:
    """Every fence and every line that begins with ``@``, from the first mark of its part on."""
    for index, part in enumerate(parts):
        first = min((mark.start for mark in marks if mark.part == index), default=None)
        if first is None:
            continue
        places = {match.start() for match in _AT.finditer(part, first)}
        places |= {start for start, _, _ in _fences(part) if start >= first}
        for start in sorted(places):
            yield _Mark(index, start, start, start + _EXCERPT, "\\")


def _applied(message: Message, marks: Sequence[_Mark]) -> Message:
    parts = []
    for index, part in enumerate(message.parts):
        pieces, position = [], 0
        for mark in sorted((m for m in marks if m.part == index), key=lambda m: m.at):
            pieces += [part[position : mark.at], mark.insert]
            position = mark.at
        parts.append("".join([*pieces, part[position:]]))
    return replace(message, parts=(parts[0], parts[1]))


def _repair(parts: Sequence[str], mark: _Mark) -> Repair:
    part = parts[mark.part]
    end = min(mark.end, mark.start + _EXCERPT)
    return Repair(
        rule="defuse",
        path=f"$.{'text' if mark.part else 'reasoning'}[{mark.start}]",
        before=part[mark.start : end],
        after=part[mark.start : mark.at] + mark.insert + part[mark.at : end],
        kind="presentation",
    )


def _tool_name(tag: str) -> str | None:
    from gptme.tools import get_tool_for_langtag

    tool = get_tool_for_langtag(tag.strip())
    return tool.name if tool else None


def _canonical(name: str) -> str:
    """The name under which gptme knows a tool whose name on the wire may be an alias."""
    try:
        from gptme.tools.native_names import canonical_tool_name
    except ImportError:  # gptme before 0.35 has no aliases
        return name
    return str(canonical_tool_name(name))


def _arguments(call: Call) -> str:
    return json.dumps(dict(call.arguments), ensure_ascii=False, separators=(",", ":"))
