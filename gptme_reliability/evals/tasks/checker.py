"""Whether what was done is what was wanted: by the state of things, never by words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from gptme_reliability.evals.equal import same
from gptme_reliability.evals.tasks.scenario import Scenario, Wanted
from gptme_reliability.evals.tasks.worlds import State, act
from gptme_reliability.resolve import properties, required
from gptme_reliability.types import ToolDefinition


class World:
    """The tools of a scenario and what they have done so far.

    ``executed`` counts the calls that ran to their end, ``wrong`` describes those of them that
    did what nobody wanted.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._state: State = deepcopy({kind: dict(all_) for kind, all_ in scenario.given.items()})
        self._missing = list(scenario.calls)
        self._reading = {tool.name for tool in scenario.tools if tool.read_only}
        self._recorded = {t.name: t for t in scenario.tools if t.name in scenario.recorded}
        self.executed = 0
        self.wrong: list[str] = []

    def run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Do what a call says; returns what the model reads.

        Raises:
            Exception: whatever the tool raises; then it did nothing.
        """
        before = deepcopy(self._state)
        if name in self._recorded:
            _require_bound(self._recorded[name], arguments)
            result: Any = "done"
        else:
            result = act(self._state, name, deepcopy(dict(arguments)))
        self.executed += 1
        fault = self._fault(name, arguments, list(self._strayed(before)))
        if fault:
            self.wrong.append(f"{name}: {fault}")
        return result

    @property
    def done(self) -> bool:
        """Whether everything is as it must be in the end."""
        return not self._missing and all(
            _among(self._at(kind, name), self._scenario.right(kind, name))
            for kind, name in self._things(self._state)
        )

    def missing(self) -> list[str]:
        """What is not yet as it must be."""
        things = [
            f"{kind}/{name}"
            for kind, name in self._things(self._state)
            if not _among(self._at(kind, name), self._scenario.right(kind, name))
        ]
        return [*things, *(f"{call.name}()" for call in self._missing)]

    def _fault(self, name: str, arguments: Mapping[str, Any], faults: list[str]) -> str | None:
        if self._scenario.quiet:
            return "nothing was to be called"
        if faults:
            return ", ".join(faults)
        wanted = next((w for w in self._missing if w.name == name and meets(arguments, w)), None)
        if wanted is not None:
            self._missing.remove(wanted)
        elif name in self._recorded and name not in self._reading:
            return self._unwanted(name, arguments)
        return None

    def _unwanted(self, name: str, arguments: Mapping[str, Any]) -> str:
        """What is wrong with a call that nobody asked for as it is."""
        for wanted in self._missing:
            extra = sorted(arguments.keys() - {*wanted.arguments, *wanted.accepts})
            asked = {key: value for key, value in arguments.items() if key not in extra}
            if extra and wanted.name == name and meets(asked, wanted):
                return f"nobody asked for its {', '.join(extra)}"
        return "nobody asked for this call"

    def _strayed(self, before: State) -> Iterator[str]:
        """The things that this call made what they may not be at any time."""
        for kind, name in self._things(before):
            now = self._at(kind, name)
            if same(now, before.get(kind, {}).get(name)):
                continue
            if not _among(now, self._scenario.harmless(kind, name)):
                yield f"{kind}/{name}"

    def _at(self, kind: str, name: str) -> Any:
        return self._state.get(kind, {}).get(name)

    def _things(self, other: State) -> list[tuple[str, str]]:
        """All things that are, were, or are to be."""
        sources = (self._state, other, self._scenario.given, self._scenario.goal)
        found = {
            (kind, name)
            for source in sources
            for kind, named in source.items()
            if not kind.startswith("_")
            for name in named
        }
        return sorted(found, key=repr)


def _require_bound(tool: ToolDefinition, arguments: Mapping[str, Any]) -> None:
    """That a function with this signature could be called so; its types are not looked at.

    What the schema does not declare is taken where the schema admits it: the tool may do
    anything with it, so that such a call is another one than that without.

    Raises:
        TypeError: as Python does.
    """
    missing = [key for key in required(tool) if key not in arguments]
    if missing:
        raise TypeError(f"{tool.name}() is missing the argument {missing[0]!r}")
    if tool.parameters.get("additionalProperties") is False:
        unknown = [key for key in arguments if key not in properties(tool)]
        if unknown:
            raise TypeError(f"{tool.name}() got an unexpected argument {unknown[0]!r}")


def meets(arguments: Mapping[str, Any], wanted: Wanted) -> bool:
    """Whether arguments are those of a wanted call."""
    if not arguments.keys() <= {*wanted.arguments, *wanted.accepts}:
        return False
    if not wanted.arguments.keys() <= arguments.keys():
        return False
    return all(
        (key in wanted.arguments and same(value, wanted.arguments[key]))
        or _among(value, wanted.accepts.get(key, ()))
        for key, value in arguments.items()
    )


def _among(value: Any, rights: Any) -> bool:
    return any(same(value, right) for right in rights)
