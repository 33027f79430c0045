"""The record of decisions: what it holds, what it never holds, and how it lies on the disk."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from gptme.config import Config
from plugin_world import CALL, DEFUSED, MODEL, own_world, report

from gptme_reliability.surfaces import tracing
from gptme_reliability.surfaces.gptme import trace
from gptme_reliability.surfaces.gptme.host import host
from gptme_reliability.types import Accept, RefusedCall, Reject, Repair, ToolDefinition

__all__ = ["own_world"]  # a fixture that every test here uses


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.path().read_text().splitlines()]


def test_the_trace_holds_hashes_and_no_texts(tmp_path: Path) -> None:
    refused = RefusedCall("run", "because of secret", "secret(1)")
    verdict = Accept(
        (CALL,), "secret", (Repair("q", "$.a", "secret", "sec", "lossless"),), (refused,)
    )
    host.done(report(verdict, asked=1, repairs=(DEFUSED,)))
    (entry,) = lines()
    assert trace.path().is_relative_to(tmp_path)
    assert "secret" not in json.dumps(entry)
    assert entry["model"] == MODEL
    assert entry["verdict"] == "accept"
    assert [attempt["verdict"] for attempt in entry["attempts"]] == ["retry", "accept"]
    assert entry["repairs"][0]["before_size"] == 6
    assert len(entry["repairs"][0]["before_sha256"]) == 12
    assert entry["attempts"][0]["violations"][0]["rule"] == "missing"
    assert entry["outside"][0]["rule"] == "defuse"
    assert entry["conversation"] == "process"


def test_the_full_trace_holds_the_texts(own_world: Config) -> None:
    own_world.user.plugin["reliability"]["trace"] = "full"
    host.done(report(Accept((CALL,), "", (Repair("q", "$.a", "be\ud800", 5, "lossless"),))))
    (entry,) = lines()
    assert entry["repairs"][0]["before"] == "be\ud800"
    assert entry["repairs"][0]["after"] == 5
    assert entry["attempts"][0]["text"] == "secret text"


def test_the_trace_can_be_turned_off(own_world: Config) -> None:
    own_world.user.plugin["reliability"]["trace"] = "off"
    host.done(report(Accept((CALL,))))
    assert not trace.path().exists()


def test_only_the_user_can_read_the_trace() -> None:
    host.done(report(Accept((CALL,))))
    assert stat.S_IMODE(trace.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(trace.path().parent.stat().st_mode) == 0o700


def test_the_trace_does_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "MAX_BYTES", 1000)
    for number in range(20):
        trace.append({"number": number, "filling": "x" * 100})
    files = sorted(trace.path().parent.iterdir())
    assert [file.name for file in files] == ["trace.jsonl", "trace.jsonl.1"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert lines()[-1]["number"] == 19


def test_a_trace_that_was_readable_is_not_any_more() -> None:
    trace.path().parent.mkdir(parents=True)
    trace.path().write_text("")
    trace.path().chmod(0o644)
    host.done(report(Accept((CALL,))))
    assert stat.S_IMODE(trace.path().stat().st_mode) == 0o600


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "other"
    target.write_text("mine")
    trace.path().parent.mkdir(parents=True)
    trace.path().symlink_to(target)
    host.done(report(Accept((CALL,))))
    assert target.read_text() == "mine"


@pytest.mark.parametrize(
    "entry",
    [
        {"text": "y" * 20_000_000},
        {"attempts": [{"text": "y" * 200} for _ in range(20_000)]},
        {"attempts": [{"calls": ["y" * 250] * 64} for _ in range(64)]},
        {"a": {"b": [["y" * 300_000]]}},
    ],
)
def test_a_record_is_never_large(entry: dict[str, Any]) -> None:
    trace.append({"time": "now", **entry})
    assert trace.path().stat().st_size <= tracing.MAX_RECORD
    assert lines()[0]["time"] == "now"


def test_what_is_no_json_is_recorded(own_world: Config) -> None:
    own_world.user.plugin["reliability"]["trace"] = "full"
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    repairs = (Repair("q", "$", {1: 2, "a": 3}, deep, "lossless"),)
    host.done(report(Accept((CALL,), "", repairs)))
    assert len(lines()) == 1


def test_names_that_a_model_made_up_are_hashed() -> None:
    refused = (RefusedCall("secret_tool", "no"), RefusedCall("shell", "no"))
    repairs = (
        Repair("extra_argument", "$.secret", 1, None, "inferred"),
        Repair("types", "$.lines[0].place", 1, 2, "lossless"),
    )
    parameters: dict[str, Any] = {"properties": {"lines": {"items": {"properties": {"place": {}}}}}}
    host.done(
        report(Accept((CALL,), "", repairs, refused), tools=(ToolDefinition("shell", parameters),))
    )
    (entry,) = lines()
    assert "secret" not in json.dumps(entry)
    assert entry["refused"][1]["name"] == "shell"
    assert entry["repairs"][1]["path"] == "$.lines[0].place"


def test_a_trace_that_cannot_be_turned_over_closes_its_file_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "no")

    host.done(report(Accept((CALL,))))
    monkeypatch.setattr(tracing, "MAX_BYTES", 1)
    monkeypatch.setattr(os, "replace", refuse)
    host.done(report(Accept((CALL,))))
    assert "cannot be written: no" in capsys.readouterr().err


def test_a_trace_that_cannot_be_written_is_said_once(
    own_world: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    trace.path().parent.parent.mkdir(parents=True)
    trace.path().parent.write_text("a file where the directory should be")
    for _ in range(3):
        host.done(report(Accept((CALL,))))
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_who_interrupts_is_not_told_and_the_trace_knows(capsys: pytest.CaptureFixture[str]) -> None:
    host.done(report(Reject("broken; interrupted", ()), interrupted=True))
    assert capsys.readouterr().err == ""
    (entry,) = lines()
    assert entry["interrupted"] is True
