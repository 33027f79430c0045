"""Sampling contracts on the wire, against servers that speak like the real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
from local_http import SilentHandler, listening
from recording_host import MESSAGES, RecordingHost
from scripted_server import TOOLS, completion_body

from gptme_reliability.contract import Broken
from gptme_reliability.errors import ContractError, InputError
from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.sampling import (
    Agreement,
    Sampling,
    Terms,
    _cards,
    describe,
    is_near,
    rejected,
    sampling_for,
)
from gptme_reliability.surfaces.served import Answer

QWEN = "local/qwen2.5:7b-instruct-q4_K_M"
CARD = {"temperature": 0.7, "top_p": 0.8, "top_k": 20}


ALL_READ = {"prompt_tokens": 5_000, "completion_tokens": 5, "total_tokens": 5_005}
"""As many tokens as no server counts that left anything out."""


@dataclass
class Server:
    """A server of one kind: what stands at which path, and which parameters it rejects."""

    pages: Mapping[str, Any] = field(default_factory=dict)
    rejects: tuple[str, ...] = ()
    name: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        if not path.endswith("/chat/completions"):
            self.asked.append(path)
            page = self.pages.get(path)
            return (404, {"error": "not found"}) if page is None else (200, page)
        assert body is not None
        self.bodies.append(body)
        for name in self.rejects:
            if name in body:
                return 400, {"error": {"message": f"Unsupported parameter: '{name}'"}}
        return 200, {**completion_body("Hello."), "usage": ALL_READ}


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(SilentHandler):
        server_version = server.name or "Test"

        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/chat/completions"):
                server.raw.append(raw)
            self.reply(json.loads(raw))

        def reply(self, body: dict[str, Any] | None) -> None:
            status, answer = server.answer(self.path, body)
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    with listening(Handler) as url:
        server.url = f"{url}/v1"
        yield server


LLAMA_CPP = {
    "/v1/models": {"object": "list", "data": [{"id": "m", "owned_by": "llamacpp"}]},
    "/props": {
        "default_generation_settings": {"params": {"temperature": 0.8, "top_k": 40}},
        "model_path": "/models/qwen2.5-7b-instruct-q4_k_m.gguf",
    },
}
OLLAMA = {
    "/v1/models": {"object": "list", "data": [{"id": "m", "owned_by": "library"}]},
    "/api/show": {"parameters": "temperature 0.6\nstop x"},
}
VLLM = {"/v1/models": {"object": "list", "data": [{"id": "m", "owned_by": "vllm"}]}}
LMSTUDIO = {"/v1/models": {"data": [{"id": "m", "owned_by": "organization_owner"}]}}


def ask(server: Server, host: RecordingHost, times: int = 1, **body: Any) -> list[Any]:
    http_client = client_class(openai.DefaultHttpxClient)(host, "local")
    model = QWEN.removeprefix("local/")
    given = {"model": model, "messages": MESSAGES, "tools": TOOLS, "temperature": 0, **body}
    with openai.OpenAI(
        http_client=http_client, base_url=server.url, api_key="none", max_retries=0
    ) as client:
        return [client.chat.completions.create(**given) for _ in range(times)]


def host(model: str = QWEN, **terms: Any) -> RecordingHost:
    return RecordingHost(Settings(model), sampling=Terms(model, **terms))


def sampled(body: Mapping[str, Any]) -> dict[str, Any]:
    apart = ("model", "messages", "tools", "stream")
    return {key: value for key, value in body.items() if key not in apart}


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (LLAMA_CPP, {**CARD, "repeat_penalty": 1.05}),
        (VLLM, {**CARD, "repetition_penalty": 1.05}),
        (LMSTUDIO, {**CARD, "repeat_penalty": 1.05}),
        # Ollama's own values count before the card's, and what it ignores is not sent.
        (OLLAMA, {"temperature": 0.6, "top_p": 0.8}),
        ({}, {**CARD, "repetition_penalty": 1.05}),
    ],
    ids=["llama.cpp", "vllm", "lmstudio", "ollama", "unknown"],
)
def test_the_card_goes_out_as_the_server_takes_it(
    pages: Mapping[str, Any], expected: dict[str, Any]
) -> None:
    user = host()
    with serving(Server(pages)) as server:
        ask(server, user, times=2)
    assert [sampled(body) for body in server.bodies] == [expected] * 2
    assert len(server.asked) == len(set(server.asked))  # a server is asked once


def test_what_is_not_applied_is_said() -> None:
    """With the way to set it there."""
    user = host()
    with serving(Server(OLLAMA)) as server:
        ask(server, user)
    text = "\n".join(describe(user.agreements[-1]))
    assert "top_k = 20 is not applied: Ollama ignores it on /v1" in text
    assert "PARAMETER top_k 20" in text and "temperature = 0.6  (Ollama's /api/show)" in text


def test_what_the_user_set_stands() -> None:
    user = host(given={"temperature": 0.2}, overrides={"sampling": {"top_p": 0.95}})
    with serving(Server(LLAMA_CPP)) as server:
        ask(server, user)
    assert sampled(server.bodies[0])["temperature"] == 0.2
    assert sampled(server.bodies[0])["top_p"] == 0.95


def test_a_rejected_parameter_is_left_out_from_then_on() -> None:
    """One more request, once."""
    user = host()
    with serving(Server(VLLM, rejects=("repetition_penalty",))) as server:
        ask(server, user, times=2)
    assert [sampled(body) for body in server.bodies] == [
        {**CARD, "repetition_penalty": 1.05},
        CARD,
        CARD,
    ]
    lost = {loss.parameter: loss.why for loss in user.agreements[-1].wire.not_applied}
    assert lost == {"repetition_penalty": "the server rejected it"}


def test_an_unknown_model_is_refused_before_anything_is_sent() -> None:
    """With one message that says what to do, and a status that nobody tries again."""
    user = host("local/quizzical-9b")
    raises = pytest.raises(openai.BadRequestError)
    with serving(Server()) as server, raises as caught:
        ask(server, user, model="quizzical-9b")
    assert server.bodies == []
    message = caught.value.message
    assert "local/quizzical-9b" in message and "cards new" in message
    assert 'unknown = "warn"' in message and "\n" not in message
    assert caught.value.body["code"] == "sampling_contract_unknown"  # type: ignore[index]


def test_an_unknown_model_may_be_let_through() -> None:
    """As it is, with a notice."""
    user = host("local/quizzical-9b", unknown="warn")
    with serving(Server()) as server:
        ask(server, user, model="quizzical-9b")
    assert sampled(server.bodies[0]) == {"temperature": 0}
    assert [notice.kind for notice in user.agreements[-1].contract.notices] == ["unknown"]


def test_requests_of_the_hosts_own_never_fail() -> None:
    user = host("local/quizzical-9b", may_fail=False)
    with serving(Server()) as server:
        ask(server, user, model="quizzical-9b")
    assert sampled(server.bodies[0]) == {"temperature": 0}


def test_greedy_where_it_is_forbidden() -> None:
    model = "local/qwq:32b"
    user = host(model, given={"temperature": 0})
    with serving(Server()) as server, pytest.raises(openai.BadRequestError) as caught:
        ask(server, user, model="qwq:32b")
    assert server.bodies == [] and "temperature" in caught.value.message


def test_what_a_server_runs_says_which_model_it_is() -> None:
    """``local/model`` names nothing; the file that llama.cpp runs does."""
    user = host("local/model")
    with serving(Server(LLAMA_CPP)) as server:
        ask(server, user, model="model")
    assert sampled(server.bodies[0]) == {**CARD, "repeat_penalty": 1.05}
    assert user.agreements[-1].contract.facts.size_b == 7


def test_a_host_that_breaks_changes_nothing() -> None:
    user = RecordingHost(sampling=Terms(QWEN), broken=frozenset({"terms"}))
    with serving(Server()) as server:
        ask(server, user)
    assert sampled(server.bodies[0]) == {"temperature": 0}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        *(("127.0.0.1", True), ("localhost", True), ("192.168.1.5", True), ("10.0.0.1", True)),
        *(("gpu-box", True), ("box.local", True), ("::1", True), ("[::1]", True)),
        *(("box.home.arpa", True), ("a.localhost", True)),
        *(("api.openai.com", False), ("8.8.8.8", False)),
    ],
)
def test_only_near_servers_are_asked(name: str, near: bool) -> None:
    assert is_near(name) is near


@pytest.mark.parametrize(
    ("status", "message", "names"),
    [
        (400, "Unsupported parameter: 'min_p'", {"min_p"}),
        (422, "extra fields not permitted: repeat_penalty", {"repetition_penalty"}),
        (400, "min_p must be between 0 and 1", set()),
        (400, "Unknown model", set()),
        (500, "Unsupported parameter: 'min_p'", set()),
    ],
)
def test_what_a_server_rejects(status: int, message: str, names: set[str]) -> None:
    sent = ("min_p", "repeat_penalty", "temperature")
    assert rejected(status, message.encode(), sent) == names


def test_the_library_gets_the_same() -> None:
    """From the card alone, and as the server takes it."""
    assert sampling_for("qwen2.5:7b-instruct") == {**CARD, "repetition_penalty": 1.05}
    with serving(Server(OLLAMA)) as server:
        found = sampling_for("qwen2.5:7b-instruct", endpoint=server.url)
        assert found == {"temperature": 0.6, "top_p": 0.8}
    assert sampling_for("qwen2.5:7b-instruct", given={"top_p": 0.5})["top_p"] == 0.5


def test_the_library_fails_loud() -> None:
    with pytest.raises(ContractError, match="quizzical-9b"):
        sampling_for("quizzical-9b")
    with pytest.raises(ContractError, match="greedy"):
        sampling_for("qwq:32b", given={"temperature": 0})
    with pytest.raises(InputError, match="cannot be asked"):
        sampling_for("qwen2.5:7b-instruct", endpoint="http://127.0.0.1:9/v1")
    assert sampling_for("quizzical-9b", unknown="warn") == {}


@pytest.mark.parametrize(
    ("model", "ways"),
    [
        ("quizzical-9b", ('given={"temperature": …}', 'unknown="warn"')),
        ("EXAONE-4.0-32B", ('mode="thinking" or mode="instruct"',)),
    ],
)
def test_the_library_says_what_to_do_in_python(model: str, ways: tuple[str, ...]) -> None:
    """Who calls a function has no section of a config to mend, and each way out works."""
    with pytest.raises(ContractError) as error:
        sampling_for(model)
    said = str(error.value)
    assert "[plugin." not in said
    for way in ways:
        assert way in said
        for option in way.split(" or "):
            key, _, value = option.partition("=")
            assert sampling_for(model, **{key: json.loads(value.replace("…", "0.5"))}) is not None


def test_a_server_that_is_down_is_no_unknown_model() -> None:
    """The request meets the error that says so, and the server is asked again when it is up."""
    user = host("local/model")
    server = Server(LLAMA_CPP, url="http://127.0.0.1:9/v1")
    with pytest.raises(openai.APIConnectionError):
        ask(server, user, model="model")
    assert user.agreements == []


def test_a_server_that_could_not_answer_is_asked_again() -> None:
    """What it is stays unknown only as long as it does not say so."""
    sampling, answers = Sampling(), [OSError("busy"), None]

    def fetch(path: str, _body: Mapping[str, Any] | None) -> Answer:
        if path == "/v1/models" and (fault := answers.pop(0)):
            raise fault
        return Answer({}, LLAMA_CPP.get(path))

    terms = Terms("local/model")
    assert isinstance(sampling.agree(terms, {}, "here", fetch), Broken)
    found = sampling.agree(terms, {}, "here", fetch)
    assert isinstance(found, Agreement) and found.served.backend == "llama.cpp"
    assert sampling.agree(terms, {}, "here", fetch) == found and not answers


def test_a_card_written_after_a_refusal_counts_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    sampling, terms = Sampling(), Terms("local/quizzical-9b")
    assert isinstance(sampling.agree(terms, {}, "here", None), Broken)
    own = tmp_path / "gptme" / "reliability" / "cards" / "own.toml"
    own.parent.mkdir(parents=True)
    own.write_text(
        "[source]\ngrade = 'own'\nkind = 'own'\n\n"
        "[[models]]\nnames = ['quizzical-*']\nvalues = { temperature = 0.3 }\n"
    )
    found = sampling.agree(terms, {}, "here", None)
    assert isinstance(found, Agreement) and dict(found.wire.params) == {"temperature": 0.3}
    _cards.cache_clear()  # the card is gone with this test
