"""Several workers, how the proxy ends, and what it tells of itself meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxy_world import Upstream, head, proxying, upstream
from scripted_server import TOOLS, completion
from test_proxy_command import started

from gptme_reliability.surfaces.proxy.metrics import Metrics
from gptme_reliability.surfaces.proxy.shared import Shared

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
BODY: dict[str, Any] = {"messages": MESSAGES, "tools": TOOLS, "temperature": 0.7}


def soon(found: Callable[[], Any]) -> Any:
    """What is found, once it is there."""
    for _ in range(500):
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError("it never came")


def post(url: str) -> httpx.Response:
    """One request; workers take their time to start."""
    return httpx.post(f"{url}/chat/completions", json=BODY, timeout=60)


def fine(state: Upstream, write: Any) -> None:
    write(head() + completion("fine").body)


@pytest.mark.slow
def test_workers_share_an_address_and_are_replaced() -> None:
    with (
        upstream(fine) as state,
        started("--workers", "2", "--log", "json", "--upstream", state.url) as (process, url),
    ):
        root = url.removesuffix("/v1")
        for _ in range(6):  # a connection of its own each, so that both may get some
            assert post(url).status_code == 200

        def counted(number: int) -> bool:
            text = httpx.get(f"{root}/metrics", timeout=60).text
            return f'reliability_requests_total{{kind="checked",status="2xx"}} {number}' in text

        soon(lambda: counted(6))
        workers = _children(process.pid)
        assert len(workers) == 2
        os.kill(workers[0], signal.SIGKILL)
        soon(lambda: len(set(_children(process.pid)) - set(workers)) == 1)
        assert post(url).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM and "Traceback" not in err
    lines = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    answered = [line for line in lines if line.get("path") == "/v1/chat/completions"]
    assert len(answered) == 7 and {line["verdict"] for line in answered} == {"accept"}
    assert [line for line in lines if "ended by itself" in line.get("message", "")]


def _children(pid: int) -> list[int]:
    """The workers: children that serve, as opposed to Python's own tracker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == pid and b"spawn_main" in command:
            found.append(int(path.parent.name))
    return found


def test_counts_of_workers_are_summed_and_survive_them(tmp_path: Path) -> None:
    def worker(number: int) -> tuple[Metrics, Shared]:
        metrics = Metrics()
        return metrics, Shared(str(tmp_path), number, metrics)

    one, shared_one = worker(1)
    two, shared_two = worker(2)
    for _ in range(3):
        one.answered("checked", 200, 0.5)
    two.answered("passed", 404, 1.0)
    one.open, two.open = 1, 2
    shared_one.publish()
    shared_two.publish()
    total = shared_one.all().text()
    assert total == shared_two.all().text()
    assert 'reliability_requests_total{kind="checked",status="2xx"} 3' in total
    assert 'reliability_requests_total{kind="passed",status="4xx"} 1' in total
    assert "reliability_open_requests 3" in total
    again, _ = worker(1)
    assert 'status="2xx"} 3' in again.text() and again.open == 0


def test_a_broken_file_of_another_worker_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "7.json").write_text("{")
    shared = Shared(str(tmp_path), 1, Metrics())
    assert "reliability_open_requests 0" in shared.all().text()


def test_while_the_proxy_ends_the_rest_is_told_to_come_back() -> None:
    """What is open is finished, and what is new gets 503 with the time to wait."""

    def reply(state: Upstream, write: Any) -> None:
        state.release.wait(10)
        write(head() + completion("fine").body)

    with upstream(reply) as state, ThreadPoolExecutor() as pool:
        ending = proxying(state.url, grace=10.0)
        url = ending.__enter__()
        asked = pool.submit(httpx.post, f"{url}/chat/completions", json=BODY, timeout=20)
        soon(lambda: state.bodies)
        ended = pool.submit(ending.__exit__, None, None, None)

        def refused() -> Any:
            try:
                response = httpx.get(f"{url}/models", timeout=1)
            except httpx.TimeoutException:  # passed on, for the end had not begun
                return None
            return response if response.status_code == 503 else None

        state_before = len(state.heads)
        later = soon(refused)
        assert later.json()["error"]["code"] == "shutting_down"
        assert later.headers["retry-after"] == "1" and later.headers["connection"] == "close"
        assert not asked.done() and len(state.heads) >= state_before
        state.release.set()
        assert asked.result().json()["choices"][0]["message"]["content"] == "fine"
        ended.result()


def test_health_follows_the_upstream() -> None:
    with upstream(fine) as state, proxying(state.url) as url:
        root = url.removesuffix("/v1")
        soon(lambda: httpx.get(f"{root}/healthz").json()["upstream"] == "ok")
        assert "reliability_upstream_up 1" in httpx.get(f"{root}/metrics").text
    with proxying("http://127.0.0.1:9/v1") as url:
        root = url.removesuffix("/v1")
        assert httpx.get(f"{root}/healthz").json()["upstream"] == "down"
        assert "reliability_upstream_up 0" in httpx.get(f"{root}/metrics").text


def test_a_request_that_takes_too_long_is_ended() -> None:
    """Before the first byte with an error, behind it with a broken connection."""

    def silent(state: Upstream, _write: Any) -> None:
        state.left.wait(20)

    with upstream(silent) as state, proxying(state.url, longest=0.3) as url:
        response = httpx.post(f"{url}/chat/completions", json=BODY, timeout=20)
        assert state.left.wait(5)
    assert response.status_code == 504
    assert response.json()["error"]["code"] == "request_timeout"

    def endless(state: Upstream, write: Any) -> None:
        write(head(kind="text/event-stream"))
        while not state.left.is_set():
            write(b": again\n\n")
            time.sleep(0.02)

    with upstream(endless) as state, proxying(state.url, longest=0.3) as url:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.post(f"{url}/completions", json={"stream": True}, timeout=20)
        assert state.left.wait(5)


def test_a_body_that_drips_is_left() -> None:
    """It comes, and never ends."""
    with proxying("http://127.0.0.1:9/v1", stall=0.1) as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999\r\n\r\n"
            )
            connection.settimeout(0.05)
            got = b""
            for _ in range(200):
                try:
                    connection.sendall(b"x")
                    got = connection.recv(65536)
                except TimeoutError:
                    continue
                break
    assert got.startswith(b"HTTP/1.1 408 ")


def test_the_log_as_json(caplog: pytest.LogCaptureFixture) -> None:
    from gptme_reliability.surfaces.proxy.account import JsonLines

    caplog.set_level("INFO", "gptme_reliability.proxy")
    with upstream(fine) as state, proxying(state.url) as url:
        httpx.post(f"{url}/chat/completions", json=BODY)
    (record,) = (r for r in caplog.records if r.name == "gptme_reliability.proxy")
    told = json.loads(JsonLines().format(record))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told.pop("time"))
    assert isinstance(told.pop("ms"), int) and told.pop("process") == os.getpid()
    assert told == {
        "level": "info",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": 200,
        "kind": "checked",
        "mode": "on",
        "verdict": "accept",
        "attempts": 1,
        "calls": 0,
        "refused": 0,
        "repairs": 0,
    }
