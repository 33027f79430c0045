"""One conversation of the real ``gptme -n`` with a scripted model, with whatever it is set to.

The home and the workspace lie in a directory that the caller gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gptme_home import PLUGIN_ON, write_config

from gptme_reliability.evals import gptme_run
from gptme_reliability.evals.faulty_server import FaultyServer, Script
from gptme_reliability.evals.gptme_run import ToolFormat
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer

_TITLE: Final[Answer] = {"text": "A title"}
_SYSTEM: Final = ("--system", "short")
_TIMEOUT: Final = 90.0
"""Seconds; a run that has not ended by then does not end."""


@dataclass(slots=True)
class Talk:
    """What came of it: the requests, gptme's log, and the files of the workspace.

    ``aside`` are the requests that belong to no turn, such as the one for a title.
    """

    exit_code: int | None = None
    turns: list[Mapping[str, Any]] = field(default_factory=list)
    aside: list[Mapping[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""

    def said(self, role: str) -> list[str]:
        """What somebody said, in order."""
        return [message["content"] for message in self.log if message["role"] == role]


def talk(
    root: Path,
    launcher: Launcher,
    script: Script,
    form: ToolFormat,
    *,
    tools: Sequence[str] = ("shell", "save", "complete"),
    system: Sequence[str] = _SYSTEM,
    streamed: bool = True,
    config: str = PLUGIN_ON,
    env: Mapping[str, str] | None = None,
    prompt: str = "Please do the task.",
) -> Talk:
    """Let gptme talk to the model until there is an end."""
    home, workspace = root / "home", root / "work"
    workspace.mkdir()
    write_config(home, config)
    out, err = root / "stdout", root / "stderr"
    out.touch()
    err.touch()
    found = Talk()
    arguments = ["-n", "--stream" if streamed else "--no-stream", "--tool-format", form]
    arguments += ["-m", "local/scripted", *system]
    arguments += ["--no-workspace", "-w", str(workspace), prompt]

    def answer(body: Mapping[str, Any]) -> Answer:
        said = [text_of(one).strip() for one in body["messages"] if one["role"] == "user"]
        is_turn = prompt in said
        (found.turns if is_turn else found.aside).append(body)
        return script(body) if is_turn else _TITLE

    with FaultyServer(answer) as server:
        environment = gptme_run.environment(home, server.url)
        # The option -t knows no tools of MCP servers.
        environment |= {"TOOL_ALLOWLIST": ",".join(tools), **(env or {})}
        handle = launcher.start(arguments, cwd=workspace, env=environment, out=out, err=err)
        if handle is not None:
            try:
                found.exit_code = handle.wait(_TIMEOUT)
            finally:
                launcher.end(handle)
    found.files = gptme_run._read_files(workspace)
    found.log = gptme_run._conversation(home)
    found.stdout = out.read_text(encoding="utf-8", errors="replace")
    found.stderr = err.read_text(encoding="utf-8", errors="replace")
    return found


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message on the wire."""
    return gptme_run._content(message.get("content"))
