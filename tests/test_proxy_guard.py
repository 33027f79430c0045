"""Who may ask, and how much."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httpx
import pytest
from documents import text
from proxy_world import head, proxying, upstream
from scripted_server import TOOLS, completion, serving

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.proxy import server
from gptme_reliability.surfaces.proxy.guard import Guard
from gptme_reliability.surfaces.proxy.options import ModelSettings, Options
from gptme_reliability.surfaces.proxy.refusing import Refused
from gptme_reliability.surfaces.task import MOST_BYTES

UP = "http://127.0.0.1:9/v1"
KEY = "a-long-secret"
GOOD = completion("fine")


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"host": "0.0.0.0"}, "--api-key"),
        ({"host": "192.168.1.2"}, "--api-key"),
        ({"host": "::"}, "--api-key"),
        ({"host": "example.org"}, "--api-key"),
        ({"api_key": "short"}, "8 characters"),
        ({"api_key": "long enough\n"}, "printable"),
        ({"upstream": "127.0.0.1:8080"}, "--upstream"),
        ({"upstream": "ftp://127.0.0.1/v1"}, "--upstream"),
        ({"upstream": "http:///v1"}, "--upstream"),
        ({"upstream": "http://h/v1?key=1"}, "--upstream"),
        ({"upstream": "http://h:99999/v1"}, "--upstream"),
        ({"upstream": "http://me:pass@h/v1"}, "--upstream-key"),
    ],
)
def test_options_that_would_not_do(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Options(**{"upstream": UP, **given})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_this_machine_needs_no_key(host: str) -> None:
    Options(UP, host=host)


def test_keys_are_not_shown() -> None:
    shown = repr(Options(UP, api_key=KEY, upstream_key=KEY))
    assert KEY not in shown


HOSTS = [
    ("127.0.0.1:8484", True),
    ("localhost", True),
    ("LOCALHOST:1", True),
    ("[::1]:8484", True),
    ("192.168.1.2:8484", True),  # an address cannot be made to lead elsewhere
    ("evil.example", False),
    ("127.0.0.1.evil.example", False),
    ("localhost.evil.example:8484", False),
    ("[::1", False),
    ("", False),
]


@pytest.mark.parametrize(("host", "welcome"), HOSTS)
def test_hosts(host: str, welcome: bool) -> None:
    assert passes(Options(UP), host=host) is welcome


def test_two_hosts_are_none() -> None:
    headers = [(b"host", b"localhost"), (b"host", b"evil.example")]
    for options in (Options(UP), Options(UP, allow_hosts=("*",))):
        with pytest.raises(Refused, match="one Host"):
            Guard(options).check("/v1/models", headers)


def test_further_hosts() -> None:
    assert passes(Options(UP, allow_hosts=("box.lan",)), host="Box.lan:8484")
    assert not passes(Options(UP, allow_hosts=("box.lan",)), host="other.lan")
    assert passes(Options(UP, allow_hosts=("*",)), host="other.lan")


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("file://", False),
        ("https://chat.example", True),
    ],
)
def test_origins(origin: str, welcome: bool) -> None:
    options = Options(UP, allow_origins=("https://chat.example",))
    assert passes(options, host="localhost", origin=origin) is welcome


@pytest.mark.parametrize(
    ("headers", "welcome"),
    [
        ({"authorization": f"Bearer {KEY}"}, True),
        ({"authorization": f"bearer {KEY}"}, True),
        ({"x-api-key": KEY}, True),
        ({"authorization": KEY}, False),
        ({"authorization": f"Basic {KEY}"}, False),
        ({"authorization": "Bearer "}, False),
        ({"authorization": f"Bearer {KEY}x"}, False),
        ({"x-api-key": "\xe9"}, False),
        ({}, False),
    ],
)
def test_keys(headers: dict[str, str], welcome: bool) -> None:
    options = Options(UP, api_key=KEY)
    assert passes(options, host="localhost", **headers) is welcome


def passes(options: Options, **headers: str) -> bool:
    given = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        Guard(options).check("/v1/models", given)
    except Refused as refused:
        assert refused.status in (401, 403)
        return False
    return True


def test_the_key_of_the_proxy_stays_here_and_the_upstreams_is_sent() -> None:
    with serving(GOOD, GOOD) as script:
        for extra in ({}, {"upstream_key": "sk-up"}):
            with proxying(script.url, api_key=KEY, **extra) as url:
                root = url.removesuffix("/v1")
                bare = httpx.post(f"{url}/chat/completions", json={})
                keyed = {"authorization": f"Bearer {KEY}"}
                kept = httpx.post(f"{url}/chat/completions", json={}, headers=keyed)
                assert (bare.status_code, kept.status_code) == (401, 200)
                assert bare.json()["error"]["type"] == "authentication_error"
                assert httpx.get(f"{root}/healthz").status_code == 200
                assert httpx.get(f"{root}/metrics").status_code == 401
    assert "authorization" not in script.headers[0]
    assert script.headers[1]["authorization"] == "Bearer sk-up"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 204),
        ("https://chat.example", 204),
        ("https://evil.example", 403),
        ("null", 403),
    ],
)
def test_a_browser_asks_without_the_key(origin: str, status: int) -> None:
    """Only the permission is given, and nothing reaches the upstream."""
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key"}
    with (
        serving(GOOD) as script,
        proxying(script.url, api_key=KEY, allow_origins=("https://chat.example",)) as url,
    ):
        asked = f"{url}/chat/completions"
        response = httpx.options(asked, headers={"origin": origin, **asks})
        bare = httpx.options(asked, headers={"origin": "http://localhost"})
        called = httpx.post(asked, headers={"origin": "http://localhost"}, json={})
    assert response.status_code == status
    assert (bare.status_code, called.status_code) == (401, 401)
    allowed = response.headers.get("access-control-allow-origin")
    assert allowed == (origin if status == 204 else None)
    if status == 204:
        assert response.headers["access-control-allow-methods"] == "POST"
        assert response.headers["access-control-allow-headers"] == "x-api-key"
    assert not script.requests and not script.beside


def test_without_a_key_the_upstream_says_who_may_call() -> None:
    asks = {"origin": "http://localhost", "access-control-request-method": "POST"}
    said = head("204 No Content", access_control_allow_origin="*")
    with upstream(lambda _state, write: write(said)) as state, proxying(state.url) as url:
        response = httpx.options(f"{url}/chat/completions", headers=asks)
    assert response.headers["access-control-allow-origin"] == "*" and len(state.heads) == 1


@pytest.mark.parametrize(
    ("headers", "told", "way_out"),
    [
        ({}, "GET /v1/models 401 0ms refused invalid_api_key", "bearer"),
        (
            {"host": "elsewhere.example"},
            "GET /v1/models 403 0ms refused host_not_allowed",
            "--allow-host",
        ),
        (
            {"origin": "https://a.example"},
            "GET /v1/models 403 0ms refused origin_not_allowed",
            "--allow-origin",
        ),
    ],
)
def test_who_is_turned_away_is_told_how_to_get_in(
    headers: dict[str, str], told: str, way_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gptme_reliability.proxy")
    with proxying(UP, api_key=KEY) as url:
        answer = httpx.get(f"{url}/models", headers=headers)
    assert way_out in answer.json()["error"]["message"]
    assert [r.getMessage() for r in caplog.records if r.name == "gptme_reliability.proxy"] == [told]


def test_errors_for_anthropic_clients_have_their_shape() -> None:
    with proxying(UP, api_key=KEY) as url:
        response = httpx.post(f"{url}/messages", json={})
    assert response.json() == {
        "type": "error",
        "error": {
            "type": "authentication_error",
            "message": "the proxy needs its API key, as a bearer token or as x-api-key",
        },
    }


# --- sizes and times --------------------------------------------------------------------------


def test_the_readme_names_the_bounds() -> None:
    said, options, mb = text("README.md"), Options(upstream=UP), 1024 * 1024
    for bound in (
        f"{server._MOST_HEAD // 1024} KB and {server._HEAD_S:g} s for a request's head",
        f"{options.most_body // mb} MB and a pause of {options.stall:g} s for its body",
        f"{MOST_BYTES // mb} MB of an answer that are held",
        f"{options.stall:g} s for a client that does not read",
        f"{['one', 'two', 'three'][int(options.longest / 3600) - 1]} hours for a whole request",
        f"finish open requests for up to {options.grace:g} seconds",
    ):
        assert bound in said


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large(declared: bool) -> None:
    def pieces() -> Any:
        for _ in range(20):
            yield b"x" * 100

    content = b"x" * 2000 if declared else pieces()
    with proxying(UP, most_body=1000) as url:
        response = httpx.post(f"{url}/chat/completions", content=content)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_ten_megabytes_go_both_ways() -> None:
    text = "word " * 2_000_000
    body = {"messages": [{"role": "user", "content": text}], "tools": TOOLS}
    reply = completion(text)
    with serving(reply) as script, proxying(script.url) as url:
        response = httpx.post(f"{url}/chat/completions", json=body, timeout=60)
    assert response.content == reply.body
    assert len(script.requests[0]) > 10_000_000


def talk(url: str, *parts: bytes) -> bytes:
    """What comes back on a bare connection."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            for part in parts:
                connection.sendall(part)
            got = b""
            while piece := connection.recv(65536):
                got += piece
        except ConnectionError:
            return b""
        return got


