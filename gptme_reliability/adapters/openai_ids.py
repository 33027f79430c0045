"""Ids of tool calls: which may stay, and new ones that depend on nothing but the call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Sequence
from dataclasses import replace

from gptme_reliability.feedback import call_json
from gptme_reliability.types import Call, Repair


def new_id(
    position: int, name: str, arguments: str, taken: Container[str] = (), salt: str = ""
) -> str:
    """A deterministic id, different from all in ``taken``; ``salt`` tells conversations apart."""
    seed: list[int | str] = [position, name, arguments, *([salt] if salt else [])]
    while True:
        digest = hashlib.sha256(json.dumps(seed).encode()).hexdigest()
        candidate = f"call_{digest[:12]}"
        if candidate not in taken:
            return candidate
        seed.append(candidate)


def assign_ids(
    calls: Sequence[Call],
    usable: Callable[[str], bool],
    taken: Container[str] = (),
    salt: str = "",
) -> tuple[tuple[Call, ...], tuple[Repair, ...]]:
    """Give every call an id that is usable and unique, among them and in the conversation.

    The server's id stays where it can; ``taken`` are the conversation's ids.
    A call from text never had an id, so that giving it one is no repair.
    """
    named: list[Call] = []
    repairs: list[Repair] = []
    used: set[str] = set()
    known = _Either(used, taken)
    for position, call in enumerate(calls):
        if call.id and call.id not in known and usable(call.id):
            used.add(call.id)
            named.append(call)
            continue
        fresh = new_id(position, call.name, call_json(call), known, salt)
        used.add(fresh)
        named.append(replace(call, id=fresh))
        if call.dialect is None:
            path = f"$.tool_calls[{position}].id"
            repairs.append(Repair("call_id", path, call.id, fresh, "lossless", position))
    return tuple(named), tuple(repairs)


class _Either:
    """Two containers as one, without copying the larger."""

    def __init__(self, one: Container[str], other: Container[str]) -> None:
        self._one = one
        self._other = other

    def __contains__(self, item: object) -> bool:
        return item in self._one or item in self._other
