"""What the host knows about its tools reaches the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from gptme.config import Config
from gptme.tools import get_tools, set_tools
from gptme.tools.base import ToolSpec
from plugin_world import own_world
from recording_host import MESSAGES, RecordingHost

from gptme_reliability.surfaces.gptme.host import host
from gptme_reliability.surfaces.gptme.read_only import read_only_tools
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.prepare import prepare

__all__ = ["own_world"]  # a fixture that every test here uses


@pytest.fixture
def loaded() -> Iterator[None]:
    """Tools with every way of marking them."""
    before = get_tools()
    specs = [
        ToolSpec("peek", "looks", hints=frozenset({"read-only"})),
        ToolSpec("burn", "writes", hints=frozenset({"destructive"})),
        ToolSpec("odd", "claims both", hints=frozenset({"read-only", "destructive"})),
        ToolSpec("plain", "says nothing"),
    ]
    flagged = ToolSpec("glance", "looks")
    if hasattr(flagged, "read_only"):
        specs.append(replace(flagged, read_only=True))
    set_tools(specs)
    yield
    set_tools(before)


@pytest.mark.usefixtures("loaded")
def test_marked_tools_are_found() -> None:
    """A tool only reads when gptme says so and nothing says otherwise."""
    marked = read_only_tools()
    assert marked.pop("glance", False) == hasattr(get_tools()[0], "read_only")
    assert marked == {"peek": True, "burn": False, "odd": False, "plain": False}


@pytest.mark.usefixtures("loaded")
def test_the_settings_carry_them(own_world: Config) -> None:
    """The plugin hands them on with the settings of a request."""
    settings = host.settings("local", {"model": "tiny"})
    assert settings is not None and settings.read_only["peek"] is True


def test_the_tools_of_a_request_are_marked() -> None:
    """What the wire leaves open is filled in; what it says stands."""
    function: dict[str, Any] = {"parameters": {"type": "object", "properties": {}}}
    body = {
        "messages": MESSAGES,
        "tools": [
            {"type": "function", "function": {"name": name, **function}}
            for name in ("peek", "burn")
        ],
    }
    recording = RecordingHost(Settings("local/tiny", read_only={"peek": True, "other": True}))
    task = prepare(recording, "local", json.loads(json.dumps(body)), Memory())
    assert task is not None
    assert [tool.read_only for tool in task.request.tools] == [True, None]
