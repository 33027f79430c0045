"""What the defect classes of the families' rows have in common: the maker and its registry."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from family_data import PLAIN, TOOLS
from family_writers import Family, NamedCall

Option = TypeVar("Option")

BIG: Final = frozenset({
    "hermes", "mistral", "llama3_json", "deepseek_v3", "deepseek_v31", "deepseek_dsml", "kimi_k2",
    "harmony", "qwen3_coder", "glm45", "glm47", "gemma4", "lfm2", "pythonic", "plain_json",
})  # fmt: skip
"""Families of which a class makes several rows."""


class Maker:
    """Collects the rows of one class for one spelling."""

    def __init__(self, family: Family, defect: str, rng: random.Random) -> None:
        self.family = family
        self.rng = rng
        self.rows: list[dict[str, Any]] = []
        self._defect = defect
        self._seen: set[tuple[str, str | None]] = set()

    def pick(self, table: Sequence[NamedCall] = PLAIN) -> NamedCall:
        """One call of a table."""
        return self.rng.choice(table)

    def two(self, table: Sequence[NamedCall] = PLAIN) -> tuple[NamedCall, NamedCall]:
        """Two different calls of a table."""
        first, second = self.rng.sample(list(table), 2)
        return first, second

    def words(self, table: Sequence[str]) -> str:
        """One phrase of a table."""
        return self.rng.choice(table)

    def each(self, *options: Option) -> Sequence[Option]:
        """What to make rows for: all of it in a big family, else one."""
        return options if self.family.id in BIG else [self.rng.choice(options)]

    def add(
        self,
        expect: str,
        raw: str,
        calls: Sequence[NamedCall] = (),
        *,
        offer: Sequence[str] = (),
        finish: str | None = None,
        **more: Any,
    ) -> None:
        """Add a row; ``offer`` names the tools on offer beside those of ``calls``.

        The same text with the same end is not added twice.
        """
        if (raw, finish) in self._seen:
            return
        self._seen.add((raw, finish))
        offered = {*(name for name, _ in calls), *offer}
        if not offered or (expect == "accept" and len(offered) < 2):
            offered.add("list_notes")
        row: dict[str, Any] = {
            "id": f"{self.family.label}/{self._defect}/{len(self.rows) + 1}",
            "family": self.family.id,
            "defect": self._defect,
            "mode": "whole",
            "raw": raw,
            "tools": [TOOLS[name] for name in sorted(offered)],
            "expect": expect,
            "calls": [{"name": name, "arguments": args} for name, args in calls],
        }
        if finish is not None:
            row["finish_reason"] = finish
        self.rows.append({**row, **more})


Make: TypeAlias = Callable[[Maker], None]
CLASSES: Final[dict[str, tuple[Make, int]]] = {}
"""Defect class → what makes its rows, and how often for a big family."""


def defect(name: str, times: int = 2) -> Callable[[Make], Make]:
    """Register a class of rows."""

    def register(make: Make) -> Make:
        CLASSES[name] = (make, times)
        return make

    return register
