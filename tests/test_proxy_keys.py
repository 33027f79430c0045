"""Several keys for callers, and requests that were made to get around the guard."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxy_world import head, proxying, upstream
from scripted_server import TOOLS, completion, serving
from test_proxy_command import started
from test_proxy_guard import passes, talk

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.proxy.keys_file import read_keys
from gptme_reliability.surfaces.proxy.options import Options

NOWHERE = "http://127.0.0.1:9/v1"
KEYS = ("first-of-the-keys", "second-of-the-keys")
OURS = [*KEYS, "the-one-on-the-line"]
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "tools": TOOLS}


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("first-of-the-keys\nsecond-of-the-keys\n", KEYS),
        ("\ufeff# laptop\nfirst-of-the-keys  \r\n\n  # ci\n\tsecond-of-the-keys", KEYS),
        ("first-of-the-keys\nfirst-of-the-keys\n", KEYS[:1]),
    ],
)
def test_a_file_of_keys(text: str, keys: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(text, encoding="utf-8")
    assert read_keys(str(file)) == keys


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "holds no key"),
        (b"# nothing\n", "holds no key"),
        (b"good-enough\nshort\n", "line 2"),
        (b"two words are none\n", "line 1"),
        ("schl\u00fcssel-schl\u00fcssel".encode(), "line 1"),
        (b"\xff\xfe\x00", "is no text"),
    ],
)
def test_files_that_would_not_do(raw: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_bytes(raw)
    with pytest.raises(ConfigError, match=said) as caught:
        read_keys(str(file))
    assert "short" not in str(caught.value).replace(str(file), "")


def test_no_file_of_keys() -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_keys("/does/not/exist")


def test_other_machines_need_one_of_the_keys() -> None:
    with pytest.raises(ConfigError, match="--keys-file"):
        Options(NOWHERE, host="0.0.0.0")
    Options(NOWHERE, host="0.0.0.0", keys=KEYS)


@pytest.mark.parametrize("key", OURS)
def test_any_key_lets_in(key: str) -> None:
    options = Options(NOWHERE, api_key=OURS[2], keys=KEYS)
    assert passes(options, host="localhost", authorization=f"Bearer {key}")
    assert passes(options, host="localhost", **{"x-api-key": key})
    assert not passes(options, host="localhost", authorization=f"Bearer {key[:-1]}")
    assert not passes(options, host="localhost", authorization=f"Bearer {key}\n{key}")
    assert not passes(options, host="localhost", authorization=f"Bearer {', '.join(OURS)}")


def test_keys_are_not_shown() -> None:
    shown = repr(Options(NOWHERE, keys=KEYS))
    assert not [key for key in KEYS if key in shown]


@pytest.mark.parametrize("extra", [{}, {"upstream_key": "sk-upstream"}])
@pytest.mark.parametrize("body", [BODY, {}], ids=["checked", "passed"])
def test_keys_of_callers_stay_here(extra: Any, body: Any) -> None:
    """In whichever header, and however often they are sent."""
    headers = [
        ("authorization", f"Bearer {KEYS[0]}"),
        ("x-api-key", KEYS[1]),
        ("X-Api-Key", KEYS[0]),
        ("authorization", f"Bearer {KEYS[1]}"),
    ]
    with serving(completion("fine")) as script, proxying(script.url, keys=KEYS, **extra) as url:
        response = httpx.post(f"{url}/chat/completions", json=body, headers=headers)
    assert response.status_code == 200
    (sent,) = script.headers
    assert not [value for value in sent.values() for key in KEYS if key in value]
    wanted = "Bearer sk-upstream" if extra else None
    assert sent.get("authorization") == wanted


def test_callers_keys_go_on_where_there_are_none_of_ours() -> None:
    with serving(completion("fine")) as script, proxying(script.url) as url:
        headers = {"authorization": "Bearer sk-theirs"}
        httpx.post(f"{url}/chat/completions", json=BODY, headers=headers)
    assert script.headers[0]["authorization"] == "Bearer sk-theirs"


def test_what_is_asked_of_the_server_carries_no_key_of_ours() -> None:
    """What it declares is fetched with the server's key, or none."""

    def reply(_state: Any, write: Any) -> None:
        write(head() + completion("fine").body)

    with upstream(reply) as state, proxying(state.url, keys=KEYS, contracts="tools") as url:
        headers = {"authorization": f"Bearer {KEYS[0]}"}
        asked = {**BODY, "model": "qwen2.5:7b-instruct"}
        httpx.post(f"{url}/chat/completions", json=asked, headers=headers)
    assert len(state.heads) > 1  # some of them ask what it is
    assert not [sent for sent in state.heads if b"authorization" in sent.lower()]


