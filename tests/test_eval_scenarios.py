"""The shipped scenarios can be done, and what is done wrongly is seen."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from eval_world import CASES, SCENARIOS, SOLUTIONS

from gptme_reliability.errors import InputError
from gptme_reliability.evals.tasks.checker import World, meets, same
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
    path.write_text(json.dumps(RECORDED) + "\n")
    assert [scenario.id for scenario in read_scenarios(path)] == ["lamp"]
    path.write_text("\n")
    with pytest.raises(InputError, match="holds no scenarios"):
        read_scenarios(path)
    with pytest.raises(InputError, match="cannot read"):
        read_scenarios(tmp_path / "none")
