"""The lessons: what they say, and to which models gptme offers them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gptme.config import Config
from gptme.lessons import LessonIndex, LessonMatcher, MatchContext
from gptme.tools import set_tool_format
from plugin_world import MODEL, own_world
from weak_gptme import converse
from weak_models import BEHAVIOURS

from gptme_reliability.data import data_dir
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.surfaces.gptme.lessons import offer
from gptme_reliability.surfaces.gptme.plugin import register_hooks

__all__ = ["own_world"]

VARIABLE = "GPTME_LESSONS_EXTRA_DIRS"
FORMATS: tuple[Any, ...] = ("markdown", "xml", "tool")
ALL = sorted(data_dir("lessons").rglob("*.md"))


def offered() -> list[str]:
    """The last two parts of each directory."""
    known = os.environ.get(VARIABLE, "")
    return ["/".join(Path(part).parts[-2:]) for part in known.split(":") if part]


@pytest.fixture(autouse=True)
def markdown(own_world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    set_tool_format("markdown")


def test_lessons_are_opt_in(own_world: Config) -> None:
    register_hooks()
    assert VARIABLE not in os.environ
    own_world.user.plugin["reliability"]["lessons"] = True
    register_hooks()
    register_hooks()
    assert offered() == ["lessons/common", "lessons/markdown"]


def test_the_users_own_directories_stay(own_world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = data_dir("lessons").with_name("lessons-of-mine")
    monkeypatch.setenv(VARIABLE, f"/some/where:{beside}")
    own_world.user.plugin["reliability"]["lessons"] = True
    offer(MODEL)
    users = ["some/where", f"{beside.parent.name}/lessons-of-mine"]
    assert offered() == [*users, "lessons/common", "lessons/markdown"]
    own_world.user.plugin["reliability"]["lessons"] = False
    offer(MODEL)
    assert offered() == users


@pytest.mark.parametrize("form", FORMATS)
def test_a_format_has_its_own(own_world: Config, form: Any) -> None:
    set_tool_format("xml")
    own_world.user.plugin["reliability"]["lessons"] = True
    offer(MODEL)
    set_tool_format(form)
    offer(MODEL)
    assert offered() == ["lessons/common", f"lessons/{form}"]


@pytest.mark.parametrize(
    ("said", "model", "has"),
    [
        ({"lessons": "small"}, "local/qwen2.5:7b", True),
        ({"lessons": "small"}, "local/qwen2.5:32b", False),
        ({"lessons": "small"}, "local/nobody-knows", False),
        ({"lessons": "small", "models": {"local/no*": {"size_b": 3}}}, "local/nobody-knows", True),
        ({"models": {"local/*": {"lessons": True}}}, "local/nobody-knows", True),
        ({"models": {"local/*": {"lessons": True}}}, "other/model", False),
        ({"lessons": True, "enabled": False}, "local/qwen2.5:7b", False),
        ({"lessons": True, "mode": "observe"}, "local/qwen2.5:7b", False),
        ({"lessons": "big"}, "local/qwen2.5:7b", False),
    ],
)
def test_which_models_have_them(
    own_world: Config, said: dict[str, Any], model: str, has: bool
) -> None:
    own_world.user.plugin["reliability"] = {"enabled": True, **said}
    offer(model)
    assert bool(offered()) == has


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_gptme_reads_a_lesson(path: Path) -> None:
    (lesson,) = [one for one in LessonIndex([path.parent]).lessons if one.path == path]
    assert lesson.title != "Untitled"
    assert lesson.metadata.keywords or lesson.metadata.patterns
    assert len(lesson.body) < 700  # about 200 tokens


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_offered_before_and_after_a_fault(form: str) -> None:
    index = LessonIndex([data_dir("lessons") / "common", data_dir("lessons") / form])
    match = LessonMatcher().match

    def found(said: str) -> set[str]:
        return {result.lesson.path.stem for result in match(index.lessons, MatchContext(said))}

    (how,) = [path.stem for path in ALL if path.parent.name == form]
    assert found("look around") == {"results", how}
    assert found("(not run: shell - the argument 'command' is missing)") >= {"after-a-fault"}
    assert found("No tool call detected in last message.") >= {"after-a-fault", "done"}


def test_no_lesson_holds_a_call() -> None:
    """What a model copies from a lesson must not run."""
    for path in ALL:
        text = path.read_text(encoding="utf-8")
        assert "```" not in text
        assert "<tool-use>" not in text
        assert "@" not in text


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [True, False])
def test_the_model_is_sent_them(wanted: bool) -> None:
    """Through the real ``gptme -n``."""
    behaviour = replace(BEHAVIOURS[0], policy={"lessons": wanted})
    launcher = Launcher(warm=True)
    try:
        run = converse(behaviour, launcher, streamed=True, besides=["lessons"])
    finally:
        launcher.kill()
    assert run.exit_code == 0
    sent = json.dumps(run.bodies[0]["messages"])
    assert ("Arguments in JSON" in sent) == wanted
    assert "Writing a call as" not in sent
