"""The plugin reads the capability card of the server that gptme talks to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from gptme.config import Config, set_config
from gptme.config.models import UserConfig
from gptme.llm import llm_openai
from gptme.llm.models import get_model
from plugin_world import MODEL, own_world
from probe_world import CARD

from gptme_reliability.contract import Broken, Contract, contract, on_wire
from gptme_reliability.identity import identify
from gptme_reliability.surfaces.capabilities import card_path, save_card
from gptme_reliability.surfaces.gptme import registry
from gptme_reliability.surfaces.gptme.command import describe
from gptme_reliability.surfaces.gptme.host import GptmeHost
from gptme_reliability.surfaces.sampling import Agreement
from gptme_reliability.surfaces.served import Served
from gptme_reliability.types import ModelFacts

__all__ = ["own_world"]  # a fixture that every test here uses

URL: Final = "http://127.0.0.1:9/v1"
NAME: Final = MODEL.removeprefix("local/")
BODY: Final = {"model": NAME, "tools": []}


@pytest.fixture(autouse=True)
def card(own_world: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A card for gptme's local server and this model, and gptme's client for it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = card_path(URL, NAME)
    save_card(replace(CARD, endpoint=URL, model=NAME), path)
    registry.ensure(MODEL)
    llm_openai.init("local", own_world)
    yield path


def used() -> None:
    """What a first request does to gptme's client."""
    assert llm_openai.get_client("local").base_url


def shown(monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``/reliability`` says of the card."""
    monkeypatch.setattr("gptme.llm.models.get_default_model", lambda: get_model(MODEL))
    (line,) = (line for line in describe() if line.startswith("probe"))
    return line


def facts(host: GptmeHost) -> ModelFacts:
    settings = host.settings("local", BODY)
    assert settings is not None
    return settings.facts


def test_the_card_tells_what_the_server_does() -> None:
    host = GptmeHost()
    assert facts(host) == ModelFacts()
    used()
    assert facts(host) == ModelFacts(
        native_tools=True, tool_choice=True, response_format=True, source="probe"
    )


def agreed(host: GptmeHost, served: Served) -> None:
    """A request was agreed on with a server that said this of itself."""
    agreement = contract(identify(NAME), (), unknown="warn")
    assert isinstance(agreement, Contract)
    wire = on_wire(agreement, served.backend)
    assert not isinstance(wire, Broken)
    host.agreements[MODEL] = Agreement(MODEL, agreement, wire, served)


def test_what_the_user_says_counts_first(own_world: Config) -> None:
    said = {"enabled": True, "models": {MODEL: {"tool_choice": False, "native_tools": True}}}
    set_config(Config(user=UserConfig(plugin={"reliability": said})))
    used()
    got = facts(GptmeHost())
    assert (got.tool_choice, got.native_tools, got.response_format) == (False, True, True)
    assert got.source == "config"


@pytest.mark.parametrize(
    ("served", "counts"),
    [
        (Served("llama.cpp", name="tiny.gguf"), True),
        (Served("llama.cpp", name="other.gguf"), False),
        (Served("ollama"), False),
    ],
)
def test_a_card_that_is_older_than_the_server_is_told_once(
    served: Served, counts: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    host = GptmeHost()
    used()
    agreed(host, served)
    assert (facts(host).tool_choice is True) == counts
    assert facts(host).tool_choice is (True if counts else None)
    told = capsys.readouterr()
    lines = (told.out + told.err).count("the probe of 2026-03-04 is not used")
    assert lines == (0 if counts else 1)


@pytest.mark.parametrize("text", ["nonsense", "", "version = 1", "\x00"])
def test_a_broken_card_costs_nothing_but_a_line(
    card: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    card.write_text(text, encoding="utf-8")
    used()
    assert facts(GptmeHost()) == ModelFacts()
    told = capsys.readouterr()
    assert (told.out + told.err).count("no capability card") == 1


def test_a_fault_of_ours_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr("gptme_reliability.surfaces.capabilities.measured", broken)
    used()
    assert facts(GptmeHost()) == ModelFacts()
    assert "cannot be read (RuntimeError)" in shown(monkeypatch)


def test_the_command_shows_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no card read" in shown(monkeypatch)
    used()
    assert "2026-03-04: native_tools = true, tool_choice = true" in shown(monkeypatch)