def test_a_head_without_end_is_cut_short() -> None:
    line = b"x-long: " + b"a" * 8000 + b"\r\n"
    with proxying(UP) as url:
        got = talk(url, b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n", *[line] * 50)
    assert b"200" not in got[:20]


def test_who_sends_no_head_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("httptools")  # without it only the size of a head is bounded
    monkeypatch.setattr(server, "_HEAD_S", 0.1)
    with proxying(UP) as url:
        assert talk(url, b"GET /v1/models HT") == b""


def test_who_sends_no_body_is_left() -> None:
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    with proxying(UP, stall=0.2) as url:
        got = talk(url, request, b"content-length: 5\r\n\r\nab")
    assert got.startswith(b"HTTP/1.1 408 ")


def test_who_does_not_read_is_left() -> None:
    """The upstream is let go of, too."""
    endless = head(kind="text/event-stream")

    def reply(state: Any, write: Any) -> None:
        state.release.set()
        write(endless)
        while True:
            write(b"data: " + b"x" * 65536 + b"\n\n")

    with upstream(reply) as state, proxying(state.url, stall=0.3) as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert state.release.wait(10) and state.left.wait(10)
            with pytest.raises(OSError):
                while True:
                    connection.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    "path", ["/v1/../admin", "/v1/a/%2e%2e/b", "/v1/..%5cadmin", "/v1/./x", "/%761/models"]
)
def test_paths_that_lead_up(path: str) -> None:
    with upstream(lambda _state, write: write(head())) as state, proxying(state.url) as url:
        request = f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        got = talk(url, request.encode())
    assert got.startswith(b"HTTP/1.1 400 ") and state.heads == []


# --- the settings file ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reliability.retries = -1", "retries = -1"),
        ("[reliability]\nretrys = 1", "did you mean 'retries'"),
        ("[plugin.reliability]\nretries = 1", "'plugin'"),
        ("[reliability", "is no TOML"),
        ("reliability = 1", r"\[reliability\] must be a table"),
    ],
)
def test_a_wrong_file(text: str, said: str, tmp_path: Any) -> None:
    file = tmp_path / "p.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        ModelSettings(str(file))


def test_no_file_there(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        ModelSettings(str(tmp_path / "none.toml"))


def test_a_port_that_is_taken() -> None:
    with server.listen("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="cannot listen"):
        server.listen("127.0.0.1", taken.getsockname()[1])


def test_the_server_can_be_made_without_a_running_loop() -> None:
    """A thread of its own, or a script, may serve it."""
    assert asyncio.iscoroutinefunction(server.make(Options(UP)).serve)
