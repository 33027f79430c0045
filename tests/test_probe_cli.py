"""The real ``gptme -n`` with the plugin on, in front of a server that somebody has probed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from gptme_home import write_config
from probe_world import CARD

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.probe.card import write_card
from gptme_reliability.probe.finding import Finding
from gptme_reliability.surfaces.capabilities import card_path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

MODEL: Final = "probed-model"
_END: Final = '<tool_call>{"name": "complete", "arguments": {}}</tool_call>'


def test_a_server_that_drops_tools_gets_them_in_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first request on, because a card says so."""
    home, workspace = tmp_path / "home", tmp_path / "work"
    workspace.mkdir()
    write_config(home)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    bodies: list[Mapping[str, Any]] = []

    def answer(body: Mapping[str, Any]) -> Answer:
        bodies.append(body)
        return {"text": _END}

    out, err = home / "out", home / "err"
    out.touch()
    err.touch()
    launcher = Launcher(warm=True)
    with FaultyServer(answer) as server:
        path = card_path(server.url, MODEL)
        path.parent.mkdir(parents=True)
        found = {"native_tools": Finding("dropped")}
        card = replace(CARD, endpoint=server.url, model=MODEL, found=found)
        path.write_text(write_card(card), encoding="utf-8")
        arguments = ["-n", "--no-stream", "--tool-format", "tool", "-m", f"local/{MODEL}"]
        arguments += ["-t", "complete,shell", "--system", "short", "--no-workspace"]
        arguments += ["-w", str(workspace), "Say that you are done."]
        env = environment(home, server.url) | {"COLUMNS": "4000", "GPTME_LLM_MAX_RETRIES": "2"}
        handle = launcher.start(arguments, cwd=workspace, env=env, out=out, err=err)
        assert handle is not None
        try:
            exit_code = handle.wait(120)
        finally:
            launcher.end(handle)
            launcher.kill()
    said = out.read_text(encoding="utf-8") + err.read_text(encoding="utf-8")
    assert exit_code == 0, said
    assert bodies, said
    assert not any("tools" in body for body in bodies)
    assert '"name": "complete"' in str(bodies[0]["messages"])
