"""Streamed chat completions ⇄ the values of the core."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gptme_reliability.adapters.openai_response import (
    CALL_KEYS,
    REASONING_KEYS,
    finish_word,
    is_other,
    read_calls,
    read_reasoning,
    read_text,
    write_call,
)
from gptme_reliability.types import Call, ModelOutput

_MOST_PROBES: Final = 4
"""How often one call's arguments are parsed to learn whether they are complete; a bound, so
that a hostile stream stays linear."""

_TEXT_ONLY: Final = frozenset({"role", "content"})
_NOT_IN_TEMPLATE: Final = frozenset({"choices", "usage", "timings", "error"})


@dataclass(slots=True)
class _Slot:
    """One call while its deltas arrive."""

    index: int | None
    id: Any = None
    name: Any = None
    parts: list[Any] = field(default_factory=list)
    extras: dict[str, Any] = field(default_factory=dict)
    probes: int = 0

    def arguments(self) -> Any:
        """A string as a rule; an object that came in one piece stays an object."""
        if len(self.parts) == 1:
            return self.parts[0]
        return "".join(p if isinstance(p, str) else json.dumps(p) for p in self.parts)

    def complete(self) -> bool:
        """Whether the arguments so far are a JSON object with its end."""
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Mapping):
            return len(self.parts) == 1
        if not isinstance(last, str) or not last.rstrip().endswith("}"):
            return False
        if self.probes >= _MOST_PROBES:
            return False
        self.probes += 1
        try:
            return isinstance(json.loads(self.arguments()), dict)
        except (ValueError, RecursionError):
            return False


class Delta(NamedTuple):
    """What one chunk says; a ``decisive`` one brings a call, or the end.

    A ``foreign`` one belongs to several answers, or calls a tool that is no function.
    """

    reasoning: str | None
    text: str | None
    decisive: bool
    foreign: bool = False


class StreamReader:
    """Puts the deltas of one streamed answer together, whatever their shape.

    ``tool_names`` tell a name sent in pieces from a name sent again.
    ``host_readable`` says whether gptme would read the calls of this stream as meant: each
    name whole, together with its id, and one call after the other.
    """

    def __init__(self, tool_names: Iterable[str] = ()) -> None:
        self._names = frozenset(tool_names)
        self._slots: list[_Slot] = []
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._legacy: _Slot | None = None
        self._refusal: list[str] = []
        self._model: str | None = None
        self._choice: Any = None  # the index of the answer that is read
        self.finish_reason: str | None = None
        self.usage: dict[str, Any] | None = None
        self.template: dict[str, Any] = {}
        self.reasoning_key: str = REASONING_KEYS[0]
        self.host_readable = True

    def feed(self, chunk: Mapping[str, Any]) -> Delta:
        """Add one chunk; what is not understood is passed over."""
        usage, model = chunk.get("usage"), chunk.get("model")
        if usage is not None and isinstance(usage, Mapping):
            self.usage = dict(usage)
        if not self.template and isinstance(chunk.get("choices"), list):
            self.template = {k: v for k, v in chunk.items() if k not in _NOT_IN_TEMPLATE}
        if isinstance(model, str):
            self._model = model
        choice = first_choice(chunk)
        if self._is_of_several(chunk, choice):
            return Delta(None, None, decisive=True, foreign=True)
        delta, reason = read_delta(choice), choice.get("finish_reason")
        reasoning, text = read_reasoning(delta), read_text(delta.get("content"))
        calls = read_calls(delta)
        if any(map(is_other, calls)):
            return Delta(None, None, decisive=True, foreign=True)
        self._feed_text(delta, reasoning, text)
        self._feed_calls(delta, calls)
        if isinstance(reason, str):
            self.finish_reason = reason
        return Delta(reasoning, text, bool(calls or reason or "message" in choice))

    def _is_of_several(self, chunk: Mapping[str, Any], choice: Mapping[str, Any]) -> bool:
        """Whether there is another answer than the one that is read."""
        index = choice.get("index")
        if self._choice is None:
            self._choice = index
        choices = chunk.get("choices")
        several = isinstance(choices, list) and len(choices) > 1
        return several or index not in (None, self._choice)

    def go_on(self, text: str) -> None:
        """Add the text of a chunk that holds nothing else."""
        self._text.append(text)
        if self._slots:
            self.host_readable = False

    def output(self) -> ModelOutput:
        """The answer as far as it has arrived."""
        calls = [_raw_call(slot) for slot in self._slots]
        if not calls and self._legacy is not None:
            calls = [_raw_call(self._legacy)]
        text = "".join(self._text) or "".join(self._refusal)
        return ModelOutput(
            text=text or None,
            tool_calls=tuple(calls),
            reasoning="".join(self._reasoning) or None,
            finish_reason=self.finish_reason,
            model=self._model,
        )

    def _feed_text(self, delta: Mapping[str, Any], reasoning: str | None, text: str | None) -> None:
        if reasoning:
            self._reasoning.append(reasoning)
            self.reasoning_key = next(k for k in REASONING_KEYS if delta.get(k) == reasoning)
        if text:
            self._text.append(text)
        if isinstance(delta.get("refusal"), str):
            self._refusal.append(delta["refusal"])
            self.host_readable = False
        if text is not None and not isinstance(delta.get("content"), str):
            self.host_readable = False
        # gptme strings everything together: what follows a call's name becomes its arguments.
        if (text or reasoning) and self._slots:
            self.host_readable = False

    def _feed_calls(self, delta: Mapping[str, Any], calls: Iterable[Any]) -> None:
        legacy = delta.get("function_call")
        if legacy is not None and isinstance(legacy, Mapping) and not delta.get("tool_calls"):
            self.host_readable = False
            self._legacy = self._legacy or _Slot(None)
            self._continue(self._legacy, {"function": legacy})
            return
        for entry in calls:
            if not isinstance(entry, (dict, Mapping)):
                self.host_readable = False
                self._slots.append(_Slot(None, parts=[entry]))
                continue
            slot = self._slot_for(entry)
            if slot is None:
                slot = self._open(entry)
            elif slot is not self._slots[-1]:
                self.host_readable = False
            self._continue(slot, entry)

    def _open(self, entry: Mapping[str, Any]) -> _Slot:
        slot = _Slot(_index(entry))
        if not isinstance(entry.get("id"), str) or not _function(entry).get("name"):
            self.host_readable = False
        if type(entry.get("index")) is not int:
            self.host_readable = False
        self._slots.append(slot)
        return slot

    def _slot_for(self, entry: Mapping[str, Any]) -> _Slot | None:
        """The call that this delta goes on with; None when it begins a new one."""
        index, call_id = _index(entry), entry.get("id")
        latest = reversed(self._slots[-64:])
        if index is not None:
            slot = next((slot for slot in latest if slot.index == index), None)
        elif call_id:
            slot = next((slot for slot in latest if slot.id == call_id), None)
        else:
            slot = next(latest, None)
        return None if slot is None or self._begins_another(slot, entry) else slot

    def _begins_another(self, slot: _Slot, entry: Mapping[str, Any]) -> bool:
        """Whether a delta for a call's place brings a new call there.

        Some servers put every call at index 0, others send name or id again with every piece.
        """
        function = _function(entry)
        name, call_id = function.get("name"), entry.get("id")
        if not name or not slot.name:
            return False
        other_id = bool(call_id and slot.id and call_id != slot.id)
        if not slot.parts:
            return other_id
        if slot.complete():
            return other_id or (not call_id and bool(function.get("arguments")))
        return name != slot.name and not str(name).startswith(str(slot.name))

    def _continue(self, slot: _Slot, entry: Mapping[str, Any]) -> None:
        function = _function(entry)
        name, arguments = function.get("name"), function.get("arguments")
        if entry.get("id") and not slot.id:
            slot.id = entry["id"]
        if name:
            if slot.name:
                self.host_readable = False
            slot.name = self._joined(slot, name)
        if arguments is not None and arguments != "":
            if not isinstance(arguments, str):
                self.host_readable = False
            repeated = name and len(slot.parts) == 1 and slot.parts[0] == arguments
            if not (repeated and slot.complete()):
                slot.parts.append(arguments)
        if not CALL_KEYS.issuperset(entry):
            slot.extras.update({k: v for k, v in entry.items() if k not in CALL_KEYS})

    def _joined(self, slot: _Slot, name: Any) -> Any:
        """A call's name after another piece of it, which may be the whole name again."""
        before = slot.name
        if not isinstance(before, str) or not isinstance(name, str):
            return before or name
        if before + name in self._names:
            return before + name
        if name == before or slot.parts:
            return before
        return name if name.startswith(before) else before + name


