"""Capability cards: their files, what follows from them, and who reads them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from probe_world import CARD, MODEL

from gptme_reliability.errors import CardError
from gptme_reliability.probe.card import (
    CapabilityCard,
    above,
    beneath,
    changes,
    facts,
    read_card,
    write_card,
)
from gptme_reliability.probe.context import Context
from gptme_reliability.probe.finding import Finding
from gptme_reliability.surfaces.capabilities import card_path, measured, place, save_card
from gptme_reliability.surfaces.served import Served
from gptme_reliability.types import ModelFacts

KEY: Final = "sk-never-print-this"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config directory of the test's own; returns that of the cards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GPTME_RELIABILITY_UPSTREAM_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config" / "gptme" / "reliability" / "capabilities"


# --- cards --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "card",
    [
        CARD,
        replace(CARD, runs=None, sampling={}, context=Context()),
        replace(CARD, model='a"b\\c\u00e9\U0001f600', found={"overflow": Finding("cut", "é \"'")}),
    ],
)
def test_a_card_reads_back_the_same(card: CapabilityCard) -> None:
    assert read_card(write_card(card), "here") == card


def test_what_a_server_says_cannot_break_a_card() -> None:
    """Neither the file's form nor a terminal."""
    said = 'a"\n[found]\x1b[31m\x7f\ud800'
    card = replace(CARD, runs=said, found={"overflow": Finding("refused", said)})
    text = write_card(card)
    text.encode()
    read = read_card(text, "here")
    assert read.runs == 'a"\ufffd[found]\ufffd[31m\ufffd\ufffd' == read.found["overflow"].note


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 1", "version = 2"),
        ("version = 1", ""),
        ('model = "tiny"', "model = 7"),
        ("2026-03-04T05:06:07+00:00", "yesterday"),
        ("2026-03-04T05:06:07+00:00", "2026-03-04"),
        ("[found]", "[lost]"),
        ('usage = "yes"', "usage = 1"),
        ("[sampling]", "[[sampling]]"),
        ("= ", "== "),
    ],
)
def test_a_broken_card_is_none(old: str, new: str) -> None:
    text = write_card(CARD)
    assert old in text
    with pytest.raises(CardError, match="here is no capability card"):
        read_card(text.replace(old, new), "here")


def test_a_field_of_a_later_version_is_passed_over() -> None:
    text = write_card(CARD).replace("[found]", '[found]\ntelepathy = "yes"')
    assert read_card(text, "here") == CARD


def found(**values: str) -> CapabilityCard:
    return replace(CARD, found={name: Finding(value) for name, value in values.items()})


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (CARD, ModelFacts(native_tools=True, tool_choice=True, response_format=True)),
        (found(), ModelFacts()),
        (found(native_tools="leaked"), ModelFacts()),
        (found(native_tools="dropped"), ModelFacts(native_tools=False)),
        (found(native_tools="rejected"), ModelFacts(native_tools=False)),
        (found(tool_choice_required="no"), ModelFacts(tool_choice=False)),
        (found(tool_choice_required="rejected"), ModelFacts(tool_choice=False)),
        (found(tool_choice_required="unclear"), ModelFacts()),
        (found(response_format="accepted"), ModelFacts(response_format=False)),
        (found(response_format="rejected"), ModelFacts(response_format=False)),
        (
            found(response_format="accepted", structured="json_schema"),
            ModelFacts(response_format=True, structured="json_schema"),
        ),
    ],
)
def test_facts_of_a_card(card: CapabilityCard, expected: ModelFacts) -> None:
    assert facts(card) == replace(expected, source="probe")


def test_facts_rank_below_what_is_said_and_never_allow_what_a_card_denies() -> None:
    probe = ModelFacts(native_tools=True, tool_choice=True, response_format=False, source="probe")
    card = ModelFacts(family="gemma", native_tools=False, tool_choice=None, source="gemma-2")
    known = beneath(card, probe)
    assert (known.native_tools, known.tool_choice, known.response_format) == (False, True, False)
    assert (known.family, known.source) == ("gemma", "gemma-2")
    said = above(ModelFacts(native_tools=True, response_format=True, source="config"), probe)
    assert (said.native_tools, said.response_format, said.tool_choice) == (True, True, True)
    assert said.source == "config"


