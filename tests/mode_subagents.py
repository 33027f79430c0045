"""Subagents of a real ``gptme -n``: in threads of it, and as processes of their own.

A scripted parent calls gptme's ``subagent`` from its ``ipython`` tool, once for each scenario,
and every child asks for a model of its own name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from gptme_home import PLUGIN_ON, write_config
from mode_runs import Script, environment, judge, logs, traced

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import COMPLETE, TOOLS, Run
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer, Scenario

Kind = Literal["thread", "process"]

_PARENT: Final = "parent"
_CHILD_SECONDS: Final = 60
# Children in threads share the process's working directory, so they go one after the other.
_CODE: Final = """\
import json, pathlib
jobs = json.loads(pathlib.Path({jobs!r}).read_text())
def start(job):
    subagent(job["id"], job["prompt"], model="local/" + job["id"], workdir=job["workspace"],
             use_subprocess={subprocess}, context_mode={context!r}, context_include={include!r})
def end(job):
    result = subagent_wait(job["id"], {seconds})
    job["status"], job["result"] = result["status"], str(result.get("result"))
if {subprocess}:
    for job in jobs: start(job)
    for job in jobs: end(job)
else:
    for job in jobs: start(job); end(job)
pathlib.Path({results!r}).write_text(json.dumps(jobs))
"""


@dataclass(slots=True)
class Family:
    """A parent's end and what came of its children, in order."""

    exit_code: int | None = None
    children: list[Run] = field(default_factory=list)
    stdout: str = ""
    stderr: str = ""
    traces: list[dict[str, Any]] = field(default_factory=list)


def raise_children(
    root: Path, scenarios: Sequence[Scenario], kind: Kind, launcher: Launcher, more: str = ""
) -> Family:
    """Let a parent start a child for each scenario; ``more`` is added to the user's config."""
    family, script = Family(), _Script()
    home, workspace = root / "home", root / "work"
    write_config(home, PLUGIN_ON + more)
    workspace.mkdir()
    jobs_file, results = root / "jobs.json", root / "results.json"
    with ExitStack() as stack, FaultyServer(script) as upstream:
        jobs: list[dict[str, str]] = []
        for number, scenario in enumerate(scenarios):
            place = root / f"work-{number}"
            talk = script.conversation(
                scenario, place, streamed=kind == "process", form="tool", nudged=True
            )
            name, run = stack.enter_context(talk)
            family.children.append(run)
            jobs.append({"id": name, "prompt": scenario.prompt, "workspace": str(place)})
        jobs_file.write_text(json.dumps(jobs), encoding="utf-8")
        script.code = _CODE.format(
            jobs=str(jobs_file),
            results=str(results),
            seconds=_CHILD_SECONDS + 10 * len(jobs),
            subprocess=kind == "process",
            context="selective" if kind == "thread" else "full",
            include=["tools"] if kind == "thread" else None,
        )
        started = time.monotonic()
        env = {**environment(home, upstream), "GPTME_RELIABILITY_TRACE": "full"}
        _execute(family, launcher, root, env, 30 + 20 * len(jobs))
        seconds = time.monotonic() - started
    done = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
    ends = {job["id"]: job for job in done}
    for job, run in zip(jobs, family.children, strict=True):
        end = ends.get(job["id"], {})
        run.exit_code = {"success": 0, "timeout": None, None: None}.get(end.get("status"), 1)
        run.stderr = end.get("result", "")
        run.seconds = seconds / len(jobs)
        judge(run, Path(job["workspace"]), _log(home, job["id"]), nudged=True)
    family.traces = traced(home)
    return family


class _Script(Script):
    """Plays the parent as well: it starts the children, and ends."""

    code = ""

    def __call__(self, body: Any) -> Answer:
        if body["model"] != _PARENT or not body.get("tools"):
            return super().__call__(body)
        if any(message["role"] == "assistant" for message in body["messages"]):
            return COMPLETE["tool"]
        arguments = json.dumps({"code": self.code})
        return {"calls": [{"id": "call_start", "name": "ipython", "arguments": arguments}]}


def _execute(
    family: Family, launcher: Launcher, root: Path, env: dict[str, str], timeout: float
) -> None:
    out, err = root / "stdout", root / "stderr"
    out.touch()
    err.touch()
    arguments = ["-n", "--no-stream", "--tool-format", "tool", "-m", f"local/{_PARENT}"]
    arguments += ["-t", f"{TOOLS},subagent", "--system", "short", "--no-workspace"]
    arguments += ["-w", str(root / "work"), "Please let others do the tasks."]
    handle = launcher.start(arguments, cwd=root / "work", env=env, out=out, err=err)
    if handle is None:
        return
    try:
        family.exit_code = handle.wait(timeout)
    finally:
        launcher.end(handle)
    family.stdout = out.read_text(encoding="utf-8", errors="replace")
    family.stderr = err.read_text(encoding="utf-8", errors="replace")


def _log(home: Path, child: str) -> Path:
    found = list(logs(home).glob(f"subagent-{child}-*/conversation.jsonl"))
    return found[0] if len(found) == 1 else home / "none"
