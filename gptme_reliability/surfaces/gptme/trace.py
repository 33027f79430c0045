"""The trace of the plugin, in gptme's own directory for state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gptme_reliability.surfaces import tracing
from gptme_reliability.surfaces.tracing import record, sampling_record

__all__ = ["append", "path", "record", "sampling_record"]


def path() -> Path:
    """Where the trace lies; the file before it is kept as ``trace.jsonl.1``."""
    from gptme.dirs import get_state_dir

    return get_state_dir() / "reliability" / "trace.jsonl"


def append(entry: dict[str, Any]) -> None:
    """Add a line to the trace.

    Raises:
        OSError: the trace cannot be written.
    """
    tracing.append(path(), entry)
