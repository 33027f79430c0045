"""Run the real ``gptme -n`` against a scripted model and say what really happened.

Every run has a home, a workspace and a server of its own, and is thrown away afterwards.
Nothing of the user's gptme is read or written, and nothing leaves the machine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.errors import ReliabilityError
from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.launch import Handle, Launcher, kill_group
from gptme_reliability.evals.patience import GivenUp, Patience, wait
from gptme_reliability.evals.scenarios import Answer, Scenario

Outcome: TypeAlias = Literal[
    "executed",
    "asked",
    "text",
    "asked for nothing",
    "not run",
    "silent",
    "wrong",
    "empty command",
    "crash",
    "hung",
    "stuck",
    "unjudged",
]
"""What came of a run.

``executed``: what was meant ran, at the first attempt.
``asked``: the model was told its fault, and what was meant ran then.
``text``: nothing was to run, nothing ran, and the answer reached the user.
``asked for nothing``: nothing was to run, nothing ran, but the model was asked again.
``not run``: what was meant did not run.
``silent``: it did not run, and neither the model nor the user was told: the run just ended.
``wrong``: something ran that was not meant. ``empty command``: what ran was nothing, and
gptme reported it as a success.
``crash``: gptme died. ``hung``: it sent the same request again and again, or waited between
two of them for half a minute. ``stuck``: it did not end, and sent nothing more.
``unjudged``: nobody can say, for it was at work when the time was over, or was killed from outside.
"""

TOOLS: Final = "shell,ipython,save,append,patch,read,complete"
ToolFormat: TypeAlias = Literal["tool", "markdown", "xml"]

COMPLETE: Final[Mapping[ToolFormat, Answer]] = {
    "tool": {"calls": [{"id": "call_end", "name": "complete", "arguments": "{}"}]},
    "markdown": {"text": "```complete\n\n```"},
    "xml": {"text": "<tool-use>\n<complete>\n\n</complete>\n</tool-use>"},
}
"""The call that ends a session, in each of gptme's formats."""

_TOOLS_TOLD: Final[Mapping[ToolFormat, str]] = {
    "markdown": "\n## shell\n",
    "xml": '<tool name="shell">',
}
_NUDGE: Final = "No tool call detected in last message"
_EMPTY_COMMAND: Final = "command: ``"  # what gptme's shell tool reports after it ran nothing
PATIENCE: Final = Patience()
_MOST_REPEATS: Final = 3  # gptme repeats a failed request for many minutes; nothing new comes of it


@dataclass(slots=True)
class Run:
    """What happened in one run.

    ``requests`` counts those with tools on offer, ``repeats`` those that were sent again
    unchanged, ``nudges`` those in which gptme itself asks for a call; ``told`` are the texts with
    which the model was told of a fault, by gptme or by the plugin, and ``results`` all that it
    was sent after its first answer; ``files`` is the whole workspace afterwards; ``messages`` is
    the conversation log. ``given_up`` says why it was ended, if it did not end by itself.
    ``faults`` says how this differs from the scenario.
    """

    scenario: Scenario
    streamed: bool
    plugin: bool
    tool_format: ToolFormat = "tool"
    exit_code: int | None = None
    given_up: GivenUp | None = None
    requests: int = 0
    nudges: int = 0
    repeats: int = 0
    told: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: str = ""
    seconds: float = 0.0
    outcome: Outcome = "hung"
    faults: list[str] = field(default_factory=list)


def require_gptme() -> None:
    """Check that gptme can be run.

    Raises:
        ReliabilityError: it is not installed, or this system has no process groups.
    """
    if importlib.util.find_spec("gptme") is None:
        raise ReliabilityError("gptme is not installed here; try: pip install gptme")
    if not hasattr(os, "killpg"):
        raise ReliabilityError("running gptme for a test needs Linux, macOS or another POSIX")