def test_changes() -> None:
    other = replace(
        CARD, runs="other.gguf", found={**CARD.found, "talks": Finding("no")}, context=Context(4096)
    )
    assert changes(CARD, CARD) == []
    assert changes(CARD, other) == [
        ("runs", "tiny.gguf", "other.gguf"),
        ("talks", "yes", "no"),
        ("context", "2048", "4096"),
    ]


# --- who reads them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://127.0.0.1:8080/v1", "http://localhost:8080/v1/", True),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080", True),
        ("http://host/v1", "http://HOST:80/v1", True),
        ("http://host/v1", "https://host/v1", False),
        ("http://host/v1", "http://host:81/v1", False),
        ("http://host/a/v1", "http://host/b/v1", False),
        ("http://localhost.example/v1", "http://127.0.0.1.example/v1", False),
    ],
)
def test_places(one: str, other: str, same: bool) -> None:
    assert (place(one) == place(other)) == same
    assert (card_path(one, MODEL) == card_path(other, MODEL)) == same


NAMED: Final = Served("llama.cpp", name="tiny.gguf")


@pytest.mark.parametrize(
    ("served", "used"),
    [
        (None, True),
        (Served(), True),
        (NAMED, True),
        (Served("llama.cpp"), True),
        (Served("llama.cpp", name="other.gguf"), False),
        (Served("vllm", name="tiny.gguf"), False),
    ],
)
def test_a_card_of_what_no_longer_runs_is_not_used(served: Served | None, used: bool) -> None:
    save_card(CARD, card_path(CARD.endpoint, MODEL))
    got = measured("http://localhost:8080/v1/", MODEL, served)
    assert (got.card == CARD) == used == (got.facts == facts(CARD))
    assert got.notice == "" if used else "2026-03-04" in got.notice
    assert used or "gptme-reliability probe http://localhost:8080/v1 --model tiny" in got.notice


def test_another_model_and_another_server_have_other_cards() -> None:
    save_card(CARD, card_path(CARD.endpoint, MODEL))
    assert measured(CARD.endpoint, "other").card is None
    assert measured("http://127.0.0.1:8081/v1", MODEL).card is None
    # A file that somebody put under the wrong name says nothing of that model.
    save_card(CARD, card_path(CARD.endpoint, "other"))
    assert measured(CARD.endpoint, "other").card is None


@pytest.mark.parametrize("model", ["", "\ud800", "../../etc/passwd", "a\0b", "x" * 9_999, "C:\\m"])
def test_any_name_of_a_model_has_a_place(model: str, config: Path) -> None:
    """Names come from whoever asks the proxy."""
    path = card_path(CARD.endpoint, model)
    assert path.parent == config and len(path.name) < 120
    assert re.fullmatch(r"[\w.-]+\.toml", path.name)
    assert measured(CARD.endpoint, model).card is None


def test_a_card_that_was_probed_again_counts_at_once() -> None:
    path = card_path(CARD.endpoint, MODEL)
    save_card(CARD, path)
    assert measured(CARD.endpoint, MODEL).facts.tool_choice is True
    save_card(found(tool_choice_required="no"), path)
    assert measured(CARD.endpoint, MODEL).facts.tool_choice is False
    path.write_text("nonsense", encoding="utf-8")
    broken = measured(CARD.endpoint, MODEL)
    assert broken.facts == ModelFacts() and str(path) in broken.notice


def test_the_proxy_reads_the_card_of_its_upstream(tmp_path: Path) -> None:
    from gptme_reliability.surfaces.facts import known
    from gptme_reliability.surfaces.proxy.options import ModelSettings

    save_card(found(tool_choice_required="no", native_tools="yes"), card_path(CARD.endpoint, MODEL))
    proxy = ModelSettings(upstream=CARD.endpoint)
    found_there = ModelFacts(native_tools=True, tool_choice=False, source="probe")
    assert proxy.measured(MODEL).facts == found_there
    said = tmp_path / "proxy.toml"
    said.write_text('[reliability.models."*"]\ntool_choice = true\n', encoding="utf-8")
    proxy = ModelSettings(str(said), upstream=CARD.endpoint)
    settings = proxy.settings(MODEL)
    assert settings is not None
    facts = known(MODEL, settings.facts, None, proxy.measured(MODEL))
    assert (facts.tool_choice, facts.native_tools) == (True, True)
    settings = ModelSettings(upstream=CARD.endpoint).settings("other")
    assert settings is not None and settings.facts == ModelFacts()
