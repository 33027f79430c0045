"""Upstreams that fail, clients that leave: nothing hangs, nothing is lost without a word."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from proxy_world import Upstream, head, proxying, sdk_at, upstream
from pytest_mock import MockerFixture
from scripted_server import (
    CUT,
    DONE,
    GOOD_STREAM,
    ROLE,
    STOP,
    TOOLS,
    call,
    call_chunks,
    chunk,
    completion,
    stream,
    text_chunks,
)

from gptme_reliability.surfaces.proxy.driving import WORKER

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
BODY: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS}
PLAIN: dict[str, Any] = {"model": "tiny", "messages": MESSAGES}
EVENTS = head(kind="text/event-stream")
HALL = '{"place": "hall"}'
both = pytest.mark.parametrize("streamed", [False, True])
each = pytest.mark.parametrize("body", [BODY, PLAIN], ids=["checked", "passed"])


CLIENT = httpx.Client(timeout=20)


@pytest.fixture(autouse=True, scope="module")
def closed_behind() -> Iterator[None]:
    """No connection outlives the tests."""
    yield
    CLIENT.close()


def post(url: str, body: dict[str, Any], **extra: Any) -> httpx.Response:
    return CLIENT.post(f"{url}/chat/completions", json={**body, **extra})


@both
@each
def test_an_upstream_that_is_down(body: dict[str, Any], streamed: bool) -> None:
    with proxying("http://127.0.0.1:9/v1") as url:
        response = post(url, body, stream=streamed)
    assert response.status_code == 502
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("api_error", "upstream_unreachable")
    assert "127.0.0.1:9" not in error["message"]


def test_the_sdk_sees_it_as_a_fault_of_the_server() -> None:
    with (
        proxying("http://127.0.0.1:9/v1") as url,
        sdk_at(url) as client,
        pytest.raises(openai.InternalServerError, match="unreachable"),
    ):
        client.chat.completions.create(**BODY)


@both
@each
def test_an_upstream_that_is_silent(body: dict[str, Any], streamed: bool) -> None:
    def reply(state: Upstream, _write: Any) -> None:
        state.release.wait(20)

    with upstream(reply) as state, proxying(state.url, timeout=0.2) as url:
        response = post(url, body, stream=streamed)
        assert state.left.wait(5)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "upstream_timeout"


@both
@each
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", b"SSH-2.0-odd\r\n\r\n"])
def test_an_upstream_that_says_no_http(said: bytes, body: dict[str, Any], streamed: bool) -> None:
    with upstream(lambda _state, write: write(said)) as state, proxying(state.url) as url:
        response = post(url, body, stream=streamed)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "upstream_disconnected"


@each
def test_a_whole_answer_that_breaks_off(body: dict[str, Any]) -> None:
    part = completion("fine").body[:40]
    said = head(content_length="999") + part
    with upstream(lambda _state, write: write(said)) as state, proxying(state.url) as url:
        if body is BODY:
            assert post(url, body).status_code == 502
        else:  # its status and first bytes are on their way already
            with pytest.raises(httpx.RemoteProtocolError):
                post(url, body)


@pytest.mark.parametrize("before", [text_chunks("I look. "), CUT, [ROLE]])
def test_a_stream_that_breaks_off(before: list[bytes]) -> None:
    """The client sees a fault, not an end, and never a call."""

    def reply(_state: Upstream, write: Any) -> None:
        write(EVENTS.replace(b"connection: close", b"transfer-encoding: chunked"))
        data = b"".join(before)
        write(b"%x\r\n%s\r\n" % (len(data), data))

    seen = b""
    with (
        upstream(reply) as state,
        proxying(state.url) as url,
        httpx.Client() as client,
        client.stream("POST", f"{url}/chat/completions", json={**BODY, "stream": True}) as response,
    ):
        if response.status_code == 200:
            with pytest.raises(httpx.RemoteProtocolError):
                for piece in response.iter_raw():
                    seen += piece
            assert b'"code": "upstream_disconnected"' in seen
        else:
            assert response.status_code == 502
            seen = response.read()
    assert b"tool_calls" not in seen and DONE not in seen


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: <html>\n\n",
        b"\x00\xff\xfe\n\n",
        b"data: {\n\ndata: }\n\n",
        b"data: " + b"[" * 50_000 + b"\n\n",
        b"event: x\nid: 1\nretry: 5\n\n",
        b"<html>Bad gateway</html>",
        b"\n" * 1000,
        b"data: null\n\n" * 100,
    ],
)
def test_garbage_goes_through(garbage: bytes) -> None:
    with (
        upstream(lambda _state, write: write(EVENTS + ROLE + garbage + DONE)) as state,
        proxying(state.url) as url,
    ):
        response = post(url, BODY, stream=True)
    assert response.status_code == 200
    seen = response.content
    assert garbage in seen or len(state.bodies) > 1  # as it came, or asked about


def test_a_slow_drip_is_one_answer() -> None:
    def reply(_state: Upstream, write: Any) -> None:
        write(EVENTS)
        for at in range(0, len(GOOD_STREAM.body), 64):
            write(GOOD_STREAM.body[at : at + 64])
            time.sleep(0.005)

    with upstream(reply) as state, proxying(state.url) as url:
        response = post(url, BODY, stream=True)
    assert response.content == GOOD_STREAM.body


def test_a_hostile_answer_does_not_hold_up_the_others(mocker: MockerFixture) -> None:
    """Its work waits in the thread for heavy work, and the event loop serves on."""
    hostile = completion("<tool_call>{" + '{"a":[' * 400_000)
    enough = threading.Event()
    WORKER.submit(enough.wait, 60)
    queued = mocker.spy(WORKER, "submit")

    def reply(state: Upstream, write: Any) -> None:
        answer = hostile if b"hostile" in state.bodies[-1] else completion("fine")
        write(head() + answer.body)

    with upstream(reply) as state, proxying(state.url) as url, ThreadPoolExecutor() as pool:
        root = url.removesuffix("/v1")
        asked = {**BODY, "messages": [{"role": "user", "content": "hostile"}]}
        first = pool.submit(post, url, asked)
        try:
            while not first.done() and not queued.call_count:
                time.sleep(0.01)
            for _ in range(3):
                assert httpx.get(f"{root}/healthz", timeout=30).status_code == 200
            assert not first.done()
        finally:
            enough.set()
        assert first.result().status_code == 200


@both
@each
def test_a_client_that_leaves_ends_the_upstreams_work(body: dict[str, Any], streamed: bool) -> None:
    """Before the answer and in the middle of it."""

    def reply(state: Upstream, write: Any) -> None:
        if streamed:
            write(EVENTS + ROLE + b"".join(text_chunks("I look around. ")))
        state.release.set()
        state.left.wait(20)

    with upstream(reply) as state, proxying(state.url) as url:
        _ask_and_leave(url, {**body, "stream": streamed}, state.release)
        assert state.left.wait(10)
        metrics = _when(url, "reliability_disconnects_total 1")
    assert "reliability_open_requests 1" not in metrics


def _ask_and_leave(url: str, body: dict[str, Any], when: threading.Event) -> None:
    """Send a request on a bare connection, and close that."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    content = json.dumps(body).encode()
    request = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
    )
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request % (len(content), content))
        assert when.wait(10)