def test_keys_from_a_file_and_the_environment(tmp_path: Path) -> None:
    """Callers' keys from the one, the server's from the other."""
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS))
    given = ("--quiet", "--contracts", "off", "--keys-file", str(file))
    env = {"GPTME_RELIABILITY_UPSTREAM_KEY": "sk-upstream"}
    with (
        serving(completion("fine")) as script,
        started(*given, "--upstream", script.url, **env) as (_, url),
    ):
        bare = httpx.post(f"{url}/chat/completions", json=BODY)
        keyed = {"x-api-key": KEYS[1]}
        kept = httpx.post(f"{url}/chat/completions", json=BODY, headers=keyed)
    assert (bare.status_code, kept.status_code) == (401, 200)
    (sent,) = script.headers
    assert sent["authorization"] == "Bearer sk-upstream" and "x-api-key" not in sent


# --- around the guard -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ({"sec-fetch-site": "cross-site"}, False),  # an image or a link, which names no origin
        ({"sec-fetch-site": "same-site"}, True),
        ({"sec-fetch-site": "none"}, True),  # typed in by the user
        ({"sec-fetch-site": "cross-site", "origin": "http://localhost:3000"}, True),
        ({"origin": "http://localhost@evil.example"}, False),
        ({"origin": "http://evil.example#localhost"}, False),
        ({"origin": "http://[::1"}, False),
        ({"origin": ""}, False),
    ],
)
def test_pages_elsewhere(headers: dict[str, str], welcome: bool) -> None:
    assert passes(Options(NOWHERE), host="localhost", **headers) is welcome


@pytest.mark.parametrize(
    "host",
    ["evil.example@localhost.evil.example", "localhost.", "localhost\\@evil.example", "x:y:z", "%"],
)
def test_hosts_that_are_none(host: str) -> None:
    assert not passes(Options(NOWHERE), host=host)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/..;/admin",
        "/v1/..;a=b/admin",
        "/v1/%2e%2e;/admin",
        "/v1/a/..%2f..%2fadmin",
        "/v1%2f..%2fadmin",
        "/V1/models",
        "//v1/models",
        "/v1",
        "http://127.0.0.1:9/admin",
    ],
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    with upstream(lambda _state, write: write(head())) as state, proxying(state.url) as url:
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        got = talk(url, request.encode())
    assert got[9:12] in (b"400", b"404") and state.heads == []


SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "request_head",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 0\r\ncontent-length: 5\r\n\r\n",
        b"content-length: +0\r\n\r\n",
        b"content-length: -5\r\n\r\n",
        b"content-length: 0x5\r\n\r\n",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        b"x: \r\n\n\r\n",
    ],
)
def test_lengths_that_contradict_each_other_hide_no_request(request_head: bytes) -> None:
    """The server is asked for what the proxy saw, in a framing of the proxy's own."""

    def reply(_state: Any, write: Any) -> None:
        write(head(content_length="0"))

    start = b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    with upstream(reply) as state, proxying(state.url, stall=0.2) as url:
        talk(url, start + request_head + SMUGGLED)
    assert not [sent for sent in state.bodies if b"smuggled" in sent]
    assert len(state.heads) <= 1
    for sent in state.heads:
        assert b"smuggled" not in sent
        assert sent.lower().count(b"content-length") + sent.lower().count(b"transfer-enc") <= 1


