"""The counts of several workers, in a directory that they share."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gptme_reliability.surfaces.proxy.metrics import Metrics


class Shared:
    """One worker's place in the directory.

    A worker that takes the place of another goes on from its counts, for a count that falls
    looks like a start from nothing.
    """

    def __init__(self, folder: str, worker: int, metrics: Metrics) -> None:
        self._own = Path(folder) / f"{worker}.json"
        self._metrics = metrics
        self._written: Any = None
        before = _read(self._own)
        if before is not None:
            metrics.add({**before, "open": 0})

    def publish(self) -> None:
        """Let the others know.

        Raises:
            OSError: it cannot be written.
        """
        state = self._metrics.state()
        if state == self._written:
            return
        beside = self._own.with_suffix(".new")
        beside.write_text(json.dumps(state), encoding="utf-8")
        os.replace(beside, self._own)
        self._written = state

    def all(self) -> Metrics:
        """The counts of all workers: this one's as they are, the others' as last published."""
        total = Metrics()
        total.add(self._metrics.state())
        for state in self._others():
            total.add(state)
        return total

    def _others(self) -> Iterator[Any]:
        for path in sorted(self._own.parent.glob("*.json")):
            if path != self._own and (state := _read(path)) is not None:
                yield state


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
