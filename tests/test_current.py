"""Which conversation the plugin takes a request for."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import Context, copy_context
from pathlib import Path

import pytest
from gptme.logmanager import LogManager
from gptme.message import Message

from gptme_reliability.surfaces.gptme.current import conversation, current_log, owner
from gptme_reliability.surfaces.gptme.plugin import _before_step


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[list[Path]]:
    """Two conversations on the disk."""
    found = [tmp_path / name for name in ("parent", "child")]
    for path in found:
        path.mkdir()
    yield found


def opened(path: Path) -> LogManager:
    """A conversation as gptme opens it."""
    return LogManager([Message("user", path.name)], logdir=path, lock=False)


def test_a_log_that_was_only_read_is_not_the_conversation(logs: list[Path]) -> None:
    """gptme's current log is the one that was opened last, such as a subagent's."""

    def step() -> tuple[str, str]:
        parent = opened(logs[0])
        list(_before_step(parent))
        opened(logs[1])
        assert LogManager.get_current_log() is not parent
        assert current_log() is parent
        return conversation(), owner()

    assert copy_context().run(step) == (str(logs[0]), str(logs[0]))


def test_without_a_hook_it_is_the_log_that_gptme_has_open(logs: list[Path]) -> None:
    """As in requests before the first step."""

    def ask() -> str:
        opened(logs[0])
        return conversation()

    assert copy_context().run(ask) == str(logs[0])


def test_without_a_log_each_turn_is_a_conversation() -> None:
    """ACP runs every turn in a context of its own, and opens its logs in others."""

    def turn() -> tuple[str, str]:
        return owner(), owner()

    one, two = (Context().run(turn) for _ in range(2))
    assert one[0] == one[1] != two[0] == two[1]
    assert Context().run(conversation) == "process"
