"""The client of the proxy as the host of the checks: nothing is known of it but its request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.surfaces.host import Piece, Report, Settings
from gptme_reliability.surfaces.sampling import Agreement, Terms
from gptme_reliability.types import Call, HostFormat, Repair, Retry

# Whatever a server made up that can stand in a header, a log and JSON alike.
_CALL_ID: Final = re.compile(r"[!-~]{1,256}")


class ProxyHost:
    """The ``Host`` of one request; ``report`` is what was done about it."""

    def __init__(
        self, settings_of: Callable[[str], Settings | None], done: Callable[[Report], None]
    ) -> None:
        self._settings_of = settings_of
        self._done = done
        self.report: Report | None = None

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """Nothing is agreed: who calls the proxy sets its own sampling."""
        return None

    def agreed(self, agreement: Agreement) -> None:
        """Nothing is."""

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """What is set for the model; None where it is not to be checked."""
        model = body.get("model")
        return self._settings_of(model if isinstance(model, str) else "")

    def defuse(
        self,
        reasoning: str | None,
        text: str,
        calls: Sequence[Call],
        *,
        streamed: bool,
        shown: Sequence[Piece] = (),
    ) -> tuple[str | None, str, tuple[Repair, ...]]:
        """Nothing: a client that runs what stands in text is not known here."""
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
        """Nothing: no client with calls in the text is known here."""
        return reasoning, text, ()

    def runnable_tag(self, tag: str) -> bool:
        """No fence is run, as far as is known."""
        return False

    def usable_id(self, call_id: str) -> bool:
        """Whether an id can go through every client."""
        return _CALL_ID.fullmatch(call_id) is not None

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        """Nobody is told; comments keep the connection alive."""

    def answering(self) -> None:
        """There is nothing to clear."""

    def done(self, report: Report) -> None:
        """Keep what was done, for the headers, the log and the counts."""
        self.report = report
        self._done(report)
