"""The program that the guard works for in an evaluation: it runs nothing from text by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gptme_reliability.surfaces.host import Piece, Report, Settings
from gptme_reliability.surfaces.sampling import Agreement, Terms
from gptme_reliability.types import Call, HostFormat, Reject, Repair, Retry


class Guarded:
    """``repairs`` counts changes to what the model wrote, ``refused`` the answers that were
    given up, ``broken`` the requests at which this package itself failed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.repairs = 0
        self.refused = 0
        self.broken = 0

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """Sampling is what the command line says."""
        return None

    def agreed(self, agreement: Agreement) -> None:
        """Nothing was agreed."""

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """The same for every request."""
        return self._settings

    def defuse(
        self,
        reasoning: str | None,
        text: str,
        calls: Sequence[Call],
        *,
        streamed: bool,
        shown: Sequence[Piece] = (),
    ) -> tuple[str | None, str, tuple[Repair, ...]]:
        """With native calls nothing runs from text."""
        return reasoning, text, ()

    def settle_text(
        self,
        reasoning: str | None,
        text: str,
        written: Sequence[str],
        form: HostFormat,
        *,
        streamed: bool,
        shown: Sequence[Piece] = (),
    ) -> tuple[str | None, str, tuple[Repair, ...]]:
        """This host reads as the core does."""
        return reasoning, text, ()

    def runnable_tag(self, tag: str) -> bool:
        """Whether a fence with this tag would run."""
        form = self._settings.format
        return form is not None and tag in form.blocks

    def usable_id(self, call_id: str) -> bool:
        """Any id will do."""
        return True

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        """Requests are counted on the wire."""

    def answering(self) -> None:
        """Nobody watches."""

    def done(self, report: Report) -> None:
        """Count what was done about a request."""
        self.broken += report.error is not None
        if report.outcome is None:
            return
        verdict = report.outcome.verdict
        self.repairs += len(verdict.repairs)
        self.refused += isinstance(verdict, Reject)
