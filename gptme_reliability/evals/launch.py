"""Starting gptme as a process of its own, cold or warm, and ending it for certain.

Cold is ``python -m gptme``, as a user has it.  Warm does the same in a fork of a process that
has imported already what gptme imports on its way, gptme's own modules excepted: a sixth of the
processor time, for suites of hundreds of runs.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

# What a run imports until it ends.  gptme's own modules read the environment when they are
# imported, which is the run's own; those of ours here do not, and import none of gptme's.
# A name that is not installed is passed over.
PRELOADED: Final = (
    "IPython",
    "PIL.Image",
    "anthropic",
    "anthropic.resources.beta",
    "anthropic.types.beta",
    "click",
    "dateutil.parser",
    "dotenv",
    "h11",
    "httpcore",
    "httpx",
    "json_repair",
    "jsonschema",
    "openai",
    "openai.resources.chat.completions",
    "platformdirs",
    "pygments.lexers.data",
    "pygments.lexers.shell",
    "pygments.styles.monokai",
    "requests",
    "rich.console",
    "rich.logging",
    "rich.markdown",
    "rich.prompt",
    "statistics",
    "tiktoken",
    "tiktoken_ext.openai_public",
    "tomlkit",
    "tree_sitter_bash",
    "yaml",
    "gptme_reliability.exchange",
    "gptme_reliability.gate",
    "gptme_reliability.surfaces.client",
)


class Handle(Protocol):
    """A started gptme, the head of its own process group."""

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""

    def wait(self, timeout: float) -> int | None:
        """The exit code, None when it has not ended after ``timeout`` seconds."""


class Launcher:
    """Starts gptme and keeps track of what runs; ``kill`` ends all of it.

    ``python`` is the interpreter of a cold start, and with it which gptme that is.
    """

    def __init__(self, *, warm: bool = False, python: str = sys.executable) -> None:
        self._warm = warm
        self._python = python
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Whether ``kill`` was called."""
        return self._stopped

    def start(
        self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], out: Path, err: Path
    ) -> Handle | None:
        """Start ``gptme ARGUMENTS`` with its output in two files; None after ``kill``."""
        with self._lock:
            if self._stopped:
                return None
            handle: Handle
            if self._warm:
                handle = _WarmProcess(arguments, cwd, env, out, err)
            else:
                command = [self._python, "-m", "gptme", *arguments]
                handle = _ColdProcess(command, cwd, env, out, err)
            self._running.add(handle.pid)
            return handle

    def end(self, handle: Handle) -> None:
        """Kill what is left of a run, and forget it."""
        with self._lock:
            kill_group(handle.pid)
            handle.wait(10)
            self._running.discard(handle.pid)

    def kill(self) -> None:
        """Kill everything that runs, and start nothing more."""
        with self._lock:
            self._stopped = True
            for pid in self._running:
                kill_group(pid)


def kill_group(pid: int) -> None:
    """Kill a process group; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


class _ColdProcess:
    def __init__(
        self, command: Sequence[str], cwd: Path, env: Mapping[str, str], out: Path, err: Path
    ) -> None:
        with out.open("wb") as stdout, err.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float) -> int | None:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None


# Starting a process reaps those of other threads; an exit status can be read only once.
_REAPING: Final = threading.Lock()


class _WarmProcess:
    def __init__(
        self, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], out: Path, err: Path
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        self._process = context.Process(
            target=_become_gptme, args=(list(arguments), str(cwd), dict(env), str(out), str(err))
        )
        with _REAPING:
            self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def wait(self, timeout: float) -> int | None:
        multiprocessing.connection.wait([self._process.sentinel], timeout)
        with _REAPING:
            self._process.join(0)
            return self._process.exitcode


def _become_gptme(arguments: list[str], cwd: str, env: dict[str, str], out: str, err: str) -> None:
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, out, os.O_WRONLY | os.O_CREAT),
        (2, err, os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(path, flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["gptme", *arguments]
    try:
        runpy.run_module("gptme", run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()  # a forked worker leaves without them
        sys.stdout.flush()
        sys.stderr.flush()
