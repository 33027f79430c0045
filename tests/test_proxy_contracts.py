"""Sampling contracts in the proxy: what goes out, what is refused, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from proxy_world import proxying, sdk_at
from scripted_server import TOOLS
from test_sampling import CARD, LLAMA_CPP, LMSTUDIO, OLLAMA, VLLM, Server, sampled, serving

from gptme_reliability.surfaces.proxy.contracts import said
from gptme_reliability.surfaces.proxy.options import ModelSettings

QWEN = "qwen2.5:7b-instruct-q4_K_M"
NOBODY = "quizzical-9b"
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
CLIENT = httpx.Client(timeout=30)


@pytest.fixture(autouse=True, scope="module")
def closed_behind() -> Iterator[None]:
    """No connection outlives the tests."""
    yield
    CLIENT.close()


def ask(url: str, model: str = QWEN, **body: Any) -> httpx.Response:
    given = {"model": model, "messages": MESSAGES, "tools": TOOLS, **body}
    return CLIENT.post(f"{url}/chat/completions", json=given)


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (LLAMA_CPP, {**CARD, "repeat_penalty": 1.05}),
        (VLLM, {**CARD, "repetition_penalty": 1.05}),
        (LMSTUDIO, {**CARD, "repeat_penalty": 1.05}),
        (OLLAMA, {"temperature": 0.6, "top_p": 0.8}),
        ({}, {**CARD, "repetition_penalty": 1.05}),
    ],
    ids=["llama.cpp", "vllm", "lmstudio", "ollama", "unknown"],
)
def test_the_card_goes_out_as_the_server_takes_it(
    pages: Mapping[str, Any], expected: dict[str, Any]
) -> None:
    with serving(Server(pages)) as server, proxying(server.url, contracts="tools") as url:
        answers = [ask(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert [sampled(body) for body in server.bodies] == [expected] * 3
    assert len(server.asked) == len(set(server.asked))  # a server is asked once
    assert answers[0].headers["x-reliability-card"] == "qwen2.5"


def test_what_the_client_sends_is_said_by_the_user() -> None:
    with serving(Server(LLAMA_CPP)) as server, proxying(server.url, contracts="tools") as url:
        ask(url, temperature=0.2, top_k=None, max_tokens=9)
    assert sampled(server.bodies[0]) == {
        **CARD,
        "repeat_penalty": 1.05,
        "temperature": 0.2,
        "max_tokens": 9,
    }


def test_what_is_said() -> None:
    body = {"temperature": 0, "repeat_penalty": 1, "seed": 3, "stop": "x", "model": "m"}
    assert said(body) == {"temperature": 0, "repeat_penalty": 1}
    assert said({"chat_template_kwargs": {"enable_thinking": False}})


def test_a_request_that_says_all_of_it_keeps_its_bytes() -> None:
    """The contract has nothing to add."""
    values = {**CARD, "repetition_penalty": 1.05}
    body = {"model": QWEN, "messages": MESSAGES, "tools": TOOLS, **values}
    raw = json.dumps(body, indent=1).encode()
    options: Any = {"contracts": "tools", "sets": ("respond=false",)}
    with serving(Server(VLLM)) as server, proxying(server.url, **options) as url:
        response = CLIENT.post(f"{url}/chat/completions", content=raw)
    assert server.raw == [raw]
    assert response.headers["x-reliability-card"] == "qwen2.5"


@pytest.mark.parametrize("streamed", [False, True])
def test_an_unknown_model_is_refused_before_anything_is_generated(streamed: bool) -> None:
    with serving(Server()) as server, proxying(server.url, contracts="tools") as url:
        response = ask(url, NOBODY, stream=streamed)
    assert response.status_code == 422 and server.bodies == []
    error = response.json()["error"]
    assert (error["type"], error["code"]) == (
        "invalid_request_error",
        "sampling_contract_unknown",
    )
    assert NOBODY in error["message"] and "cards new" in error["message"]
    assert f'[reliability.models."{NOBODY}".sampling]' in error["message"]


def test_the_sdk_does_not_try_it_again() -> None:
    raises = pytest.raises(openai.UnprocessableEntityError, match="No sampling card")
    with (
        serving(Server()) as server,
        proxying(server.url, contracts="tools") as url,
        sdk_at(url).with_options(max_retries=3) as client,
        raises,
    ):
        client.chat.completions.create(model=NOBODY, messages=MESSAGES, tools=TOOLS)  # type: ignore[arg-type]
    assert server.bodies == []


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({}, {"sets": ("unknown=warn",)}),
        ({}, {"sets": ('models."quizz*".unknown=warn',)}),
        ({}, {"sets": ("contracts=false",)}),
        ({}, {"sets": ('models."quizz*".contracts=false',)}),
        ({}, {"sets": ("enabled=false",)}),
        ({}, {"sets": ("mode=observe",)}),
        ({}, {"observe": True}),
        ({}, {"contracts": "off"}),
        ({"tools": None}, {}),
        ({"tools": []}, {}),
        ({"n": 2}, {}),
        ({"tools": None}, {"contracts": "all"}),
        ({"n": 2, "tools": None}, {"contracts": "all"}),
    ],
)
def test_an_unknown_model_may_be_let_through(body: Any, options: Any) -> None:
    """In its own bytes."""
    given = {"contracts": "tools", **options}
    raw = json.dumps({"model": NOBODY, "messages": MESSAGES, "tools": TOOLS, **body}, indent=1)
    with serving(Server()) as server, proxying(server.url, **given) as url:
        response = CLIENT.post(f"{url}/chat/completions", content=raw)
    assert response.status_code == 200
    assert server.raw == [raw.encode()]
    assert "x-reliability-card" not in response.headers or "warn" in str(options)


@pytest.mark.parametrize("body", [{"tools": None}, {"tools": []}, {"n": 2}])
def test_all_requests_may_be_covered(body: Any) -> None:
    with serving(Server(VLLM)) as server:
        with proxying(server.url, contracts="tools") as url:
            bare = ask(url, **body)
        with proxying(server.url, contracts="all") as url:
            covered = ask(url, **body)
    assert "temperature" not in server.bodies[0] and server.bodies[1]["temperature"] == 0.7
    assert "x-reliability-card" not in bare.headers
    assert covered.headers["x-reliability-card"] == "qwen2.5"


@pytest.mark.parametrize("path", ["/completions", "/embeddings", "/responses"])
def test_other_requests_are_never_covered(path: str) -> None:
    raw = json.dumps({"model": QWEN, "tools": TOOLS}, indent=1)
    with serving(Server(VLLM)) as server, proxying(server.url, contracts="all") as url:
        CLIENT.post(url + path, content=raw)
    assert server.asked == ["/v1" + path]


def test_servers_elsewhere_know_their_models() -> None:
    from gptme_reliability.surfaces.proxy.contracts import Contracts
    from gptme_reliability.surfaces.proxy.options import Options

    hosted: Any = Contracts(Options("https://api.example.com/v1", contracts="all"), None)  # type: ignore[arg-type]
    near: Any = Contracts(Options("http://192.168.1.7:8080/v1"), None)  # type: ignore[arg-type]
    assert not hosted.cover({"tools": TOOLS}) and near.cover({"tools": TOOLS})


@pytest.mark.parametrize("body", [{}, {"tools": None}])
def test_a_rejected_parameter_is_left_out_from_then_on(body: Any) -> None:
    """One more request, once."""
    with (
        serving(Server(VLLM, rejects=("repetition_penalty",))) as server,
        proxying(server.url, contracts="all") as url,
    ):
        answers = [ask(url, **body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    sent = [
        {k: v for k, v in body.items() if k in (*CARD, "repetition_penalty")}
        for body in server.bodies
    ]
    assert sent == [{**CARD, "repetition_penalty": 1.05}, CARD, CARD]


@pytest.mark.parametrize(
    ("body", "kind"),
    [({"temperature": "hot"}, "config"), ({"temperature": 9}, "config")],
)
def test_values_that_may_not_be(body: Any, kind: str) -> None:
    with serving(Server(VLLM)) as server, proxying(server.url, contracts="tools") as url:
        response = ask(url, **body)
    assert (response.status_code, server.bodies) == (422, [])
    assert response.json()["error"]["code"] == f"sampling_contract_{kind}"


def test_a_server_that_is_down_is_no_unknown_model() -> None:
    with proxying("http://127.0.0.1:9/v1", contracts="tools") as url:
        response = ask(url, NOBODY)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream_unreachable"


@pytest.mark.parametrize("status", [401, 403, 503])
def test_a_server_that_does_not_tell_refuses_nothing(status: int) -> None:
    """It is starting, or keeps to itself: what it declares may well be enough."""

    class Starting(Server):
        def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
            if body is None:
                return status, {"error": "Loading model"}
            return super().answer(path, body)

    with serving(Starting()) as server, proxying(server.url, contracts="tools") as url:
        first, second = ask(url, NOBODY), ask(url, QWEN)
    assert (first.status_code, second.status_code) == (200, 200)
    assert "temperature" not in server.bodies[0] and server.bodies[1]["temperature"] == 0.7


def test_what_breaks_here_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise LookupError("a secret that must not be told")

    monkeypatch.setattr("gptme_reliability.surfaces.sampling.Sampling.settle", broken)
    with serving(Server(VLLM)) as server, proxying(server.url, contracts="tools") as url:
        assert ask(url).status_code == 200
    assert "temperature" not in server.bodies[0]


def test_asking_again_stays_under_the_contract() -> None:
    """What is resampled differs, and the rest is the card's."""

    class Stammering(Server):
        def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
            status, said = super().answer(path, body)
            if len(self.bodies) == 1 and body is not None:
                said["choices"][0]["message"]["tool_calls"] = [
                    {"id": "a", "function": {"name": "look", "arguments": '{"place": "ha'}}
                ]
            return status, said

    with serving(Stammering(VLLM)) as server, proxying(server.url, contracts="tools") as url:
        response = ask(url)
    assert response.headers["x-reliability-attempts"] == "2"
    assert [body["top_k"] for body in server.bodies] == [20, 20]


