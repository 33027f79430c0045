"""The proxy on a free port, in a thread of its own, and upstreams that misbehave on purpose."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import openai

from gptme_reliability.surfaces.proxy.options import Options
from gptme_reliability.surfaces.proxy.server import listen, make


@contextmanager
def proxying(upstream: str, **options: Any) -> Iterator[str]:
    """The base URL of a proxy in front of this upstream; at the end nothing is left open.

    No card describes the models of most tests.
    """
    options = {"grace": 1.0, "contracts": "off", **options}
    server = make(Options(upstream=upstream, port=0, **options))
    listening = listen("127.0.0.1", 0)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(server.serve(sockets=[listening]))
        except BaseException as error:
            failures.append(error)
            raise

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()
        assert not thread.is_alive() and not failures


def sdk_at(url: str, **kwargs: Any) -> openai.OpenAI:
    """The real SDK."""
    return openai.OpenAI(base_url=url, api_key="sk-secret", max_retries=0, **kwargs)


@dataclass
class Upstream:
    """What came in, in order; ``left`` is set once the last client closed its connection."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    mine: threading.local = field(default_factory=threading.local)

    def body(self) -> bytes:
        """The body of the request that is being answered."""
        found: bytes = self.mine.body
        return found


Reply = Callable[[Upstream, Callable[[bytes], object]], object]


@contextmanager
def upstream(reply: Reply) -> Iterator[Upstream]:
    """A server that answers each request with whatever ``reply`` writes, and then closes."""
    state = Upstream()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            state.left = left = threading.Event()
            state.heads.append(head)
            length = [
                line.partition(b":")[2]
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            state.mine.body = self.rfile.read(int(length[0])) if length else b""
            state.bodies.append(state.mine.body)
            gone = threading.Thread(target=self._watch, args=(left,), daemon=True)
            gone.start()
            try:
                reply(state, self._write)
            except OSError:
                left.set()

        def _write(self, data: bytes) -> None:
            self.wfile.write(data)
            self.wfile.flush()

        def _watch(self, left: threading.Event) -> None:
            try:
                while self.connection.recv(1):
                    pass
            except OSError:
                pass
            left.set()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield state
        finally:
            state.release.set()
            server.shutdown()
            thread.join()


def head(status: str = "200 OK", kind: str = "application/json", **headers: str) -> bytes:
    """The head of a response whose end is the end of the connection."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
