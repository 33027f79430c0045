"""What the proxy has nothing to do with goes through in its own bytes."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
from proxy_world import Upstream, head, proxying, sdk_at, upstream
from scripted_server import DONE, ROLE, STOP, TOOLS, completion, stream, text_chunks

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
ODD = b'{"model" : "m",\n "messages":[],"unknown": {"a":1e5},  "x":"\\u00e9"}'


def answering(*parts: bytes) -> Any:
    def reply(_state: Upstream, write: Any) -> None:
        for part in parts:
            write(part)

    return reply


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/chat/completions"),
        ("POST", "/completions"),
        ("POST", "/embeddings"),
        ("POST", "/responses"),
        ("GET", "/models"),
        ("GET", "/models/a%2Fb?x=%20&y"),
        ("DELETE", "/files/f-1"),
        ("PUT", "/something/new/"),
        ("POST", "/chat/completions/extra"),
    ],
)
def test_bytes_go_both_ways(method: str, path: str) -> None:
    body = ODD if method in ("POST", "PUT") else None
    said = b'{ "odd":  1 }\n'
    reply = answering(head("207 Odd", "application/odd", x_kept="yes", connection="x-gone"), said)
    with upstream(reply) as state, proxying(state.url) as url:
        response = httpx.request(method, url + path, content=body, headers={"x-sent": "a"})
    assert (response.status_code, response.content) == (207, said)
    assert response.headers["x-kept"] == "yes"
    assert response.headers["content-type"] == "application/odd"
    assert not [name for name in response.headers if name.startswith("x-reliability")]
    assert state.bodies == [body or b""]
    (sent,) = state.heads
    assert sent.startswith(f"{method} /v1{path} HTTP/1.1\r\n".encode())
    assert b"\r\nx-sent: a\r\n" in sent.lower()


@pytest.mark.parametrize(
    "body",
    [
        {"messages": MESSAGES},
        {"messages": MESSAGES, "tools": []},
        {"messages": MESSAGES, "tools": TOOLS, "n": 2},
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_without_tools_or_with_several_answers_nothing_is_checked(
    body: dict[str, Any], streamed: bool
) -> None:
    text = '<tool_call>{"name": "look", "arguments": {"place": "ha'
    reply = stream(ROLE, *text_chunks(text), STOP, DONE) if streamed else completion(text)
    with upstream(answering(head(), reply.body)) as state, proxying(state.url) as url:
        response = httpx.post(f"{url}/chat/completions", json={**body, "stream": streamed})
    assert response.content == reply.body
    assert len(state.bodies) == 1


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff", b'{"tools": 1}', b"[" * 100_000])
def test_a_body_that_is_none_is_the_upstreams_to_refuse(raw: bytes) -> None:
    said = b'{"error": "no JSON"}'
    with upstream(answering(head("400 Bad Request"), said)) as state, proxying(state.url) as url:
        response = httpx.post(f"{url}/chat/completions", content=raw)
    assert (response.status_code, response.content) == (400, said)
    assert state.bodies == [raw]


def test_encoded_bodies_stay_encoded() -> None:
    packed = gzip.compress(b'{"data": []}')
    reply = answering(head(content_encoding="gzip", content_length=str(len(packed))), packed)
    with (
        upstream(reply) as state,
        proxying(state.url) as url,
        httpx.stream("GET", f"{url}/models") as response,
    ):
        assert b"".join(response.iter_raw()) == packed
        assert response.headers["content-encoding"] == "gzip"
    assert b"gzip" in state.heads[0]  # as the client asked


def test_an_encoded_answer_with_tools_is_read() -> None:
    text = '<tool_call>{"name": "Look", "arguments": {"place": "hall"}}</tool_call>'
    packed = gzip.compress(completion(text).body)
    with (
        upstream(answering(head(content_encoding="gzip"), packed)) as state,
        proxying(state.url) as url,
        sdk_at(url) as client,
    ):
        given: Any = {"model": "m", "messages": MESSAGES, "tools": TOOLS}
        (made,) = client.chat.completions.create(**given).choices[0].message.tool_calls
    assert json.loads(made.function.arguments) == {"place": "hall"}


def test_a_stream_without_tools_goes_on_as_it_comes() -> None:
    first = b"data: fi"  # not even a whole event

    def reply(state: Upstream, write: Any) -> None:
        write(head(kind="text/event-stream") + first)
        assert state.release.wait(10)
        write(b"rst\n\ndata: [DONE]\n\n")

    with (
        upstream(reply) as state,
        proxying(state.url) as url,
        httpx.stream("POST", f"{url}/completions", json={"stream": True}, timeout=10) as response,
    ):
        chunks = response.iter_raw()
        assert next(chunks) == first
        state.release.set()
        assert b"".join(chunks) == b"rst\n\ndata: [DONE]\n\n"


def test_redirects_are_not_followed() -> None:
    reply = answering(head("307 Temporary Redirect", location="http://127.0.0.1:9/steal"))
    with upstream(reply) as state, proxying(state.url) as url:
        passed = httpx.post(f"{url}/embeddings", json={})
        body = {"messages": MESSAGES, "tools": TOOLS}
        checked = httpx.post(f"{url}/chat/completions", json=body)
    assert passed.status_code == 307
    assert checked.status_code == 502
    assert checked.json()["error"]["code"] == "upstream_redirect"
    assert len(state.heads) == 2


def test_other_paths_are_named() -> None:
    with proxying("http://127.0.0.1:9/v1") as url:
        response = httpx.get(url.removesuffix("/v1") + "/chat/completions")
    assert response.status_code == 404
    assert "/v1" in response.json()["error"]["message"]


def test_the_sdk_lists_models_and_embeds() -> None:
    models = json.dumps({"object": "list", "data": [{"id": "m", "object": "model"}]}).encode()
    with (
        upstream(answering(head(), models)) as state,
        proxying(state.url) as url,
        sdk_at(url) as client,
    ):
        assert [model.id for model in client.models.list()] == ["m"]
