"""What a user of gptme waits for, with the plugin over without it: start-up and first text.

Run ``python tests/benchmarks/bench_gptme.py``; whole processes of the real gptme, by turns.
The first text is timed from the arrival of the request at the server, which begins to answer
after a second and then says a word every 50 ms: a model of 20 tokens a second that reads a prompt
of gptme's, thousands of tokens, sooner than a 7B does on most machines.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from gptme_reliability.evals.gptme_run import environment

STARTS: Final = 25
ANSWERS: Final = 15
MOST_OF_START: Final = 1.03
MOST_OF_TEXT: Final = 1.1
PREFILL_S: Final = 1.0
A_WORD_S: Final = 0.05
FIRST: Final = "Everything"
# As tokenizers cut it: a token begins with its space.
WORDS: Final = [FIRST, *(f" word{number}" for number in range(30))]
CONFIG: Final = """\
[plugins]
enabled = %s

[plugin.reliability]
enabled = true
contracts = false
"""


class Server(ThreadingHTTPServer):
    """Answers every question slowly, in prose; ``arrived`` is when the last one came."""

    daemon_threads = True
    arrived = 0.0


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_POST(self) -> None:
        """Answer as a stream."""
        self.rfile.read(int(self.headers["content-length"]))
        self.server.arrived = time.monotonic()
        time.sleep(PREFILL_S)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        with suppress(OSError):
            for word in WORDS:
                self._say({"content": word})
                time.sleep(A_WORD_S)
            self._say({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, delta: dict[str, str], finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def home(root: Path, *, plugin: bool) -> Path:
    """A home with or without the plugin."""
    place = root / ("with" if plugin else "without")
    config = place / ".config" / "gptme"
    config.mkdir(parents=True)
    names = '["reliability"]' if plugin else '["none-of-them"]'
    (config / "config.toml").write_text(CONFIG % names, encoding="utf-8")
    return place


def command(workspace: Path, *said: str) -> list[str]:
    """gptme as a user starts it."""
    fixed = ["-n", "--tool-format", "tool", "-m", "local/scripted", "--no-workspace"]
    return [sys.executable, "-m", "gptme", *fixed, "-w", str(workspace), *said]


def start_s(place: Path, workspace: Path, url: str) -> float:
    """Seconds of a whole process that does nothing."""
    began = time.monotonic()
    subprocess.run(
        command(workspace, "/exit"),
        env=environment(place, url),
        capture_output=True,
        check=True,
        timeout=120,
    )
    return time.monotonic() - began


def text_s(place: Path, workspace: Path, server: Server, url: str) -> float:
    """Seconds from the request to the first word on standard output."""
    process = subprocess.Popen(
        command(workspace, "say something"),
        env=environment(place, url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    seen = b""
    try:
        while FIRST.encode() not in seen:
            piece = os.read(process.stdout.fileno(), 65_536)
            if not piece:
                raise RuntimeError(f"gptme ended without a word: {seen[-500:]!r}")
            seen += piece
        return time.monotonic() - server.arrived
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def ratio(name: str, taken: dict[bool, list[float]], most: float) -> bool:
    """Print medians and their ratio; whether it is met."""
    without, with_it = statistics.median(taken[False]), statistics.median(taken[True])
    found = with_it / without
    met = found <= most
    print(
        f"{name}: {with_it:.3f} s with the plugin, {without:.3f} s without, "
        f"ratio {found:.3f} (aim {most}): {'met' if met else 'MISSED'}"
    )
    return met


def main() -> int:
    """Both measurements; 0 if both aims are met."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/v1"
    starts: dict[bool, list[float]] = {False: [], True: []}
    texts: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        workspace = root / "work"
        workspace.mkdir()
        homes = {plugin: home(root, plugin=plugin) for plugin in (False, True)}
        for turn in range(STARTS + 1):
            for plugin in (turn % 2 == 0, turn % 2 == 1):
                taken = start_s(homes[plugin], workspace, url)
                if turn:  # the first of each writes caches
                    starts[plugin].append(taken)
        for turn in range(ANSWERS):
            for plugin in (turn % 2 == 0, turn % 2 == 1):
                texts[plugin].append(text_s(homes[plugin], workspace, server, url))
    server.shutdown()
    met = [
        ratio("start-up, whole process", starts, MOST_OF_START),
        ratio("first text of a streamed answer", texts, MOST_OF_TEXT),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
