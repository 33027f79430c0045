"""gptme's interactive CLI and its TUI with the plugin on, in terminals of their own.

The user still has to agree to what was mended or asked for again, and notices do not spoil the
screen.  The TUI needs ``gptme[tui]``.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from gptme_home import write_config
from mode_rows import ROWS
from mode_runs import END, TOOLS, Script, environment, logs, traced

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.scenarios import Scenario

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "openpty"), reason="there are no pseudo terminals"),
]

if hasattr(os, "openpty"):
    from mode_terminal import Terminal, terminal

Program = Literal["gptme", "gptme.tui.main"]
PROGRAMS = [
    "gptme",
    pytest.param(
        "gptme.tui.main",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("textual") is None, reason="gptme[tui] is not installed"
        ),
    ),
]


class Talk:
    """A conversation at a terminal."""

    def __init__(self, root: Path, screen: Terminal, script: Script) -> None:
        self.workspace = root / "work"
        self.screen = screen
        self.script = script
        self._home = root / "home"

    def trace(self) -> list[str]:
        """The verdicts so far, each of which is about this conversation."""
        (log,) = logs(self._home).iterdir()
        decisions = traced(self._home)
        assert {entry["conversation"] for entry in decisions} <= {str(log)}
        return [entry["verdict"] for entry in decisions]

    def files(self) -> dict[str, str]:
        """The workspace."""
        return {path.name: path.read_text() for path in self.workspace.iterdir()}


@contextmanager
def talking(program: Program, row: Scenario, root: Path) -> Iterator[Talk]:
    """Start a program with the user's words, and a model that plays the row."""
    script = Script()
    write_config(root / "home")
    talk = script.conversation(row, root / "work", streamed=True, form="tool")
    with FaultyServer(script) as upstream, talk as (model, _):
        arguments = [sys.executable, "-m", program, "-m", f"local/{model}"]
        arguments += ["-t", ",".join(TOOLS[:-1]), "--tool-format", "tool"]
        arguments += ["-w", str(root / "work"), row.prompt]
        env = environment(root / "home", upstream)
        with terminal(arguments, cwd=root / "work", env=env) as screen:
            yield Talk(root, screen, script)


def defect(name: str) -> Scenario:
    """A row of native calls."""
    return next(row for row in ROWS["tool"] if row.id == name)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_user_is_asked_before_it_runs(program: Program, tmp_path: Path) -> None:
    """What was asked for again runs once the user agrees, and the model's last word is shown.

    The CLI tells what was done; in the TUI a line written past it would spoil the screen.
    """
    with talking(program, defect("tool/unknown"), tmp_path) as talk:
        talk.screen.until("Execute")
        assert not talk.files()
        assert talk.trace() == ["accept"]
        talk.screen.type("y\r")
        talk.screen.until(str(END["text"]))
        assert talk.files() == {"marker": "AGAIN\n"}
        talk.screen.wait(lambda: talk.trace() == ["accept", "accept"])
        assert ("reliability: asked again once" in talk.screen.text) == (program == "gptme")
