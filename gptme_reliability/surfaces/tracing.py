"""The record of every decision: a JSON line each, for the user's eyes only.

By default it holds rules, paths, sizes and short hashes, never what anybody wrote; with
``trace = "full"`` also the texts before and after.  Headers and keys never come here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.types import Accept, RefusedCall, Repair, ToolDefinition, Violation

if TYPE_CHECKING:
    from gptme_reliability.exchange import Attempt
    from gptme_reliability.surfaces.host import Report
    from gptme_reliability.surfaces.sampling import Agreement

MAX_BYTES: Final = 5_000_000
MAX_RECORD: Final = 256 * 1024
"""Bytes of one record; a larger one holds hashes in place of its texts."""
_LONGEST_TEXT: Final = 64 * 1024
_LONGEST_SHORT: Final = 256
_MOST_ENTRIES: Final = 64
_NAME_LENGTH: Final = 64
_DEEPEST: Final = 16
_KEYS: Final = re.compile(r"[^.$\[\]]+")


def record(report: Report, conversation: str, *, full: bool) -> dict[str, Any]:
    """One decision as plain data."""
    level = _Level(full, frozenset(_offered(report.tools)))
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
            "attempts": [level.attempt(attempt) for attempt in outcome.attempts],
            "calls": [{"name": c.name, "dialect": c.dialect} for c in outcome.verdict.calls],
            "repairs": [level.repair(repair) for repair in outcome.verdict.repairs],
            "refused": [level.refused(refused) for refused in outcome.verdict.refused],
        }
    if report.repairs:
        # Their paths are our own, and lead into what was sent or shown.
        entry["outside"] = [
            {**level.repair(repair), "path": repair.path[:_NAME_LENGTH]}
            for repair in report.repairs
        ]
    if report.faults:
        entry["faults"] = list(report.faults)
    if report.notes:
        entry["notes"] = list(report.notes)
    if report.interrupted:
        entry["interrupted"] = True
    if report.error:
        entry["error"] = report.error
    return entry


def sampling_record(agreement: Agreement, conversation: str) -> dict[str, Any]:
    """What a model is sampled with from now on, as plain data."""
    agreed, wire = agreement.contract, agreement.wire
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "conversation": conversation,
        "model": agreement.model,
        "backend": agreement.served.backend,
        "card": agreed.card_id,
        "sampling": {
            name: {"value": chosen.value, "origin": chosen.origin, "grade": chosen.grade}
            for name, chosen in agreed.values.items()
        },
        "sent": dict(wire.params),
        "not_applied": {loss.parameter: loss.why for loss in wire.not_applied},
    }


def begin(target: Path) -> None:
    """Make a trace, or find that it is there and can be written.

    Raises:
        OSError: it cannot.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _opened(target).close()


def append(target: Path, entry: dict[str, Any]) -> None:
    """Add a line to a trace; when it is full, it is kept beside the new one, as ``….1``.

    Raises:
        OSError: the trace cannot be written.
    """
    line = _encoded(entry)
    with _lock:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _opened(target) as file:
            fits = os.fstat(file.fileno()).st_size + len(line) <= MAX_BYTES
            if fits:
                file.write(line)
        if not fits:
            os.replace(target, target.with_name(target.name + ".1"))
            with _opened(target) as file:
                file.write(line)


_lock = threading.Lock()


