"""Counting tokens through the proxy, under Anthropic's real SDK."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from anthropic_world import MESSAGES, OFFER, checked, sdk, text, use, whole
from proxy_world import proxying
from scripted_server import Reply, Script, completion, failure, serving

CHATS = "/v1/chat/completions/input_tokens"
PICTURE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
SIZES = {"messages": MESSAGES, "tools": OFFER}
PROMPT = "what the template makes of it"


def size(body: dict[str, Any]) -> int:
    """Tokens, as these servers count them: all that a model gets to see."""
    return len(json.dumps([body["messages"], body.get("tools")]))


def llama(body: Any) -> Any:
    return {"object": "response.input_tokens", "input_tokens": size(body)}


def vllm(body: Any) -> Any:
    if "messages" not in body:
        return None
    return {"count": size(body), "max_model_len": 9, "tokens": [0] * size(body)}


def template(body: Any) -> Any:
    return {"prompt": "x" * size(body)}


def texts(body: Any) -> Any:
    """llama.cpp, which knows no conversations here."""
    assert body.keys() <= {"content", "add_special", "parse_special"} or "messages" in body
    return {"tokens": [0] * len(body.get("content", ""))}


def nothing(_body: Any) -> Any:
    """There is no such path."""


def deaf(body: Any) -> Any:
    return {"count": size({**body, "tools": None}), "tokens": []}


def elsewhere(_body: Any) -> Any:
    return {"error": "Unexpected endpoint or method."}


SERVERS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "llama.cpp": {CHATS: llama},
    "llama.cpp, older": {CHATS: nothing, "/apply-template": template, "/tokenize": texts},
    "vLLM": {CHATS: nothing, "/tokenize": vllm},
    "errors with 200": {CHATS: elsewhere, "/tokenize": vllm},
}


def counted(url: str, **body: Any) -> int:
    with checked(None) as http:
        given = {"model": "tiny", **SIZES, **body}
        return int(sdk(url, http).messages.count_tokens(**given).input_tokens)


def answered(url: str, **body: Any) -> Any:
    with checked(None) as http:
        given = {"model": "tiny", "max_tokens": 9, **SIZES, **body}
        return sdk(url, http).messages.with_raw_response.create(**given)


# --- before OpenAI's API ------------------------------------------------------------------


LONG: list[Any] = [
    *MESSAGES,
    {"role": "assistant", "content": [text("So."), use("look", {"place": "hall"})]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1"}]},
]
BODIES: dict[str, dict[str, Any]] = {
    "tools": {},
    "words": {"tools": anthropic.NOT_GIVEN},
    "system": {"system": [{"type": "text", "text": "Be brief."}]},
    "results": {"messages": LONG},
    "choice": {"tool_choice": {"type": "auto"}},
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("respond", [True, False])
def test_what_is_counted_is_what_is_sent(server: str, respond: bool) -> None:
    """With the tool for talking, where that is on offer."""
    with (
        serving(*[completion("fine")] * len(BODIES), beside=SERVERS[server]) as script,
        proxying(script.url, sets=(f"respond={str(respond).lower()}",)) as url,
    ):
        counts = [counted(url, **body) for body in BODIES.values()]
        assert script.requests == []  # nothing is generated
        for body in BODIES.values():
            answered(url, **body)
    sent = script.bodies()
    assert counts == [size(body) for body in sent]
    for name, body in zip(BODIES, sent, strict=True):
        offered = [tool["function"]["name"] for tool in body.get("tools", [])]
        assert ("respond" in offered) == (respond and name != "words")


BAD_SCHEMA = [{"name": "look", "input_schema": {"properties": {"place": {"type": "str"}}}}]


def test_counting_takes_nothing_from_the_request_itself() -> None:
    """What is told once is told with it."""
    with (
        serving(completion("fine"), beside=SERVERS["llama.cpp"]) as script,
        proxying(script.url) as url,
    ):
        count = counted(url, tools=BAD_SCHEMA)
        headers = answered(url, tools=BAD_SCHEMA).headers
        (sent,) = script.bodies()
    assert headers["x-reliability-repairs"] == "1"
    assert count == size(sent)
    assert sent["tools"][0]["function"]["parameters"]["properties"]["place"]["type"] == "string"


def test_tools_in_words_are_counted_in_words() -> None:
    """What the server was found not to take is known."""
    refusal = failure(400, "registry.ollama.ai/library/tiny:latest does not support tools")
    with (
        serving(refusal, *[completion("fine")] * 2, beside=SERVERS["vLLM"]) as script,
        proxying(script.url) as url,
    ):
        native = counted(url)
        answered(url)
        in_words = counted(url)
        answered(url)
    sent = script.bodies()
    assert native == size(sent[0]) and in_words == size(sent[2])
    assert "tools" in sent[0] and "tools" not in sent[2]


def test_who_counts_needs_no_sampling_contract() -> None:
    """The request itself would get 422, for it names no temperature."""
    with (
        serving(beside=SERVERS["llama.cpp"]) as script,
        proxying(script.url, contracts="tools") as url,
    ):
        assert counted(url, model="nobody-knows") > 0
        with pytest.raises(anthropic.UnprocessableEntityError):
            answered(url, model="nobody-knows")


def test_the_key_goes_along() -> None:
    """To each place that is asked; the scripted server plays what is asked in turn."""
    missing = failure(404, "no such thing")
    prompt = Reply(json.dumps({"prompt": "x"}).encode())
    tokens = Reply(b'{"tokens": [1, 2, 3]}')
    with serving(missing, missing, prompt, tokens) as script, proxying(script.url) as url:
        assert counted(url, tools=anthropic.NOT_GIVEN) == 3
    assert [head["authorization"] for head in script.headers] == ["Bearer sk-secret"] * 4
    with (
        serving(missing, missing, prompt, tokens) as script,
        proxying(script.url, upstream_key="upstream-key") as url,
    ):
        counted(url, tools=anthropic.NOT_GIVEN)
    assert [head["authorization"] for head in script.headers] == ["Bearer upstream-key"] * 4


UNABLE: dict[str, tuple[dict[str, Callable[[Any], Any]], dict[str, Any]]] = {
    "nothing there": ({}, {}),
    "deaf to tools": ({"/tokenize": deaf}, {}),
    "no number": ({CHATS: lambda _: {"input_tokens": True}, "/tokenize": lambda _: [1]}, {}),
    "half of a way": ({"/apply-template": template}, {}),
    "no prompt": ({"/apply-template": lambda _: {"prompt": 1}, "/tokenize": texts}, {}),
    "a choice it is not told": ({"/tokenize": vllm}, {"tool_choice": {"type": "none"}}),
    "an effort it is not told": ({"/tokenize": vllm}, {"output_config": {"effort": "low"}}),
}


@pytest.mark.parametrize(("beside", "body"), UNABLE.values(), ids=UNABLE)
def test_who_cannot_count_says_so(
    beside: dict[str, Callable[[Any], Any]], body: dict[str, Any]
) -> None:
    """Nothing that is near the number stands for it."""
    missing = [failure(404, "no such thing")] * 9
    with (
        serving(*missing, beside=beside) as script,
        proxying(script.url) as url,
        pytest.raises(anthropic.NotFoundError, match="cannot count the tokens") as caught,
    ):
        counted(url, **body)
    error = caught.value.body
    assert isinstance(error, dict) and error["type"] == "error"
    assert error["error"]["type"] == "not_found_error"


def test_without_tools_a_deaf_server_counts_right() -> None:
    with serving(beside={CHATS: nothing, "/tokenize": deaf}) as script, proxying(script.url) as url:
        assert counted(url, tools=anthropic.NOT_GIVEN) == size({"messages": MESSAGES})


@pytest.mark.parametrize(
    ("replies", "error", "words"),
    [
        ([failure(401, "no such key")], anthropic.AuthenticationError, "no such key"),
        ([failure(503, "loading")], anthropic.APIStatusError, "loading"),
        ([failure(400, "roles must alternate")] * 3, anthropic.BadRequestError, "alternate"),
        ([failure(404, ""), failure(422, "prompt: missing")], anthropic.APIError, "missing"),
        ([failure(404, ""), Reply(b"", 302), failure(405, "")], anthropic.NotFoundError, "cannot"),
    ],
)
def test_what_the_server_says_instead(
    replies: list[Reply], error: type[anthropic.APIError], words: str
) -> None:
    rest = [failure(404, "")] * 3
    with (
        serving(*replies, *rest) as script,
        proxying(script.url) as url,
        pytest.raises(error, match=words),
    ):
        counted(url)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": PICTURE}]}]},
            "not text",
        ),
        ({"tools": [{"type": "web_search_20260209", "name": "web_search"}]}, "web_search"),
    ],
)
def test_what_cannot_be_counted_is_named(body: dict[str, Any], words: str) -> None:
    with serving(beside=SERVERS["llama.cpp"]) as script, proxying(script.url) as url:
        with pytest.raises(anthropic.BadRequestError, match=words):
            counted(url, **body)
        assert script.beside == []


def test_a_server_that_is_down() -> None:
    with (
        proxying("http://127.0.0.1:9/v1") as url,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        counted(url)
    assert caught.value.status_code == 502


# --- before Anthropic's API ---------------------------------------------------------------


def _counts(number: int) -> Reply:
    body = json.dumps({"input_tokens": number}).encode()
    return Reply(body, headers={"content-type": "application/json"})


def test_anthropics_server_counts_the_clients_own_bytes() -> None:
    """And answers with its own."""
    raw = json.dumps({"model": "m", **SIZES, "context_management": {"edits": []}}).encode() + b" "
    reply = Reply(b'{"input_tokens": 7, "context_management": {"original_input_tokens": 9}}')
    with (
        serving(reply) as script,
        proxying(script.url, upstream_api="anthropic") as url,
        checked(None) as http,
    ):
        headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "b", "x-api-key": "k"}
        got = http.post(f"{url}/messages/count_tokens?beta=true", content=raw, headers=headers)
    assert got.content == reply.body and script.requests == [raw]
    assert {name: script.headers[0][name] for name in headers} == headers


def test_anthropics_server_counts_what_is_sent() -> None:
    with (
        serving(_counts(5), whole([text("fine")])) as script,
        proxying(script.url, upstream_api="anthropic", sets=("respond=true",)) as url,
    ):
        assert counted(url) == 5
        answered(url)
    count, sent = script.bodies()
    assert [tool["name"] for tool in count["tools"]] == ["look", "shell", "respond"]
    assert {**count, "max_tokens": 9} == sent


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": 1}'])
def test_a_body_that_is_none_is_its_to_refuse(body: bytes) -> None:
    with (
        serving(failure(400, "what is this")) as script,
        proxying(script.url, upstream_api="anthropic") as url,
        checked(None) as http,
    ):
        assert http.post(f"{url}/messages/count_tokens", content=body).status_code == 400
    assert script.requests == [body]


def test_only_a_post_counts() -> None:
    with serving() as script, proxying(script.url) as url, checked(None) as http:
        assert http.get(f"{url}/messages/count_tokens").status_code == 404
        assert http.post(f"{url}/messages/count_tokens", content=b"{").status_code == 400
    assert _nothing(script)


def _nothing(script: Script) -> bool:
    return not script.requests and not script.beside
