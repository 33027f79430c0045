"""The veto before a call runs: it skips what violates its schema, and never confirms."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gptme.config import Config
from gptme.hooks import HookType, get_hooks, register_hook
from gptme.hooks.cli_confirm import cli_confirm_hook
from gptme.hooks.confirm import ConfirmAction, ConfirmationResult, get_confirmation
from gptme.tools import get_available_tools, set_tools
from gptme.tools.base import Parameter, ToolSpec, ToolUse
from plugin_world import MCP, own_world

from gptme_reliability.surfaces.gptme import current, veto
from gptme_reliability.surfaces.gptme.plugin import (
    _after_turn,
    _before_run,
    _before_step,
    register_hooks,
)

__all__ = ["own_world"]

CASES = Path(__file__).parent / "cases" / "veto.jsonl"
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
IDS = [row["id"] for row in ROWS]
FORMATS: tuple[Any, ...] = ("markdown", "xml", "tool")
NO_PATH = ToolUse("save", None, None, {"content": "x"}, "call-1", _format="tool")
NO_CODE = ToolUse("ipython", None, None, {"script": "1"}, "call-1", _format="tool")
LIST = ToolUse("shell", [], "ls")


PLUGGED_IN = ToolSpec(
    name="count_to",
    desc="A tool of somebody else's, which reads its number from a text or a number.",
    block_types=["count_to"],
    execute=MCP.execute,
    parameters=[Parameter(name="number", type="string", required=True)],
)


@pytest.fixture(scope="module")
def available() -> list[ToolSpec]:
    """Every tool of gptme that can be called, whether or not its program is installed."""
    return [tool for tool in get_available_tools() if tool.execute is not None]


@pytest.fixture(autouse=True)
def tools(own_world: Config, available: list[ToolSpec]) -> Iterator[None]:
    set_tools([*available, MCP, PLUGGED_IN])
    register_hooks()
    veto._unheard.clear()
    veto._told.clear()
    yield
    set_tools([])


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_row(row: dict[str, Any]) -> None:
    (use,) = ToolUse.iter_from_content(row["text"], row["form"])
    result = _before_run(use)
    if row["vetoes"] is None:
        assert result is None
    else:
        assert result is not None and result.action is ConfirmAction.SKIP
        assert row["vetoes"] in (result.message or "")
        assert use.tool in (result.message or "")


@pytest.mark.parametrize("form", FORMATS)
def test_gptmes_own_examples_pass(form: Any, available: list[ToolSpec]) -> None:
    """What gptme shows its models is what it runs: all of it must run."""
    seen: set[str] = set()
    for spec in available:
        for turn in _turns(spec, form):
            # A call of an example need not be of the tool that it explains.
            for use in ToolUse.iter_from_content(turn, form):
                tool, found = veto.faults(use)
                assert found == [], f"{spec.name}: {use}"
                seen |= {use.tool} if tool is not None else set()
    assert seen >= {"shell", "ipython", "save", "append", "patch"}


def _turns(spec: ToolSpec, form: Any) -> list[str]:
    """What the roles of a tool's examples say, with the ids that native calls lack there."""
    text = spec.examples(form) if callable(spec.examples) else spec.examples
    turns = re.split(r"^> (?:User|Assistant|System):", text, flags=re.MULTILINE)
    return [re.sub(r"^@(\w+): ", r"@\1(call-1): ", t, flags=re.MULTILINE) for t in turns]


def test_every_tool_with_all_that_it_requires_passes(available: list[ToolSpec]) -> None:
    sample = {"string": "x", "integer": 1, "boolean": True}
    for spec in available:
        kwargs: Any = {p.name: sample.get(p.type, "x") for p in spec.parameters if p.required}
        use = ToolUse(spec.name, None, None, kwargs, "call-1", _format="tool")
        assert _before_run(use) is None, spec.name


def test_code_of_a_tools_function_is_no_call_of_that_tool(own_world: Config) -> None:
    """gptme asks about such code in the name of the tool whose function it calls."""
    assert _before_run(ToolUse("convert", [], "convert('a.png', 'b.jpg')")) is None


def test_a_tool_that_is_not_loaded_is_none_of_ours() -> None:
    assert _before_run(ToolUse("nothing_like_it", [], "")) is None