def _opened(target: Path) -> FileIO:
    """The file at the end, for the user alone even if it was there before, and no link."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    file = FileIO(os.open(target, flags, 0o600), "ab")
    if hasattr(os, "fchmod"):
        os.fchmod(file.fileno(), 0o600)
    return file


def _encoded(entry: Any) -> bytes:
    """A record as a line, with less and less in it until it is short enough."""
    for shorter in (lambda e: e, lambda e: _shortened(e, _DEEPEST), _outline):
        line = _json(shorter(entry), ordered=False).encode() + b"\n"
        if len(line) <= MAX_RECORD:
            break
    return line


def _shortened(value: Any, depth: int) -> Any:
    """A value with hashes in place of long texts, and without the ends of long lists."""
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_SHORT else _hashed(value)
    if isinstance(value, dict) and depth:
        some = list(value.items())[:_MOST_ENTRIES]
        return {_cut(str(k)): _shortened(v, depth - 1) for k, v in some}
    if isinstance(value, list | tuple) and depth:
        return [_shortened(entry, depth - 1) for entry in value[:_MOST_ENTRIES]]
    return value if isinstance(value, int | float | None) else _hashed(_text(value))


def _outline(entry: dict[str, Any]) -> dict[str, Any]:
    """What a record says of itself in single words, and how long its lists are."""
    return {
        key: _shortened(value, 0) if not isinstance(value, list) else len(value)
        for key, value in entry.items()
    }


@dataclass(frozen=True, slots=True)
class _Level:
    """How much is told.  ``offered`` are the names of tools and arguments on offer: any other
    name was made up by a model, and may hold anything."""

    full: bool
    offered: frozenset[str]

    def attempt(self, attempt: Attempt) -> dict[str, Any]:
        output, violations = attempt.output, getattr(attempt.verdict, "violations", ())
        told: dict[str, Any] = {
            "verdict": type(attempt.verdict).__name__.lower(),
            "rung": attempt.rung,
            "finish_reason": _cut(output.finish_reason),
            "violations": [self.violation(violation) for violation in violations],
        }
        if self.full:
            told["text"] = None if output.text is None else output.text[:_LONGEST_TEXT]
            calls = list(output.tool_calls)
            told["tool_calls"] = calls if len(_json(calls)) <= _LONGEST_TEXT else _hashed(calls)
        return told

    def repair(self, repair: Repair) -> dict[str, Any]:
        return {
            "rule": repair.rule,
            "path": self.path(repair.path),
            "kind": repair.kind,
            "call": repair.call,
            **self.measured("before", repair.before),
            **self.measured("after", repair.after),
        }

    def violation(self, violation: Violation) -> dict[str, Any]:
        return {
            "rule": violation.rule,
            "path": self.path(violation.path),
            "tool": self.name(violation.tool),
            "call": violation.call,
            **self.measured("written", violation.written),
            **({"message": violation.message[:_LONGEST_TEXT]} if self.full else {}),
        }

    def refused(self, refused: RefusedCall) -> dict[str, Any]:
        return {
            "name": self.name(refused.name),
            **self.measured("reason", refused.reason),
            **self.measured("written", refused.written),
        }

    def measured(self, name: str, value: Any) -> dict[str, Any]:
        """Size and hash of a value, and in the full trace the value as far as it is short."""
        if value is None:
            return {}
        hashed = _hashed(value)
        told = {f"{name}_size": hashed["size"], f"{name}_sha256": hashed["sha256"]}
        if self.full:
            told[name] = value if hashed["size"] <= _LONGEST_TEXT else _text(value)[:_LONGEST_TEXT]
        return told

    def name(self, name: str | None) -> str | None:
        known = name is None or self.full or name in self.offered
        return _cut(name) if known else f"sha256:{_hashed(name)['sha256']}"

    def path(self, path: str) -> str:
        keys = _KEYS.findall(path)
        if self.full or all(key.isdecimal() or key in self.offered for key in keys):
            return path[:_NAME_LENGTH]
        return f"$.sha256:{_hashed(path)['sha256']}"


def _offered(tools: Sequence[ToolDefinition]) -> Iterator[str]:
    for tool in tools:
        yield tool.name
        yield from _keys(tool.parameters, _DEEPEST)


def _keys(schema: Any, depth: int) -> Iterator[str]:
    """The names of all arguments in a schema, at any depth."""
    if not depth:
        return
    if isinstance(schema, Mapping):
        declared = schema.get("properties")
        yield from map(str, declared if isinstance(declared, Mapping) else ())
        for member in schema.values():
            yield from _keys(member, depth - 1)
    elif isinstance(schema, list):
        for member in schema:
            yield from _keys(member, depth - 1)


def _hashed(value: Any) -> dict[str, Any]:
    data = _text(value).encode("utf-8", "surrogatepass")
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()[:12]}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any, *, ordered: bool = True) -> str:
    """JSON of what a model may have written; its type alone where it is no JSON."""
    try:
        return json.dumps(value, default=repr, sort_keys=ordered)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(type(value).__name__)


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_NAME_LENGTH]
