"""The table of defects is right: its places are there, and each row has its test and its line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import gptme
import pytest
from defects import DEFECTS, Defect, reproduced
from documents import ROOT, section

pytestmark = pytest.mark.upstream

NOTE: Final = "docs/design-note.md"
HERE: Final = Path(__file__).parent
GPTME: Final = Path(gptme.__file__).parent
DEFINES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@cache
def _members(module: str) -> frozenset[str]:
    """Functions, classes with what is in them, and variables of a module of gptme."""
    return frozenset(_names(ast.parse((GPTME / module).read_text(encoding="utf-8")).body))


def _names(body: list[ast.stmt], before: str = "") -> Iterator[str]:
    for node in body:
        if isinstance(node, DEFINES):
            yield before + node.name
            if isinstance(node, ast.ClassDef):
                yield from _names(node.body, f"{before}{node.name}.")
        elif isinstance(node, ast.Assign):
            yield from (before + t.id for t in node.targets if isinstance(t, ast.Name))


@pytest.mark.parametrize("row", DEFECTS.values(), ids=lambda row: row.id)
def test_a_row_names_what_is_there(row: Defect) -> None:
    """Modules and members of gptme, and files of ours."""
    assert row.where and row.what and row.change
    for module, member in row.where:
        assert member in _members(module), f"{module}: {member}"
    assert row.ours is None or (ROOT / row.ours).exists(), row.ours


def _tests() -> Mapping[str, str]:
    """The source of every reproduction, with the tables above it that name a defect."""
    found: dict[str, str] = {}
    for path in sorted(HERE.glob("test_*.py")):
        source, above = path.read_text(encoding="utf-8"), ""
        for node in ast.parse(source).body:
            text = ast.get_source_segment(source, node) or ""
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[f"tests/upstream/{path.name}::{node.name}"] = above + text
                above = ""
            elif not isinstance(node, ast.FunctionDef):
                above += text
    return found


TESTS: Final = _tests()
REPRODUCTIONS: Final = {
    name: {defect for defect in DEFECTS if f'"{defect}"' in text} for name, text in TESTS.items()
}


def test_every_defect_is_reproduced() -> None:
    """By at least one test."""
    assert {*DEFECTS} == set().union(*REPRODUCTIONS.values())


def test_the_design_note_names_a_test_for_every_defect() -> None:
    """And no test that shows none."""
    named = re.findall(r"`(tests/upstream/\w+\.py::test_\w+)`", section(NOTE, "What goes upstream"))
    assert {*named} <= REPRODUCTIONS.keys()
    assert all(REPRODUCTIONS[name] for name in named)
    assert {*DEFECTS} == set().union(*(REPRODUCTIONS[name] for name in named))


def test_a_mended_defect_is_told() -> None:
    """With what it was, and what may go."""
    row = next(row for row in DEFECTS.values() if row.ours)
    with pytest.raises(pytest.fail.Exception) as told, reproduced(row.id):
        raise AssertionError("seen")
    assert told.value.msg is not None
    for words in (row.id, row.what, str(row.ours), "seen"):
        assert words in told.value.msg
