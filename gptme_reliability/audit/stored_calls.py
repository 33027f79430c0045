"""Native calls as gptme stores them: ``@tool(id): {json}``, behind the text of the answer.

gptme writes what the server sent without checking it, and reads it back with its own pattern
(``toolcall_re`` and ``find_json_end`` in ``gptme/tools/base.py``).  Not everything survives: a
second call of a stream that gptme stopped reading is not in the log, nor is the finish reason,
nor are arguments that an Anthropic client had parsed already.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from gptme_reliability.dialects.surroundings import fence_ranges
from gptme_reliability.repair.lenient import lenient_value
from gptme_reliability.types import ToolDefinition

_OPENING: Final = re.compile(r"^@([^\r\n(]{0,200})\(([^)\r\n]{0,200})\):", re.MULTILINE)
_SPACE: Final = re.compile(r"\s{0,256}")
_TOKEN: Final = re.compile(r"\\.|[\"{}]", re.DOTALL)
_READABLE_ID: Final = re.compile(r"[\w\-:.]+")
_VALUE: Final = re.compile(r"\Z|[{\[\"'\\“‘]|null\b|None\b|-?\d")
_MOST_CALLS: Final = 200
_MOST_OPENINGS: Final = 2_000
_MOST_UNENDED: Final = 3
"""How many calls without an end are looked for up to the end of the text."""
_FEWEST_WORDS: Final = 3
_REASONING: Final = (("<think>", "</think>"), ("<thinking>", "</thinking>"))
_DECODER: Final = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class StoredCall:
    """A call in a stored answer: its name and id, the arguments as written, where it begins.

    ``whole`` says that the host finds the end of the arguments; ``shown`` that the call stands
    in reasoning, or has text behind it, so that it did not come by the native channel.
    """

    name: str
    call_id: str
    arguments: str
    start: int
    whole: bool
    shown: bool

    @property
    def readable(self) -> bool:
        """Whether the host's pattern takes it for a call."""
        return self.whole and bool(self.name) and _READABLE_ID.fullmatch(self.call_id) is not None

    @property
    def wire(self) -> dict[str, Any]:
        """The call as a server would have sent it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.call_id, "type": "function", "function": function}

    def as_the_host_reads(self) -> Mapping[str, Any] | None:
        """The arguments that the host ran; None where it found none."""
        try:
            value = json.loads(self.arguments)
        except (ValueError, RecursionError):
            found = lenient_value(self.arguments)
            value = found[0] if found else None
        return value if isinstance(value, dict) else None


def stored_calls(text: str, tools: Sequence[ToolDefinition]) -> tuple[StoredCall, ...]:
    """The calls of an answer in order; those in fenced blocks are examples to the host.

    With the name of a tool on offer, whatever follows is taken for its arguments.
    """
    if "@" not in text:
        return ()
    names = {tool.name for tool in tools}
    openings = list(islice(_openings(text, names), _MOST_CALLS))
    reasoning = _reasoning_end(text) if openings else 0
    stops = [*(following.start() for following in openings[1:]), len(text)]
    calls: list[StoredCall] = []
    position = unended = 0
    for opening, stop in zip(openings, stops, strict=False):
        if opening.start() < position:
            continue  # it stands in the arguments of the call before
        reach = len(text) if unended < _MOST_UNENDED else stop
        end = _object_end(text, opening.end(), reach)
        unended += end is None
        position = end or opening.end()
        calls.append(_call(text, opening, end, max(stop, position), reasoning))
    return tuple(calls)


def text_before(text: str, calls: tuple[StoredCall, ...]) -> str:
    """The text of the answer without its calls."""
    return text[: calls[0].start] if calls else text


def _openings(text: str, names: Collection[str]) -> Iterator[re.Match[str]]:
    found = list(islice(_OPENING.finditer(text), _MOST_OPENINGS))
    fences = fence_ranges(text) if found else []
    starts = [start for start, _ in fences]
    for opening in found:
        index = bisect_right(starts, opening.start()) - 1
        if index >= 0 and opening.start() < fences[index][1]:
            continue
        if opening[1].strip() in names or _VALUE.match(text, _behind_space(text, opening.end())):
            yield opening


def _behind_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _call(
    text: str, opening: re.Match[str], end: int | None, stop: int, reasoning: int
) -> StoredCall:
    behind = text[end:stop] if end is not None else ""
    return StoredCall(
        name=opening[1].strip(),
        call_id=opening[2],
        arguments=text[opening.end() : stop if end is None else end].strip(),
        start=opening.start(),
        whole=end is not None,
        shown=opening.start() < reasoning or len(behind.split()) >= _FEWEST_WORDS,
    )


def _reasoning_end(text: str) -> int:
    """Where the last reasoning ends; reasoning that never ends reaches to the end of the text."""
    ends = [0]
    for opening, closing in _REASONING:
        end = text.rfind(closing)
        ends.append(len(text) if text.rfind(opening) > end else end)
    return max(ends)


def _object_end(text: str, position: int, reach: int) -> int | None:
    """Where the object that stands here ends for the host, which counts braces."""
    start = _behind_space(text, position)
    if not text.startswith("{", start):
        return None
    try:
        if reach < len(text):
            return start + int(_DECODER.raw_decode(text[start:reach])[1])
        return int(_DECODER.raw_decode(text, start)[1])
    except (ValueError, RecursionError):
        pass
    depth, quoted = 0, False
    for token in _TOKEN.finditer(text, start, reach):
        sign = token[0]
        if sign == '"':
            quoted = not quoted
        elif not quoted and sign in "{}":
            depth += 1 if sign == "{" else -1
            if depth == 0:
                return token.end()
    return None
