"""Scenarios: what a user wants, and what must and must not be true afterwards.

A scenario is one line of JSON:

``id``, ``category``
    its name, and the kind of task that it is counted with.
``tools``
    those on offer: names of shipped tools (``worlds.py``), or OpenAI tool objects.  The latter
    only take down what they are called with and answer "done", and raise as a function would
    where a required argument is missing or one is not declared and the schema closed; unless
    they are marked ``annotations.readOnlyHint``, each call that is not among ``calls`` is a wrong
    one, be it for an argument alone that nobody asked for.
``user``
    what the user says; or ``messages``, the conversation so far.
``given``
    the world before: for each kind of thing, each by its name.
``goal``
    the things that are other ones in the end, null for those that are gone; all others must be
    as before.  ``accepts`` holds lists of further right values, in the same form; ``passing``
    lists of values that a thing may have on the way.
``calls``
    calls that must be made, ``{"name", "arguments"}``, each once; in their ``accepts`` stand
    further right values, ``{argument: [value, ...]}``, and an argument that stands only there
    may be left out.
``quiet``
    true: no call may be made at all; the answer is a text.
``turns``
    how many answers the model has, 8 unless it says otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gptme_reliability.errors import InputError, ToolDefinitionError
from gptme_reliability.evals.tasks.worlds import shipped_tools
from gptme_reliability.rows import parse_row
from gptme_reliability.types import ToolDefinition

_TURNS: Final = 8
_KEYS: Final = frozenset(
    {
        *("id", "category", "tools", "user", "messages", "given", "goal", "accepts", "passing"),
        *("calls", "quiet", "turns"),
    }
)
_FIXTURES: Final = Path(__file__).parents[1] / "fixtures"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A call that must be made; ``accepts`` are further right values of its arguments."""

    name: str
    arguments: Mapping[str, Any]
    accepts: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A task; the module says what its fields mean.

    ``digest`` is another one when anything of it changed.  ``recorded`` are the tools that only
    take down.
    """

    id: str
    category: str
    tools: tuple[ToolDefinition, ...]
    messages: tuple[Mapping[str, Any], ...]
    digest: str
    recorded: frozenset[str] = frozenset()
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    goal: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    accepts: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    passing: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    calls: tuple[Wanted, ...] = ()
    quiet: bool = False
    turns: int = _TURNS

    def right(self, kind: str, name: str) -> list[Any]:
        """What this thing may be in the end; None for gone."""
        wanted = self.goal.get(kind, {})
        value = wanted[name] if name in wanted else self.given.get(kind, {}).get(name)
        return [value, *self.accepts.get(kind, {}).get(name, ())]

    def harmless(self, kind: str, name: str) -> list[Any]:
        """What this thing may be at any time."""
        before = self.given.get(kind, {}).get(name)
        return [before, *self.right(kind, name), *self.passing.get(kind, {}).get(name, ())]


def shipped_scenarios() -> list[Scenario]:
    """The scenarios of this package."""
    return read_scenarios(_FIXTURES)


def read_scenarios(path: Path) -> list[Scenario]:
    """The scenarios of a file, or of all ``.jsonl`` files in a directory by their names.

    Raises:
        InputError: it cannot be read, or a line of it is none; the message says which.
    """
    if not path.is_dir():
        return _in_file(path)
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise InputError(f"{path} holds no .jsonl files of scenarios")
    return [scenario for file in files for scenario in _in_file(file)]


def _in_file(path: Path) -> list[Scenario]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    found: list[Scenario] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = parse_row(line, number)
        except InputError as error:  # it names the line
            raise InputError(f"{path}, {error}") from None
        try:
            found.append(read_scenario(row))
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
    if not found:
        raise InputError(f"{path} holds no scenarios")
    return found


def read_scenario(row: Mapping[str, Any]) -> Scenario:
    """The scenario in a row.

    Raises:
        InputError: it is none; the message says why.
    """
    if unknown := row.keys() - _KEYS:
        raise InputError(f"a scenario has no {', '.join(sorted(unknown))}")
    name = _typed(row, "id", str, "")
    if not name:
        raise InputError("a scenario needs an 'id'")
    tools, recorded = _tools(_typed(row, "tools", list, []))
    scenario = Scenario(
        id=name,
        category=_typed(row, "category", str, "other"),
        tools=tools,
        messages=_messages(row),
        digest=hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:12],
        recorded=recorded,
        given=_things(row, "given"),
        goal=_things(row, "goal"),
        accepts=_things(row, "accepts"),
        passing=_things(row, "passing"),
        calls=tuple(_wanted(_typed(row, "calls", list, []))),
        quiet=_typed(row, "quiet", bool, False),
        turns=_typed(row, "turns", int, _TURNS),
    )
    if scenario.quiet == bool(scenario.goal or scenario.calls):
        raise InputError("a scenario has a 'goal' or 'calls', or else is 'quiet'")
    return scenario


def _typed(row: Mapping[str, Any], key: str, kind: type[Any], default: Any) -> Any:
    value = row.get(key, default)
    if type(value) is not kind:
        raise InputError(f"{key!r} must be a JSON {kind.__name__}, not {type(value).__name__}")
    return value


def _tools(entries: Iterable[Any]) -> tuple[tuple[ToolDefinition, ...], frozenset[str]]:
    tools: list[ToolDefinition] = []
    recorded: set[str] = set()
    for entry in entries:
        if isinstance(entry, str):
            if entry not in shipped_tools():
                known = ", ".join(shipped_tools())
                raise InputError(f"there is no shipped tool {entry!r}; there are {known}")
            tools.append(shipped_tools()[entry])
            continue
        try:
            tools.append(ToolDefinition.from_openai(entry))
        except ToolDefinitionError as error:
            raise InputError(str(error)) from None
        recorded.add(tools[-1].name)
    if len({tool.name for tool in tools}) < len(tools):
        raise InputError("two tools have one name")
    return tuple(tools), frozenset(recorded)


def _messages(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    if "user" in row:
        return ({"role": "user", "content": _typed(row, "user", str, "")},)
    messages = _typed(row, "messages", list, [])
    if not messages or not all(isinstance(one, Mapping) for one in messages):
        raise InputError("a scenario needs 'user', a text, or 'messages', a list of objects")
    return tuple(messages)


def _things(row: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    things: dict[str, dict[str, Any]] = _typed(row, key, dict, {})
    for kind, named in things.items():
        if not isinstance(named, dict):
            raise InputError(f"{key!r}: {kind!r} must hold things by their names")
        if key in ("accepts", "passing") and not all(type(v) is list for v in named.values()):
            raise InputError(f"{key!r}: each thing of {kind!r} needs a list of values")
    return things


def _wanted(entries: Iterable[Any]) -> Iterator[Wanted]:
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise InputError("each of 'calls' needs a 'name'")
        arguments, accepts = entry.get("arguments", {}), entry.get("accepts", {})
        if not isinstance(arguments, Mapping) or not isinstance(accepts, Mapping):
            raise InputError("'arguments' and 'accepts' of a call must be objects")
        yield Wanted(entry["name"], arguments, accepts)
