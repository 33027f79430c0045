"""OpenAI's client for Node in front of the proxy; the cases are in ``openai_node.mjs``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from proxy_world import Upstream, head, proxying, upstream
from scripted_server import (
    DONE,
    ROLE,
    USAGE,
    call,
    call_chunks,
    chunk,
    completion,
    failure,
    stream,
    text_chunks,
)

PACKAGE = "openai@7"
SUITE = Path(__file__).with_name("openai_node.mjs")
HALL = '{"place": "hall"}'
IN_TEXT = f'<tool_call>{{"name": "Look", "arguments": {HALL}}}</tool_call>'
ATTIC = IN_TEXT.replace("hall", "attic")
EVENTS = head(kind="text/event-stream")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the client in it."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node, or no npm")
    folder = tmp_path_factory.mktemp("node")
    command = [npm, "install", "--no-audit", "--no-fund", "--prefer-offline", PACKAGE]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not get {PACKAGE} in time")
    if done.returncode:
        pytest.skip(f"npm cannot get {PACKAGE}: {done.stderr.strip()[-200:]}")
    yield folder
    shutil.rmtree(folder)


def reply(state: Upstream, write: Any) -> None:
    """What the word in the first message asks for."""
    path = state.heads[-1].split(b" ")[1]
    if path.endswith(b"/models"):
        write(head() + b'{"object": "list", "data": [{"id": "tiny", "object": "model"}]}')
    elif path.endswith(b"/embeddings"):
        write(head() + b'{"object": "list", "data": [{"index": 0, "embedding": [0.5, -1]}]}')
    elif not path.endswith(b"/chat/completions"):
        write(head("404 Not Found"))
    else:
        _chat(state, json.loads(state.body()), write)


def _chat(state: Upstream, body: dict[str, Any], write: Any) -> None:
    word, last = body["messages"][0]["content"], body["messages"][-1]
    times = sum(json.dumps(word).encode() in sent for sent in state.bodies)
    cut = completion(calls=[call("look", '{"place": "ha')], finish="length")
    answers = {
        "in-text": completion(IN_TEXT),
        "two": completion(f"{IN_TEXT}\n{ATTIC}"),
        "cut": cut if times == 1 else completion(IN_TEXT),
        "runner": completion("It is a hall." if last["role"] == "tool" else IN_TEXT),
        "json": completion('{"a": 1}'),
        "busy-once": completion("It is done."),
    }
    if word == "endless":
        write(EVENTS + ROLE + b"".join(text_chunks("I look around. ")))
        state.left.wait(20)
    elif word == "error":
        write(head("429 Too Many", x_request_id="req-7") + failure(429, "no such luck").body)
    elif word == "busy-once" and times == 1:
        write(head("503 Busy", retry_after_ms="1") + b"{}")
    elif word == "stream":
        calls = call_chunks(0, "look", HALL, "a")
        finish = chunk({}, "tool_calls")
        write(EVENTS + stream(ROLE, *text_chunks("I look."), *calls, finish, USAGE, DONE).body)
    elif body.get("stream"):
        text = text_chunks(IN_TEXT)
        write(EVENTS + stream(ROLE, *text, chunk({}, "stop"), USAGE, DONE).body)
    else:
        write(head() + answers[word].body)


def test_the_client_for_node(modules: Path) -> None:
    sets = ('models."tiny".contracts=false', "policy.backoff=0")
    with upstream(reply) as state, proxying(state.url, contracts="tools", sets=sets) as url:
        done = subprocess.run(
            ["node", str(SUITE), str(modules), url], capture_output=True, text=True, timeout=120
        )
        assert state.left.wait(10)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(rows) > 10
    assert not {row["name"]: row["error"] for row in rows if row["error"]}
