"""Our scenarios as a suite of gptme's own ``gptme-eval``."""

from __future__ import annotations

import importlib.util
import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from eval_world import SCENARIOS
from suite_world import FORMATS, play

from gptme_reliability.evals import suite
from gptme_reliability.evals.suite.reliability import tests as specs
from gptme_reliability.evals.suite_checks import Answered, NothingCalled
from gptme_reliability.evals.suite_specs import obstacle, spec_of
from gptme_reliability.evals.tasks.scenario import Scenario, read_scenario

COMMAND: Final = [sys.executable, "-m", "gptme_reliability.cli", "eval", "suite"]
INVENTED: Final = "its tools are inventions"
FILE_WORLD: Final = {name: s for name, s in SCENARIOS.items() if obstacle(s) is None}


@dataclass
class Ended:
    """A workspace at the end."""

    files: dict[str, str | bytes] = field(default_factory=dict)


@dataclass
class Message:
    """A message of gptme's log."""

    role: str
    content: str = ""


def in_the_end(scenario: Scenario) -> dict[str, str | bytes]:
    """The files as they are wanted."""
    files = {**scenario.given.get("files", {}), **scenario.goal.get("files", {})}
    return {path: content for path, content in files.items() if content is not None}


def failing(spec: Mapping[str, Any], files: Mapping[str, str | bytes]) -> list[str]:
    return [what for what, check in spec["expect"].items() if not check(Ended(dict(files)))]


# -- which scenarios go over ------------------------------------------------------------------


def test_each_scenario_goes_over_or_there_is_a_reason() -> None:
    """The help says how many, and of each kind there is at least one that a gptme can do."""
    why = Counter(obstacle(scenario) for scenario in SCENARIOS.values())
    assert why.keys() == {None, INVENTED, "the user names a tool that gptme lacks"}
    made = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True)
    numbers = [int(number) for number in re.findall(r"(?<![\w.:/])\d+(?= |,)", made.stdout)]
    total = sum(why.values())
    assert numbers[:5] == [why[None], total, total - why[None], why[INVENTED], 1], made.stdout
    kinds = {SCENARIOS[name].category for name in FILE_WORLD}
    assert kinds == {scenario.category for scenario in SCENARIOS.values()} - {"nested"}


DELETE: Final[dict[str, Any]] = {
    "id": "one",
    "tools": ["delete_file", "list_files"],
    "user": "Delete a.txt.",
    "given": {"files": {"a.txt": "1"}},
    "goal": {"files": {"a.txt": None}},
}
DONE: Final = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"tools": ["delete_file", "weather"]}, INVENTED),
        ({"tools": [{"function": {"name": "delete_file"}}]}, INVENTED),
        ({"user": "Call delete_file for a.txt."}, "the user names a tool that gptme lacks"),
        (
            {
                "user": "Write 'delete_file()\n' into b.md.",
                "goal": {"files": {"b.md": "delete_file()\n"}},
            },
            None,
        ),
        ({"calls": [{"name": "list_files"}]}, "it wants certain calls, not a state"),
        (
            {"user": None, "messages": [*DONE, {"role": "user", "content": "Delete a.txt."}]},
            "it begins within a conversation",
        ),
    ],
)
def test_obstacles(change: dict[str, Any], why: str | None) -> None:
    row = {key: value for key, value in {**DELETE, **change}.items() if value is not None}
    assert obstacle(read_scenario(row)) == why


# -- what gptme-eval gets ---------------------------------------------------------------------


def test_the_specs_are_what_gptme_wants() -> None:
    """Its keys and no others, names that are nobody else's, checks that reach another process."""
    from gptme.eval.suites import tests_map
    from gptme.eval.types import EvalSpec

    assert len(specs) == len(FILE_WORLD) >= 20
    needed = {"name", "files", "run", "prompt", "expect"}
    for spec in specs:
        assert needed <= spec.keys() <= EvalSpec.__annotations__.keys()
        assert pickle.loads(pickle.dumps(spec)) == spec
    names = [spec["name"] for spec in specs]
    assert len({*names}) == len(names) and not {*names} & {*tests_map} - {*names}


