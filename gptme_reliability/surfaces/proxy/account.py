"""What is told of each request: a line in the log, and one in the trace."""

from __future__ import annotations

import json
import logging
import time
from typing import Any, Final

from starlette.types import Scope

from gptme_reliability.surfaces.proxy.host import ProxyHost
from gptme_reliability.surfaces.proxy.inlet import Departure
from gptme_reliability.surfaces.proxy.metrics import repairs_of
from gptme_reliability.surfaces.task import where

_LONGEST_PATH: Final = 80
_BARE: Final = ("method", "path", "status", "kind", "why")
_FIELDS: Final = "fields"


class Done:
    """What becomes of one request."""

    def __init__(self, scope: Scope, began: float) -> None:
        self._scope = scope
        self.began = began
        self.kind = "passed"
        self.why = ""
        self.host: ProxyHost | None = None
        self.departure: Departure | None = None

    @classmethod
    def refused(cls, scope: Scope, why: str) -> Done:
        """One that was turned away at the door; ``why`` is the code of its error."""
        done = cls(scope, 0.0)
        done.kind, done.why = "refused", why
        return done

    @property
    def left(self) -> bool:
        """Whether the client left."""
        return self.departure is not None and self.departure.gone

    def stop(self) -> None:
        """Do not wait for the client to leave any more."""
        if self.departure is not None:
            self.departure.stop()

    def fields(self, status: int | None, seconds: float) -> dict[str, Any]:
        """All of it, without anything that a caller or a model wrote but the path."""
        path = "".join(c if c.isprintable() and c != " " else "?" for c in self._scope["path"])
        told: dict[str, Any] = {
            "method": self._scope["method"],
            "path": path[:_LONGEST_PATH],
            "status": status,
            "ms": round(seconds * 1000),
            "kind": self.kind,
        }
        report = None if self.host is None else self.host.report
        if report is not None:
            told["mode"] = report.settings.mode
            if report.outcome is not None:
                verdict = report.outcome.verdict
                told["verdict"] = type(verdict).__name__.lower()
                told["attempts"] = len(report.outcome.attempts)
                told["calls"], told["refused"] = len(verdict.calls), len(verdict.refused)
            told["repairs"] = repairs_of(report)
            if report.error:
                told["unread"] = True
        if self.why:
            told["why"] = self.why
        return told


def log(logger: logging.Logger, fields: dict[str, Any]) -> None:
    """One line on a request."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", _line(fields), extra={_FIELDS: fields})


def _line(fields: dict[str, Any]) -> str:
    parts = []
    for name, value in fields.items():
        if name == "ms":
            parts.append(f"{value}ms")
        elif name == "unread":
            parts.append(name)
        elif name in _BARE:
            parts.append(str(value or "-"))
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)


class JsonLines(logging.Formatter):
    """A log of one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record, with the fields of a request by their names."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {
            "time": f"{when}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": record.process,
        }
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = where(record.exc_info[1])
        fields = getattr(record, _FIELDS, None)
        return json.dumps({**told, **(fields or {"message": record.getMessage()})})
