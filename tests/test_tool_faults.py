"""What is wrong with offered tools goes to the log, once, and nowhere else."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from plugin_world import own_world

from gptme_reliability.surfaces.gptme import tool_faults
from gptme_reliability.surfaces.gptme.host import GptmeHost

__all__ = ["own_world"]
CLEAN = {"name": "ping", "description": "Says whether the server answers."}
REFUSED = {**CLEAN, "name": "tickets.create"}
UNCLEAR = {"name": "reboot"}
HINTED = {"name": "get_state", "description": "Get the state."}


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """No set of tools was seen yet."""
    monkeypatch.setattr(tool_faults, "_seen", set())


def logged(caplog: pytest.LogCaptureFixture, *requests: Any) -> list[tuple[str, str]]:
    """The level and the text of each line about tools, after requests with these."""
    with caplog.at_level(logging.DEBUG, logger=tool_faults.logger.name):
        for tools in requests:
            assert GptmeHost().settings("local", {"model": "test-model", "tools": tools})
    return [(r.levelname, r.message) for r in caplog.records if r.name == tool_faults.logger.name]


def test_errors_are_a_warning(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """One line that counts, and tells the gravest; the terminal gets nothing from us."""
    ((level, line),) = logged(caplog, [UNCLEAR, REFUSED])
    assert level == "WARNING"
    assert line.startswith("reliability: 2 tools with 1 error and 1 warning in")
    assert "tickets.create: the name 'tickets.create' is refused" in line
    assert "$.tools[1].name" in line and "gptme-reliability lint" in line
    assert capfd.readouterr() == ("", "")


def test_warnings_are_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    """Without errors the line stays out of what gptme shows."""
    ((level, line),) = logged(caplog, [UNCLEAR])
    assert level == "DEBUG"
    assert "reboot: the tool has no description ($.tools[0])" in line


def test_once_for_each_set(caplog: pytest.LogCaptureFixture) -> None:
    """The same tools again are no news; others are."""
    assert len(logged(caplog, [REFUSED], [REFUSED], [REFUSED, CLEAN], [REFUSED])) == 2


@pytest.mark.parametrize("tools", [[CLEAN], [HINTED], [], None, "shell", {"a": 1}])
def test_nothing_to_tell(caplog: pytest.LogCaptureFixture, tools: Any) -> None:
    """Clean tools, hints, and what is no list of tools."""
    assert logged(caplog, tools) == []


def test_advice_stops_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be looked at is left alone."""
    ((level, line),) = logged(caplog, [{"name": object()}])
    assert (level, line) == ("DEBUG", "reliability: the tools could not be looked at")
