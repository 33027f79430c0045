"""The real ``gptme -n`` with the plugin on, and a scripted weak model at the other end.

Every run has a home, a workspace and a server of its own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gptme_home import PLUGIN_ON, write_config
from weak_models import RETRIES, Behaviour, Model
from weak_requests import NOTE, RESULT

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.nudges import is_nudge

TOOLS: Final = ("shell", "save", "append", "read", "complete")
HOST_TRIES: Final = 2
"""How often gptme sends a request that fails, as it is told here."""
TIMEOUT: Final = 60.0
"""Seconds; a run that has not ended by then does not end."""
NOTES: Final = {"notes.txt": f"{NOTE}\n", "other.txt": f"{NOTE}\n"}
DONE: Final = {**NOTES, "marker": f"{RESULT}\n"}


@dataclass(slots=True)
class Run:
    """What came of a run; ``exit_code`` is None where it did not end in time.

    ``bodies`` are the upstream requests, ``log`` is gptme's conversation, and ``files`` is the
    whole workspace afterwards.
    """

    behaviour: Behaviour
    exit_code: int | None = None
    bodies: list[Mapping[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    stderr: str = ""

    @property
    def answers(self) -> int:
        """How many answers gptme got: as many as its requests, but for those that failed."""
        return sum(message["role"] == "assistant" for message in self.log)

    @property
    def nudges(self) -> int:
        """How often gptme asked for a call of its own accord."""
        return sum(map(is_nudge, self.log))

    @property
    def said(self) -> str:
        """All that the user got."""
        return "\n".join(m["content"] for m in self.log if m["role"] == "assistant")

    @property
    def right(self) -> bool:
        """Whether what was meant lies in the workspace, or was said, and nothing else is there."""
        if self.behaviour.wants is not None:
            return self.files == DONE
        return self.files == NOTES and self.behaviour.says in self.said


def converse(
    behaviour: Behaviour, launcher: Launcher, *, streamed: bool, besides: Sequence[str] = ()
) -> Run:
    """Let gptme, with further tools ``besides``, talk to the model until there is an end."""
    run = Run(behaviour)
    model = Model(behaviour, TOOLS)
    with tempfile.TemporaryDirectory(prefix="weak-", ignore_cleanup_errors=True) as root:
        home, workspace = Path(root, "home"), Path(root, "work")
        workspace.mkdir()
        write_config(home, f"{PLUGIN_ON}retries = {RETRIES}\n")
        for name, content in NOTES.items():
            (workspace / name).write_text(content, encoding="utf-8")
        with FaultyServer(model.answer) as server:
            tools = (*TOOLS, *besides)
            _execute(run, launcher, home, workspace, server.url, streamed, tools)
        run.bodies = list(model.requests)
        run.files = {
            path.name: path.read_text(encoding="utf-8", errors="replace")
            for path in workspace.rglob("*")
            if path.is_file()
        }
        for log in home.glob(".local/share/gptme/logs/*/conversation.jsonl"):
            run.log += map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return run


def _execute(
    run: Run,
    launcher: Launcher,
    home: Path,
    workspace: Path,
    url: str,
    streamed: bool,
    tools: Sequence[str],
) -> None:
    behaviour, out, err = run.behaviour, home / "stdout", home / "stderr"
    out.touch()
    err.touch()
    arguments = ["-n", "--stream" if streamed else "--no-stream", "--tool-format", "tool"]
    arguments += ["-m", f"local/{behaviour.model}", "-t", ",".join(tools), "--system", "short"]
    arguments += ["--no-workspace", "-w", str(workspace), behaviour.user]
    environment = _environment(home, url, behaviour)
    handle = launcher.start(arguments, cwd=workspace, env=environment, out=out, err=err)
    if handle is None:
        return
    try:
        run.exit_code = handle.wait(TIMEOUT)
    finally:
        launcher.end(handle)
    run.stderr = err.read_text(encoding="utf-8", errors="replace")


def _environment(home: Path, url: str, behaviour: Behaviour) -> dict[str, str]:
    policy = {
        f"GPTME_RELIABILITY_{key.upper()}": str(value).lower()
        for key, value in behaviour.policy.items()
    }
    return {
        **environment(home, url),
        **policy,
        "GPTME_LLM_MAX_RETRIES": str(HOST_TRIES),
        "GPTME_RELIABILITY_POLICY_BACKOFF": "0",
    }
