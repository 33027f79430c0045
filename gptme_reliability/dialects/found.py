"""What the readers of marked calls share: what they found, and what failing may still cost."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gptme_reliability.dialects.markers import CLOSING
from gptme_reliability.dialects.shapes import RawCall


class Budget:
    """What the readings of one text share, so that decoding it stays linear.

    It counts the characters that failed readings may still cost.
    """

    def __init__(self, characters: int) -> None:
        self._left = characters
        self._searched = -1
        self._closing: re.Match[str] | None = None

    def spend(self, count: int) -> bool:
        """Count a failure; False when nothing is left."""
        self._left -= max(count, 1)
        return self._left > 0

    def closing(self, text: str, position: int) -> re.Match[str] | None:
        """The next closing token; a match is kept, so that nothing is searched twice."""
        found = self._closing
        if not 0 <= self._searched <= position or (found and found.start() < position):
            self._searched, self._closing = position, CLOSING.search(text, position)
        return self._closing


@dataclass(frozen=True, slots=True)
class Found:
    """Calls read at one place, and the index behind them.

    ``complete`` says that no bracket or tag was missing, ``closed`` that the call's own end
    tag stood there.
    """

    calls: list[RawCall]
    end: int
    dialect: str | None = None
    complete: bool = True
    closed: bool = False
