"""What the readers of marked calls share: what they found, and what failing may still cost."""

from __future__ import annotations

from dataclasses import dataclass

from gptme_reliability.dialects.shapes import RawCall


class Budget:
    """Characters that failed readings may still cost, so that decoding stays linear."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def spend(self, count: int) -> bool:
        """Count a failure; False when nothing is left."""
        self._left -= max(count, 1)
        return self._left > 0


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
