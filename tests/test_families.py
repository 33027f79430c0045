"""Every family's rows, whole and streamed: they may get better, never worse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ratchet

ROWS = ratchet.family_rows()
KNOWN = ratchet.recorded()
WRITE = "row may get better, never worse: run `python tests/ratchet.py --write`"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["id"]))
def test_row(row: dict[str, Any]) -> None:
    """A row is what it was recorded as; a new row passes, and no row is unsafe."""
    state, fault = ratchet.judge(row)
    assert state != "unsafe", fault
    known = KNOWN.get(row["id"], ratchet.PASSES)
    assert not ratchet.is_worse(state, known), f"{state}, was {known}: {fault}"
    assert state == known, f"{state}, was {known}; {WRITE}"
    if fault:
        pytest.xfail(fault)


def test_ratchet_lists_every_row() -> None:
    """No row is added without saying what becomes of it, and none is left behind."""
    ids = [row["id"] for row in ROWS]
    assert len(ids) == len(set(ids)), "two rows have the same id"
    assert set(ids) == KNOWN.keys(), WRITE


CALL = {"name": "shell", "arguments": {"command": "ls"}}
RAW = '<tool_call>{"name": "shell", "arguments": {"command": "ls"}}</tool_call>'


@pytest.mark.parametrize(
    ("change", "state", "fault"),
    [
        ({}, "passes", ""),
        ({"expect": "retry"}, "fails", "expected retry, got Accept"),
        ({"calls": []}, "unsafe", "expected the calls [], ran [{'name': 'shell'"),
        ({"calls": [CALL, CALL]}, "fails", "expected the calls [{'name': 'shell'"),
        ({"repairs": ["tool_name"]}, "fails", "expected the repairs ['tool_name'], got []"),
        ({"raw": "Done."}, "fails", "expected the calls [{'name': 'shell'"),
        ({"raw": "Done.", "expect": "text", "calls": []}, "passes", ""),
        ({"raw": "", "expect": "text", "calls": []}, "fails", "expected text, got Retry"),
        ({"raw": "", "expect": "text", "calls": [], "or_retry": True}, "passes", ""),
    ],
)
def test_judge(change: dict[str, Any], state: str, fault: str) -> None:
    """A row is held to its verdict, its calls and its repairs."""
    row = {"id": "x", "family": "f", "raw": RAW, "expect": "accept", "calls": [CALL], **change}
    found = ratchet.judge(row)
    assert found[0] == state
    assert found[1].startswith(fault)
    assert bool(found[1]) == (state != "passes")


def test_the_ratchet_only_tightens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What got better is recorded, what got worse is refused."""
    rows = [{"id": "a", "family": "f", "raw": RAW, "expect": "accept", "calls": [CALL]}]
    monkeypatch.setattr(ratchet, "family_rows", lambda: rows)
    monkeypatch.setattr(ratchet, "recorded", lambda: {"a": "fails"})
    monkeypatch.setattr(ratchet, "RATCHET", tmp_path / "ratchet.tsv")
    assert ratchet.main(["--write"]) == 0
    assert (tmp_path / "ratchet.tsv").read_text() == "a\tpasses\n"
    assert "a: fails -> passes" in capsys.readouterr().out
    rows[0]["calls"] = []
    assert ratchet.main(["--write"]) == 1
    assert (tmp_path / "ratchet.tsv").read_text() == "a\tpasses\n"
    assert "1 rows got worse" in capsys.readouterr().out


def test_no_rows(tmp_path: Path) -> None:
    """Without the folder there is nothing to hold."""
    assert ratchet.family_rows(tmp_path / "absent") == []
    assert ratchet.recorded(tmp_path / "absent.tsv") == {}
