"""One task played to its end: ask, run what is called, tell the results, ask again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias, get_args

from gptme_reliability.evals.tasks.channels import Asked, Message, channel_of, host_format
from gptme_reliability.evals.tasks.checker import World
from gptme_reliability.evals.tasks.guard import Guarded
from gptme_reliability.evals.tasks.modes import HOSTS_OWN, STRICT, Mode, policy_of
from gptme_reliability.evals.tasks.scenario import Scenario
from gptme_reliability.evals.tasks.wire import ServerFault, Wire
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.tool_calls import LONGEST_ERROR
from gptme_reliability.types import ModelFacts, ToolDefinition
from gptme_reliability.validate import validate

Outcome: TypeAlias = Literal[
    "done", "wrong", "refused", "no call", "unfinished", "endless", "no answer", "server"
]
"""How a task ended.

``done``: everything is as it must be and nothing else was touched.  ``wrong``: a call did what
nobody wanted, whatever came later.  ``refused``: the guard gave an answer up, and said so.
``no call``: nothing ran though something was to be done.  ``unfinished``: not all of it was
done.  ``endless``: calls until no answer was left.  ``no answer``: the last answer was empty
where words were wanted.  ``server``: the server answered with an error, or not in time.
"""

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the model is, what every request says besides, and what the guard knows of it."""

    endpoint: str
    model: str
    key: str = "none"
    params: Mapping[str, Any] | None = None
    timeout: float = 120.0
    facts: ModelFacts = field(default_factory=ModelFacts)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a task; ``wrong`` describes the wrong executions, ``why`` the end.

    ``seconds`` is the time it took, ``answers`` the requests of the host, ``requests`` those
    that went to the server.  ``broken`` counts faults of this package.
    """

    outcome: Outcome
    why: str
    wrong: tuple[str, ...]
    executed: int
    answers: int
    requests: int
    tokens_read: int
    tokens_written: int
    uncounted: int
    repairs: int
    broken: int
    seconds: float


def play(scenario: Scenario, mode: Mode, arm: str, connection: Connection, seed: int) -> Played:
    """Play a task; ``seed`` goes out with the first request, the next with each further one.

    Raises:
        InputError: the server cannot be asked at all.
    """
    guard = None if arm in HOSTS_OWN else Guarded(_settings(scenario, mode, arm, connection))
    params = {"model": connection.model, **(connection.params or {})}
    wire = Wire(connection.endpoint, connection.key, params, connection.timeout, guard)
    world = World(scenario)
    since = time.monotonic()
    try:
        answers, end, why = _converse(scenario, mode, arm, wire, world, seed)
    finally:
        wire.close()
    outcome, why = _judged(scenario, world, guard, end, why)
    return Played(
        outcome=outcome,
        why=why,
        wrong=tuple(world.wrong),
        executed=world.executed,
        answers=answers,
        requests=wire.spent.requests,
        tokens_read=wire.spent.read,
        tokens_written=wire.spent.written,
        uncounted=wire.spent.uncounted,
        repairs=guard.repairs if guard else 0,
        broken=guard.broken if guard else 0,
        seconds=round(time.monotonic() - since, 3),
    )


def _settings(scenario: Scenario, mode: Mode, arm: str, connection: Connection) -> Settings:
    # A family would choose another dialect than a host on its own asks for.
    facts = connection.facts
    if mode.format == "prompted":
        facts = replace(facts, native_tools=False)
    return Settings(
        model=f"local/{connection.model}",
        policy=policy_of(arm, mode),
        facts=facts,
        read_only={t.name: t.read_only for t in scenario.tools if t.read_only is not None},
        format=host_format(mode, scenario.tools),
        offered=scenario.tools,
    )


_End: TypeAlias = Literal["text", "silence", "endless", "server"]


def _converse(
    scenario: Scenario, mode: Mode, arm: str, wire: Wire, world: World, seed: int
) -> tuple[int, _End, str]:
    """Talk until the model calls nothing more: how many answers it took, how it ended, why."""
    channel = channel_of(mode, guarded=arm not in HOSTS_OWN)
    messages: list[Message] = [*scenario.messages]
    for answer in range(1, scenario.turns + 1):
        body = {**channel.body(messages, scenario.tools), "seed": seed + answer - 1}
        try:
            message = wire.ask(body, streamed=mode.streamed)
        except ServerFault as fault:
            return answer, "server", str(fault)
        asked = channel.read(message)
        if not asked:
            text = (message.get("content") or "").strip()
            return answer, "text" if text else "silence", text[:300]
        results = [_result(one, world, scenario.tools, strict=arm == STRICT) for one in asked]
        messages += channel.turn(message, asked, results)
    return scenario.turns, "endless", "it went on calling"


def _result(asked: Asked, world: World, tools: Sequence[ToolDefinition], *, strict: bool) -> str:
    """What the model reads of a call: the result, or an error as hosts put it."""
    if asked.fault:
        return f"error: {asked.fault}"
    tool = next((tool for tool in tools if tool.name == asked.name), None)
    if tool is None:
        return f"error: there is no tool {asked.name!r}"
    if strict and (violations := validate(asked.arguments, tool, 0)):
        return f"error: {violations[0].path} {violations[0].message}"
    try:
        result = world.run(asked.name, asked.arguments)
    except Exception as error:  # a tool may raise anything for arguments that nobody checked
        return f"error: {type(error).__name__}: {error}"[:LONGEST_ERROR]
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)


def _judged(
    scenario: Scenario, world: World, guard: Guarded | None, end: _End, why: str
) -> tuple[Outcome, str]:
    if world.wrong:
        return "wrong", world.wrong[0]
    if end == "server":
        return "server", why
    missing = ", ".join(world.missing())
    # The words in which the guard gives up are no answer of the model.
    if (missing or scenario.quiet) and guard is not None and guard.refused:
        return "refused", why
    if end == "endless":
        return "endless", why
    if scenario.quiet:
        return ("done", "") if end == "text" else ("no answer", "")
    if missing:
        return ("unfinished" if world.executed else "no call"), f"{missing}; it says: {why}"
    return "done", ""