def test_what_is_not_applied_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """With the way to set it there."""
    caplog.set_level("INFO", "gptme_reliability")
    with serving(Server(OLLAMA)) as server, proxying(server.url, contracts="tools") as url:
        ask(url)
        ask(url)
    told = [r.getMessage() for r in caplog.records if "is not applied" in r.getMessage()]
    assert len(told) == len(set(told)) and "PARAMETER top_k 20" in "".join(told)


THINKING = {"chat_template_kwargs": {"enable_thinking": True}}


def test_greedy_clients_are_told_the_way_out() -> None:
    """Many agents send temperature 0, whatever the model."""
    with serving(Server(VLLM)) as server, proxying(server.url, contracts="tools") as url:
        response = ask(url, "qwen3:8b", temperature=0, **THINKING)
    assert response.status_code == 422 and server.bodies == []
    error = response.json()["error"]
    assert error["code"] == "sampling_contract_greedy"
    assert '[reliability.models."qwen3:8b"]' in error["message"]
    assert "--client-sampling ignored" in error["message"]


def test_what_clients_send_may_count_for_nothing() -> None:
    """The mode, which the template's arguments choose, is still theirs."""
    options: Any = {"contracts": "tools", "client_sampling": "ignored"}
    with serving(Server(VLLM)) as server, proxying(server.url, **options) as url:
        ask(url, "qwen3:8b", temperature=0, top_p=0.1, **THINKING)
        ask(url, NOBODY, temperature=0)
    (sent,) = server.bodies
    assert (sent["temperature"], sent["top_p"]) == (0.6, 0.95)
    assert sent["chat_template_kwargs"] == {"enable_thinking": True}


