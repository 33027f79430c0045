"""A row streamed: what the gate shows while the answer arrives, held against its verdict."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gptme_reliability.evals.recover_rows import Row
from gptme_reliability.gate import Gate
from gptme_reliability.resolve import callable_names
from gptme_reliability.types import Verdict

SOON: Final = 64
"""Characters of plain text should be shown before so many further ones have arrived."""
_SPLITS: Final = 3
_LONGEST_PIECE: Final = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """How a row streamed.

    ``early`` names the chunking under which text was shown that the verdict takes back, else
    it is None.  ``soon`` of ``chars`` characters were shown within ``SOON`` further ones; both
    are 0 where something in the answer looks like a call.
    """

    early: str | None
    soon: int
    chars: int


def watch(row: Row, verdict: Verdict, *, plain: bool) -> Shown:
    """Feed the row's text to the gate in many ways of cutting it.

    ``plain``: nothing in the answer looks like a call, so that nothing should hold it up.
    """
    text = row.output.text or ""
    limits = _limits(row, text)
    early = _early("per character", limits[-1], text, verdict)
    for name, pieces in _chunkings(row, text):
        early = early or _early(name, _limits(row, pieces)[-1], text, verdict)
    if not plain:
        return Shown(early, 0, 0)
    # Once the answer has ended, all of it is shown.
    limits += [len(text)] * (SOON + 1)
    soon = sum(limits[place + 1 + SOON] > place for place in range(len(text)))
    return Shown(early, soon, len(text))


def _early(name: str, limit: int, text: str, verdict: Verdict) -> str | None:
    """What to say when the text shown is no beginning of the verdict's text."""
    shown = text[:limit]
    if not shown.strip() or verdict.text.startswith(shown):
        return None
    return f"{name}, {limit} characters were shown"


def _limits(row: Row, pieces: Iterable[str]) -> list[int]:
    """How many characters may be shown: at first, and after every piece."""
    gate = Gate(callable_names(row.tools))
    return [0, *(gate.feed(piece) for piece in pieces)]


def _chunkings(row: Row, text: str) -> Iterator[tuple[str, Sequence[str]]]:
    yield "in one piece", [text]
    if row.chunks and "".join(row.chunks) == text:
        yield "in the row's own pieces", row.chunks
    for number in range(1, _SPLITS + 1):
        # Seeded by the row, so that the same row is always cut in the same way.
        yield f"in random split {number}", _split(text, random.Random(f"{row.id} {number}"))


def _split(text: str, chance: random.Random) -> list[str]:
    pieces: list[str] = []
    position = 0
    while position < len(text):
        size = chance.randint(1, _LONGEST_PIECE)
        pieces.append(text[position : position + size])
        position += size
    return pieces
