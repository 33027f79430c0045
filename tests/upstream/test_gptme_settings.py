"""What gptme reads from its surroundings, and from where."""

from __future__ import annotations

import os
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from defects import reproduced
from gptme.executor import prepare_execution_environment
from gptme.util import tokens
from gptme_world import world

__all__ = ["world"]
pytestmark = pytest.mark.upstream


def test_the_env_file_of_a_workspace_stays(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next conversation, in a workspace without one, still has it."""
    monkeypatch.setenv("CAME_FROM_A_WORKSPACE", "")
    monkeypatch.delenv("CAME_FROM_A_WORKSPACE")
    other = world.parent / "other"
    other.mkdir()
    (world / ".env").write_text("CAME_FROM_A_WORKSPACE=yes\n", encoding="utf-8")
    for workspace in (world, other):
        copy_context().run(prepare_execution_environment, workspace, ["save"])
    with reproduced("workspace-env-stays"):
        assert os.environ.get("CAME_FROM_A_WORKSPACE") == "yes"


def test_the_directory_for_configs_is_not_asked_for(tmp_path: Path) -> None:
    """Data and state go where the user says; the config does not."""
    environment = {**os.environ, "HOME": "/nobody", "XDG_CONFIG_HOME": str(tmp_path)}
    code = "from gptme.config import config_path; print(config_path)"
    made = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    with reproduced("xdg-config-ignored"):
        assert made.stdout.strip() == "/nobody/.config/gptme/config.toml"


def test_without_a_network_the_encoding_is_asked_for_every_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time may wait for five seconds."""
    asked: list[str] = []

    def gone(name: str) -> Any:
        asked.append(name)
        raise OSError("no network")

    monkeypatch.setattr(tiktoken, "get_encoding", gone)
    monkeypatch.setattr(tokens, "_TIKTOKEN_TIMEOUT", 5.0)
    counted = [tokens.len_tokens(f"text {number}", "local/scripted") for number in range(3)]
    assert all(counted)
    with reproduced("tiktoken-asked-again"):
        assert len(asked) >= 3
