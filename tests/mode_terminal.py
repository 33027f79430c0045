"""A terminal of its own for programs that want one: gptme's interactive CLI and its TUI."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gptme_reliability.evals.launch import kill_group

_SECONDS: Final = 60.0
_ROWS: Final = 50
_COLUMNS: Final = 160
_ESCAPES: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])"
)


class Terminal:
    """A program at the other end of a pseudo terminal, and all that it showed."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process = process
        self._master = master
        self._shown = bytearray()
        self._changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # the other end is closed
                return
            if not piece:
                return
            with self._changed:
                self._shown += piece
                self._changed.notify_all()

    @property
    def raw(self) -> bytes:
        """What was written to the terminal, commands to it included."""
        return bytes(self._shown)

    @property
    def text(self) -> str:
        """The same without commands to the terminal."""
        return _ESCAPES.sub(b"", self.raw).decode(errors="replace")

    def wait(self, what: Any, seconds: float = _SECONDS) -> None:
        """Wait until ``what()`` is true, looking whenever something is shown, and in between."""
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, self.text[-3000:]
            with self._changed:
                self._changed.wait(0.1)

    def until(self, fragment: str) -> None:
        """Wait until a text stands on the terminal."""
        self.wait(lambda: fragment in self.text)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self, seconds: float = 20.0) -> int:
        """The exit code."""
        return self._process.wait(seconds)


@contextmanager
def terminal(arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a program in a terminal, and end it."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    process = subprocess.Popen(
        list(arguments),
        cwd=cwd,
        env={**env, "TERM": "xterm-256color"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=_own_terminal,
    )
    os.close(slave)
    shown = Terminal(process, master)
    try:
        yield shown
    finally:
        kill_group(process.pid)
        process.wait(10)
        with contextlib.suppress(OSError):
            os.close(master)
        shown.reader.join(10)


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
