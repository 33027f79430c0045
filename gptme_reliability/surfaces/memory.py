"""What one client remembers from request to request; in memory only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from gptme_reliability.adapters.openai_pending import Place, place
from gptme_reliability.ladder import Learned
from gptme_reliability.surfaces.budgets import Budgets
from gptme_reliability.types import Call, Repair

_MOST: Final = 256


class PendingFeedback:
    """Feedback on refused calls by the places of the calls that stood beside them, and the mended
    tools that were reported.

    Feedback is kept by owner, which is a conversation where the host tells them apart: two may
    begin with the same words, and hold the same call.

    The oldest is forgotten first.  Safe to share between threads.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[str, Place], str] = OrderedDict()
        self._told: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()

    def remember(
        self, owner: str, conversation: str, calls: Iterable[Call], text: str | None
    ) -> None:
        """Keep what is to be said together with the results of these calls, if anything.

        What was to be said of an earlier answer in the same place is forgotten.
        """
        if text is None and not self._texts:
            return
        # A call may be large: nobody else is to wait while it is written.
        places = [(owner, place(conversation, call)) for call in calls]
        with self._lock:
            for found in places:
                self._texts.pop(found, None)
                if text is not None:
                    self._texts[found] = text
            while len(self._texts) > _MOST:
                self._texts.popitem(last=False)

    def copy(self) -> PendingFeedback:
        """The same, for somebody who only wants to look."""
        twin = PendingFeedback()
        with self._lock:
            twin._texts.update(self._texts)
            twin._told.update(self._told)
        return twin

    def texts(self, owner: str) -> dict[Place, str]:
        """All that is an owner's."""
        with self._lock:
            return {place: text for (whose, place), text in self._texts.items() if whose == owner}

    def untold(self, mended: Iterable[Repair]) -> tuple[Repair, ...]:
        """Those of the mended tools that were not reported yet: a host sends them every time."""
        fresh = []
        with self._lock:
            for repair in mended:
                key = hash(repr(repair.before))
                if key not in self._told:
                    fresh.append(repair)
                self._told[key] = None
            while len(self._told) > _MOST:
                self._told.popitem(last=False)
        return tuple(fresh)


class Servers:
    """What the server has shown of itself, by model, and what was said of it.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._learned: OrderedDict[str, Learned] = OrderedDict()
        self._said: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, model: str) -> Learned:
        """What is known for a model; what is added to it stays."""
        with self._lock:
            learned = self._learned.setdefault(model, Learned())
            self._learned.move_to_end(model)
            while len(self._learned) > _MOST:
                self._learned.popitem(last=False)
        return learned

    def first_time(self, said: str) -> bool:
        """Whether something is about to be said for the first time."""
        with self._lock:
            first = said not in self._said
            self._said[said] = None
            while len(self._said) > _MOST:
                self._said.popitem(last=False)
        return first


@dataclass(frozen=True, slots=True)
class Memory:
    """All of it."""

    pending: PendingFeedback = field(default_factory=PendingFeedback)
    budgets: Budgets = field(default_factory=Budgets)
    servers: Servers = field(default_factory=Servers)
