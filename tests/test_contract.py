"""The sampling contract: who decides each value, and what never gets guessed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gptme_reliability.backends import Backend, Declared
from gptme_reliability.cards import Ambiguous, Card, find, load_cards
from gptme_reliability.cards.reading import BOUNDS, read_cards
from gptme_reliability.contract import Broken, Contract, Wire, contract, on_wire
from gptme_reliability.data import data_dir
from gptme_reliability.identity import identify

CASES = Path(__file__).parent / "cases"
CARDS = load_cards([data_dir("sampling_cards")])
OPTIONS = ("given", "mode", "tools", "unknown")


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").splitlines()]


ROWS = read("contracts.jsonl")
MATCHES = read("card_matches.jsonl")
MADE_UP = read("unknown_models.jsonl")


def cards_of(row: dict[str, Any]) -> tuple[Card, ...]:
    """The shipped cards behind the row's own, as a user's directory puts them."""
    shipped = load_cards([Path("nowhere"), data_dir("sampling_cards")])
    return (*read_cards(row["own"], Path("own.toml")), *shipped) if "own" in row else CARDS


def agree(row: dict[str, Any]) -> Contract | Broken:
    return contract(
        identify(row["name"]),
        cards_of(row),
        overrides=row.get("config"),
        declared=Declared(row.get("declared", {}), "the server's list"),
        **{name: row[name] for name in OPTIONS if name in row},
    )


def made(name: str, **options: Any) -> Contract:
    agreed = contract(identify(name), CARDS, **options)
    assert isinstance(agreed, Contract), agreed
    return agreed


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_rows(row: dict[str, Any]) -> None:
    agreed = agree(row)
    if "broken" in row:
        assert isinstance(agreed, Broken), agreed
        assert agreed.kind == row["broken"]
        for word in row["says"]:
            assert word in agreed.message
        return
    assert isinstance(agreed, Contract), agreed
    values = {name: [c.value, c.origin, c.grade] for name, c in agreed.values.items()}
    assert values == row["values"]
    assert agreed.bound is row.get("bound", True)
    for name, wanted in (
        ("kwargs", dict(agreed.chat_template_kwargs)),
        ("presets", list(agreed.presets)),
        ("notices", [notice.kind for notice in agreed.notices]),
        ("card", agreed.card_id),
        ("url", agreed.url),
    ):
        if name in row:
            assert wanted == row[name], name
    for name, fact in row.get("facts", {}).items():
        assert getattr(agreed.facts, name) == fact, name
    notes = " ".join(notice.text for notice in agreed.notices)
    for word in row.get("notes", ()):
        assert word in notes


def test_the_rows_cover_every_way_to_end() -> None:
    assert len(ROWS) >= 80
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    kinds = Counter(row.get("broken") for row in ROWS)
    assert kinds.keys() == {None, "unknown", "silent", "mode", "cards", "range", "greedy", "config"}
    told = {kind for row in ROWS for kind in row.get("notices", ())}
    assert told == {"quoted", "low_bits", "conflict", "unknown"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_every_text_is_one_visible_paragraph(row: dict[str, Any]) -> None:
    agreed = agree(row)
    texts = [agreed.message] if isinstance(agreed, Broken) else [n.text for n in agreed.notices]
    for text in texts:
        assert text.isprintable()
        assert 20 < len(text) < 1500


@pytest.mark.parametrize("row", MADE_UP, ids=lambda row: row["name"])
def test_no_made_up_name_gets_a_contract(row: dict[str, Any]) -> None:
    agreed = contract(identify(row["name"]), CARDS, tools=True)
    assert isinstance(agreed, Broken)
    assert agreed.kind == "unknown"


def test_there_are_enough_made_up_names() -> None:
    assert len({row["name"] for row in MADE_UP}) >= 100


@pytest.mark.parametrize("row", MATCHES, ids=lambda row: f"{row['name']}-{row['mode']}")
def test_every_model_with_a_card_gets_its_values(row: dict[str, Any]) -> None:
    """Rows were written from the published facts; presets that do not hold here are left out."""
    agreed = contract(
        identify(row["name"]), CARDS, mode=row["mode"], tools=row.get("preset") == "tool_calling"
    )
    if row.get("silent"):
        assert isinstance(agreed, Broken)
        assert agreed.kind == "silent"
        return
    assert isinstance(agreed, Contract), agreed
    assert agreed.url == row["url"]
    values = {n: c.value for n, c in agreed.values.items() if c.origin == "card"}
    if row.get("preset") == "tool_calling" and "tool_calling" in agreed.presets:
        values = {name: chosen.value for name, chosen in agreed.values.items()}
    elif "preset" in row:
        assert row["preset"] not in agreed.presets
        return
    wanted = dict(row["values"])
    if "below" in row:
        assert 0 <= values["temperature"] < row["below"]
        wanted["temperature"] = values["temperature"]
    assert values == wanted
    assert {c.grade for c in agreed.values.values()} == {row["grade"]}


@pytest.mark.parametrize(
    "number", [float("nan"), float("inf"), -float("inf"), 10**400], ids=lambda n: f"{n}"[:5]
)
@pytest.mark.parametrize("name", BOUNDS)
def test_no_number_breaks_it(name: str, number: float) -> None:
    agreed = contract(identify("qwen3:8b"), CARDS, given={name: number})
    assert isinstance(agreed, Broken)
    assert agreed.kind == "config"
    assert agreed.message.isprintable() and len(agreed.message) < 300
    declared = Declared({name: number}, "the server's list")
    assert contract(identify("qwen3:8b"), CARDS, declared=declared) == made("qwen3:8b")


def test_values_come_in_the_order_of_the_cards() -> None:
    agreed = made("Qwen3-8B-Q4_K_M.gguf", given={"repetition_penalty": 1.1, "temperature": 0.7})
    assert list(agreed.values) == [name for name in BOUNDS if name in agreed.values]


@pytest.mark.parametrize("name", ["", "/", "a" * 10_000, "\ud800", "qwen3:8b\x00", "[*]?"])
def test_no_name_breaks_it(name: str) -> None:
    agreed = contract(identify(name), CARDS)
    assert isinstance(agreed, Broken)
    agreed.message.encode()
    assert len(agreed.message) < 1500


# On the wire.


def wire(agreed: Contract, backend: Backend, *refused: str) -> Wire:
    sent = on_wire(agreed, backend, refused)
    assert isinstance(sent, Wire), sent
    return sent


def body_after(agreed: Contract, backend: Backend, body: dict[str, Any]) -> dict[str, Any]:
    sent = wire(agreed, backend)
    return {**{k: v for k, v in body.items() if k not in sent.remove}, **sent.params}


HOSTS_OWN = {"model": "m", "messages": [], "temperature": 0, "top_p": 0.1, "max_tokens": 5}


def test_the_request_carries_the_contract_and_nothing_of_the_hosts_defaults() -> None:
    body = body_after(made("Ministral-3-8B-Instruct-2512"), "llama.cpp", HOSTS_OWN)
    assert body == {"model": "m", "messages": [], "max_tokens": 5, "temperature": 0.05}


def test_what_the_user_said_reaches_the_wire_in_the_backends_spelling() -> None:
    agreed = made("qwen3:8b", given={"repetition_penalty": 1.1})
    body = body_after(agreed, "llama.cpp", {**HOSTS_OWN, "repetition_penalty": 1.1})
    assert body["repeat_penalty"] == 1.1
    assert "repetition_penalty" not in body
    body = body_after(agreed, "vllm", {**HOSTS_OWN, "repeat_penalty": 1.1})
    assert body["repetition_penalty"] == 1.1
    assert "repeat_penalty" not in body


def test_an_undescribed_model_keeps_what_the_host_sends() -> None:
    agreed = made("my-model", unknown="warn")
    assert body_after(agreed, "llama.cpp", HOSTS_OWN) == HOSTS_OWN
    agreed = made("my-model", unknown="warn", given={"top_p": 0.9})
    assert body_after(agreed, "llama.cpp", HOSTS_OWN) == {**HOSTS_OWN, "top_p": 0.9}


def test_a_mode_travels_in_the_template_arguments() -> None:
    agreed = made("qwen3:8b", mode="instruct", given={"chat_template_kwargs": {"x": 1}})
    body = body_after(agreed, "vllm", HOSTS_OWN)
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "x": 1}
    lost = {loss.parameter for loss in wire(agreed, "ollama").not_applied}
    assert lost == {"top_k", "min_p", "chat_template_kwargs"}
    assert "chat_template_kwargs" in wire(agreed, "ollama").remove


def test_what_a_server_rejected_is_not_sent_again() -> None:
    sent = wire(made("qwen3:8b"), "unknown", "min_p", "top_k")
    assert {"min_p", "top_k"}.isdisjoint(sent.params)
    assert {"min_p", "top_k"} <= set(sent.remove)
    assert [loss.parameter for loss in sent.not_applied] == ["top_k", "min_p"]
    assert {loss.why for loss in sent.not_applied} == {"the server rejected it"}


def test_without_what_the_card_calls_indispensable_there_is_no_contract() -> None:
    agreed = made("microsoft/Phi-4-reasoning")
    broken = on_wire(agreed, "ollama")
    assert isinstance(broken, Broken)
    assert broken.kind == "required"
    assert "PARAMETER top_k 50" in broken.message
    assert "https://huggingface.co/microsoft/Phi-4-reasoning" in broken.message
    assert isinstance(on_wire(agreed, "llama.cpp"), Wire)
    broken = on_wire(agreed, "llama.cpp", ["top_p"])
    assert isinstance(broken, Broken)
    assert "top_p" in broken.message


def test_what_the_served_model_declares_is_in_force_though_requests_cannot_say_it() -> None:
    declared = Declared({"top_k": 50}, "Ollama's /api/show")
    sent = wire(made("microsoft/Phi-4-reasoning", declared=declared), "ollama")
    assert sent.params == {"temperature": 0.8, "top_p": 0.95}
    assert sent.not_applied == ()
    agreed = made("microsoft/Phi-4-reasoning", declared=declared, given={"top_k": 40})
    broken = on_wire(agreed, "ollama")
    assert isinstance(broken, Broken)
    assert "top_k 40" in broken.message


def test_every_shipped_card_can_be_sent_to_every_backend() -> None:
    """Whatever is not sent is named, and what is sent is what the card has."""
    backends: tuple[Backend, ...] = ("llama.cpp", "ollama", "vllm", "lmstudio", "sglang", "unknown")
    models = {(row["name"], row["mode"]) for row in MATCHES if not row.get("silent")}
    for name, mode in sorted(models, key=str):
        agreed = made(name, mode=mode)
        for backend in backends:
            sent = on_wire(agreed, backend)
            if isinstance(sent, Broken):
                assert (sent.kind, backend) == ("required", "ollama")
                continue
            lost = [loss.parameter for loss in sent.not_applied]
            extra = bool(agreed.chat_template_kwargs)
            assert len(sent.params) + len(lost) == len(agreed.values) + extra
            assert not set(sent.params) & set(sent.remove)


def test_ambiguity_is_never_lifted_by_allowing_the_unknown() -> None:
    models = [identify(row["name"]) for row in MATCHES]
    open_ones = [model for model in models if isinstance(find(model, CARDS), Ambiguous)]
    assert open_ones
    for model in open_ones:
        assert isinstance(contract(model, CARDS, unknown="warn"), Broken)
