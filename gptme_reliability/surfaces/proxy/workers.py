"""Several processes that serve one address, and one that looks after them.

They share the listening socket, so whoever is free takes the next connection.  Nothing that a
worker remembers is needed for an answer to be right: any of them may serve any request.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
import threading
import time
from dataclasses import replace
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, Final

from gptme_reliability.surfaces.proxy.logs import Logs
from gptme_reliability.surfaces.proxy.options import Options
from gptme_reliability.surfaces.proxy.process import settle
from gptme_reliability.surfaces.proxy.server import serve

_LOG = logging.getLogger(__name__)

# Who ends sooner than this after its start will do so again.
_STABLE_S: Final = 5.0
_MOST_DEATHS: Final = 3
_BESIDE_GRACE_S: Final = 5.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Workers:
    """``count`` processes that serve one listening socket."""

    def __init__(self, options: Options, listening: socket.socket, count: int, logs: Logs) -> None:
        self._options = options
        self._listening = listening
        self._logs = logs
        self._context = get_context("spawn")
        self._running: dict[int, tuple[BaseProcess, float]] = {}
        self._count = count
        self._deaths = 0
        self._ended_by: int | None = None
        # A signal comes between any two instructions; a byte here wakes whoever waits.
        self._wake, self._woken = socket.socketpair()

    def run(self) -> int | None:
        """Until a signal comes, which is returned; None where the workers keep failing."""
        with tempfile.TemporaryDirectory(prefix="gptme-reliability-") as folder:
            before = {number: signal.signal(number, self._end) for number in _SIGNALS}
            try:
                self._options = replace(self._options, shared=folder)
                for worker in range(self._count):
                    self._start(worker)
                while self._ended_by is None and self._deaths < _MOST_DEATHS:
                    connection.wait([*self._sentinels(), self._woken])
                    self._replace_dead()
            finally:
                self._stop()
                for number, handler in before.items():
                    signal.signal(number, handler)
                self._wake.close()
                self._woken.close()
        return self._ended_by

    def _sentinels(self) -> list[int]:
        return [process.sentinel for process, _ in self._running.values()]

    def _end(self, number: int, _frame: Any) -> None:
        self._ended_by = number
        self._wake.send(b"x")

    def _start(self, worker: int) -> None:
        options = replace(self._options, worker=worker)
        process = self._context.Process(
            target=_work, args=(options, self._listening, self._logs), daemon=True
        )
        process.start()
        self._running[worker] = process, time.monotonic()

    def _replace_dead(self) -> None:
        for worker, (process, since) in list(self._running.items()):
            if process.is_alive() or self._ended_by is not None:
                continue
            self._deaths = self._deaths + 1 if time.monotonic() - since < _STABLE_S else 1
            _LOG.warning("worker %d ended by itself (%s)", worker, process.exitcode)
            if self._deaths < _MOST_DEATHS:
                self._start(worker)

    def _stop(self) -> None:
        """All workers finish their open requests, for as long as they may."""
        processes = [process for process, _ in self._running.values()]
        for process in processes:
            process.terminate()
        until = time.monotonic() + self._options.grace + _BESIDE_GRACE_S
        for process in processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()


def _work(options: Options, listening: socket.socket, logs: Logs) -> None:
    """One worker, which ends with whoever started it."""
    threading.Thread(target=_follow_parent, daemon=True).start()
    logs.begin()
    settle()
    serve(options, listening)


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
