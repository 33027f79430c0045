"""Whose word the environment is: the user's at the start, nobody's when it came later."""

from __future__ import annotations

from contextvars import copy_context

import pytest
from gptme.config import Config
from gptme.config.models import UserConfig
from gptme.hooks import current_conversation_id

from gptme_reliability.surfaces.gptme import environment
from gptme_reliability.surfaces.gptme.config import load
from gptme_reliability.surfaces.keys import ModelConfig

NAME = "GPTME_RELIABILITY_RETRIES"


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was said and nothing is known of the start."""
    monkeypatch.setattr(environment, "_known", [])
    monkeypatch.setattr(environment, "_at_start", {})
    for name in (NAME, NAME.removeprefix("GPTME_")):
        monkeypatch.delenv(name, raising=False)


def loaded(*, in_server: bool) -> ModelConfig:
    """The settings of a user whose config says so, with a retry more than by default."""
    user = UserConfig(env={"RELIABILITY_RETRIES": "5"}, plugin={"reliability": {"enabled": True}})

    def read() -> ModelConfig:
        current_conversation_id.set("conversation" if in_server else None)
        return load(Config(user=user), "local/some")

    return copy_context().run(read)


@pytest.mark.parametrize(
    ("at_start", "later", "in_server", "retries"),
    [
        ("1", "1", True, 1),
        ("1", "9", True, 1),
        (None, "9", True, 5),
        (None, None, True, 5),
        (None, "9", False, 9),
    ],
)
def test_what_came_late_to_a_server_is_nobodys_word(
    at_start: str | None,
    later: str | None,
    in_server: bool,
    retries: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What gptme read from the ``.env`` of a workspace neither adds nor changes a setting."""
    if at_start is not None:
        monkeypatch.setenv(NAME, at_start)
    environment.remember()
    if later is not None:
        monkeypatch.setenv(NAME, later)
    found = loaded(in_server=in_server)
    assert found.values["retries"] == retries
    late = in_server and at_start != later
    assert [NAME in complaint for complaint in found.complaints] == ([True] if late else [])


def test_only_the_first_look_is_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """gptme initializes plugins again, for its doctor and in each of its threads."""
    environment.remember()
    monkeypatch.setenv(NAME, "9")
    environment.remember()
    assert environment.at_start("RELIABILITY_RETRIES") is None
