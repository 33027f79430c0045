"""A real llama.cpp server for tests, on a free port of 127.0.0.1."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import httpx

INSTALLED: Final = find_spec("xllamacpp") is not None
WHY_NOT: Final = "llama.cpp's server is not installed: xllamacpp has wheels for Linux on x86_64"

_PROGRAM: Final = Path(__file__).with_name("llama_program.py")
_START_S: Final = 60.0
_POLL_S: Final = 0.02
_LONGEST_LOG: Final = 20_000


@dataclass(frozen=True, slots=True)
class LlamaServer:
    """``root`` is its address, ``url`` what an OpenAI client takes as base URL.

    ``log`` is a file with what it said, ``model`` the name of the served file.
    """

    root: str
    pid: int
    log: Path
    model: str

    @property
    def url(self) -> str:
        return f"{self.root}/v1"

    def get(self, path: str) -> Any:
        """The JSON under a path."""
        return httpx.get(f"{self.root}{path}", timeout=30).raise_for_status().json()

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """The answer to a body, whatever its status."""
        return httpx.post(f"{self.root}{path}", json=body, timeout=60)


@contextmanager
def llama_server(
    model: Path,
    *,
    template: str | None = None,
    context: int = 2048,
    alias: str = "tiny",
    verbosity: int = 3,
    sampling: Mapping[str, float] | None = None,
    most: int = -1,
) -> Iterator[LlamaServer]:
    """Serve a GGUF; when it does not start, the failure says what the server said."""
    options = {
        "model": str(model),
        "template": template,
        "context": context,
        "alias": alias,
        "verbosity": verbosity,
        "sampling": dict(sampling or {}),
        "most": most,
    }
    command = [sys.executable, str(_PROGRAM), json.dumps(options)]
    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file)
        try:
            yield LlamaServer(_listening(process, log), process.pid, log, model.stem)
        finally:
            process.kill()
            process.wait(10)
            assert process.stdout is not None
            process.stdout.close()


def _listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address of the server, once it answers."""
    assert process.stdout is not None
    root = process.stdout.readline().decode().strip()
    until = time.monotonic() + _START_S
    while root and time.monotonic() < until:
        try:
            if httpx.get(f"{root}/health", timeout=5).status_code == 200:
                return root
        except httpx.TransportError:
            pass
        time.sleep(_POLL_S)
    raise RuntimeError(f"the server did not start; it said:\n{tail(log)}")


def tail(log: Path, begin: int = 0) -> str:
    """The end of a log, of what stands behind ``begin`` bytes in it."""
    return log.read_bytes()[begin:][-_LONGEST_LOG:].decode("utf-8", "replace")
