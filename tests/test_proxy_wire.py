"""The proxy against peers that bend HTTP: what they say is read in one way, or refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from proxy_world import Upstream, head, proxying, upstream
from pytest_mock import MockerFixture
from scripted_server import (
    DONE,
    ROLE,
    STOP,
    TOOLS,
    call_chunks,
    chunk,
    completion,
    text_chunks,
)

from gptme_reliability.surfaces.effects import Body, Next
from gptme_reliability.surfaces.proxy import bridge, server
from gptme_reliability.surfaces.proxy.account import JsonLines
from gptme_reliability.surfaces.proxy.options import Options

UP = "http://127.0.0.1:9/v1"
BODY: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "user", "content": "look around"}],
    "tools": TOOLS,
}
FINE = completion("fine").body
EVENTS = head(kind="text/event-stream")
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
SOCKET = b"connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a\r\n"


def post(url: str, body: dict[str, Any], **extra: Any) -> httpx.Response:
    return httpx.post(f"{url}/chat/completions", json={**body, **extra}, timeout=20)


def fine(_state: Upstream, write: Any) -> None:
    write(head() + FINE)


def saying(raw: bytes) -> Any:
    """An upstream that says just this."""
    return lambda _state, write: write(raw)


def connected(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def talk(url: str, *parts: bytes) -> bytes:
    """What comes back until the connection ends, with something for the proxy to do between the
    parts."""
    with connected(url) as connection:
        for part in parts:
            connection.sendall(part)
            httpx.get(url.removesuffix("/v1") + "/metrics", timeout=30)
        got = b""
        while piece := connection.recv(65536):
            got += piece
    return got


# --- requests ---------------------------------------------------------------------------------


@pytest.fixture(params=["httptools", "h11"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "h11":
        monkeypatch.setattr(server, "_protocol", server._plain_protocol)
    else:
        pytest.importorskip("httptools")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("offer", [H2C, SOCKET], ids=["h2c", "websocket"])
@pytest.mark.parametrize("apart", [0, 4, 200], ids=["whole", "body apart", "head apart"])
def test_an_offer_of_another_protocol_costs_no_body(offer: bytes, apart: int) -> None:
    """Clients written in Java offer HTTP/2 with every request, whatever it holds."""
    body = b"GET /v1/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n"
    asked = b"POST /v1/completions?a=b HTTP/1.1\r\nhost: localhost\r\n%scontent-length: %d\r\n\r\n"
    raw = asked % (offer, len(body)) + body
    last = b"GET /v1/last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    cut = {0: len(raw), 4: len(raw) - len(body), 200: len(raw) - len(body) - 30}[apart]
    with upstream(fine) as state, proxying(state.url) as url:
        got = talk(url, raw[:cut], raw[cut:] + last)
    assert got.count(b"HTTP/1.1 200 ") == 2 and b" 400 " not in got
    assert state.bodies == [body, b""]
    targets = [line.split(b" ")[1] for line in state.heads]
    assert targets == [b"/v1/completions?a=b", b"/v1/last"]
    assert b"upgrade" not in state.heads[0].lower() and b"settings" not in state.heads[0].lower()


def test_a_pieced_body_behind_an_offer() -> None:
    asked = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n%s" % H2C
    pieces = b"transfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"
    last = b"GET /v1/last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
    with upstream(fine) as state, proxying(state.url) as url:
        talk(url, asked + pieces + last)
    assert state.bodies == [b"abcd", b""]


def test_a_head_is_not_charged_with_the_body_before_it(mocker: MockerFixture) -> None:
    """They may come together, where a client does not wait for answers."""
    pytest.importorskip("httptools")
    body = b"x" * 100_000
    first = b"POST /v1/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def aborted(*parts: bytes) -> bool:
        made, transport = server.make(Options(UP)), mocker.Mock()
        protocol = server._protocol()(made.config, made.server_state, {})
        protocol.connection_made(transport)
        for part in parts:
            protocol.data_received(part)
        return bool(transport.abort.called)

    assert not asyncio.run(aborted(first + body + b"GET /v1/last HT"))
    assert asyncio.run(aborted(b"GET /v1/last HTTP/1.1\r\nx-a: ", body))


def test_a_body_in_a_coding_that_would_be_lost_is_refused() -> None:
    raw = b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    raw += b"transfer-encoding: gzip, chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    with upstream(fine) as state, proxying(state.url) as url:
        got = talk(url, raw)
    assert got.startswith(b"HTTP/1.1 501 ") and state.heads == []


LOOK = {"name": "look", "input_schema": {"type": "object"}}


@pytest.mark.parametrize(
    "odd",
    [
        {"messages": "hello"},
        {"messages": [5]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": ["hello"]}]},
        {"tools": "look"},
        {"tools": [LOOK, "new_20300101"]},
        {"tools": [{**LOOK, "input_schema": 5}]},
    ],
)
def test_messages_that_nobody_here_can_read_are_the_upstreams_to_refuse(
    odd: dict[str, Any],
) -> None:
    said = b'{"type": "error", "error": {"type": "invalid_request_error", "message": "odd"}}'
    body = {"model": "m", "max_tokens": 9, "messages": BODY["messages"], "tools": [LOOK], **odd}
    reply = saying(head("400 Bad Request") + said)
    with upstream(reply) as state, proxying(state.url, upstream_api="anthropic") as url:
        response = httpx.post(f"{url}/messages", json=body)
    assert (response.status_code, response.content) == (400, said)
    assert [json.loads(sent) for sent in state.bodies] == [body]


# --- answers of the upstream ------------------------------------------------------------------

PACKED = gzip.compress(FINE)
GARBLED = [
    b"HTTP/1.1 600 Odd\r\nconnection: close\r\n\r\n" + FINE,
    b"HTTP/1.1 099 Odd\r\nconnection: close\r\n\r\n" + FINE,
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nhello",
]
ENCODED = [head(content_encoding=name) + PACKED for name in ("x-gzip", "gzip, gzip", "compress")]


@pytest.mark.parametrize("raw", [*GARBLED, *ENCODED])
@pytest.mark.parametrize("streamed", [False, True])
def test_what_nobody_can_read_is_an_error_of_the_upstream(raw: bytes, streamed: bool) -> None:
    with upstream(saying(raw)) as state, proxying(state.url) as url:
        response = post(url, BODY, stream=streamed)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream_garbled"


@pytest.mark.parametrize("raw", GARBLED)
def test_no_status_that_is_none_goes_on(raw: bytes) -> None:
    with upstream(saying(raw)) as state, proxying(state.url) as url:
        assert httpx.get(f"{url}/models").status_code == 502


def test_a_header_that_no_header_can_hold_costs_no_answer() -> None:
    raw = head(x_odd="a\x01b", x_kept="yes") + FINE
    with upstream(saying(raw)) as state, proxying(state.url) as url:
        for response in (httpx.get(f"{url}/models"), post(url, BODY)):
            assert (response.status_code, response.content) == (200, FINE)
            assert "x-odd" not in response.headers and response.headers["x-kept"] == "yes"


@pytest.mark.parametrize("status", ["304 Not Modified", "204 No Content"])
def test_a_length_without_a_body(status: str, caplog: pytest.LogCaptureFixture) -> None:
    """A server may say how long the body would have been."""
    raw = head(status, content_length="100")
    with upstream(saying(raw)) as state, proxying(state.url) as url:
        response = httpx.get(f"{url}/models")
    assert response.status_code == int(status[:3])
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "page",
    [
        b"<html><body>Log in first</body></html>",
        b"<!doctype html>\n<html>\n\n<body>\n\nLog in first</body></html>\n\n",
        b"upstream connect error",
        b"null",
        '{"choices": []}'.encode("utf-16"),
    ],
)
def test_a_page_in_place_of_a_stream_is_passed_on(page: bytes) -> None:
    """Nobody asks it again, and nothing is written behind it."""
    raw = head(kind="text/html") + page
    with upstream(saying(raw)) as state, proxying(state.url) as url:
        response = post(url, BODY, stream=True)
    assert (response.status_code, response.content) == (200, page)
    assert response.headers["content-type"] == "text/html"
    assert len(state.bodies) == 1


def test_a_page_in_place_of_the_second_stream() -> None:
    cut = b"".join([ROLE, *call_chunks(0, "look", '{"place": "ha', "a"), chunk({}, "length"), DONE])

    def reply(state: Upstream, write: Any) -> None:
        first = len(state.bodies) == 1
        write(EVENTS + cut if first else head(kind="text/html") + b"<html>Log in</html>")

    with upstream(reply) as state, proxying(state.url) as url:
        seen = post(url, BODY, stream=True).text
    assert "not run: look" in seen and "html" not in seen and seen.endswith(DONE.decode())


BEHIND = [
    b"".join([*call_chunks(0, "shell", '{"command": "rm -r x"}', "z"), chunk({}, "tool_calls")]),
    b"".join([*call_chunks(0, "look", '{"place": "ha', "z"), DONE]),
    b"".join(text_chunks("more")),
]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("apart", [False, True])
def test_nothing_goes_on_from_behind_the_end(behind: bytes, apart: bool) -> None:
    """Some clients pass over the mark of the end; nobody has looked at what follows."""

    def reply(_state: Upstream, write: Any) -> None:
        said = b"".join([ROLE, *text_chunks("It is done."), STOP, DONE])
        write(EVENTS + (said if apart else said + behind))
        write(behind if apart else b"")

    with upstream(reply) as state, proxying(state.url) as url:
        seen = post(url, BODY, stream=True).text
    events = [json.loads(line[6:]) for line in seen.splitlines() if line.startswith("data: {")]
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert not [delta for delta in deltas if delta.get("tool_calls")]
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is done."
    assert seen.count("[DONE]") == 1 and len(state.bodies) == 1


def test_what_says_nothing_is_not_kept_for_ever() -> None:
    """It goes on, at some point, before it is known whether an answer will come."""
    comment = b": " + b"x" * 65_000 + b"\n\n"

    def reply(state: Upstream, write: Any) -> None:
        write(EVENTS)
        for _ in range(40):
            write(comment)
        assert state.release.wait(20)
        write(b"".join([ROLE, *text_chunks("It is done."), STOP, DONE]))

    seen = b""
    with (
        upstream(reply) as state,
        proxying(state.url) as url,
        httpx.stream("POST", f"{url}/chat/completions", json={**BODY, "stream": True}) as response,
    ):
        for piece in response.iter_raw():
            seen += piece
            state.release.set()
    assert seen.startswith(comment) and seen.endswith(DONE)


@pytest.mark.parametrize("tried", [0, 1])
def test_an_error_behind_what_says_nothing(tried: int) -> None:
    """The response has begun: the error is an event of it."""
    comment = b": " + b"x" * 65_000 + b"\n\n"

    def reply(state: Upstream, write: Any) -> None:
        if len(state.bodies) == 1:
            write(EVENTS + comment * 40 + (ROLE + STOP + DONE if tried else b""))
        else:
            write(head("503 Service Unavailable") + b'{"error": {"message": "Overloaded"}}')

    with upstream(reply) as state, proxying(state.url) as url:
        response = post(url, BODY, stream=True)
    assert response.status_code == 200 and len(state.bodies) > 1
    assert b'data: {"error":{"message":"Overloaded"}}' in response.content
    assert not response.content.endswith(DONE)


def test_a_body_is_read_no_further_than_needed() -> None:
    """Neither blanks before the first byte that tells, nor what is collected, are without end."""

    def taken(steps: Any, chunk: bytes) -> tuple[int, Any]:
        next(steps)
        for count in range(1, 1000):
            try:
                assert isinstance(steps.send(chunk), Next)
            except StopIteration as stop:
                return count, stop.value
        raise AssertionError("it never ends")

    response: Any = None
    count, whole = taken(Body(response).in_one_piece(), b" " * 65_536)
    assert count < 100 and whole is False
    count, raw = taken(Body(response).collected(1_000_000), b"x" * 65_536)
    assert count < 100 and 1_000_000 < len(raw) < 1_100_000


@pytest.mark.parametrize("tools", [[], [{"name": "look", "input_schema": {"type": "object"}}]])
def test_a_line_without_end_behind_the_bridge(
    tools: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "MOST_BYTES", 1_000_000)

    def reply(state: Upstream, write: Any) -> None:
        write(EVENTS + ROLE + b"data: ")
        while not state.left.is_set():
            write(b"x" * 65_536)

    asked = {"model": "tiny", "max_tokens": 9, "stream": True, "messages": BODY["messages"]}
    with upstream(reply) as state, proxying(state.url) as url:
        try:
            answer = httpx.post(f"{url}/messages", json={**asked, "tools": tools}, timeout=20)
        except httpx.RemoteProtocolError:  # it had begun
            assert not tools
        else:
            assert answer.status_code == 502
        assert state.left.wait(10)


# --- bodies that come compressed --------------------------------------------------------------


def deflated(raw: bytes, window: int) -> bytes:
    writer = zlib.compressobj(wbits=window)
    return writer.compress(raw) + writer.flush()


PACKERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("X-GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", partial(deflated, window=-zlib.MAX_WBITS)),
]
LEAKED = completion('<tool_call>{"name": "Look", "arguments": {"place": "hall"}}</tool_call>').body


def post_packed(url: str, encoding: str, content: bytes, to: str = "/chat/completions") -> Any:
    return httpx.post(url + to, content=content, headers={"content-encoding": encoding}, timeout=20)


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
def test_a_compressed_body_is_read_and_sent_on_as_it_is_meant(
    encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    raw = json.dumps(BODY).encode()
    with upstream(saying(head() + LEAKED)) as state, proxying(state.url) as url:
        answer = post_packed(url, encoding, pack(raw)).json()
    (made,) = answer["choices"][0]["message"]["tool_calls"]
    assert made["function"]["name"] == "look"
    assert state.bodies[0] == raw and b"content-encoding" not in state.heads[0].lower()


def test_a_compressed_body_with_nothing_to_check_goes_on_as_it_came(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "gptme_reliability.proxy")
    body = gzip.compress(json.dumps({**BODY, "tools": []}).encode())
    with upstream(fine) as state, proxying(state.url) as url:
        post_packed(url, "gzip", body)
    assert state.bodies == [body] and b"content-encoding: gzip" in state.heads[0].lower()
    assert "encoded" not in caplog.text


def test_a_compressed_body_behind_the_bridge() -> None:
    asked = {"model": "tiny", "max_tokens": 9, "messages": BODY["messages"]}
    with upstream(fine) as state, proxying(state.url) as url:
        answer = post_packed(url, "gzip", gzip.compress(json.dumps(asked).encode()), "/messages")
    assert answer.json()["content"] == [{"type": "text", "text": "fine"}]
    assert b"content-encoding" not in state.heads[0].lower()


@pytest.mark.parametrize(("encoding", "pack"), PACKERS)
def test_a_body_is_unpacked_no_further_than_it_may_be_large(
    encoding: str, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = []
    real = zlib.decompressobj

    def watched(window: int) -> Any:
        reader = real(window)

        def decompress(raw: bytes, most: int) -> bytes:
            taken.append(most)
            return reader.decompress(raw, most)

        return SimpleNamespace(decompress=decompress)

    monkeypatch.setattr("gptme_reliability.surfaces.proxy.packing.zlib.decompressobj", watched)
    bomb = pack(b'{"messages": "' + b" " * 10_000_000)
    with upstream(fine) as state, proxying(state.url, most_body=100_000) as url:
        answer = post_packed(url, encoding, bomb)
    assert answer.status_code == 413 and state.bodies == []
    assert taken and set(taken) == {100_001}


# --- what the operator sees -------------------------------------------------------------------


def test_who_is_turned_away_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gptme_reliability.proxy")
    with proxying(UP) as url:
        root = url.removesuffix("/v1")
        httpx.get(f"{url}/models", headers={"host": "elsewhere.example"})
        httpx.post(f"{root}/chat/completions", json={})
        assert talk(url, b"\x16\x03\x01\x02\x00\x01\x00\x01").startswith(b"HTTP/1.1 400 ")
        metrics = httpx.get(f"{root}/metrics").text
    assert 'reliability_requests_total{kind="refused",status="4xx"} 2' in metrics
    told = [r.getMessage() for r in caplog.records if r.name == "gptme_reliability.proxy"]
    assert [re.sub(r"\d+ms", "", line).split() for line in told] == [
        ["GET", "/v1/models", "403", "refused", "host_not_allowed"],
        ["POST", "/chat/completions", "404", "refused", "not_found"],
        ["-", "-", "400", "refused", "no_http"],
    ]


def test_why_nobody_is_there_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gptme_reliability")
    with proxying(UP) as url:
        said = [httpx.get(f"{url}/models").text for _ in range(3)]
    told = [r.getMessage() for r in caplog.records if "cannot be reached" in r.getMessage()]
    assert len(told) == 1 and "127.0.0.1:9" in told[0]
    assert "127.0.0.1:9" not in said[0]


PACKED = gzip.compress(json.dumps(BODY).encode())


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PACKED, "br"),
        (PACKED, "zstd"),
        (PACKED, "gzip, gzip"),
        (PACKED, "deflate"),
        (PACKED[:-1], "gzip"),
        (PACKED + PACKED, "gzip"),
        (PACKED + b"{}", "gzip"),
    ],
)
def test_a_body_that_nobody_here_can_read_is_named(
    body: bytes, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gptme_reliability.proxy")
    with upstream(fine) as state, proxying(state.url) as url:
        headers = {"content-encoding": encoding}
        httpx.post(f"{url}/chat/completions", content=body, headers=headers)
    header = f"content-encoding: {encoding}".encode()
    assert state.bodies == [body] and header in state.heads[0].lower()
    (told,) = (r.getMessage() for r in caplog.records if r.name == "gptme_reliability.proxy")
    assert told.endswith(" passed encoded")


@pytest.mark.parametrize(
    ("options", "headers", "kind"),
    [
        ({"api_key": "a-long-secret"}, {}, "authentication_error"),
        ({}, {"host": "elsewhere.example"}, "permission_error"),
        ({"most_body": 10}, {}, "request_too_large"),
        ({"upstream_api": "anthropic"}, {}, "api_error"),
        ({}, {"content-type": "application/json"}, "invalid_request_error"),
    ],
)
def test_refusals_of_messages(options: dict[str, Any], headers: dict[str, str], kind: str) -> None:
    with proxying(UP, **options) as url:
        response = httpx.post(f"{url}/messages", content=b"[1, 2, 3, 4, 5]", headers=headers)
    assert response.json()["type"] == "error"
    assert response.json()["error"]["type"] == kind


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_as_many_connections_as_there_may_be() -> None:
    code = """
import resource, signal
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from gptme_reliability.surfaces.proxy.process import settle
settle()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fault_stands_in_a_log_of_json() -> None:
    """Its kind and its place, and nothing that anybody wrote."""
    try:
        raise ValueError("a secret")
    except ValueError:
        args: Any = ("asyncio", logging.ERROR, __file__, 1, "It %s.", ("failed",), sys.exc_info())
    (line,) = JsonLines().format(logging.LogRecord(*args)).splitlines()
    told = json.loads(line)
    assert (told["level"], told["message"]) == ("error", "It failed.")
    assert told["error"].startswith("ValueError in test_proxy_wire.py") and "secret" not in line
