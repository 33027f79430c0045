"""Scenarios: what a model answers, and what must be true afterwards.

A scenario is one line of JSON, so that a new kind of fault is data and not code.
A model's answer (``first``, ``again``) is an object with any of these keys:

``text``, ``reasoning``
    the content, and the content of ``reasoning_content``.
``calls``
    a list of calls; ``{"name": …, "arguments": …}`` gets an id and the usual envelope,
    an entry with a ``function`` key goes out as it stands.
``message``
    more keys of the message, such as ``function_call``.
``deltas``
    the raw deltas of a stream, sent as they stand; such a scenario exists only streamed.
``finish_reason``
    the server's word; left out it is ``tool_calls`` or ``stop``, null is null.
``choices``
    replaces the list of choices (``[]``: a reply that holds no answer).
``status``, ``error``
    an HTTP status and the body that goes with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from gptme_reliability.errors import InputError

Expect: TypeAlias = Literal["executes", "asks", "text"]
"""``executes``: runs as meant, without asking again.

``asks``: the model is asked again, and what it answers then runs.
``text``: nothing runs, the answer reaches the user as text.
"""

Answer: TypeAlias = Mapping[str, Any]

_ANSWER_KEYS: Final = frozenset(
    {
        *("text", "reasoning", "calls", "message", "deltas"),
        *("finish_reason", "choices", "status", "error"),
    }
)
_EXPECTS: Final[tuple[Expect, ...]] = get_args(Expect)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault and what must come of it.

    ``runs`` are the calls of ``first`` that stand, as (tool, arguments) pairs; ``runs_again``
    those of ``again``. ``asks_for`` are fragments the re-ask must contain. ``may_ask``: a
    re-ask is acceptable where ``expect`` is ``text``. ``given`` are files in the workspace
    before, ``files`` *all* files in it afterwards, with their exact content; ``says`` are
    fragments the user must see, ``results`` fragments of tool results the model must get.
    """

    id: str
    kind: str
    expect: Expect
    first: Answer
    again: Answer | None = None
    runs: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    runs_again: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    asks_for: tuple[str, ...] = ()
    may_ask: bool = False
    prompt: str = "Please do the task."
    given: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    @property
    def only_streamed(self) -> bool:
        """Whether the fault lives in the pieces of a stream."""
        return "deltas" in self.first

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Scenario:
        """Read one row.

        Raises:
            InputError: a key is unknown or missing.
        """
        where = f"scenario {row.get('id')!r}"
        unknown = set(row) - set(cls.__dataclass_fields__)
        if unknown:
            raise InputError(f"{where}: unknown keys {sorted(unknown)}")
        for key in ("id", "kind", "expect", "first"):
            if key not in row:
                raise InputError(f"{where}: {key!r} is missing")
        if row["expect"] not in _EXPECTS:
            raise InputError(f"{where}: 'expect' must be one of {sorted(_EXPECTS)}")
        for key in ("first", "again"):
            answer = row.get(key)
            if answer is not None and set(answer) - _ANSWER_KEYS:
                raise InputError(
                    f"{where}: unknown keys {sorted(set(answer) - _ANSWER_KEYS)} in {key!r}"
                )
        values = dict(row)
        for key in ("runs", "runs_again"):
            values[key] = tuple((name, arguments) for name, arguments in row.get(key, ()))
        for key in ("asks_for", "says", "results"):
            values[key] = tuple(row.get(key, ()))
        return cls(**values)


def read_scenarios(path: Path) -> list[Scenario]:
    """Read a file of scenarios, one JSON object a line.

    Raises:
        InputError: the file cannot be read, or a row is no scenario.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    return list(_parse(path, lines))


def _parse(path: Path, lines: Iterable[str]) -> Iterator[Scenario]:
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            scenario = Scenario.from_row(json.loads(line))
        except (ValueError, InputError) as error:
            raise InputError(f"{path}, line {number}: {error}") from error
        if scenario.id in seen:
            raise InputError(f"{path}, line {number}: id {scenario.id!r} is used twice")
        seen.add(scenario.id)
        yield scenario


def demo_scenarios() -> list[Scenario]:
    """The scenarios that come with the package, for ``gptme-reliability demo``."""
    return read_scenarios(Path(__file__).parent / "data" / "demo.jsonl")


def wire_calls(answer: Answer) -> list[Any]:
    """The ``tool_calls`` of an answer, as a server would send them."""
    return [_wire_call(position, call) for position, call in enumerate(answer.get("calls", ()))]


def _wire_call(position: int, call: Any) -> Any:
    if not isinstance(call, Mapping) or "function" in call:
        return call
    return {
        "id": call.get("id", f"call_{position}"),
        "type": "function",
        "function": {key: call[key] for key in ("name", "arguments") if key in call},
    }


def finish_reason(answer: Answer) -> str | None:
    """The finish reason of an answer."""
    if "finish_reason" in answer:
        reason: str | None = answer["finish_reason"]
        return reason
    return "tool_calls" if "calls" in answer or "deltas" in answer else "stop"
