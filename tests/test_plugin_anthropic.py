"""The plugin under gptme's Anthropic clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic_world import MESSAGES, OFFER, use, whole
from gptme.config import ChatConfig, Config
from gptme.llm import llm_anthropic
from plugin_world import own_world as own_world
from scripted_server import serving

from gptme_reliability.surfaces.gptme import registry
from gptme_reliability.surfaces.gptme.anthropic_client import CheckedAnthropic
from gptme_reliability.surfaces.gptme.plugin import init

MODEL = "anthropic/claude-haiku-4-5"
WRAPPED = {"enabled": False, "models": {"anthropic/*": {"enabled": True}}}


@pytest.fixture(autouse=True)
def own_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_anthropic", "_anthropic_gptme", "_anthropic_gptme_key"):
        monkeypatch.setattr(llm_anthropic, name, None)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    yield


def configured(config: Config, **section: Any) -> Any:
    config.user.plugin["reliability"] = section
    config.chat = ChatConfig(model=MODEL)
    init(config)
    return llm_anthropic.get_client()


def test_the_client_of_the_session_is_wrapped_before_gptme_makes_it(own_world: Config) -> None:
    client = configured(own_world, **WRAPPED)
    assert isinstance(client, CheckedAnthropic)
    assert registry.self_check().clients["anthropic"] == "waiting"
    init(own_world)
    assert llm_anthropic.get_client() is client  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("section", [{"enabled": False}, {}])
def test_who_did_not_ask_for_it_gets_nothing(section: dict[str, Any], own_world: Config) -> None:
    assert configured(own_world, **section) is None
    llm_anthropic.init(own_world)  # type: ignore[no-untyped-call]
    before = llm_anthropic.get_client()
    registry.ensure(MODEL)
    assert llm_anthropic.get_client() is before
    assert "anthropic" not in registry.self_check().clients


def test_what_was_replaced_is_wrapped_again(own_world: Config) -> None:
    configured(own_world, **WRAPPED)
    llm_anthropic.reinit("another")
    assert not isinstance(llm_anthropic.get_client(), CheckedAnthropic)
    registry.ensure(MODEL)
    client: Any = llm_anthropic.get_client()
    assert isinstance(client, CheckedAnthropic) and client.api_key == "another"


def test_without_a_key_gptme_says_so_itself(
    own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setattr("gptme.credentials.get_stored_api_key", lambda provider: None)
    assert configured(own_world, **WRAPPED) is None


def test_the_client_of_the_gateway_is_wrapped(
    own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gptme.llm.llm_gptme.get_api_key", lambda config: "token")
    own_world.user.plugin["reliability"] = {"models": {"gptme/*": {"enabled": True}}}
    registry.ensure("gptme/anthropic/claude-haiku-4-5")
    client: Any = llm_anthropic._get_gptme_client()
    assert isinstance(client, CheckedAnthropic) and client.api_key == "token"


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "anthropic/claude-haiku-4-5"])
def test_requests_are_checked_under_the_name_that_the_user_knows(
    model: str, own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy gets the provider with the name."""
    with serving(whole([use("Look", {"place": "hall"})])) as script:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", script.url.removesuffix("/v1"))
        client = configured(own_world, models={MODEL: {"enabled": True}})
        made = client.messages.create(model=model, max_tokens=9, messages=MESSAGES, tools=OFFER)
    assert made.content[0].name == "look"
    assert registry.self_check().clients["anthropic"] == "checked"
