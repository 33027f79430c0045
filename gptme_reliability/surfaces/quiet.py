"""A host that runs native calls and nothing else, and at which nobody watches.

What most programs are; each says for itself what holds for its requests, and what it does with
reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gptme_reliability.surfaces.host import Saying, Settled
from gptme_reliability.surfaces.sampling import Agreement, Terms
from gptme_reliability.types import Call, HostFormat, Retry


class QuietHost:
    """All of a ``Host`` but ``settings`` and ``done``."""

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """Sampling stays as it is."""
        return None

    def agreed(self, agreement: Agreement) -> None:
        """Nothing was agreed."""

    def defuse(self, said: Saying, calls: Sequence[Call]) -> Settled:
        """Nothing runs from text."""
        return said.reasoning, said.text, ()

    def settle_text(self, said: Saying, written: Sequence[str], form: HostFormat) -> Settled:
        """Calls in the text are read as the core reads them."""
        return said.reasoning, said.text, ()

    def runnable_tag(self, tag: str) -> bool:
        """No fence is run."""
        return False

    def usable_id(self, call_id: str) -> bool:
        """Any id will do."""
        return True

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        """Nobody is told."""

    def answering(self) -> None:
        """There is nothing to clear."""
