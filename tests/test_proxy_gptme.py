"""The real ``gptme -n`` without the plugin, and the proxy between it and the server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from proxy_world import proxying

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.launch import Launcher

IN_TEXT = '<tool_call>\n{"name": "Shell", "arguments": {"command": "echo RUN >> marker"}}\n'
KEPT = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
TIMEOUT = 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]


def answer(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """A call with a wrong name, in text, without its end; behind its result a plain word."""
    if any(message["role"] == "tool" for message in body["messages"]):
        return {"text": "It is done."}
    return {"text": IN_TEXT}


def test_gptme_through_the_proxy(tmp_path: Path) -> None:
    home, workspace = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    workspace.mkdir()
    out, err = home / "stdout", home / "stderr"
    out.touch()
    err.touch()
    arguments = ["-n", "--tool-format", "tool", "-m", "local/qwen2.5:7b-instruct"]
    arguments += ["-t", "shell", "--system", "short"]
    arguments += ["--no-workspace", "-w", str(workspace), "leave a mark"]
    options: Any = {"contracts": "tools", "client_sampling": "ignored"}
    with FaultyServer(answer) as server, proxying(server.url, **options) as url:
        environment = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),
            "HOME": str(home),
            "USER": "nobody",
            "TERM": "dumb",
            "OPENAI_BASE_URL": url,
            "OPENAI_API_KEY": "none",
            "GPTME_NO_LOCAL_DISCOVERY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        launcher = Launcher()
        handle = launcher.start(arguments, cwd=workspace, env=environment, out=out, err=err)
        assert handle is not None
        try:
            code = handle.wait(TIMEOUT)
        finally:
            launcher.end(handle)
        bodies = server.requests
    assert code == 0, err.read_text()
    assert (workspace / "marker").read_text() == "RUN\n"
    assert "It is done." in out.read_text()
    # What gptme sends for every model gave way to the model's card.
    assert {body["temperature"] for body in bodies if body.get("tools")} == {0.7}
