"""The trace: a JSON line for each request, in a file for the user's eyes only.

What models and callers wrote stands there only where ``trace = "full"`` is set.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from gptme_reliability.surfaces.host import Report
from gptme_reliability.surfaces.sampling import Agreement
from gptme_reliability.surfaces.task import where
from gptme_reliability.surfaces.tracing import append, record, sampling_record

_LOG = logging.getLogger(__name__)

# A disk that is slow must not fill the memory with what it was to hold.
_MOST_WAITING: Final = 256
_SAMPLING: Final = ("backend", "card", "sampling", "sent", "not_applied")


class TraceFile:
    """Writes in a thread of its own."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._writer = ThreadPoolExecutor(1, "reliability-trace")
        self._waiting: set[Future[None]] = set()
        self._told = ""

    def add(
        self,
        fields: Mapping[str, Any],
        model: str,
        report: Report | None,
        agreement: Agreement | None,
        *,
        full: bool,
    ) -> None:
        """Add a line; ``fields`` is what the log says of the request."""
        if len(self._waiting) >= _MOST_WAITING:
            self._tell("the disk is too slow: some requests are missing")
            return
        writing = self._writer.submit(self._write, fields, model, report, agreement, full)
        self._waiting.add(writing)
        writing.add_done_callback(self._waiting.discard)

    def close(self) -> None:
        """Write what is left."""
        self._writer.shutdown(wait=True)

    def _write(
        self,
        fields: Mapping[str, Any],
        model: str,
        report: Report | None,
        agreement: Agreement | None,
        full: bool,
    ) -> None:
        try:
            append(self._path, _entry(fields, model, report, agreement, full))
        except OSError as error:
            self._tell(f"it cannot be written: {error.strerror}")
        except Exception as error:  # no request may depend on it
            self._tell(where(error))

    def _tell(self, fault: str) -> None:
        if fault != self._told:
            self._told = fault
            _LOG.warning("trace %s: %s", self._path, fault)


def _entry(
    fields: Mapping[str, Any],
    model: str,
    report: Report | None,
    agreement: Agreement | None,
    full: bool,
) -> dict[str, Any]:
    request = {key: fields[key] for key in ("method", "path", "status", "ms", "kind")}
    entry: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **request,
        **({"why": fields["why"]} if "why" in fields else {}),
    }
    if model:
        entry["model"] = model
    if agreement is not None:
        agreed = sampling_record(agreement, "")
        entry |= {key: agreed[key] for key in _SAMPLING}
    if report is not None:
        # Nothing tells conversations apart here.
        told = record(report, "", full=full)
        entry |= {key: value for key, value in told.items() if key not in ("time", "conversation")}
    return entry
