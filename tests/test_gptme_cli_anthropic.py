"""The real ``gptme -n`` with an Anthropic model, the plugin on, and a scripted API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from anthropic_world import streamed, text, thinking, use, whole
from proxy_world import Upstream, head, upstream
from scripted_server import Reply

from gptme_reliability.evals.launch import Launcher

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

TIMEOUT = 60.0
NOWHERE = "http://127.0.0.1:9"
COMMAND = {"command": "echo 42 > marker"}
LEAKED = f"<tool_call>{json.dumps({'name': 'shell', 'arguments': COMMAND})}</tool_call>"
RIGHT = use("shell", COMMAND, "toolu_2")
CONFIG = """\
[plugins]
enabled = ["reliability"]

[plugin.reliability.models."anthropic/*"]
enabled = true
"""


@dataclass(frozen=True)
class Row:
    """``answers`` before the last, which says that all is done; ``runs`` is whether it ran."""

    name: str
    answers: list[Any]
    stop: str | None = None
    runs: bool = True


ROWS = [
    Row("good", [[text("I run it."), use("shell", COMMAND)]]),
    Row("broken_json", [[use("shell", '{"command": "echo 42 > marker"')]]),
    Row("wrong_name", [[use("Shell", COMMAND)]]),
    Row("wrong_types", [[use("shell", {"command": ["echo 42 > marker"]})]]),
    Row("leaked", [[text(LEAKED)]]),
    Row("cut", [[use("shell", '{"command": "echo 42 > mark')], [RIGHT]], "max_tokens"),
    Row("thinks", [[thinking("Hm."), use("shell", {})], [thinking("Oh."), RIGHT]]),
    Row("prose", [], runs=False),
]
JOBS = [(row, row.name != "wrong_types") for row in ROWS] + [(ROWS[5], False)]


@dataclass
class Run:
    exit_code: int | None = None
    bodies: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    marker: str | None = None
    stderr: str = ""


def replies(row: Row, streaming: bool) -> list[Reply]:
    make = streamed if streaming else whole
    stops = [row.stop, *[None] * len(row.answers)]
    made = [make(answer, stop) for answer, stop in zip(row.answers, stops, strict=False)]
    # gptme asks on where an answer calls nothing.
    return made + [make([use("complete", {}, "toolu_9")] if row.runs else [text("I am done.")])] * 4


def answer(state: Upstream, write: Any, left: list[Reply]) -> None:
    """The next reply; gptme asks for a title at the same time, and offers no tools for that."""
    asked = json.loads(state.body())
    reply = left.pop(0) if asked.get("tools") else whole([text("A title")])
    write(head(kind=reply.headers["content-type"]) + reply.body)


def converse(row: Row, streaming: bool, launcher: Launcher, root: Path) -> Run:
    home, workspace = root / "home", root / "work"
    config = home / ".config" / "gptme"
    config.mkdir(parents=True)
    workspace.mkdir()
    (config / "config.toml").write_text(CONFIG, encoding="utf-8")
    out, err = root / "stdout", root / "stderr"
    out.touch()
    err.touch()
    arguments = ["-n", "--stream" if streaming else "--no-stream", "--tool-format", "tool"]
    arguments += ["-m", "anthropic/claude-haiku-4-5", "-t", "shell,complete", "--system", "short"]
    arguments += ["--no-workspace", "-w", str(workspace), "write 42 into marker"]
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
    run = Run()
    left = replies(row, streaming)
    with upstream(lambda state, write: answer(state, write, left)) as script:
        environment = {
            **kept,
            # gptme looks for a tokenizer on the network otherwise, and waits for it.
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), NOWHERE),
            "HOME": str(home),
            "USER": "nobody",
            "TERM": "dumb",
            "ANTHROPIC_API_KEY": "scripted",
            "ANTHROPIC_BASE_URL": script.url.removesuffix("/v1"),
            "GPTME_NO_LOCAL_DISCOVERY": "1",
            "GPTME_LLM_MAX_RETRIES": "1",
            "NO_PROXY": "127.0.0.1",
        }
        handle = launcher.start(arguments, cwd=workspace, env=environment, out=out, err=err)
        assert handle is not None
        try:
            run.exit_code = handle.wait(TIMEOUT)
        finally:
            launcher.end(handle)
        run.bodies = [body for body in map(json.loads, script.bodies) if body.get("tools")]
    run.stderr = err.read_text(errors="replace")
    marker = workspace / "marker"
    run.marker = marker.read_text() if marker.exists() else None
    for log in home.glob(".local/share/gptme/logs/*/conversation.jsonl"):
        run.log += map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return run


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, bool], Future[Run]]]:
    """The runs of all tests that were selected, under way."""
    launcher, pool = Launcher(warm=True), ThreadPoolExecutor(2)
    found: dict[tuple[str, bool], Future[Run]] = {}
    for item in request.session.items:
        params: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        if item.fspath == request.node.fspath and "row" in params:
            row, streaming = params["row"], params["streaming"]
            root = tmp_path_factory.mktemp(row.name)
            found[row.name, streaming] = pool.submit(converse, row, streaming, launcher, root)
    yield found
    launcher.kill()
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(
    ("row", "streaming"),
    [pytest.param(r, s, id=f"{r.name}-{'streamed' if s else 'whole'}") for r, s in JOBS],
)
def test_row(row: Row, streaming: bool, runs: dict[tuple[str, bool], Future[Run]]) -> None:
    run = runs[row.name, streaming].result()
    said = "\n".join(m["content"] for m in run.log if m["role"] == "assistant")
    told = f"{run.stderr}\n{said}\n{json.dumps(run.bodies[1:], indent=1)[-3000:]}"
    assert run.marker == ("42\n" if row.runs else None), told
    if row.runs:
        assert run.exit_code == 0, told
        assert len(run.bodies) == len(row.answers) + 1, told
        assert said.count("echo 42") == 1, told
    else:
        assert "I am done." in said, told
    for body in run.bodies:
        roles = [message["role"] for message in body["messages"]]
        assert roles[0] == "user" and "system" not in roles, told
