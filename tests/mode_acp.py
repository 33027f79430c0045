"""The real ``gptme-acp`` in a process of its own, spoken to over its stdin and stdout."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from gptme_home import PLUGIN_ON, write_config
from mode_runs import END, Script, environment, judge, logs, traced

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import Run
from gptme_reliability.evals.launch import kill_group
from gptme_reliability.evals.scenarios import Answer, Scenario

_END: Final = 60.0
"""Seconds."""


class Agent:
    """A running agent; ``script`` plays the models of all its sessions.

    ``lines`` is all that came on its stdout.
    """

    def __init__(self, root: Path, upstream: FaultyServer, script: Script, process: Any) -> None:
        self.root = root
        self.upstream = upstream
        self.script = script
        self.lines: list[bytes] = []
        self.updates: list[Mapping[str, Any]] = []
        self._process = process
        self._answers: dict[int, Mapping[str, Any]] = {}
        self._changed = threading.Condition()
        self._count = 0
        self._projects = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def stderr(self) -> str:
        """All that the agent wrote beside the protocol."""
        return (self.root / "stderr").read_text(encoding="utf-8", errors="replace")

    def _read(self) -> None:
        for line in self._process.stdout:
            message = None
            try:
                message = json.loads(line)
            except ValueError:
                message = {}
            with self._changed:
                self.lines.append(line)
                if "method" in message and "id" in message:
                    self._permit(message)
                elif "id" in message:
                    self._answers[message["id"]] = message
                elif message.get("method") == "session/update":
                    self.updates.append(message["params"])
                self._changed.notify_all()

    def _permit(self, message: Mapping[str, Any]) -> None:
        """Allow what the agent asks for."""
        outcome = {"outcome": {"outcome": "selected", "optionId": "allow-once"}}
        self._send({"jsonrpc": "2.0", "id": message["id"], "result": outcome})

    def _send(self, message: Mapping[str, Any]) -> None:
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def begin(self, method: str, params: Mapping[str, Any]) -> int:
        """Send a request; its id."""
        with self._changed:
            self._count += 1
            number = self._count
            self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def result(self, number: int) -> Any:
        """The result of a request."""
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers, _END), self.stderr[
                -3000:
            ]
        answer = self._answers[number]
        assert "result" in answer, answer
        return answer["result"]

    def request(self, method: str, params: Mapping[str, Any]) -> Any:
        return self.result(self.begin(method, params))

    def session(self, model: str) -> str:
        """A new session, in a project of its own that asks for a model; its id."""
        self._projects += 1
        project = self.root / f"project-{self._projects}"
        project.mkdir()
        wanted = f'[env]\nMODEL = "local/{model}"\n'
        (project / "gptme.toml").write_text(wanted, encoding="utf-8")
        found = self.request("session/new", {"cwd": str(project), "mcpServers": []})
        session: str = found["sessionId"]
        return session

    def prompt(self, session: str, text: str) -> int:
        """Begin a turn; the id of the request."""
        parts = [{"type": "text", "text": text}]
        return self.begin("session/prompt", {"sessionId": session, "prompt": parts})

    def said(self, session: str) -> str:
        """What the editor was given to show."""
        return "".join(
            update["update"]["content"]["text"]
            for update in list(self.updates)
            if update["sessionId"] == session
            and update["update"].get("sessionUpdate") == "agent_message_chunk"
        )

    def traced(self) -> list[dict[str, Any]]:
        """What was decided so far; gptme tells plugins of no conversation here."""
        return traced(self.home, "process")

    def play(self, scenario: Scenario, *, model: str = "m#", end: Answer = END) -> Run:
        """One session from its first word to its last."""
        return self._play([scenario], model, end)[0]

    def play_at_once(self, scenarios: Sequence[Scenario]) -> list[Run]:
        """A session for each, all at the same time; they share the agent's directory."""
        return self._play(scenarios, "m#", END)

    def _play(self, scenarios: Sequence[Scenario], model: str, end: Answer) -> list[Run]:
        workspace = self.root / "work"
        started = time.monotonic()
        with ExitStack() as stack:
            turns = []
            for scenario in scenarios:
                talk = self.script.conversation(
                    scenario, workspace, streamed=True, form="markdown", model=model, end=end
                )
                named, run = stack.enter_context(talk)
                session = self.session(named)
                turns.append((run, session))
            asked = [self.prompt(session, run.scenario.prompt) for run, session in turns]
            for number, (run, session) in zip(asked, turns, strict=True):
                stop = self.result(number)["stopReason"]
                run.exit_code = 0 if stop == "end_turn" else 1
                run.stdout = self.said(session)
                run.seconds = time.monotonic() - started
        return [
            judge(run, workspace, logs(self.home) / session / "conversation.jsonl")
            for run, session in turns
        ]


@contextmanager
def connected(root: Path, more: str = "", env: Mapping[str, str] | None = None) -> Iterator[Agent]:
    """Start an agent, and end it; ``more`` is added to the user's config."""
    script = Script()
    write_config(root / "home", PLUGIN_ON + more)
    (root / "work").mkdir()
    with FaultyServer(script) as upstream, (root / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "gptme.acp"],
            cwd=root / "work",
            env={
                **environment(root / "home", upstream),
                "MODEL": "local/scripted",
                **(env or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
        agent = Agent(root, upstream, script, process)
        try:
            agent.request("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
            yield agent
        finally:
            kill_group(process.pid)
            process.wait(10)
            agent._reader.join(10)
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
