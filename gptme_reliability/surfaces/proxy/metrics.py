"""Counts of what was done, as Prometheus reads them; nothing of what anybody wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from gptme_reliability.surfaces.host import Report
from gptme_reliability.types import Accept

_HELP: Final = {
    "reliability_requests_total": "Requests answered, by kind and status class.",
    "reliability_verdicts_total": "Verdicts on answers of models.",
    "reliability_attempts_total": "Answers of models that were checked.",
    "reliability_repairs_total": "Changes that were made to calls and text.",
    "reliability_refused_calls_total": "Calls that were not let through.",
    "reliability_unread_total": "Answers passed on unchecked because they could not be read.",
    "reliability_upstream_failures_total": "Requests that the upstream did not answer.",
    "reliability_disconnects_total": "Clients that left before the end.",
    "reliability_seconds_total": "Seconds spent on requests, by kind.",
}


class Metrics:
    """All counts since the start."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._seconds: dict[str, float] = {}
        self.open = 0

    def answered(self, kind: str, status: int, seconds: float) -> None:
        """A request got its answer; ``kind`` is ``checked``, ``passed`` or ``refused``."""
        self._add("reliability_requests_total", f'kind="{kind}",status="{status // 100}xx"')
        self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds

    def failed(self, why: str) -> None:
        """The upstream did not answer; ``why`` is one of few words."""
        self._add("reliability_upstream_failures_total", f'why="{why}"')

    def left(self) -> None:
        """A client left before the end."""
        self._add("reliability_disconnects_total")

    def reported(self, report: Report) -> None:
        """An answer was checked."""
        self._add("reliability_repairs_total", by=repairs_of(report))
        if report.error:
            self._add("reliability_unread_total")
        if report.outcome is not None:
            verdict = report.outcome.verdict
            word = "accept" if isinstance(verdict, Accept) else "reject"
            self._add("reliability_verdicts_total", f'verdict="{word}"')
            self._add("reliability_attempts_total", by=len(report.outcome.attempts))
            self._add("reliability_refused_calls_total", by=len(verdict.refused))

    def state(self) -> dict[str, Any]:
        """All of it as plain data."""
        counts = [[name, labels, count] for (name, labels), count in self._counts.items()]
        return {"counts": counts, "seconds": dict(self._seconds), "open": self.open}

    def add(self, state: Mapping[str, Any]) -> None:
        """Add what ``state`` gave elsewhere."""
        for name, labels, count in state["counts"]:
            self._add(name, labels, count)
        for kind, seconds in state["seconds"].items():
            self._seconds[kind] = self._seconds.get(kind, 0.0) + seconds
        self.open += state["open"]

    def text(self, upstream: bool | None = None) -> str:
        """All of it in Prometheus' format; ``upstream`` says whether it answered last."""
        lines = []
        for name, meaning in _HELP.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} counter"]
            for (counted, labels), count in sorted(self._counts.items()):
                if counted == name:
                    lines.append(f"{name}{{{labels}}} {count}" if labels else f"{name} {count}")
            if name == "reliability_seconds_total":
                for kind, seconds in sorted(self._seconds.items()):
                    lines.append(f'{name}{{kind="{kind}"}} {seconds:.6f}')
        lines += [
            "# HELP reliability_open_requests Requests being answered now.",
            "# TYPE reliability_open_requests gauge",
            f"reliability_open_requests {self.open}",
        ]
        if upstream is not None:
            lines += [
                "# HELP reliability_upstream_up Whether the upstream answered when last asked.",
                "# TYPE reliability_upstream_up gauge",
                f"reliability_upstream_up {int(upstream)}",
            ]
        return "\n".join(lines) + "\n"

    def _add(self, name: str, labels: str = "", by: int = 1) -> None:
        self._counts[(name, labels)] += by


def repairs_of(report: Report) -> int:
    """How many changes were made about one request."""
    found = 0 if report.outcome is None else len(report.outcome.verdict.repairs)
    return found + len(report.repairs)
