"""Scripted weak models through the real SDK: every run ends, in time, and never does harm.

What brings a model right is said in the table; here it is held to that.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from test_exchange import strict_server
from weak_ladder import RUNG_REQUESTS, comes_right
from weak_models import (
    AT_ONCE,
    BEHAVIOURS,
    CALLS,
    RETRIES,
    WORDS,
)
from weak_reactions import DONE
from weak_requests import fill
from weak_sdk import Run, converse

from gptme_reliability.types import RUNGS, Call, Policy, Rung

BY_NAME = {behaviour.name: behaviour for behaviour in BEHAVIOURS}

every = pytest.mark.parametrize("name", BY_NAME)
both = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def run_of(
    name: str, streamed: bool, retries: int = RETRIES, rungs: tuple[Rung, ...] = RUNGS
) -> Run:
    """The run of a behaviour; the tests share it."""
    return _run(name, streamed, retries, rungs)


@cache
def _run(name: str, streamed: bool, retries: int, rungs: tuple[Rung, ...]) -> Run:
    behaviour = BY_NAME[name]
    policy = Policy(retries=retries, rungs=rungs, backoff=0, **behaviour.policy)
    return converse(behaviour, policy, streamed=streamed)


def explain(run: Run) -> str:
    """All there is to know of a run that went wrong."""
    return (
        f"requests {run.costs}, ran {run.executed}, said {run.said[:300]!r}, error {run.error!r}\n"
        + "\n".join(str(body)[:1500] for body in run.bodies)
    )


# --- the table --------------------------------------------------------------------------------


def test_the_table() -> None:
    assert len(BY_NAME) == len(BEHAVIOURS) >= 36
    for behaviour in BEHAVIOURS:
        known = behaviour.helped_by == AT_ONCE or set(behaviour.helped_by) <= set(RUNGS)
        assert known and behaviour.does, behaviour.name


@pytest.mark.parametrize("rung", RUNG_REQUESTS)
@pytest.mark.parametrize("name", [b.name for b in CALLS if not b.fails])
def test_what_the_table_says_of_a_rung_is_true(name: str, rung: str) -> None:
    """Under requests made by hand, so that a row without hope has none whoever climbs."""
    behaviour = BY_NAME[name]
    assert comes_right(behaviour, rung) == behaviour.helped(("re_ask", rung))


_ARGUMENTS = {"type": "object", "properties": {"command": {"type": "string"}}}


def _call_schema(name: str, name_key: str = "name", **more: object) -> dict[str, Any]:
    properties = {name_key: {"const": name}, "arguments": _ARGUMENTS, **more}
    return {"type": "object", "properties": properties, "required": [name_key, "arguments"]}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (_call_schema("shell"), {"name": "shell", "arguments": {"command": "ls"}}),
        (
            {"anyOf": [_call_schema("read"), _call_schema("shell", "tool")]},
            {"tool": "shell", "arguments": {"command": "ls"}},
        ),
        (
            {"properties": {"tool": {"enum": ["read", "shell"]}, "arguments": {}}},
            {"tool": "shell", "arguments": {"command": "ls"}},
        ),
        (
            {"$ref": "#/$defs/calls", "$defs": {"calls": {"type": "array", "items": {
                "oneOf": [_call_schema("read"), _call_schema("shell")]}}}},
            [{"name": "shell", "arguments": {"command": "ls"}}],
        ),
        (
            {"type": "object", "properties": {"shell": _ARGUMENTS}, "required": ["shell"]},
            {"shell": {"command": "ls"}},
        ),
    ],
)  # fmt: skip
def test_a_model_says_its_call_in_any_schema(schema: dict[str, Any], value: Any) -> None:
    assert fill(schema, Call("shell", {"command": "ls"})) == value


# --- the runs ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text/markers", "fault/once", "words/respond by heart"])
def test_the_harness_sees_what_happens_without_the_layer(name: str) -> None:
    run = converse(BY_NAME[name], Policy(), streamed=False, mode="observe")
    assert run.ended and not run.added and not run.right


@both
@every
def test_every_run_ends(name: str, streamed: bool) -> None:
    run = run_of(name, streamed)
    assert run.ended, explain(run)


@pytest.mark.parametrize(
    ("streamed", "retries"), [(False, RETRIES), (True, RETRIES), (False, 2), (False, 0)]
)
@every
def test_no_request_of_the_host_costs_more_than_the_budget(
    name: str, streamed: bool, retries: int
) -> None:
    run = run_of(name, streamed, retries)
    assert 1 <= max(run.costs) <= 1 + retries, explain(run)


@both
@every
def test_what_can_be_helped_comes_right_and_nothing_else(name: str, streamed: bool) -> None:
    run = run_of(name, streamed)
    assert run.right == BY_NAME[name].helped(RUNGS), explain(run)


@pytest.mark.parametrize(
    ("name", "rung"),
    [(b.name, rung) for b in BEHAVIOURS for rung in RUNGS if rung in b.helped_by],
)
def test_each_rung_that_helps_does_so_alone(name: str, rung: Rung) -> None:
    rungs: tuple[Rung, ...] = ("re_ask",) if rung == "re_ask" else ("re_ask", rung)
    run = run_of(name, False, rungs=rungs)
    assert run.right, explain(run)


@both
@pytest.mark.parametrize("name", [b.name for b in BEHAVIOURS if b.plain])
def test_a_plain_answer_costs_one_request(name: str, streamed: bool) -> None:
    run = run_of(name, streamed)
    assert run.costs == [1] and not run.executed, explain(run)


@both
@pytest.mark.parametrize("name", [b.name for b in CALLS])
def test_the_plain_answer_behind_a_call_costs_one_request(name: str, streamed: bool) -> None:
    run = run_of(name, streamed)
    assert DONE not in run.said or run.costs[-1] == 1, explain(run)


@both
@every
def test_nothing_runs_that_nobody_meant(name: str, streamed: bool) -> None:
    run = run_of(name, streamed)
    assert not run.spurious, explain(run)


@both
@pytest.mark.parametrize("name", [b.name for b in WORDS])
def test_words_stay_words(name: str, streamed: bool) -> None:
    run = run_of(name, streamed)
    assert not run.executed and run.said == BY_NAME[name].says, explain(run)


@both
@every
def test_every_conversation_is_one_that_strict_servers_take(name: str, streamed: bool) -> None:
    """Those of the re-asks, and the one that the host is left with."""
    run = run_of(name, streamed)
    for body in run.bodies:
        strict_server(body["messages"])
    strict_server(run.messages)