def test_what_follows_a_body_in_pieces_is_dropped() -> None:
    """Trailers have no bound of their own."""
    pytest.importorskip("httptools")
    trailers = b"x-trail: " + b"a" * 1000 + b"\r\n"

    def reply(_state: Any, write: Any) -> None:
        write(head() + b"{}")

    start = (
        b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    )
    with upstream(reply) as state, proxying(state.url) as url:
        got = talk(url, start, *[trailers] * 200, b"\r\n")
    assert got.startswith(b"HTTP/1.1 200 ") and b"x-trail" not in state.heads[0]


def test_a_stranger_uploads_nothing() -> None:
    """The key is asked for before the body is read."""
    with proxying(NOWHERE, keys=KEYS) as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000000\r\n\r\n"
            )
            assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("location", ["http://127.0.0.1:9/steal", "//127.0.0.1:9/x", "/v1/other"])
@pytest.mark.parametrize("body", [BODY, {}], ids=["checked", "passed"])
def test_no_redirect_is_followed(location: str, body: Any) -> None:
    reply = head("308 Permanent Redirect", location=location)
    with upstream(lambda _state, write: write(reply)) as state, proxying(state.url) as url:
        response = httpx.post(f"{url}/chat/completions", json=body)
    assert response.status_code == (308 if body == {} else 502) and len(state.heads) == 1


def test_a_page_of_the_server_that_redirects_declares_nothing() -> None:
    def reply(state: Any, write: Any) -> None:
        if b"/chat/" in state.heads[-1]:
            write(head() + completion("fine").body)
        else:
            write(head("302 Found", location="http://127.0.0.1:9/steal"))

    with upstream(reply) as state, proxying(state.url, contracts="tools") as url:
        asked = {**BODY, "model": "qwen2.5:7b-instruct"}
        assert httpx.post(f"{url}/chat/completions", json=asked).status_code == 200
    (first, *_) = (body for body in state.bodies if body)
    assert json.loads(first)["temperature"] == 0.7


@pytest.mark.parametrize("depth", [100, 3_000, 200_000])
@pytest.mark.parametrize("key", ["messages", "tools", "metadata"])
def test_nesting_has_no_bound_that_breaks(depth: int, key: str) -> None:
    """Whatever is too deep for us is the server's to refuse, in its own bytes."""
    deep = "[" * depth + "]" * depth
    tools, messages = json.dumps(TOOLS), json.dumps(BODY["messages"])
    parts = {"messages": messages, "tools": tools, key: deep}
    raw = "{" + ", ".join(f'"{name}": {value}' for name, value in parts.items()) + "}"
    with serving(completion("fine")) as script, proxying(script.url) as url:
        response = httpx.post(f"{url}/chat/completions", content=raw, timeout=30)
    assert response.status_code == 200
    assert script.requests == [raw.encode()]


def test_names_of_models_are_not_kept_without_end() -> None:
    from gptme_reliability.surfaces.proxy.options import ModelSettings

    settings = ModelSettings()
    long = settings.of("m" * 10_000_000)
    assert len(long.model) <= 1000
    assert settings.settings("m" * 10_000_000) is settings.settings("m" * 9_000_000)


def test_slow_clients_hold_nobody_up() -> None:
    """Heads and bodies that do not end, and one that never reads."""

    def reply(state: Any, write: Any) -> None:
        if b"/endless" not in state.heads[-1]:
            write(head() + completion("fine").body)
            return
        write(head(kind="text/event-stream"))
        while not state.left.is_set():
            write(b"data: " + b"x" * 65536 + b"\n\n")

    start = b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\n"
    slow = [start, start + b"content-length: 9\r\n\r\nab", b"G", b""]
    slow.append(start.replace(b"/x", b"/endless") + b"content-length: 0\r\n\r\n")
    with ExitStack() as stack:
        state = stack.enter_context(upstream(reply))
        url = stack.enter_context(proxying(state.url))
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        for opening in slow * 10:
            connection = socket.create_connection((host, int(port)))
            stack.enter_context(connection)
            connection.sendall(opening)
        for _ in range(3):
            response = httpx.post(f"{url}/chat/completions", json=BODY, timeout=30)
            assert response.json()["choices"][0]["message"]["content"] == "fine"
