"""What was spent on asking again, remembered from request to request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from gptme_reliability.budget import Budget, Spent
from gptme_reliability.types import Policy

_MOST: Final = 256


class Budgets:
    """Counts by question, in memory only; those not asked for longest are forgotten first.

    Safe to share between threads.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._spent: OrderedDict[str, Spent] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, question: str, policy: Policy) -> Budget:
        """What may still be spent on a question."""
        with self._lock:
            spent = self._spent.get(question, Spent())
        return Budget(policy, spent, seed=question)

    def keep(self, question: str, budget: Budget) -> None:
        """The question got no answer that could be used: remember what it has cost."""
        if not budget.spent.asked:
            return
        with self._lock:
            self._spent[question] = budget.spent
            self._spent.move_to_end(question)
            while len(self._spent) > self._most:
                self._spent.popitem(last=False)

    def settle(self, question: str) -> None:
        """The question was answered: whoever asks it again wants another answer."""
        with self._lock:
            self._spent.pop(question, None)
