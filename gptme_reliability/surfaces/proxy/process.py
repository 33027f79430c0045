"""What serving asks of a process."""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
from types import FrameType


def settle() -> None:
    """Have as many open connections as the process may, and end well with its terminal.

    Each request takes two of the files that a process may have open, and the usual limit of
    1,024 is meant for programs that use ``select``.  Who ignores SIGHUP, as ``nohup`` does, goes
    on; for everybody else it ends like SIGTERM, and not in the middle of an answer.
    """
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # not every system keeps what it promises
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    signal.raise_signal(signal.SIGTERM)
