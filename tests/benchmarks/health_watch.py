"""Asks ``/healthz`` all the time, and an idle server in turns with it, from another process."""

from __future__ import annotations

import http.client
import http.server
import multiprocessing
import multiprocessing.connection
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

HEALTHY_MS: Final = 100.0
_EVERY_S: Final = 0.02
# A forked process would keep the sockets open that are closed here.
_PROCESSES: Final = multiprocessing.get_context("spawn")


@dataclass
class Health:
    """How long each question took, in milliseconds; there behind the end."""

    took: dict[str, list[float]] = field(default_factory=lambda: {"proxy": [], "idle": []})


class _Idle(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _serve_idle(ready: multiprocessing.connection.Connection) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Idle) as server:
        ready.send(server.server_port)
        server.serve_forever()


def _watch(
    proxy: int, idle: int, over: threading.Event, out: multiprocessing.connection.Connection
) -> None:
    took: dict[str, list[float]] = {"proxy": [], "idle": []}
    asking = {
        name: http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for name, port in (("proxy", proxy), ("idle", idle))
    }
    try:
        while not over.is_set():
            for name, connection in asking.items():
                began = time.perf_counter()
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                took[name].append((time.perf_counter() - began) * 1000)
            time.sleep(_EVERY_S)
    except (OSError, http.client.HTTPException):
        return  # whoever waits for it hears of its end
    out.send(took)


@contextmanager
def watching(root: str) -> Iterator[Health]:
    """Watch the proxy at this URL.

    Raises:
        SystemExit: it ended meanwhile.
    """
    health, over = Health(), _PROCESSES.Event()
    ours, theirs = _PROCESSES.Pipe()
    idle = _PROCESSES.Process(target=_serve_idle, args=(theirs,), daemon=True)
    idle.start()
    port = int(root.rpartition(":")[2])
    watcher = _PROCESSES.Process(target=_watch, args=(port, ours.recv(), over, theirs), daemon=True)
    watcher.start()
    try:
        yield health
    finally:
        over.set()
        multiprocessing.connection.wait([ours, watcher.sentinel])
        told = ours.recv() if ours.poll() else None
        watcher.join()
        idle.terminate()
        if told is None:
            raise SystemExit(f"the proxy at {root} answers no more")
        health.took = told
