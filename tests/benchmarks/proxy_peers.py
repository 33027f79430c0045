"""Starts proxies in front of an upstream: ours, and others from environments of their own."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KEY: Final = "sk-0d2f6a9b1c3e4f5a6b7c8d9e0f1a2b3c"
"""The key that all are asked with; LiteLLM's proxy does not start without one."""

_STARTS_S: Final = 120.0
_Command = Callable[[str, str, int, Path], list[str]]


@dataclass(frozen=True)
class Running:
    """A proxy that takes requests at ``port``."""

    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """Processor time spent so far, as Linux says it; 0 elsewhere."""
        stat = Path(f"/proc/{self.pid}/stat")
        if not stat.exists():
            return 0.0
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_mb(self) -> float:
        """Resident memory, as Linux says it; 0 elsewhere."""
        status = Path(f"/proc/{self.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        return next((int(one.split()[1]) / 1024 for one in lines if one.startswith("VmRSS")), 0.0)


def _ours(python: str, base: str, port: int, _directory: Path) -> list[str]:
    command = [python, "-m", "gptme_reliability.cli", "proxy", "--quiet", "--contracts", "off"]
    return [*command, "--port", str(port), "--upstream", base]


def _forge(python: str, base: str, port: int, _directory: Path) -> list[str]:
    # Without this it answers one request at a time.
    command = [python, "-m", "forge.proxy", "--no-serialize", "--backend", "openai"]
    return [*command, "--backend-url", base, "--model", "tiny", "--port", str(port)]


def _litellm(python: str, base: str, port: int, directory: Path) -> list[str]:
    config = directory / "litellm.yaml"
    model = {"model": "openai/tiny", "api_base": base, "api_key": KEY}
    settings = {
        "model_list": [{"model_name": "tiny", "litellm_params": model}],
        "general_settings": {"master_key": KEY},
    }
    config.write_text(json.dumps(settings))  # which is YAML, too
    command = [str(Path(python).parent / "litellm"), "--config", str(config)]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]


_COMMANDS: Final[Mapping[str, _Command]] = {"ours": _ours, "forge": _forge, "litellm": _litellm}
_ENVIRONMENT: Final = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}


@contextmanager
def proxy(name: str, python: str, upstream: int) -> Iterator[Running]:
    """A running proxy; it asks the upstream under its own name."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as directory:
        base = f"http://127.0.0.1:{upstream}/{name}/v1"
        command = _COMMANDS[name](python, base, port, Path(directory))
        log = Path(directory) / "log"
        with log.open("w") as out:
            environment = os.environ if name == "ours" else _without_our_paths()
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
        try:
            _wait_for(process, port, log)
            yield Running(name, port, process.pid)
        finally:
            process.terminate()
            process.wait()


def _without_our_paths() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, **_ENVIRONMENT}


def _free_port() -> int:
    """One that no outgoing connection is given while a slow starter has not taken it yet."""
    while True:
        port = random.randrange(20_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _STARTS_S
    while time.monotonic() < until and process.poll() is None:
        if _answers(port):
            return
        time.sleep(0.1)
    sys.exit(f"a proxy did not start: {process.args!r}\n{log.read_text()[-800:]}")


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
