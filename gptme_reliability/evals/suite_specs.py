"""Scenarios as ``gptme-eval`` has them: real files, gptme's own tools, the state in the end.

A scenario goes over when gptme's tools can do what its own would: those of the file world.
What gets lost: a wrong step that was undone again is not seen, only the state in the end is;
and there is no limit on the number of answers, ``gptme-eval`` has one on the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gptme_reliability.evals.suite_checks import (
    Answered,
    FileIs,
    NothingBut,
    NothingCalled,
)
from gptme_reliability.evals.tasks.scenario import Scenario, shipped_scenarios

_FILE_TOOLS: Final = frozenset(
    {
        *("read_file", "write_file", "append_file", "replace_in_file"),
        *("delete_file", "move_file", "list_files"),
    }
)
_TOOLS: Final = ("read", "save", "append", "patch", "shell")
_AT_THE_END: Final = "complete"
_RUN: Final = "ls -lAR"  # nothing is tested with it; it shows what is there


def _names_a_tool(scenario: Scenario) -> bool:
    """Within what is to be written, a name is only a word."""
    text = str(scenario.messages[-1].get("content", ""))
    for content in scenario.goal.get("files", {}).values():
        text = text.replace(content.strip(), "") if content else text
    return any(tool.name in text for tool in scenario.tools)


_OBSTACLES: Final[Mapping[str, Callable[[Scenario], bool]]] = {
    "its tools are inventions": lambda one: (
        not {t.name for t in one.tools} <= _FILE_TOOLS or bool(one.recorded)
    ),
    "the user names a tool that gptme lacks": _names_a_tool,
    "it wants certain calls, not a state": lambda one: bool(one.calls),
    "it begins within a conversation": lambda one: len(one.messages) != 1,
}


def obstacle(scenario: Scenario) -> str | None:
    """Why gptme's own tools cannot do a scenario; None where they can."""
    return next((why for why, stands in _OBSTACLES.items() if stands(scenario)), None)


def specs() -> list[dict[str, Any]]:
    """The shipped scenarios that can go over, each as an ``EvalSpec`` of gptme."""
    return [spec_of(scenario) for scenario in shipped_scenarios() if obstacle(scenario) is None]


def spec_of(scenario: Scenario) -> dict[str, Any]:
    """A scenario as an ``EvalSpec`` of gptme (0.32 to 0.35, ``eval/types.py``).

    With ``complete`` on offer gptme asks whoever called nothing for a call: where none may be
    made it is not.
    """
    spec = {
        "name": "reliability-" + scenario.id.replace("/", "-"),
        "files": dict(scenario.given.get("files", {})),
        "run": _RUN,
        "prompt": scenario.messages[0]["content"],
        "tools": [*_TOOLS] if scenario.quiet else [*_TOOLS, _AT_THE_END],
        "expect": dict(_checks(scenario)),
    }
    if scenario.quiet:
        spec["check_log"] = {"no tool is called": NothingCalled(), "it answers": Answered()}
    return spec


def _checks(scenario: Scenario) -> Iterator[tuple[str, Callable[[Any], bool]]]:
    given, goal = scenario.given.get("files", {}), scenario.goal.get("files", {})
    for path, content in goal.items():
        what = "is gone" if content is None else "is right"
        yield f"{path} {what}", FileIs(path, tuple(scenario.right("files", path)))
    for path in (path for path in given if path not in goal):
        yield f"{path} stays", FileIs(path, tuple(scenario.right("files", path)))
    yield "nothing else is there", NothingBut(frozenset({*given, *goal}))