def run_gptme(
    scenario: Scenario,
    *,
    streamed: bool,
    plugin: bool,
    patience: Patience = PATIENCE,
    launcher: Launcher | None = None,
    tool_format: ToolFormat = "tool",
) -> Run:
    """Run one scenario in one of gptme's formats.

    ``launcher`` says how gptme is started, and lets another thread end the run.
    """
    require_gptme()
    run = Run(scenario, streamed, plugin, tool_format)
    with tempfile.TemporaryDirectory(prefix="gptme-run-", ignore_cleanup_errors=True) as root:
        home, workspace = Path(root, "home"), Path(root, "work")
        _lay_out(home, workspace, scenario, plugin)
        model = _Model(run, workspace)
        started = time.monotonic()
        with FaultyServer(model.answer) as server:
            _execute(model, home, server.url, patience, launcher or Launcher())
        run.seconds = time.monotonic() - started
        run.files = _read_files(workspace)
        run.messages = _conversation(home)
    run.outcome = _outcome(run)
    run.faults = list(_faults(run))
    return run


class _Model:
    """The scripted model: decides from a request what the scenario answers now.

    A request after something ran, or after gptme's own nudge, gets the call that ends the
    session; one that tells the model of a fault gets the scenario's second answer.
    """

    def __init__(self, run: Run, workspace: Path) -> None:
        self.run = run
        self.workspace = workspace
        self.messages: Sequence[Mapping[str, Any]] = ()
        self.complete = COMPLETE[run.tool_format]
        self.last: Answer = self.complete
        self.answered_again = False
        self.pid: int | None = None

    def answer(self, body: Mapping[str, Any]) -> Answer:
        if not self._is_turn(body):
            return {"text": "ok"}  # a title or a summary: no part of the scenario
        messages = body["messages"]
        if messages == self.messages:
            self._repeated()
            return self.last
        new = _text(messages[len(self.messages) :])
        self.messages = messages
        self.last = self._next(messages, new)
        return self.last

    def _is_turn(self, body: Mapping[str, Any]) -> bool:
        """Whether this asks for a turn of the chat: the tools are on offer, or told."""
        told = _TOOLS_TOLD.get(self.run.tool_format)
        if told is None:
            return bool(body.get("tools"))
        return told in _text(body["messages"][:4])

    def _repeated(self) -> None:
        """The client sent the same request again: the same answer, and an end to it."""
        self.run.repeats += 1
        if self.run.repeats >= _MOST_REPEATS and self.pid is not None:
            kill_group(self.pid)

    def _next(self, messages: Sequence[Mapping[str, Any]], new: str) -> Answer:
        scenario, run = self.run.scenario, self.run
        run.requests += 1
        if run.requests == 1:
            return scenario.first
        run.results += new
        if _NUDGE in _text(messages[-1:]):
            run.nudges += 1
            return self.complete
        if not self._is_about_a_fault(new):
            return self.complete
        run.told.append(new)
        if scenario.again is None or self.answered_again:
            return self.complete
        self.answered_again = True
        return scenario.again

    def _is_about_a_fault(self, new: str) -> bool:
        scenario = self.run.scenario
        if scenario.asks_for and not self.answered_again and _holds(new, scenario.asks_for):
            return True
        if scenario.results and _holds(new, scenario.results):
            return False
        return _read_files(self.workspace) == dict(scenario.given)


_CONFIG: Final = """\
[plugins]
enabled = %s

[plugin.reliability]
enabled = %s
contracts = false
"""


def _lay_out(home: Path, workspace: Path, scenario: Scenario, plugin: bool) -> None:
    config = home / ".config" / "gptme"
    config.mkdir(parents=True)
    workspace.mkdir()
    switches = ('["reliability"]', "true") if plugin else ("[]", "false")
    (config / "config.toml").write_text(_CONFIG % switches, encoding="utf-8")
    for name, content in scenario.given.items():
        (workspace / name).write_text(content, encoding="utf-8")


