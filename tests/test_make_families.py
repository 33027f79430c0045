"""The families' rows are what their generator makes, and what is expected is not at odds."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import make_families
import pytest
from family_maker import BIG
from family_table import FAMILIES

MADE = make_families.files()
ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for path in sorted(make_families.FOLDER.glob("*.jsonl"))
    for line in path.read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("name", MADE)
def test_committed_file_is_what_is_made(name: str) -> None:
    """Whoever changes a table runs ``python tests/make_families.py``."""
    assert (make_families.FOLDER / name).read_text("utf-8") == MADE[name]


def test_no_file_is_left_behind() -> None:
    """Beside the made files there is only the handwritten one."""
    committed = {path.name for path in make_families.FOLDER.iterdir()}
    assert committed == {*MADE, "handwritten.jsonl"}


def test_every_family_has_rows_enough() -> None:
    """Thirty rows for each family, more for the big ones, 1,500 in all."""
    counts = Counter(row["family"] for row in ROWS)
    assert set(counts) == {family.id for family in FAMILIES}
    assert min(counts.values()) >= 30
    assert min(counts[big] for big in BIG) >= 60
    assert len(ROWS) >= 1_500


def test_rows_are_well_formed() -> None:
    """Ids are unique, chunks add up, and a plain answer has no calls."""
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        offered = {tool["function"]["name"] for tool in row["tools"]}
        assert row["expect"] in ("accept", "retry", "text"), row["id"]
        assert {call["name"] for call in row["calls"]} <= offered, row["id"]
        assert row["expect"] != "accept" or row["calls"], row["id"]
        assert row["expect"] != "text" or not row["calls"], row["id"]
        assert "".join(row.get("stream", [row["raw"]])) == row["raw"], row["id"]
