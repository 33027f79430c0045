"""Which stretches of an answer may be calls, for a host that has calls in the text.

::

    own       what the host would run
    near      what was meant for the host, and what it would pass over
    foreign   other dialects

Each comes with its place: what stands beside it makes a call of it, or an example, or leaves
that open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.dialects.decode import decode
from gptme_reliability.dialects.host_blocks import behind_reasoning
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.host_fences import is_transcript, near_blocks, own_blocks
from gptme_reliability.dialects.host_placement import announced, asks_for_code, place_own
from gptme_reliability.dialects.host_spans import apart, masked_spans, named_by_tools, tag_of
from gptme_reliability.dialects.host_tags import near_tags, own_tags
from gptme_reliability.dialects.placement import Placement, place
from gptme_reliability.dialects.shapes import Span
from gptme_reliability.dialects.surroundings import closed_reasoning, fence_ranges
from gptme_reliability.resolve import callable_names

Kind: TypeAlias = Literal["own", "near", "foreign"]

_ASKING: Final = frozenset({"choice", "form", "elicit", "clarify"})
"""gptme's tools that put a question to the user."""

_NEAR: Final = 400


@dataclass(frozen=True, slots=True)
class Stretch:
    """What may be calls, of which kind, where it stands, and the text that leads up to it."""

    span: Span
    kind: Kind
    placement: Placement
    lead: str


@dataclass(frozen=True, slots=True)
class _Room:
    """Where the neighbours of a stretch end and begin, and the fences of other kinds."""

    floor: int
    ceiling: int
    fences: Sequence[tuple[int, int]]


class HostReader:
    """Finds what may be calls in one answer.

    ``messages`` are the conversation so far; ``ended`` says that the model itself ended the
    answer.
    """

    def __init__(
        self,
        text: str,
        offered: Offered,
        messages: Sequence[Mapping[str, Any]],
        *,
        ended: bool,
    ) -> None:
        self._text = text
        self._offered = offered
        self._form = offered.host.form
        self._messages = messages
        self._ended = ended
        self._reasoned_until = behind_reasoning(text)
        # Where the first and the last word of the answer stand.
        self._first = len(text) - len(text.lstrip())
        self._last = len(text.rstrip())

    def stretches(self) -> Iterator[Stretch]:
        """All of them, in order and apart."""
        own, foreign = self._own(), self._foreign()
        near = self._near([*own, *foreign])
        spans = apart([*own, *foreign, *near])
        if not spans:
            return
        known: dict[tuple[int, int], Kind] = {(one.start, one.end): "near" for one in near}
        known.update({(one.start, one.end): "own" for one in own})
        kinds = [known.get((span.start, span.end), "foreign") for span in spans]
        masked = masked_spans(
            self._text, [span for span, kind in zip(spans, kinds, strict=True) if kind == "own"]
        )
        placements = place(masked, spans)
        fences = fence_ranges(masked)
        ceilings = [*(span.start for span in spans[1:]), len(self._text)]
        floor = 0
        for span, kind, anybodys, ceiling in zip(spans, kinds, placements, ceilings, strict=True):
            placement = self._placed(span, kind, anybodys, _Room(floor, ceiling, fences))
            yield Stretch(span, kind, placement, self._text[floor : span.start])
            floor = span.end

    # --- which there are ------------------------------------------------------------------

    def _own(self) -> list[Span]:
        if self._form == "xml":
            return self._outside_reasoning(own_tags(self._text, self._offered))
        return [span for span, _ in own_blocks(self._text, self._offered)]

    def _foreign(self) -> list[Span]:
        spans = list(decode(self._text, callable_names(self._offered.tools)))
        if self._form == "markdown":
            spans += own_tags(self._text, self._offered)
        if self._reasoned_until is None:
            # For the host all of it is reasoning, markers or not.
            spans = [replace(span, thinking=True, marked=False) for span in spans]
        return spans

    def _near(self, others: Sequence[Span]) -> list[Span]:
        text, offered, begin = self._text, self._offered, self._reasoned_until
        if begin is None:
            return []
        taken = {span.start: span.end for span in others}
        blocks = near_blocks(text, begin, offered, taken, ended=self._ended)
        if self._form == "markdown":
            return list(blocks)
        tags = near_tags(text, begin, offered, taken, ended=self._ended)
        # A block is none of this host's: only one of its own tools' names is worth a look.
        return [*self._outside_reasoning(tags), *named_by_tools(text, offered, blocks)]

    def _outside_reasoning(self, spans: Iterable[Span]) -> list[Span]:
        """Those tags that stand in no reasoning, which the host itself does not tell apart."""
        begin = self._reasoned_until
        thoughts = closed_reasoning(self._text)
        return [
            span
            for span in spans
            if begin is not None
            and span.start >= begin
            and not any(first <= span.start < last for first, last in thoughts)
        ]

    # --- where they stand -----------------------------------------------------------------

    def _placed(self, span: Span, kind: Kind, placement: Placement, room: _Room) -> Placement:
        """The placement of what is the host's as the host's; ``placement`` is anybody's."""
        if kind == "foreign":
            return placement
        if kind == "own":
            asks = any(raw.name in _ASKING for raw in span.calls)
            return self._unless_for_reading(self._place_own(span, room, asks=asks))
        if self._offered.is_language(tag_of(self._text[span.start : span.end])):
            return self._language_placement(span, placement)
        if span.dialect != self._offered.host.dialect:
            return placement
        own = self._place_own(span, room)
        if own != "call":
            return self._unless_for_reading(own)
        # Between two texts nothing but their words can tell.
        return "call" if span.end >= self._last else placement

    def _place_own(self, span: Span, room: _Room, *, asks: bool = False) -> Placement:
        return place_own(
            self._text, span.start, span.end, room.floor, room.ceiling, room.fences, asks=asks
        )

    def _unless_for_reading(self, placement: Placement) -> Placement:
        """Who asked for something to read is not asked what was meant by it."""
        asked = placement == "unclear" and asks_for_code(self._messages)
        return "text" if asked else placement

    def _language_placement(self, span: Span, placement: Placement) -> Placement:
        """The placement of a block under the name of a language, which is mostly for a reader."""
        if placement not in ("call", "unclear") or is_transcript(self._text, span):
            return "text"
        if announced(self._text[max(0, span.start - _NEAR) : span.start]):
            return placement
        alone = span.start <= self._first and span.end >= self._last
        if not alone or asks_for_code(self._messages):
            return "text"
        return "unclear"
