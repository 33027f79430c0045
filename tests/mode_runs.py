"""Scripted models for many conversations at once, and what came of each.

One scripted server stands behind a gptme that lives longer than one conversation.  Every
conversation asks for a model of its own name, which is how the server tells them apart.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gptme_reliability.evals import gptme_run
from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import Run, ToolFormat
from gptme_reliability.evals.scenarios import Answer, Scenario

TOOLS: Final = gptme_run.TOOLS.split(",")
END: Final[Answer] = {"text": "That is all there was to do."}
"""What ends a conversation with a user in it: an answer without a call."""
TITLE: Final[Answer] = {"text": "A title"}
_TEXT_ENDS: Final = "the session ended with the answer"


class Script:
    """Answers each request as the model of its name does; others get a title.

    ``aside`` are the requests of gptme that belong to no turn of a conversation.
    """

    def __init__(self) -> None:
        self._models: dict[str, gptme_run._Model] = {}
        self._lock = threading.Lock()
        self._count = 0
        self.aside: list[Mapping[str, Any]] = []
        self.aside_answer: Answer = TITLE

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        with self._lock:
            model = self._models.get(body["model"])
        if model is None or not model._is_turn(body):
            self.aside.append(body)
            return self.aside_answer
        return model.answer(body)

    @contextmanager
    def conversation(
        self,
        scenario: Scenario,
        workspace: Path,
        *,
        streamed: bool,
        form: ToolFormat,
        nudged: bool = False,
        model: str = "m#",
        end: Answer = END,
    ) -> Iterator[tuple[str, Run]]:
        """The name of a model that plays the scenario, and the run that it is part of.

        ``nudged`` says that gptme asks for more until its tool ``complete`` is called; else
        ``end`` is what the model says when all is done.  ``model`` is its name, with a number
        in place of #.
        """
        run = Run(scenario, streamed, True, form)
        player = gptme_run._Model(run, workspace)
        if not nudged:
            player.complete = end
        _empty(workspace)
        for name, content in scenario.given.items():
            (workspace / name).write_text(content, encoding="utf-8")
        with self._lock:
            self._count += 1
            model = model.replace("#", str(self._count))
            self._models[model] = player
        try:
            yield model, run
        finally:
            with self._lock:
                del self._models[model]


def _empty(workspace: Path) -> None:
    """Make the directory, or clear it: it may be where a process works."""
    workspace.mkdir(parents=True, exist_ok=True)
    for path in workspace.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def judge(run: Run, workspace: Path, log: Path, *, nudged: bool = False) -> Run:
    """Say what came of a run that is over; ``log`` is gptme's record of the conversation."""
    run.files = gptme_run._read_files(workspace)
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    run.messages = [json.loads(line) for line in lines]
    run.outcome = gptme_run._outcome(run)
    run.faults = [
        fault for fault in gptme_run._faults(run) if nudged or not fault.startswith(_TEXT_ENDS)
    ]
    return run


def environment(home: Path, server: FaultyServer) -> dict[str, str]:
    """What a gptme that reaches nothing but the scripted server is started with."""
    return gptme_run.environment(home, server.url)


def traced(home: Path, conversation: str | None = None) -> list[dict[str, Any]]:
    """The decisions that were recorded of a conversation, or of all, in order."""
    path = home / ".local" / "state" / "gptme" / "reliability" / "trace.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = map(json.loads, lines)
    return [e for e in entries if conversation is None or e["conversation"] == conversation]


def logs(home: Path) -> Path:
    """Where gptme keeps its conversations."""
    return home / ".local" / "share" / "gptme" / "logs"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