def _when(url: str, line: str) -> str:
    """The counts, once this line is in them."""
    for _ in range(100):
        text = CLIENT.get(url.removesuffix("/v1") + "/metrics").text
        if line in text:
            return text
        time.sleep(0.02)
    raise AssertionError(text)


@both
def test_a_client_that_leaves_during_a_re_ask_ends_it(streamed: bool) -> None:
    def reply(state: Upstream, write: Any) -> None:
        if len(state.bodies) == 1:
            cut = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), DONE)
            whole = completion(calls=[call("look", '{"place": "ha')], finish="length")
            write(EVENTS + cut.body if streamed else head() + whole.body)
        else:
            state.release.set()
            state.left.wait(20)

    with upstream(reply) as state, proxying(state.url) as url:
        _ask_and_leave(url, {**BODY, "stream": streamed}, state.release)
        _when(url, "reliability_disconnects_total 1")
        assert state.left.wait(10)


def test_open_requests_are_finished_when_the_proxy_ends() -> None:
    def reply(state: Upstream, write: Any) -> None:
        state.release.wait(10)
        time.sleep(0.3)
        write(head() + completion("fine").body)

    with upstream(reply) as state, ThreadPoolExecutor() as pool:
        with proxying(state.url) as url:
            asked = pool.submit(post, url, BODY)
            while not state.bodies:
                time.sleep(0.01)
            state.release.set()
        assert asked.result().json()["choices"][0]["message"]["content"] == "fine"


def test_many_at_once_with_faults() -> None:
    """Every request gets an answer or a fault of its own, and none another's."""

    def reply(state: Upstream, write: Any) -> None:
        kind, name = re.findall(rb"kind-(\d) name-(\d+)", state.body())[0]
        said = f"It is done, number {name.decode()}."
        calls = call_chunks(0, "look", HALL, f"call-{name.decode()}")
        answers = [
            head() + completion(said).body,
            head("503 Busy") + b'{"error": {"message": "busy"}}',
            b"",
            head(content_length="9999") + b"{",
            EVENTS + stream(*text_chunks(said, 99), STOP, DONE).body,
            EVENTS + stream(*calls, chunk({}, "tool_calls"), DONE).body,
        ]
        write(answers[int(kind)])

    def ask(url: str, number: int) -> httpx.Response:
        kind = number % 6
        messages = [{"role": "user", "content": f"kind-{kind} name-{number}"}]
        return post(url, {**BODY, "messages": messages}, stream=kind > 3)

    with upstream(reply) as state, proxying(state.url) as url, ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda number: ask(url, number), range(120)))
    expected = [(200, "number {}."), (503, "busy"), (502, "disconnected"), (502, "disconnected")]
    expected += [(200, "number {}."), (200, 'call-{}"')]
    for number, response in enumerate(responses):
        status, word = expected[number % 6]
        assert (response.status_code, word.format(number) in response.text) == (status, True)
