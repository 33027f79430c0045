"""The real ``gptme-server`` in a process of its own, spoken to over HTTP as the web UI does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
from gptme_home import PLUGIN_ON, write_config
from mode_runs import (
    END,
    TOOLS,
    Script,
    environment,
    free_port,
    judge,
    logs,
    traced,
)

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import Run, ToolFormat
from gptme_reliability.evals.launch import kill_group
from gptme_reliability.evals.scenarios import Answer, Scenario

_START: Final = 60.0
_END: Final = 40.0
"""Seconds."""
_Found = TypeVar("_Found")


@dataclass(slots=True)
class Events:
    """What the server told of one conversation, in order."""

    seen: list[Mapping[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    session: str = ""

    def add(self, event: Mapping[str, Any]) -> None:
        with self.changed:
            if event["type"] == "connected":
                self.session = event["session_id"]
            if event["type"] != "ping":
                self.seen.append(event)
            self.changed.notify_all()

    def wait(self, what: Any, timeout: float = _END) -> bool:
        """Wait until ``what(self)`` is true; False when it never was."""
        with self.changed:
            return bool(self.changed.wait_for(lambda: what(self), timeout))

    def count(self, *kinds: str) -> int:
        return sum(event["type"] in kinds for event in self.seen)

    @property
    def text(self) -> str:
        """The answers as they came in pieces."""
        return "".join(e["token"] for e in self.seen if e["type"] == "generation_progress")

    @property
    def errors(self) -> list[str]:
        return [event["error"] for event in self.seen if event["type"] == "error"]

    @property
    def over(self) -> bool:
        """Whether nothing more is to come: no tool waits and the last answer called none."""
        if self.errors:
            return True
        kinds = [event["type"] for event in self.seen]
        if "generation_complete" not in kinds:
            return False
        last = len(kinds) - 1 - kinds[::-1].index("generation_complete")
        after = kinds[last:]
        return (
            "step_complete" in after
            and "tool_pending" not in after
            and self.count("tool_pending") == self.count("tool_complete")
        )


class Server:
    """A running server; ``script`` plays the models of all its conversations."""

    def __init__(self, root: Path, upstream: FaultyServer, script: Script, url: str) -> None:
        self.root = root
        self.upstream = upstream
        self.script = script
        self._http = httpx.Client(base_url=url, timeout=_END, trust_env=False)
        self._lock = threading.Lock()
        self._count = 0
        self._names: dict[int, str] = {}

    def close(self) -> None:
        self._http.close()

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def output(self) -> str:
        """All that the server wrote to its terminal."""
        return (self.root / "output").read_text(encoding="utf-8", errors="replace")

    def request(self, method: str, path: str, body: Any = None) -> Any:
        response = self._http.request(method, f"/api/v2/conversations/{path}", json=body)
        assert response.status_code < 300, response.text
        return response.json()

    def ready(self) -> bool:
        try:
            return self._http.get("/api/v2").status_code < 500
        except httpx.TransportError:
            return False

    def new(self, workspace: Path, model: str, *, form: ToolFormat, prompt: str) -> str:
        """Create a conversation; its id."""
        with self._lock:
            self._count += 1
            name = f"conversation-{self._count}"
        chat = {
            "model": f"local/{model}",
            "tools": TOOLS,
            "tool_format": form,
            "workspace": str(workspace),
        }
        body = {
            "config": {"chat": chat},
            "prompt": "short",
            "messages": [{"role": "user", "content": prompt}],
        }
        self.request("PUT", name, body)
        return name

    @contextmanager
    def listening(self, name: str) -> Iterator[Events]:
        """Subscribe to a conversation."""
        events = Events()
        url = f"/api/v2/conversations/{name}/events"
        with self._http.stream("GET", url) as response:

            def read() -> None:
                try:
                    for line in response.iter_lines():
                        if line.startswith("data: "):
                            events.add(json.loads(line[6:]))
                except (httpx.HTTPError, httpx.StreamError, OSError):
                    return

            thread = threading.Thread(target=read, daemon=True)
            thread.start()
            assert events.wait(lambda events: events.session, 10)
            yield events

    def step(self, name: str, events: Events, *, streamed: bool, confirm: bool | int = 9) -> None:
        """Let the model answer; ``confirm`` is how many calls may run unasked."""
        body = {"session_id": events.session, "stream": streamed, "auto_confirm": confirm}
        response = self._http.post(f"/api/v2/conversations/{name}/step", json=body)
        assert response.status_code in (200, 500), response.text

    def play(
        self,
        scenario: Scenario,
        *,
        streamed: bool,
        form: ToolFormat,
        model: str = "m#",
        end: Answer = END,
        beside: Mapping[str, str] | None = None,
    ) -> Run:
        """One conversation from its first word to its last.

        ``beside`` are files of the workspace that the scenario knows nothing of.
        """
        given, files = ({**old, **(beside or {})} for old in (scenario.given, scenario.files))
        scenario = replace(scenario, given=given, files=files)
        started = time.monotonic()
        with self._lock:
            self._count += 1
            workspace = self.root / f"work-{self._count}"
        talk = self.script.conversation(
            scenario, workspace, streamed=streamed, form=form, model=model, end=end
        )
        with talk as (named, run):
            name = self.new(workspace, named, form=form, prompt=scenario.prompt)
            with self.listening(name) as events:
                self.step(name, events, streamed=streamed)
                if events.wait(lambda events: events.over):
                    run.exit_code = 1 if events.errors else 0
                run.stderr = "\n".join(events.errors)
            run.stdout = events.text
        run.seconds = time.monotonic() - started
        self._names[id(run)] = name
        return judge(run, workspace, self.log(run) / "conversation.jsonl")

    def log(self, run: Run) -> Path:
        """Where gptme keeps the conversation of a run."""
        return logs(self.home) / self._names[id(run)]

    def traced(self, run: Run) -> list[dict[str, Any]]:
        """What was decided in the conversation of a run."""
        return traced(self.home, str(self.log(run)))

    def awaited(self, look: Callable[[], _Found]) -> _Found:
        """What ``look`` finds as soon as it finds anything."""
        deadline = time.monotonic() + _END
        while not (found := look()):
            assert time.monotonic() < deadline, self.output[-3000:]
            time.sleep(0.05)
        return found


@contextmanager
def serving(root: Path, more: str = "", env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start a server, and end it; ``more`` is added to the user's config."""
    script, port = Script(), free_port()
    write_config(root / "home", PLUGIN_ON + more)
    with FaultyServer(script) as upstream, (root / "output").open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gptme.server", "serve"),
                *("--host", "127.0.0.1", "--port", str(port), "--model", "local/scripted"),
            ],
            cwd=root,
            env={
                **environment(root / "home", upstream),
                "GPTME_DISABLE_AUTH": "true",
                **(env or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        server = Server(root, upstream, script, f"http://127.0.0.1:{port}")
        try:
            deadline = time.monotonic() + _START
            while not server.ready():
                assert process.poll() is None and time.monotonic() < deadline, server.output
                time.sleep(0.05)
            yield server
        finally:
            kill_group(process.pid)
            process.wait(10)
            server.close()
