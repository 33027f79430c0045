"""Calls as JSON: an envelope that holds a name and arguments, in any of its common forms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.dialects import cues
from gptme_reliability.dialects.openers import envelope_key
from gptme_reliability.dialects.shapes import Flaw, RawCall, flaw_at
from gptme_reliability.dialects.table import (
    ARGUMENT_KEYS,
    ENVELOPE_KEYS,
    LIST_KEYS,
    NAME_KEYS,
    PASSENGER_KEYS,
)
from gptme_reliability.repair.reading import same
from gptme_reliability.repair.syntax import Fault, read_arguments
from gptme_reliability.types import Repair

# Remarks that models add to an envelope; they carry no argument.
_REMARKS: Final = frozenset(
    {"description", "explanation", "reason", "comment", "status", "role", "content", "note"}
)
# What a call that is being made says of itself; anything else is the record of another.
_STATES: Final = frozenset({"in_progress", "calling"})
_SPEAKERS: Final = frozenset({"assistant", "model"})


def envelope_calls(
    value: Any, repairs: tuple[Repair, ...] = (), *, marked: bool = False
) -> list[RawCall] | None:
    """Read a JSON value as calls; None when it is data and no attempt to call anything.

    ``repairs`` are those of the reading, handed on to every call.  ``marked`` says that a
    dialect's marker stood before the value, so that less is needed to see a call in it.
    """
    if isinstance(value, list):
        return _list_calls(value, repairs, marked)
    if not isinstance(value, Mapping):
        return None
    keys, renamed, tied = _canonical_keys(value)
    if tied:
        return _tied(keys, value, marked)
    nested = [key for key in keys if key in LIST_KEYS and isinstance(keys[key], Mapping | list)]
    if len(nested) == 1 and not any(key in NAME_KEYS for key in keys):
        return envelope_calls(keys[nested[0]], (*repairs, *renamed), marked=marked)
    function = keys.get("function")
    if isinstance(function, Mapping):
        call_id = keys.get("id")
        calls = envelope_calls(function, (*repairs, *renamed), marked=marked)
        if calls and len(calls) == 1 and isinstance(call_id, str):
            return [replace(calls[0], id=call_id)]
        return calls
    call = _one_call(keys, (*repairs, *renamed), marked)
    return None if call is None else [call]


def _list_calls(
    value: list[Any], repairs: tuple[Repair, ...], marked: bool
) -> list[RawCall] | None:
    calls: list[RawCall] = []
    for item in value:
        found = envelope_calls(item, repairs, marked=marked) if isinstance(item, Mapping) else None
        if not found:
            return None
        calls.extend(found)
    return calls or None


def _canonical_keys(
    value: Mapping[Any, Any],
) -> tuple[dict[str, Any], tuple[Repair, ...], bool]:
    """The members under the keys that were meant, and a repair for each misspelled one.

    The last says whether two spellings of a name's or the arguments' key disagree.
    """
    keys: dict[str, Any] = {}
    repairs: list[Repair] = []
    tied = False
    for key, member in value.items():
        if not isinstance(key, str):
            continue
        meant = key.lower() if key.lower() in ENVELOPE_KEYS else envelope_key(key)
        if meant is None:
            keys[key] = member
        elif meant not in keys:
            keys[meant] = member
            if meant != key.lower():
                repairs.append(Repair("envelope_key", "$", key, meant, "inferred"))
        elif meant in NAME_KEYS or meant in ARGUMENT_KEYS:
            tied = tied or not same(keys[meant], member)
    return keys, tuple(repairs), tied


def _tied(keys: Mapping[str, Any], value: Mapping[Any, Any], marked: bool) -> list[RawCall] | None:
    """A call whose keys stand there twice, with different members; or data."""
    names = [keys[key] for key in keys if key in NAME_KEYS and isinstance(keys[key], str)]
    call = _ambiguous(next(iter(names), None), {str(key): None for key in value}, marked)
    return None if call is None else [call]


def _one_call(keys: Mapping[str, Any], repairs: tuple[Repair, ...], marked: bool) -> RawCall | None:
    names = {key: keys[key] for key in keys if key in NAME_KEYS and isinstance(keys[key], str)}
    holders = [key for key in keys if key in ARGUMENT_KEYS]
    if len(set(names.values())) > 1 or len(holders) > 1:
        return _ambiguous(names.get("name") or next(iter(names.values()), None), keys, marked)
    name = next(iter(names.values()), None)
    if not holders:
        return _without_arguments(name, keys, repairs, marked)
    if name is None:
        arguments = keys[holders[0]]
        alone = all(key in PASSENGER_KEYS or key in ARGUMENT_KEYS for key in keys)
        if not marked and not (alone and isinstance(arguments, Mapping)):
            return None
        return RawCall(None, arguments, repairs)
    if _is_schema(keys[holders[0]]) or ("description" in keys and "parameters" in keys):
        return None
    known = NAME_KEYS | ARGUMENT_KEYS | PASSENGER_KEYS | _REMARKS
    strange = [key for key in keys if key not in known]
    if not strange and (told := _told_otherwise(keys)):
        return RawCall(
            name, repairs=repairs, flaw=Flaw("unclear", f"{told!r} says that the call is not meant")
        )
    if strange:
        return RawCall(
            name,
            repairs=repairs,
            flaw=Flaw("envelope", f"unexpected key {strange[0]!r} in the call"),
        )
    return _read_call(name, keys[holders[0]], repairs, keys.get("id"))


def _told_otherwise(keys: Mapping[str, Any]) -> str | None:
    """The remark that makes a record or an example of a call, if one does."""
    # OpenAI's items say of calls that are whole that they are completed.
    whole = keys.get("status") == "completed" and keys.get("type") == "function_call"
    if keys.get("status") not in (None, *_STATES) and not whole:
        return "status"
    if keys.get("role") not in (None, *_SPEAKERS):
        return "role"
    for key in _REMARKS:
        said = keys.get(key)
        if isinstance(said, str) and (cues.STRONG.search(said) or cues.SHOWN_ONLY.search(said)):
            return key
    return None


def _read_call(name: str, arguments: Any, repairs: tuple[Repair, ...], call_id: Any) -> RawCall:
    identifier = call_id if isinstance(call_id, str) else None
    if arguments is None:
        arguments = {}
    if isinstance(arguments, str):
        reading = read_arguments(arguments)
        if isinstance(reading, Fault):
            flaw = flaw_at(reading, arguments)
            return RawCall(name, None, repairs, flaw, identifier)
        return RawCall(name, reading.value, (*repairs, *reading.repairs), None, identifier)
    return RawCall(name, arguments, repairs, None, identifier)


def _without_arguments(
    name: str | None, keys: Mapping[str, Any], repairs: tuple[Repair, ...], marked: bool
) -> RawCall | None:
    if name is None:
        return RawCall(None, flaw=Flaw("envelope", "the call names no tool")) if marked else None
    bare = all(key in NAME_KEYS or key in PASSENGER_KEYS for key in keys)
    if bare and marked:
        return RawCall(name, {}, repairs)
    if not bare and not marked:
        return None
    return RawCall(
        name, repairs=repairs, flaw=Flaw("envelope", "the call has no 'arguments' object")
    )


def _ambiguous(name: str | None, keys: Mapping[str, Any], marked: bool) -> RawCall | None:
    if name is None and not marked:
        return None
    listed = ", ".join(sorted(keys)[:6])
    return RawCall(name, flaw=Flaw("ambiguous", f"the call's keys leave two readings: {listed}"))


def _is_schema(arguments: Any) -> bool:
    """Whether this is a tool's definition repeated, not arguments for it."""
    if not isinstance(arguments, Mapping) or not arguments:
        return False
    if arguments.get("type") == "object" and isinstance(arguments.get("properties"), Mapping):
        return True
    return all(
        isinstance(member, Mapping) and isinstance(member.get("type"), str)
        for member in arguments.values()
    )