def environment(home: Path, url: str) -> dict[str, str]:
    """The environment of a gptme whose home is ``home`` and whose model is at ``url``, alone."""
    nowhere = "http://127.0.0.1:9"
    kept = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(home),
        "USER": "nobody",
        "TERM": "dumb",
        "COLUMNS": "200",
        "PYTHONUNBUFFERED": "1",
        "OPENAI_BASE_URL": url,
        "OPENAI_API_KEY": "scripted",
        "GPTME_NO_LOCAL_DISCOVERY": "1",
        "HTTPS_PROXY": nowhere,
        "https_proxy": nowhere,
        "HTTP_PROXY": nowhere,
        "http_proxy": nowhere,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def _execute(model: _Model, home: Path, url: str, patience: Patience, launcher: Launcher) -> None:
    run, out, err = model.run, home.parent / "stdout", home.parent / "stderr"
    out.touch()
    err.touch()
    arguments = ["-n", "--stream" if run.streamed else "--no-stream", "--tool-format"]
    arguments.append(run.tool_format)
    arguments += ["-m", "local/scripted", "-t", TOOLS, "--system", "short", "--no-workspace"]
    arguments += ["-w", str(model.workspace), run.scenario.prompt]
    handle = launcher.start(
        arguments, cwd=model.workspace, env=environment(home, url), out=out, err=err
    )
    if handle is None:
        return
    model.pid = handle.pid
    try:
        _wait(run, handle, patience)
    finally:
        launcher.end(handle)
    run.stdout = out.read_text(encoding="utf-8", errors="replace")
    run.stderr = err.read_text(encoding="utf-8", errors="replace")


def _wait(run: Run, handle: Handle, patience: Patience) -> None:
    end = wait(handle, patience, lambda: run.requests + run.repeats)
    if isinstance(end, int):
        run.exit_code = end
    else:
        run.given_up = end


def _read_files(workspace: Path) -> dict[str, str]:
    return {
        str(path.relative_to(workspace)): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(workspace.rglob("*"))
        if path.is_file()
    }


def _conversation(home: Path) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    for log in sorted(home.glob(".local/share/gptme/logs/*/conversation.jsonl")):
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # a killed gptme leaves half a line
                messages.append(json.loads(line))
    return messages


def _text(messages: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(_content(message.get("content")) for message in messages)


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def _holds(text: str, fragments: Sequence[str]) -> bool:
    flat = " ".join(text.split())
    return all(" ".join(fragment.split()) in flat for fragment in fragments)


def _outcome(run: Run) -> Outcome:
    scenario = run.scenario
    if _ran_wrongly(run):
        return "wrong"
    if _EMPTY_COMMAND in run.results:
        return "empty command"
    if run.exit_code != 0 or run.repeats >= _MOST_REPEATS:
        return _without_end(run)
    done = run.files == dict(scenario.files) and _holds(run.results, scenario.results)
    if scenario.expect == "text":
        return "asked for nothing" if run.told else "text"
    if done and not run.nudges:
        return "asked" if run.told else "executed"
    return "silent" if run.requests < 2 else "not run"


def _without_end(run: Run) -> Outcome:
    """What to call a run that did not end well by itself."""
    if run.repeats >= _MOST_REPEATS or (run.repeats and run.given_up == "still"):
        return "hung"
    if run.given_up in ("still", "spinning"):
        return "stuck"
    if run.given_up == "late" or run.exit_code in (None, -signal.SIGKILL):
        return "unjudged"
    return "crash"


def _ran_wrongly(run: Run) -> bool:
    """Whether anything in the workspace is neither as before nor on the way to what was meant."""
    meant, given = run.scenario.files, run.scenario.given
    for name in {*run.files, *given}:
        content, before = run.files.get(name), given.get(name)
        if content == before:
            continue
        if content is None or not meant.get(name, "").startswith(content) or not content:
            return True
    return False


_WANTED: Final[Mapping[str, tuple[Outcome, ...]]] = {
    "executes": ("executed",),
    "asks": ("asked",),
    "text": ("text",),
}


def _faults(run: Run) -> Iterator[str]:
    scenario = run.scenario
    wanted = _WANTED[scenario.expect]
    if scenario.may_ask:
        wanted = (*wanted, "asked for nothing")
    if run.outcome not in wanted:
        yield f"{run.outcome} instead of {' or '.join(wanted)}"
    told = "\n".join(run.told)
    if scenario.expect == "asks":
        for fragment in scenario.asks_for:
            if not _holds(told, (fragment,)):
                yield f"the re-ask does not say {fragment!r}"
    said = _text([message for message in run.messages if message.get("role") == "assistant"])
    for fragment in scenario.says:
        if not _holds(said, (fragment,)):
            yield f"the user does not see {fragment!r}"
    if scenario.expect == "text" and not run.nudges and not run.told:
        yield "the session ended with the answer"
    if scenario.expect == "executes" and run.requests > 2:
        yield f"{run.requests} requests instead of 2"
