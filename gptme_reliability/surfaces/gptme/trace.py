"""The record of every decision: a JSON line each, for the user's eyes only.

By default it holds rules, paths, sizes and short hashes, never what anybody wrote; with
``trace = "full"`` also the texts before and after.  Headers and keys never come here.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.types import Accept, RefusedCall, Repair, Violation

if TYPE_CHECKING:
    from gptme_reliability.surfaces.host import Report

MAX_BYTES: Final = 5_000_000
_NAME_LENGTH: Final = 64


def path() -> Path:
    """Where the trace lies; the file before it is kept as ``trace.jsonl.1``."""
    from gptme.dirs import get_state_dir

    return get_state_dir() / "reliability" / "trace.jsonl"


def record(report: Report, conversation: str, *, full: bool) -> dict[str, Any]:
    """One decision as plain data."""
    entry: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "conversation": conversation,
        "model": report.settings.model,
        "mode": report.settings.mode,
        "streamed": report.streamed,
    }
    if report.outcome is not None:
        outcome = report.outcome
        entry |= {
            "verdict": "accept" if isinstance(outcome.verdict, Accept) else "reject",
            "attempts": [
                {
                    "verdict": type(attempt.verdict).__name__.lower(),
                    "finish_reason": _short(attempt.output.finish_reason),
                    "violations": [
                        _violation(violation, full)
                        for violation in getattr(attempt.verdict, "violations", ())
                    ],
                    **({"text": attempt.output.text} if full else {}),
                    **({"tool_calls": list(attempt.output.tool_calls)} if full else {}),
                }
                for attempt in outcome.attempts
            ],
            "calls": [{"name": c.name, "dialect": c.dialect} for c in outcome.verdict.calls],
            "repairs": [_repair(repair, full) for repair in outcome.verdict.repairs],
            "refused": [_refused(refused, full) for refused in outcome.verdict.refused],
        }
    if report.repairs:
        entry["outside"] = [_repair(repair, full) for repair in report.repairs]
    if report.error:
        entry["error"] = report.error
    return entry


def append(entry: dict[str, Any]) -> None:
    """Add a line to the trace.

    Raises:
        OSError: the trace cannot be written.
    """
    line = json.dumps(entry, default=repr).encode() + b"\n"
    target = path()
    with _lock:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _opened(target)
        try:
            if os.fstat(descriptor).st_size + len(line) > MAX_BYTES:
                os.close(descriptor)
                os.replace(target, target.with_name(target.name + ".1"))
                descriptor = _opened(target)
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


_lock = threading.Lock()


def _opened(target: Path) -> int:
    return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _repair(repair: Repair, full: bool) -> dict[str, Any]:
    return {
        "rule": repair.rule,
        "path": _short(repair.path),
        "kind": repair.kind,
        "call": repair.call,
        **_measured("before", repair.before, full),
        **_measured("after", repair.after, full),
    }


def _violation(violation: Violation, full: bool) -> dict[str, Any]:
    return {
        "rule": violation.rule,
        "path": _short(violation.path),
        "tool": _short(violation.tool),
        "call": violation.call,
        **_measured("written", violation.written, full),
        **({"message": violation.message} if full else {}),
    }


def _refused(refused: RefusedCall, full: bool) -> dict[str, Any]:
    return {
        "name": _short(refused.name),
        **_measured("reason", refused.reason, full),
        **_measured("written", refused.written, full),
    }


def _measured(name: str, value: Any, full: bool) -> dict[str, Any]:
    return dict(_measures(name, value, full))


def _measures(name: str, value: Any, full: bool) -> Iterator[tuple[str, Any]]:
    if value is None:
        return
    text = value if isinstance(value, str) else json.dumps(value, default=repr, sort_keys=True)
    data = text.encode("utf-8", "surrogatepass")
    yield f"{name}_size", len(data)
    yield f"{name}_sha256", hashlib.sha256(data).hexdigest()[:12]
    if full:
        yield name, value


def _short(text: str | None) -> str | None:
    return None if text is None else text[:_NAME_LENGTH]
