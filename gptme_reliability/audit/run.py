"""All logs, one after the other; what is known can be shown at any time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from gptme_reliability.audit.conversation import Conversation
from gptme_reliability.audit.counting import Tally
from gptme_reliability.audit.finding import LogFile
from gptme_reliability.audit.reading import Lines, Message, read_log
from gptme_reliability.audit.setting import read_setting

_TOLD_EVERY: Final = 1_000_000


def audit(
    logs: Sequence[LogFile],
    tally: Tally,
    *,
    redact: bool = False,
    done: Callable[[int], None] | None = None,
) -> None:
    """Read and judge logs; ``tally`` holds what is known, also if this is interrupted.

    ``redact`` keeps private contents out of it.  ``done`` is told how many more bytes were
    read.  A log that cannot be read is counted and left out.
    """
    tally.found = len(logs)
    for number, log in enumerate(logs, start=1):
        lines = Lines()
        name = f"log {number}" if redact else log.name
        conversation = Conversation(name, read_setting(log.config), tally, redact=redact)
        try:
            conversation.read(_told(read_log(log.path, lines, log.trunk), lines, done))
            tally.logs += 1
        except OSError:
            tally.unreadable += 1
        finally:
            tally.broken_lines += lines.broken


def _told(
    messages: Iterable[Message], lines: Lines, done: Callable[[int], None] | None
) -> Iterator[Message]:
    """The messages; ``done`` is told of them now and then."""
    told = 0
    for message in messages:
        yield message
        if done is not None and lines.size - told >= _TOLD_EVERY:
            done(lines.size - told)
            told = lines.size
    if done is not None:
        done(lines.size - told)
