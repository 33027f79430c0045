"""What happened in each conversation of this process, for ``/reliability``."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gptme_reliability.surfaces.gptme.notices import summary

if TYPE_CHECKING:
    from gptme_reliability.surfaces.host import Report

_CONVERSATIONS: Final = 256
_EVENTS: Final = 10


@dataclass(slots=True)
class Account:
    """Counts by what was done, and the last events as (time of day, line)."""

    counts: Counter[str] = field(default_factory=Counter)
    events: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_EVENTS))


class Ledger:
    """Accounts by conversation; the longest unused ones are forgotten."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, Account] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, conversation: str, report: Report) -> None:
        """Count a report."""
        line = summary(report)
        with self._lock:
            account = self._accounts.setdefault(conversation, Account())
            self._accounts.move_to_end(conversation)
            if len(self._accounts) > _CONVERSATIONS:
                self._accounts.popitem(last=False)
            account.counts["answers"] += 1
            if report.outcome is not None:
                verdict = report.outcome.verdict
                account.counts["repairs"] += len(verdict.repairs)
                account.counts["re-asks"] += len(report.outcome.attempts) - 1
                account.counts["refused calls"] += len(verdict.refused)
            inert = sum(repair.rule == "defuse" for repair in report.repairs)
            account.counts["inert passages"] += inert
            account.counts["failures"] += report.error is not None
            if line:
                account.events.append((time.strftime("%H:%M:%S"), line))

    def account(self, conversation: str) -> Account:
        """What is known of a conversation; empty when nothing is."""
        with self._lock:
            return self._accounts.get(conversation, Account())


ledger: Final = Ledger()