# -- whose calls ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"enabled": False},
        {"models": {"other/*": {"enabled": True}}},
        {"enabled": True, "retrys": 1},
    ],
)
def test_it_is_for_enabled_models(own_world: Config, settings: dict[str, Any]) -> None:
    own_world.user.plugin["reliability"] = settings
    assert _before_run(NO_PATH) is None


def test_observing_only_tells(own_world: Config, capsys: pytest.CaptureFixture[str]) -> None:
    own_world.user.plugin["reliability"]["mode"] = "observe"
    assert _before_run(NO_PATH) is None
    assert capsys.readouterr().err == (
        "reliability: observing, nothing changed: would not run save: "
        "required argument 'path' is missing\n"
    )


def test_the_user_is_told(own_world: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert _before_run(NO_PATH) is not None
    said = "reliability: not run: save: required argument 'path' is missing\n"
    assert capsys.readouterr().err == said
    own_world.user.plugin["reliability"]["notice"] = False
    assert _before_run(NO_PATH) is not None
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: ToolUse) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(veto, "faults", broken)
    assert _before_run(NO_PATH) is None


# -- among gptme's own hooks ----------------------------------------------------------------


def answer(action: Any) -> list[ToolUse]:
    """Have the user asked by a hook that answers so; what they were asked about."""
    asked: list[ToolUse] = []

    def ask(tool_use: ToolUse, preview: Any = None, workspace: Any = None) -> ConfirmationResult:
        asked.append(tool_use)
        return ConfirmationResult(action)

    register_hook("cli_confirm", HookType.TOOL_CONFIRM, ask, priority=0)
    return asked


@pytest.mark.parametrize("action", [ConfirmAction.CONFIRM, ConfirmAction.SKIP])
def test_the_user_decides_about_a_valid_call(action: ConfirmAction) -> None:
    asked = answer(action)
    assert get_confirmation(LIST).action is action
    assert asked == [LIST]


def test_the_user_is_not_asked_about_a_call_that_cannot_run() -> None:
    asked = answer(ConfirmAction.CONFIRM)
    result = get_confirmation(NO_PATH)
    assert result.action is ConfirmAction.SKIP
    assert "required argument 'path' is missing" in (result.message or "")
    assert asked == []


def test_without_a_hook_for_asking_gptme_confirms_as_before() -> None:
    assert [hook.name for hook in get_hooks(HookType.TOOL_CONFIRM)] == ["reliability.confirm"]
    assert get_confirmation(LIST).action is ConfirmAction.CONFIRM
    assert get_confirmation(LIST, default_confirm=False).action is ConfirmAction.SKIP


def test_ours_is_asked_first() -> None:
    register_hook("cli_confirm", HookType.TOOL_CONFIRM, cli_confirm_hook, priority=0)
    hooks = [hook.name for hook in get_hooks(HookType.TOOL_CONFIRM)]
    assert hooks == ["reliability.confirm", "cli_confirm"]


# -- tools that keep the reason to themselves -----------------------------------------------


def told() -> list[str]:
    manager: Any = None
    return [message.content for message in _after_turn(manager, interactive=False)]


def test_the_model_is_told_once_where_the_result_says_nothing() -> None:
    assert told() == []
    _before_run(NO_PATH)
    assert told() == []
    _before_run(NO_CODE)
    (words,) = told()
    assert "required argument 'code' is missing" in words
    assert told() == []


def test_a_model_that_learns_nothing_is_told_no_more() -> None:
    heard = 0
    for _ in range(10):
        _before_run(NO_CODE)
        heard += len(told())
    assert heard == 3


def test_a_turn_that_went_well_begins_the_count_anew() -> None:
    for _ in range(5):
        _before_run(NO_CODE)
        assert told() != []
        assert told() == []


def test_a_turn_that_begins_leaves_nothing_of_an_earlier_one_to_tell() -> None:
    """A call that the user wrote ends no turn."""
    _before_run(NO_CODE)
    manager: Any = None
    assert list(_before_step(manager)) == []
    assert told() == []


def test_a_server_which_tells_nothing_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "in_server", lambda: True)
    assert _before_run(NO_CODE) is not None
    assert veto._unheard == {}
