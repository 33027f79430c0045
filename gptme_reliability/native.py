"""Native tool calls as a server sent them, however broken, as attempted calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gptme_reliability.dialects.shapes import Flaw, RawCall
from gptme_reliability.excerpt import around
from gptme_reliability.repair.syntax import Fault, read_arguments


def read_native(tool_calls: Sequence[Any]) -> list[RawCall]:
    """One attempted call for each entry; an entry without any shape is an attempt too."""
    return [_read(entry) for entry in tool_calls]


def _read(entry: Any) -> RawCall:
    function = entry.get("function", entry) if isinstance(entry, Mapping) else None
    if not isinstance(function, Mapping):
        return RawCall(None, flaw=Flaw("envelope", "the call is no object with a function in it"))
    name, call_id = function.get("name"), entry.get("id")
    identifier = call_id if isinstance(call_id, str) and call_id.strip() else None
    known = name if isinstance(name, str) and name.strip() else None
    arguments = function.get("arguments")
    reading = read_arguments(arguments)
    if isinstance(reading, Fault):
        written = around(arguments, reading.position) if isinstance(arguments, str) else None
        flaw = Flaw(reading.rule, reading.message, written)
        return RawCall(known, None, (), flaw, identifier)
    return RawCall(known, reading.value, reading.repairs, None, identifier)
