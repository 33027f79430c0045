"""Hooks that never fire, and what hooks cannot do."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from defects import reproduced
from gptme.constants import DECLINED_CONTENT
from gptme.hooks import HookType, register_hook
from gptme.hooks.confirm import ConfirmationResult
from gptme.hooks.types import StopPropagation, ToolExecutePreData
from gptme.message import Message
from gptme_world import call, converse, files, world

from gptme_reliability.evals.scenarios import Answer

__all__ = ["world"]
pytestmark = pytest.mark.upstream

WRITES: Final[Answer] = {"calls": [call("shell", {"command": "echo ran > marker"})]}
RAN: Final = {"marker": "ran\n"}
RETURNING: Final = (HookType.TOOL_CONFIRM, HookType.ELICIT)
"""Hooks that give an answer of their own kind."""


@pytest.fixture
def fired() -> set[HookType]:
    """The hooks that fired, with one of our own registered for every type."""
    seen: set[HookType] = set()
    for kind in HookType:
        if kind not in RETURNING:
            register_hook(f"seen-{kind.name}", kind, _recorder(kind, seen))
    return seen


def _recorder(kind: HookType, seen: set[HookType]) -> Any:
    def record(*_: Any, **__: Any) -> Iterator[Message]:
        seen.add(kind)
        yield from ()

    return record


NEVER: Final = (
    ("message-transform-never-fires", HookType.MESSAGE_TRANSFORM),
    ("tool-transform-never-fires", HookType.TOOL_TRANSFORM),
    ("step-post-never-fires", HookType.STEP_POST),
    ("step-post-never-fires", HookType.GENERATION_INTERRUPT),
)


@pytest.mark.parametrize(("defect", "kind"), NEVER, ids=[kind.name for _, kind in NEVER])
def test_a_declared_hook_never_fires(
    defect: str, kind: HookType, fired: set[HookType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn with a call in it triggers its neighbours, and not this one."""
    converse(monkeypatch, WRITES)
    assert fired >= {
        *(HookType.STEP_PRE, HookType.GENERATION_PRE, HookType.GENERATION_POST),
        *(HookType.TOOL_EXECUTE_PRE, HookType.TOOL_EXECUTE_POST, HookType.TURN_POST),
    }
    with reproduced(defect):
        assert kind not in fired


def _raises(data: ToolExecutePreData) -> Generator[Any, None, None]:
    raise PermissionError("this must not run")


def _yields(data: ToolExecutePreData) -> Generator[Any, None, None]:
    yield Message("system", "This must not run.")
    yield StopPropagation()


@pytest.mark.parametrize("hook", [_raises, _yields])
def test_a_hook_before_execution_cannot_stop_it(
    hook: Any, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """It may raise or yield what it likes; the call runs."""
    register_hook("stopper", HookType.TOOL_EXECUTE_PRE, hook)
    converse(monkeypatch, WRITES)
    with reproduced("pre-hook-cannot-stop"):
        assert files(world) == RAN


def test_what_a_hook_changed_is_not_in_the_log(
    monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """The model goes on from arguments that never ran."""

    def change(data: ToolExecutePreData) -> Generator[Any, None, None]:
        assert data.tool_use is not None and data.tool_use.kwargs is not None
        data.tool_use.kwargs["command"] = "echo changed > marker"
        yield from ()

    register_hook("changer", HookType.TOOL_EXECUTE_PRE, change)
    talk = converse(monkeypatch, WRITES)
    assert files(world) == {"marker": "changed\n"}
    with reproduced("changed-arguments-not-logged"):
        assert "echo ran" in talk.log[0].content and "changed" not in talk.log[0].content


def test_a_tool_runs_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """``shell`` asks the confirmation hook, ``todo`` does not."""
    asked: list[str] = []

    def refuse(tool_use: Any, preview: Any = None, workspace: Any = None) -> ConfirmationResult:
        asked.append(tool_use.tool)
        return ConfirmationResult.skip("no")

    register_hook("refuser", HookType.TOOL_CONFIRM, refuse)
    adds = call("todo", {"operation": "add", "content": "Look."}, "call-2")
    talk = converse(monkeypatch, WRITES, {"calls": [adds]})
    assert asked[:1] == ["shell"] and len(talk.results) == 2
    with reproduced("tools-that-never-ask"):
        assert asked == ["shell"]


def test_a_skipped_ipython_call_ends_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hook said is thrown away; after a skipped shell call the model goes on."""

    def refuse(tool_use: Any, preview: Any = None, workspace: Any = None) -> ConfirmationResult:
        return ConfirmationResult.skip("'code' is missing")

    register_hook("refuser", HookType.TOOL_CONFIRM, refuse)
    shell = converse(monkeypatch, WRITES)
    assert len(shell.requests) == 2 and "'code' is missing" in shell.results[0]
    talk = converse(monkeypatch, {"calls": [call("ipython", {"code": "1"})]})
    with reproduced("skipped-ipython-ends-the-turn"):
        assert talk.results == [DECLINED_CONTENT] and len(talk.requests) == 1
