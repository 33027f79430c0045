"""The shipped scenarios can be done, and what is done wrongly is seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from eval_world import CASES, SCENARIOS, SOLUTIONS, connected, native

from gptme_reliability.errors import InputError
from gptme_reliability.evals.equal import same
from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.evals.tasks.checker import World, meets
from gptme_reliability.evals.tasks.modes import read_mode
from gptme_reliability.evals.tasks.play import play
from gptme_reliability.evals.tasks.scenario import Wanted, read_scenario, read_scenarios
from gptme_reliability.validate import validate

DONE_WRONGLY = [
    json.loads(line)
    for line in (CASES / "eval_done_wrongly.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_the_collection() -> None:
    """Many, of each kind, and a solution for each."""
    kinds = Counter(scenario.category for scenario in SCENARIOS.values())
    assert len(SCENARIOS) >= 40 and min(kinds.values()) >= 4
    assert SCENARIOS.keys() == SOLUTIONS.keys()


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_solution_does_it(name: str) -> None:
    """With right arguments, without anything wrong on the way, and not before its last call."""
    scenario = SCENARIOS[name]
    tools = {tool.name: tool for tool in scenario.tools}
    world = World(scenario)
    calls = [call for turn in SOLUTIONS[name] for call in turn]
    for call in calls:
        assert not world.done
        assert validate(call["arguments"], tools[call["name"]], 0) == []
        try:
            world.run(call["name"], call["arguments"])
        except Exception:
            assert scenario.category == "recovery"
    assert world.wrong == [] and world.missing() == [] and world.done
    assert len(SOLUTIONS[name]) < scenario.turns


@pytest.mark.parametrize("row", DONE_WRONGLY, ids=lambda row: f"{row['id']}: {row['what']}")
def test_what_is_done_wrongly_is_seen(row: dict[str, Any]) -> None:
    """A call too many, at the wrong thing, with the wrong type: wrong, whatever comes later."""
    world = World(SCENARIOS[row["id"]])
    failed = 0
    for call in row["calls"]:
        try:
            world.run(call["name"], call["arguments"])
        except Exception:
            failed += 1
    assert (len(world.wrong), failed, world.done) == (row["wrong"], row["failed"], row["done"])


@pytest.mark.parametrize(
    ("value", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        ("1", 1, False),
        ([1, {"a": None}], [1.0, {"a": None}], True),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (None, False, False),
    ],
)
def test_same(value: Any, right: Any, equal: bool) -> None:
    assert same(value, right) is equal and same(right, value) is equal


@pytest.mark.parametrize(
    ("arguments", "met"),
    [
        ({"city": "Oslo"}, True),
        ({"city": "oslo", "unit": "celsius"}, True),
        ({"city": "Rome"}, False),
        ({"unit": "celsius"}, False),
        ({"city": "Oslo", "unit": "kelvin"}, False),
        ({"city": "Oslo", "days": 1}, False),
    ],
)
def test_meets(arguments: dict[str, Any], met: bool) -> None:
    """Further right values count; one that stands only there may be left out."""
    wanted = Wanted("weather", {"city": "Oslo"}, {"city": ["oslo"], "unit": ["celsius"]})
    assert meets(arguments, wanted) is met


RECORDED = {
    "id": "lamp",
    "user": "Switch the lamp on.",
    "tools": [
        {"function": {"name": "switch"}},
        {"function": {"name": "look"}, "annotations": {"readOnlyHint": True}},
    ],
    "calls": [{"name": "switch", "arguments": {"on": True}}],
}


def test_tools_that_only_take_down() -> None:
    """Each wanted call once; a further one is wrong, unless the tool only reads."""
    world = World(read_scenario(RECORDED))
    assert world.run("look", {"x": 1}) == "done" and world.missing() == ["switch()"]
    world.run("switch", {"on": True})
    assert world.done and world.wrong == []
    world.run("switch", {"on": True})
    assert world.wrong == ["switch: nobody asked for this call"]


SIGNATURE: dict[str, Any] = {
    "type": "object",
    "properties": {"what": {"type": "string"}, "on": {"type": "boolean"}},
    "required": ["what"],
}
WANTED_CALL: dict[str, Any] = {"name": "switch", "arguments": {"what": "lamp"}}


@pytest.mark.parametrize(
    ("arguments", "closed", "accepts", "found"),
    [
        ({"what": "lamp"}, True, {}, "done"),
        ({"what": "lamp", "force": True}, False, {}, "switch: nobody asked for its force"),
        ({"what": "lamp", "force": True}, True, {}, "unexpected argument 'force'"),
        ({"what": "lamp", "force": True}, False, {"force": [True]}, "done"),
        ({"what": "lamp", "on": False}, True, {}, "switch: nobody asked for its on"),
        ({"what": "lamp", "on": False}, True, {"on": [False]}, "done"),
        ({"what": "door", "force": True}, False, {}, "switch: nobody asked for this call"),
        ({"what": 3}, False, {}, "switch: nobody asked for this call"),
        ({"on": True}, False, {}, "missing the argument 'what'"),
    ],
)
def test_arguments_that_nobody_asked_for(
    arguments: dict[str, Any], closed: bool, accepts: dict[str, list[Any]], found: str
) -> None:
    """They make a call another one where the tool takes them: a wrong one, which is not the one
    that was wanted.  Where no function could be called so, nothing ran."""
    schema = {**SIGNATURE, "additionalProperties": False} if closed else SIGNATURE
    row = {
        "id": "lamp",
        "user": "Switch the lamp.",
        "tools": [{"function": {"name": "switch", "parameters": schema}}],
        "calls": [{**WANTED_CALL, "accepts": accepts}],
    }
    world = World(read_scenario(row))
    if "argument '" in found:
        with pytest.raises(TypeError, match=found):
            world.run("switch", arguments)
        assert (world.executed, world.wrong, world.done) == (0, [], False)
        return
    world.run("switch", arguments)
    assert (world.wrong or ["done"]) == [found]
    assert world.done is (found == "done") and world.executed == 1


@pytest.mark.parametrize(
    ("closed", "arm", "ended"),
    [
        (False, "bare", "wrong"),
        (False, "guarded", "wrong"),
        (True, "bare", "no call"),
        (True, "guarded", "done"),
    ],
)
def test_an_argument_too_many_is_counted_alike(closed: bool, arm: str, ended: str) -> None:
    """An open schema admits it, so that no guard may take it away, and it is wrong in each arm;
    where the schema is closed, a plain host reads an error and the guard leaves it out."""
    schema = {**SIGNATURE, "additionalProperties": not closed}
    tools = [{"function": {"name": "switch", "parameters": schema}}]
    row = {"id": "lamp", "user": "Switch it.", "tools": tools, "calls": [WANTED_CALL]}
    written = native([{"name": "switch", "arguments": {"what": "lamp", "note": "please"}}])

    def model(body: Mapping[str, Any]) -> Answer:
        return {"text": "Done."} if len(body["messages"]) > 1 else written

    with FaultyServer(model) as server:
        played = play(read_scenario(row), read_mode("native"), arm, connected(server.url), 1)
    assert played.outcome == ended


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": 3}, "'id' must be a JSON str"),
        ({"id": ""}, "needs an 'id'"),
        ({"user": None}, "'user' must be"),
        ({"tools": ["hammer"]}, "no shipped tool 'hammer'"),
        ({"tools": [{"name": ""}]}, "non-empty string"),
        ({"tools": ["weather", "weather"]}, "two tools"),
        ({"quiet": True}, "or else is 'quiet'"),
        ({"calls": []}, "a 'goal' or 'calls'"),
        ({"calls": ["switch"]}, "needs a 'name'"),
        ({"accepts": {"files": {"a": "b"}}}, "a list of values"),
        ({"hint": "x"}, "no hint"),
    ],
)
def test_what_is_no_scenario(change: dict[str, Any], message: str) -> None:
    """One line says why."""
    with pytest.raises(InputError, match=message):
        read_scenario({**RECORDED, **change})


def test_a_file_of_scenarios(tmp_path: Path) -> None:
    """The line is named; an empty file is none."""
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(RECORDED) + "\n\n{}\n")
    with pytest.raises(InputError, match="line 3: a scenario needs an 'id'"):
        read_scenarios(path)
    path.write_text("[1]\n")
    with pytest.raises(
        InputError, match=r"own\.jsonl, line 1 must be a JSON object, not an array$"
    ):
        read_scenarios(path)
    path.write_text(json.dumps(RECORDED) + "\n")
    assert [scenario.id for scenario in read_scenarios(path)] == ["lamp"]
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no scenarios"):
        read_scenarios(path)
    with pytest.raises(InputError, match="cannot read"):
        read_scenarios(tmp_path / "none")