def write_end(
    template: Mapping[str, Any],
    *,
    calls: Sequence[Call],
    finish_reason: str,
    usage: Mapping[str, Any] | None,
    extras: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The chunks that end a stream, each call whole in one delta.

    ``template`` is a chunk of the server whose other fields are kept; ``extras`` are fields to
    add to calls, by id.
    """
    base = {"object": "chat.completion.chunk", **template}
    deltas = [
        {"tool_calls": [{"index": index, **write_call(call, extras)}]}
        for index, call in enumerate(calls)
    ]
    chunks = [{**base, "choices": [_choice(delta, None)]} for delta in deltas]
    chunks.append({**base, "choices": [_choice({}, finish_word(finish_reason, calls))]})
    if usage is not None:
        chunks.append({**base, "choices": [], "usage": dict(usage)})
    return chunks


def write_delta(template: Mapping[str, Any], key: str, text: str) -> dict[str, Any]:
    """One chunk with nothing but text under ``key``."""
    base = {"object": "chat.completion.chunk", **template}
    return {**base, "choices": [_choice({key: text}, None)]}


def says_text_only(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk with text brings nothing else that the reader would keep."""
    choice = first_choice(chunk)
    delta = choice.get("delta")
    return (
        isinstance(delta, dict)
        and _TEXT_ONLY.issuperset(delta)
        and isinstance(delta.get("content"), str)
        and choice.get("finish_reason") is None
        and "message" not in choice
        and chunk.get("usage") is None
    )


def first_choice(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice of a chunk, empty when there is none."""
    choices = chunk.get("choices")
    # A dict is told at once, any other mapping takes a look at its class.
    if isinstance(choices, list) and choices and isinstance(choices[0], (dict, Mapping)):
        return choices[0]
    return {}


def read_delta(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """The delta of a choice; servers that stream whole messages are understood too."""
    for key in ("delta", "message"):
        found = choice.get(key)
        if isinstance(found, (dict, Mapping)):
            return found
    return {}


def _choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _function(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    function = entry.get("function")
    return function if isinstance(function, (dict, Mapping)) else {}


def _index(entry: Mapping[str, Any]) -> int | None:
    index = entry.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < 6:
        return int(index)
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _raw_call(slot: _Slot) -> Any:
    lone = slot.name is None and slot.id is None and len(slot.parts) == 1
    if lone and not isinstance(slot.parts[0], str):
        return slot.parts[0]
    function: dict[str, Any] = {"name": slot.name, "arguments": slot.arguments()}
    return {"id": slot.id, "type": "function", "function": function, **slot.extras}
