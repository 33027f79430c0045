"""The program that the guard works for in an evaluation: it runs nothing from text by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gptme_reliability.surfaces.host import Report, Settings
from gptme_reliability.surfaces.quiet import QuietHost
from gptme_reliability.types import Reject


class Guarded(QuietHost):
    """``repairs`` counts changes to what the model wrote, ``refused`` the answers that were
    given up, ``broken`` the requests at which this package itself failed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.repairs = 0
        self.refused = 0
        self.broken = 0

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """The same for every request."""
        return self._settings

    def runnable_tag(self, tag: str) -> bool:
        """Whether a fence with this tag would run."""
        form = self._settings.format
        return form is not None and tag in form.blocks

    def done(self, report: Report) -> None:
        """Count what was done about a request."""
        self.broken += report.error is not None
        if report.outcome is None:
            return
        verdict = report.outcome.verdict
        self.repairs += len(verdict.repairs)
        self.refused += isinstance(verdict, Reject)
