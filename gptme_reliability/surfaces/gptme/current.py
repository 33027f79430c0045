"""Which conversation a request belongs to, as far as gptme says so.

gptme's current log is the one that was opened last: whoever reads the log of a subagent makes it
the current one (gptme 0.35.1, ``logmanager/manager.py``).  The hooks before a turn and a step are
handed the right one, where gptme calls hooks.  ACP calls none and has no current log; there
every turn runs in a context of its own.
"""

from __future__ import annotations

from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gptme.logmanager import LogManager

_NO_LOG: Final = "process"
_stepping: Final[ContextVar[LogManager | None]] = ContextVar("reliability_log", default=None)
_turn: Final[ContextVar[int | None]] = ContextVar("reliability_turn", default=None)
_turns: Final = count(1)


def enter(manager: LogManager) -> None:
    """A turn or a step of this conversation begins, in this context."""
    _stepping.set(manager)


def current_log() -> LogManager | None:
    """The log of the conversation; None where none is known."""
    from gptme.logmanager import LogManager

    return _stepping.get() or LogManager.get_current_log()


def conversation() -> str:
    """The directory of the conversation's log, or ``process`` where there is none."""
    log = current_log()
    return _NO_LOG if log is None else str(log.logdir)


def in_server() -> bool:
    """Whether this is a conversation of gptme's server."""
    from gptme import hooks

    serving = getattr(hooks, "current_conversation_id", None)
    return serving is not None and serving.get() is not None


def owner() -> str:
    """What no other conversation shares; without a log, what no other turn shares."""
    where = conversation()
    if where != _NO_LOG:
        return where
    turn = _turn.get()
    if turn is None:
        turn = next(_turns)
        _turn.set(turn)
    return f"{where} {turn}"
