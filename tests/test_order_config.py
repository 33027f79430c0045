"""``policy.order`` in the settings."""

from __future__ import annotations

from typing import Any

import pytest
from test_config import fault, no_environment, values

from gptme_reliability import Order, Prerequisite
from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.gptme.command import _settings

__all__ = ["no_environment"]  # a fixture that every test here uses

FINISH = {"required": ["tests"], "terminal": ["Complete"]}
READ_FIRST = {"before": [{"tool": "save", "needs": "read", "same": "path"}]}


def order(**layers: Any) -> Order | None:
    """The order that comes out of these layers."""
    user = {"enabled": True, **layers.pop("user", {})}
    found = values(user=user, **layers).settings()
    assert found is not None
    return found.policy.order


def test_what_the_table_says() -> None:
    before = [*READ_FIRST["before"], {"tool": "deploy", "needs": "build"}]
    assert order(user={"policy": {"order": {**FINISH, "before": before}}}) == Order(
        ("tests",),
        ("Complete",),
        (Prerequisite("save", "read", "path"), Prerequisite("deploy", "build")),
    )
    assert order() is None


def test_a_models_own_order_takes_the_place_of_the_general_one() -> None:
    user = {"policy": {"order": FINISH}, "models": {"local/*": {"policy": {"order": READ_FIRST}}}}
    assert order(user=user) == Order(before=(Prerequisite("save", "read", "path"),))


def test_a_project_may_set_an_order_but_not_another_one() -> None:
    its = {"policy": {"order": READ_FIRST}}
    assert order(project=its) == Order(before=(Prerequisite("save", "read", "path"),))
    others: list[dict[str, Any]] = [its, {"policy": {"order": {}}}]
    for wanted in others:
        user = {"policy": {"order": FINISH}}
        assert order(user=user, project=wanted) == Order(("tests",), ("Complete",))
        (line,) = values(user=user, project=wanted).complaints
        assert "policy.order = " in line


def test_the_environment_says_it_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPTME_RELIABILITY_POLICY_ORDER", '{"required": ["a"], "terminal": ["b"]}')
    assert order(user={"policy": {"order": READ_FIRST}}) == Order(("a",), ("b",))


@pytest.mark.parametrize("text", ["tests", "[1]", '{"required": "tests"}', "[" * 100_000])
def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("GPTME_RELIABILITY_POLICY_ORDER", text)
    with pytest.raises(ConfigError, match="variable GPTME_RELIABILITY_POLICY_ORDER"):
        values()


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ({"require": []}, "an unknown key 'policy.order.require'; did you mean 'required'?"),
        ({"before": [{"tool": "a"}]}, "policy.order.before.0.needs is missing"),
        (
            {"before": [{"tool": "a", "needs": "b", "sam": "c"}]},
            "an unknown key 'policy.order.before.0.sam'; did you mean 'same'?",
        ),
        ({"required": "tests"}, "policy.order.required = 'tests' should be a valid list"),
        ({"terminal": [1]}, "policy.order.terminal.0 = 1 should be a valid string"),
    ],
)
def test_a_wrong_order_is_named_in_one_line(written: dict[str, Any], line: str) -> None:
    found = fault({"policy": {"order": written}})
    assert line in found and "\n" not in found


def test_the_command_shows_names_as_they_are_written() -> None:
    lines = list(_settings(values(user={"enabled": True, "policy": {"order": FINISH}})))
    assert any("policy.order = " in line and "'Complete'" in line for line in lines)
