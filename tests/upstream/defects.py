"""The table of gptme's defects, and what a test says when one of them is gone.

A row of ``cases/upstream.jsonl`` holds ``what`` happens, ``where`` in gptme (pairs of a module and
a function or class in it), the ``change`` that would mend it, and the file of ours that works
around it (``ours``; null where nothing does, or where more than that stands on it).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

TABLE: Final = Path(__file__).parent.parent / "cases" / "upstream.jsonl"


@dataclass(frozen=True, slots=True)
class Defect:
    """One defect of gptme."""

    id: str
    what: str
    where: tuple[tuple[str, str], ...]
    change: str
    ours: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Defect:
        """Read one row."""
        where = tuple((module, member) for module, member in row["where"])
        return cls(row["id"], row["what"], where, row["change"], row["ours"])

    @property
    def mended(self) -> str:
        """What is to be done when gptme no longer has it."""
        drop = f"{self.ours} as far as it works around this, and " if self.ours else ""
        return f"gptme mended {self.id!r} ({self.what}): drop {drop}this test."


DEFECTS: Final[Mapping[str, Defect]] = {
    row["id"]: Defect.from_row(row)
    for row in map(json.loads, TABLE.read_text(encoding="utf-8").splitlines())
}


@contextmanager
def reproduced(defect: str) -> Iterator[None]:
    """What is asserted inside holds as long as gptme has the defect."""
    row = DEFECTS[defect]
    try:
        yield
    except (AssertionError, pytest.fail.Exception) as seen:
        pytest.fail(f"{row.mended}\n{seen}", pytrace=False)