def test_what_is_declared_is_asked_for_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for it: the old serves meanwhile."""
    monkeypatch.setattr("gptme_reliability.surfaces.proxy.contracts._FRESH_S", 0.0)
    pages = dict(OLLAMA)
    with serving(Server(pages)) as server, proxying(server.url, contracts="tools") as url:
        ask(url)
        pages["/api/show"] = {"parameters": "temperature 0.5"}
        for _ in range(200):
            ask(url)
            if server.bodies[-1]["temperature"] == 0.5:
                break
    assert server.bodies[0]["temperature"] == 0.6
    assert server.bodies[-1]["temperature"] == 0.5


def test_what_was_declared_outlives_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptme_reliability.surfaces.proxy.contracts._FRESH_S", 0.0)
    pages: dict[str, Any] = dict(OLLAMA)

    class Quiet(Server):
        def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
            if not pages and not path.endswith("/chat/completions"):
                self.asked.append("silence")
                return 503, {}
            return super().answer(path, body)

    with serving(Quiet(pages)) as server, proxying(server.url, contracts="tools") as url:
        ask(url)
        pages.clear()
        for _ in range(200):
            ask(url)
            if server.asked.count("silence"):
                break
        ask(url)
    assert "silence" in server.asked
    assert {body["temperature"] for body in server.bodies} == {0.6}


def test_many_at_once_ask_the_server_once() -> None:
    with (
        serving(Server(LLAMA_CPP)) as server,
        proxying(server.url, contracts="tools") as url,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = list(pool.map(lambda _: ask(url).status_code, range(16)))
    assert answers == [200] * 16
    assert len(server.asked) == len(set(server.asked))


# --- settings ---------------------------------------------------------------------------------


def test_facts_of_models_can_be_said(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(
        '[reliability.models."m*"]\nthinks = true\nsize_b = 3\nsampling.temperature = 0.5\n'
    )
    config = ModelSettings(str(file)).of("m1")
    assert (config.facts.mode, config.facts.size_b) == ("thinking", 3)
    assert config.sampling == {"temperature": 0.5}


def test_what_the_file_says_of_the_weights_counts(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('[reliability.models."qwen3*"]\nthinks = true\nquant = "Q4_K_M"\n')
    with (
        serving(Server(VLLM)) as server,
        proxying(server.url, contracts="tools", config=str(file)) as url,
    ):
        ask(url, "qwen3:8b")
    assert sampled(server.bodies[0])["presence_penalty"] == 1.5


def test_sampling_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(f'[reliability.models."{NOBODY}".sampling]\ntemperature = 0.4\n')
    with (
        serving(Server(VLLM)) as server,
        proxying(server.url, contracts="tools", config=str(file)) as url,
    ):
        response = ask(url, NOBODY)
    assert sampled(server.bodies[0]) == {"temperature": 0.4}
    assert response.headers["x-reliability-card"] == "none"