def test_gptme_can_load_the_file_by_itself() -> None:
    """``gptme-eval -E FILE`` imports the file by its stem, its directory being on the path."""
    path = Path(*suite.__path__) / "reliability.py"
    assert path.stem.isidentifier() and {p.name for p in path.parent.glob("*.py")} == {
        "__init__.py",
        "reliability.py",
    }
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert module.tests == specs


@pytest.mark.parametrize("name", FILE_WORLD)
def test_the_right_end_passes_and_no_other(name: str) -> None:
    """Done is passed; not done, one file changed or gone, one too many: each fails."""
    scenario, spec = FILE_WORLD[name], spec_of(FILE_WORLD[name])
    right = in_the_end(scenario)
    assert failing(spec, right) == []
    for path in right:
        assert [what for what in failing(spec, {**right, path: "spoilt"}) if path in what]
        assert failing(spec, {other: right[other] for other in right if other != path})
    assert failing(spec, {**right, "stray.txt": ""}) == ["nothing else is there"]
    if not scenario.quiet:
        assert failing(spec, spec["files"])
        assert "complete" in spec["tools"] and "check_log" not in spec
    else:
        assert "complete" not in spec["tools"] and "no tool is called" in spec["check_log"]


def test_a_file_may_end_otherwise_where_the_scenario_says_so() -> None:
    spec = spec_of(SCENARIOS["single/write"])
    right = in_the_end(SCENARIOS["single/write"])
    assert failing(spec, {**right, "status.txt": "ready\n"}) == []
    assert failing(spec, {**right, "status.txt": b"cmVhZHk="}) == ["status.txt is right"]


@pytest.mark.parametrize(
    ("roles", "passes"),
    [
        ("system system user assistant", True),
        ("system user assistant user assistant", True),
        ("system user system assistant", True),
        ("system user assistant system", False),
        ("system user assistant system assistant user assistant", False),
        ("system user assistant user assistant system assistant", False),
        ("", True),
    ],
)
def test_nothing_called(roles: str, passes: bool) -> None:
    """A result stands right behind the answer that called."""
    assert NothingCalled()([Message(role) for role in roles.split()]) is passes


@pytest.mark.parametrize(
    ("log", "passes"),
    [
        ([Message("user", "Hi"), Message("assistant", "Hello!")], True),
        ([Message("user", "Hi"), Message("assistant", " \n")], False),
        ([Message("system", "You are."), Message("user", "Hi")], False),
    ],
)
def test_answered(log: list[Message], passes: bool) -> None:
    """Who cannot be reached calls nothing, which must not count as right."""
    assert Answered()(log) is passes


# -- the real gptme-eval ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme-eval needs process groups")
def test_the_real_gptme_eval(tmp_path: Path) -> None:
    """In each format: a task that is done, one that is done wrongly, one that asks for nothing.

    In native format the call is written as weak models write it: that it runs at all shows that
    the plugin is on.
    """
    names = ["reliability-single-delete", "reliability-irrelevance-only-tell"]
    commands = {"Delete old.log": "rm old.log", "With which shell command": "rm a.txt"}
    checks, errors = play([*names, "reliability-chat-hello"], commands, tmp_path)
    assert checks.keys() == {*FORMATS}, errors
    for form, results in checks.items():
        done, wrong, quiet = results.values()
        assert done and all(done.values()), (form, done)
        assert quiet and all(quiet.values()), (form, quiet)
        assert {what for what, passed in wrong.items() if not passed} == {
            "a.txt stays",
            "no tool is called",
        }, (form, wrong)


@pytest.mark.slow
def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    """One line, and no traceback."""
    made = subprocess.run([*COMMAND, "nobody"], capture_output=True, text=True, cwd=tmp_path)
    assert made.returncode == 2
    said = made.stderr.splitlines()[-1]
    assert said.startswith("gptme-reliability: gptme-eval: ")
    assert said.endswith("'nobody' not found; --list shows the names")
    assert "Traceback" not in made.stderr


def test_no_container() -> None:
    """Where the suite would not be there, nothing runs."""
    made = subprocess.run([*COMMAND, "--use-docker"], capture_output=True, text=True)
    assert made.returncode == 2 and made.stdout == ""
    assert "its container has neither this suite nor the plugin" in made.stderr
