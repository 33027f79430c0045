"""The real ``gptme -n`` on a real server with the tiny model, and what came of each run.

Every run has a home and a workspace of its own.  What is right is found by doing the errand's
steps in a copy of the workspace.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from gptme_home import PLUGIN_ON, write_config

from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.types import Call
from tiny.gptme_talk import SYSTEM
from tiny.gptme_task import Errand

TIMEOUT: Final = 60.0
"""Seconds; a run that has not ended by then does not end."""
_OLD: Final = "amber arrow\n"
# What gptme reports of a call that ran (gptme 0.35.1, ``tools/shell.py``, ``tools/save.py``).
_RAN: Final = re.compile(
    r"Ran (?:allowlisted )?command: `(?P<command>[^`]*)`"
    r"|(?P<verb>Saved|Appended) to (?P<path>[^(\n]*[^(\s])"
)
_MULTILINE: Final = re.compile(r"Ran (?:allowlisted )?command:\n")
_REFUSED: Final = "(not run:"

Form = Literal["tool", "markdown"]
Files = Mapping[str, str | None]
"""What lies in a workspace: of a file its text, without white space around; None for a folder."""


@dataclass(frozen=True, slots=True)
class Way:
    """How an errand is run: with calls in which form, and with the plugin or without."""

    form: Form
    guarded: bool
    temperature: float = 0.0
    streamed: bool = True


@dataclass(frozen=True, slots=True)
class Run:
    """``exit_code`` is None where a run did not end in time; ``ran`` is what gptme executed.

    ``wanted`` is what it should have executed, and ``right_files`` what the workspace should
    then hold.
    """

    errand: Errand
    exit_code: int | None
    said: str
    ran: tuple[str, ...]
    wanted: tuple[str, ...]
    files: Files
    right_files: Files
    given: Files
    stderr: str

    @property
    def right(self) -> bool:
        """Whether the errand was done, and nothing else."""
        return self.exit_code == 0 and self.ran == self.wanted and self.files == self.right_files

    @property
    def wrong(self) -> bool:
        """Whether something was executed that was not asked for, or not as it was asked."""
        strange = Counter(self.ran) - Counter(self.wanted)
        touched = {
            path
            for path in {*self.files, *self.given}
            if self.files.get(path, "") != self.given.get(path, "")
            and self.files.get(path, "") != self.right_files.get(path, "")
        }
        return bool(strange or touched)

    @property
    def silent(self) -> bool:
        """Whether it ended as if all was well, with nothing done and no word about it."""
        idle = bool(self.wanted) and not self.ran and self.files == self.given
        return idle and self.exit_code == 0 and not self.refused

    @property
    def refused(self) -> bool:
        """Whether the user can see that a call was not run."""
        return _REFUSED in self.said


def run(errand: Errand, way: Way, launcher: Launcher, url: str) -> Run:
    """Let gptme do an errand."""
    with tempfile.TemporaryDirectory(prefix="tiny-", ignore_cleanup_errors=True) as root:
        home, workspace, right = (Path(root, name) for name in ("home", "work", "right"))
        write_config(home, PLUGIN_ON if way.guarded else "")
        workspace.mkdir()
        for step in errand.steps:
            _provide(workspace, step.call)
        given = _files(workspace)
        shutil.copytree(workspace, right)
        wanted = tuple(_done(right, step.call) for step in errand.steps)
        exit_code, stderr = _execute(errand, way, launcher, url, home, workspace)
        log = [
            json.loads(line)
            for path in home.glob(".local/share/gptme/logs/*/conversation.jsonl")
            for line in path.read_text(encoding="utf-8").splitlines()
        ]
        return Run(
            errand,
            exit_code,
            "\n".join(m["content"] for m in log if m["role"] == "assistant"),
            tuple(_ran(log)),
            wanted,
            _files(workspace),
            _files(right),
            given,
            stderr,
        )


def _ran(log: list[dict[str, Any]]) -> Iterator[str]:
    """What was executed, in the words of ``_done``."""
    for message in log:
        content = message["content"]
        if message["role"] != "system":
            continue
        if _MULTILINE.match(content):
            yield content
        elif found := _RAN.match(content):
            verb, command = found["verb"], found["command"]
            yield command if verb is None else f"{verb} to {found['path']}"


def _files(workspace: Path) -> Files:
    return {
        str(path.relative_to(workspace)): path.read_text("utf-8", "replace").strip()
        if path.is_file()
        else None
        for path in sorted(workspace.rglob("*"))
    }


# --- what is right ------------------------------------------------------------------------


def _provide(workspace: Path, call: Call) -> None:
    """Make what a call needs to be there before."""
    verb, *paths = str(call.arguments.get("command", "")).split()[:3] or [""]
    for path in (str(call.arguments.get("path", "")), *paths):
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
    if verb in ("cat", "cp", "mv"):
        (workspace / paths[0]).write_text(_OLD, encoding="utf-8")
    elif verb == "wc":
        path = str(call.arguments["command"]).split()[-1]
        (workspace / path).parent.mkdir(parents=True, exist_ok=True)
        (workspace / path).write_text(_OLD, encoding="utf-8")
    elif verb == "ls":
        (workspace / paths[0]).mkdir(exist_ok=True)
        (workspace / paths[0] / "old.txt").write_text(_OLD, encoding="utf-8")


def _done(workspace: Path, call: Call) -> str:
    """Do what a call says, and say how gptme reports it."""
    arguments = call.arguments
    if call.name == "shell":
        subprocess.run(["bash", "-c", arguments["command"]], cwd=workspace, capture_output=True)
        return str(arguments["command"])
    path = workspace / arguments["path"]
    old = path.read_text("utf-8") if call.name == "append" and path.exists() else ""
    path.write_text(f"{old}{arguments['content']}\n", encoding="utf-8")
    verb = "Saved" if call.name == "save" else "Appended"
    return f"{verb} to {arguments['path']}"


# --- running ------------------------------------------------------------------------------


def _execute(
    errand: Errand, way: Way, launcher: Launcher, url: str, home: Path, workspace: Path
) -> tuple[int | None, str]:
    out, err = home / "stdout", home / "stderr"
    out.touch()
    err.touch()
    arguments = ["-n", "--stream" if way.streamed else "--no-stream", "--tool-format", way.form]
    arguments += ["-m", "local/tiny", "-t", ",".join(errand.offered), "--system", SYSTEM]
    arguments += ["--no-workspace", "-w", str(workspace), errand.request]
    environment = _environment(home, url, way)
    handle = launcher.start(arguments, cwd=workspace, env=environment, out=out, err=err)
    if handle is None:
        return None, "gptme was not started"
    try:
        exit_code = handle.wait(TIMEOUT)
    finally:
        launcher.end(handle)
    return exit_code, err.read_text(encoding="utf-8", errors="replace")


def _environment(home: Path, url: str, way: Way) -> dict[str, str]:
    sampling = {"TEMPERATURE": str(way.temperature), "TOP_P": "1.0"} if way.temperature else {}
    return {
        **environment(home, url),
        **sampling,
        # A name of a file in the request stays a name.
        "GPTME_DISABLE_PATH_INCLUDE": "1",
        "GPTME_RELIABILITY_POLICY_BACKOFF": "0",
    }
