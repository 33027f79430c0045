"""What servers take, who they are, and what they tell of the model they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gptme_reliability.backends import (
    _IGNORED,
    _TAKEN,
    DECLARES,
    PROBES,
    Backend,
    Declared,
    NotApplied,
    canonical,
    declared_by,
    for_backend,
    recognise,
    served_name,
    spellings,
)
from gptme_reliability.cards import load_cards
from gptme_reliability.cards.reading import BOUNDS, read_cards
from gptme_reliability.data import data_dir
from gptme_reliability.surfaces.served import Answer, Served, look, meant

BACKENDS: tuple[Backend, ...] = ("llama.cpp", "ollama", "vllm", "lmstudio", "sglang", "unknown")
EVERYTHING: dict[str, Any] = {
    "temperature": 0.6,
    "top_p": 0.9,
    "top_k": 20,
    "min_p": 0.1,
    "presence_penalty": 1.5,
    "frequency_penalty": 0.5,
    "repetition_penalty": 1.05,
    "chat_template_kwargs": {"enable_thinking": False},
}
RENAMED = {k: v for k, v in EVERYTHING.items() if k != "repetition_penalty"} | {
    "repeat_penalty": 1.05
}
ON_V1 = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


@pytest.mark.parametrize(
    ("backend", "sent"),
    [
        ("llama.cpp", RENAMED),
        ("lmstudio", RENAMED),
        ("vllm", EVERYTHING),
        ("sglang", EVERYTHING),
        ("unknown", EVERYTHING),
        ("ollama", {name: EVERYTHING[name] for name in ON_V1}),
    ],
)
def test_what_is_sent(backend: Backend, sent: dict[str, Any]) -> None:
    assert for_backend(EVERYTHING, backend)[0] == sent


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_lost_without_a_word(backend: Backend) -> None:
    for refused in ((), ("top_p", "chat_template_kwargs"), tuple(EVERYTHING)):
        sent, lost = for_backend(EVERYTHING, backend, refused)
        assert len(sent) + len(lost) == len(EVERYTHING)
        assert {canonical(key) for key in sent}.isdisjoint(loss.parameter for loss in lost)
        assert all(loss.why for loss in lost)
        assert set(refused) <= {loss.parameter for loss in lost}


def test_ollama_has_another_way() -> None:
    _, lost = for_backend({"repetition_penalty": 1.05}, "ollama")
    how = "write `PARAMETER repeat_penalty 1.05` into the model's Modelfile"
    assert lost == (NotApplied("repetition_penalty", 1.05, "Ollama ignores it on /v1", how),)


@pytest.mark.parametrize(
    ("backend", "off"), [("sglang", -1), ("vllm", 0), ("llama.cpp", 0), ("unknown", 0)]
)
def test_every_token_counts_where_top_k_is_off(backend: Backend, off: int) -> None:
    assert for_backend({"top_k": 0}, backend)[0] == {"top_k": off}


def test_zero_is_a_value() -> None:
    values = {"temperature": 0.0, "min_p": 0.0, "presence_penalty": 0.0}
    assert for_backend(values, "sglang")[0] == values


@pytest.mark.parametrize(
    ("backend", "unknown"),
    [
        ("llama.cpp", set()),
        ("vllm", set()),
        ("sglang", set()),
        ("ollama", set()),
        ("lmstudio", {"min_p", "chat_template_kwargs"}),
        ("unknown", {"top_k", "min_p", "repetition_penalty", "chat_template_kwargs"}),
    ],
)
def test_what_nobody_knows_is_watched(backend: Backend, unknown: set[str]) -> None:
    known = {*_TAKEN[backend], *_IGNORED.get(backend, {})}
    assert set(EVERYTHING) - known == unknown


def test_spellings() -> None:
    assert canonical("repeat_penalty") == canonical("repetition_penalty") == "repetition_penalty"
    assert spellings("repetition_penalty") == ("repetition_penalty", "repeat_penalty")
    assert spellings("top_k") == ("top_k",)
    assert set(EVERYTHING) - {"chat_template_kwargs"} == set(BOUNDS)


# Who it is.


def models(owner: Any) -> dict[str, Any]:
    return {"/v1/models": {"object": "list", "data": [{"id": "m", "owned_by": owner}]}}


@pytest.mark.parametrize(
    ("headers", "answers", "backend"),
    [
        ({"Server": "llama.cpp"}, {}, "llama.cpp"),
        ({"server": "llama.cpp"}, models("vllm"), "llama.cpp"),
        ({"server": "uvicorn"}, models("vllm"), "vllm"),
        ({}, models("llamacpp"), "llama.cpp"),
        ({}, models("sglang"), "sglang"),
        ({}, models("library"), "ollama"),
        ({}, models("organization_owner"), "lmstudio"),
        ({}, models("somebody"), "unknown"),
        ({}, models(["vllm"]), "unknown"),
        ({}, {"/props": {"default_generation_settings": {}}}, "llama.cpp"),
        ({}, {"/api/version": {"version": "0.12.0"}}, "ollama"),
        ({}, {"/": "Ollama is running"}, "ollama"),
        ({}, {"/api/v0/models": {"data": [], "object": "list"}}, "lmstudio"),
        ({}, {"/model_info": {"model_path": "x"}}, "sglang"),
        ({}, {"/version": {"version": "0.11.0"}}, "vllm"),
        ({}, {**models("me"), "/version": {"version": "0.11.0"}}, "vllm"),
        ({}, {"/props": "<html>", "/version": [], "/v1/models": {"data": {}}}, "unknown"),
        ({}, {"/v1/models": {"data": [None, 1, {}]}}, "unknown"),
        ({}, {}, "unknown"),
        ({"server": "nginx"}, {"/": "hello"}, "unknown"),
    ],
)
def test_recognised(headers: dict[str, str], answers: dict[str, Any], backend: Backend) -> None:
    assert recognise(headers, answers) == backend


# What it declares.

BUILT_IN = {
    "temperature": 0.800000011920929,
    "top_k": 40,
    "top_p": 0.949999988079071,
    "min_p": 0.05000000074505806,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": 4294967295,
    "samplers": ["top_k"],
}


def props(**params: Any) -> dict[str, Any]:
    return {"default_generation_settings": {"params": {**BUILT_IN, **params}, "n_ctx": 2048}}


@pytest.mark.parametrize(
    ("backend", "payload", "values"),
    [
        ("llama.cpp", props(), {}),
        (
            "llama.cpp",
            props(temperature=0.6000000238418579, top_k=20, min_p=0.0),
            {"temperature": 0.6, "top_k": 20, "min_p": 0.0},
        ),
        ("llama.cpp", props(repeat_penalty=1.0499999523162842), {"repetition_penalty": 1.05}),
        ("llama.cpp", {"default_generation_settings": {"temperature": 0.5}}, {"temperature": 0.5}),
        (
            "ollama",
            {
                "parameters": 'stop    "<|im_end|>"\ntemperature                    0.6\n'
                "top_k  20\nrepeat_penalty 1.05\nnum_ctx 4096\ntop_p\n"
            },
            {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05},
        ),
        ("ollama", {"parameters": "temperature hot\nmin_p 0.1"}, {"min_p": 0.1}),
        ("ollama", {"details": {}}, {}),
        ("vllm", {"object": "list", "data": []}, {}),
        (
            "vllm",
            {"temperature": 0.6, "top_p": 0.95, "do_sample": True, "eos_token_id": 5},
            {"temperature": 0.6, "top_p": 0.95},
        ),
        ("sglang", {"preferred_sampling_params": None}, {}),
        ("sglang", {"preferred_sampling_params": {"temperature": 0.6}}, {"temperature": 0.6}),
        ("sglang", {"preferred_sampling_params": '{"top_k": 20}'}, {"top_k": 20}),
        ("sglang", {"preferred_sampling_params": "{broken"}, {}),
        ("lmstudio", {"temperature": 0.6}, {}),
        ("unknown", {"temperature": 0.6}, {}),
        ("vllm", {"temperature": True, "top_p": None, "top_k": "x", "min_p": [1]}, {}),
    ],
)
def test_declared(backend: Backend, payload: Any, values: dict[str, float]) -> None:
    assert declared_by(backend, payload).values == values


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "payload",
    [
        *(None, 1, "text", [], {}, {1: 2}),
        {"default_generation_settings": 1},
        {"default_generation_settings": {"params": [1]}},
        {"parameters": 5},
        {"parameters": "top_k 1e999\ntemperature nan"},
        {"top_k": 10**400, "temperature": "inf"},
    ],
)
def test_no_payload_breaks_it(backend: Backend, payload: Any) -> None:
    declared = declared_by(backend, payload)
    assert isinstance(declared, Declared)
    assert set(declared.values) <= set(BOUNDS)


def test_values_that_a_server_hides_are_said_to_be_hidden() -> None:
    for backend in ("vllm", "sglang"):
        assert "generation_config.json" in declared_by(backend, {}).note
    assert declared_by("ollama", {}).note == ""


@pytest.mark.parametrize(
    ("backend", "answers", "model", "name"),
    [
        (
            "llama.cpp",
            {"/props": {"model_path": "/m/Qwen3-8B-Q8_0.gguf"}},
            "x",
            "Qwen3-8B-Q8_0.gguf",
        ),
        ("llama.cpp", {"/props": {"model_path": "C:\\m\\phi-4.gguf"}}, "x", "phi-4.gguf"),
        ("llama.cpp", {"/props": {"model_path": ""}}, "x", None),
        ("llama.cpp", {"/props": {"model_path": 5}}, "x", None),
        ("llama.cpp", {}, "x", None),
        ("vllm", {"/v1/models": {"data": [{"id": "x", "root": "a/phi-4"}]}}, "x", "a/phi-4"),
        ("vllm", {"/v1/models": {"data": [{"id": "y", "root": "a/phi-4"}]}}, "x", None),
        ("sglang", {"/v1/models": {"data": [{"id": "x", "root": None}]}}, "x", None),
        ("ollama", {"/v1/models": {"data": [{"id": "x", "root": "z"}]}}, "x", None),
    ],
)
def test_what_it_really_runs(
    backend: Backend, answers: dict[str, Any], model: str, name: str | None
) -> None:
    assert served_name(backend, answers, model) == name


# Asking it.

CARDS = load_cards([data_dir("sampling_cards")])


class Scripted:
    """A server that answers from a table and remembers what it was asked."""

    def __init__(self, answers: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self.answers = answers
        self.headers = headers or {}
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, path: str, body: Any) -> Answer:
        self.asked.append((path, body))
        return Answer(self.headers, self.answers.get(path))


def test_llama_cpp_takes_two_requests() -> None:
    answer = {**props(temperature=0.5), "model_path": "/m/Qwen3-8B-Q4_K_M.gguf"}
    server = Scripted({"/props": answer}, {"Server": "llama.cpp"})
    served = look(server, "model")
    assert server.asked == [("/v1/models", None), ("/props", None)]
    assert served.backend == "llama.cpp"
    assert served.declared.values == {"temperature": 0.5}
    assert served.name == "Qwen3-8B-Q4_K_M.gguf"


def test_ollama_is_asked_for_one_model() -> None:
    server = Scripted({**models("library"), "/api/show": {"parameters": "top_k 20"}})
    served = look(server, "qwen3:8b")
    assert server.asked[-1] == ("/api/show", {"model": "qwen3:8b"})
    assert served.declared == Declared({"top_k": 20}, "Ollama's /api/show")
    assert served.name is None


def test_what_stands_there_already_is_not_asked_again() -> None:
    server = Scripted({"/model_info": {"model_path": "Qwen/Qwen3-8B"}})
    assert look(server, "x").backend == "sglang"
    assert [path for path, _ in server.asked].count("/model_info") == 1


def test_a_server_that_shows_nothing_is_unknown_after_every_probe() -> None:
    server = Scripted({})
    assert look(server, "x") == Served()
    assert [path for path, _ in server.asked] == list(PROBES)


def test_every_declaring_path_is_asked_without_a_body_but_ollamas() -> None:
    assert {backend for backend in BACKENDS if backend in DECLARES} == {
        "llama.cpp",
        "ollama",
        "sglang",
    }


@pytest.mark.parametrize(
    ("model", "runs", "family"),
    [
        ("local/model", "Qwen3-8B-Q4_K_M.gguf", "Qwen3"),
        ("qwen3:8b", "model.gguf", "Qwen3"),
        ("qwen3:8b", None, "Qwen3"),
        ("qwen3:8b", "gemma-3-4b-it-Q4_K_M.gguf", "Gemma 3"),
        ("model", "model.gguf", None),
    ],
)
def test_what_the_server_runs_counts(model: str, runs: str | None, family: str | None) -> None:
    assert meant(model, Served(name=runs), CARDS).family == family


def test_a_card_that_was_written_for_the_name_counts_before_what_the_server_runs() -> None:
    text = "[source]\ngrade = 'own'\nkind = 'own'\n\n[[models]]\nnames = ['mine']\n"
    own = read_cards(f"{text}values = {{ temperature = 0.4 }}\n", Path("own.toml"))
    served = Served(name="Qwen3-8B-Q4_K_M.gguf")
    assert meant("local/mine", served, [*own, *CARDS]).name == "local/mine"
    assert meant("local/other", served, [*own, *CARDS]).family == "Qwen3"


def test_the_same_family_keeps_the_name_that_was_asked_for() -> None:
    served = Served(name="Qwen3-8B-Q4_K_M.gguf")
    assert meant("qwen3:8b", served, CARDS).name == "qwen3:8b"
