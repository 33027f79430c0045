"""The trace: a line for each request, and no word of anybody unless it is asked for."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxy_world import proxying
from scripted_server import TOOLS, call, completion, failure, serving
from test_sampling import CARD, VLLM, Server
from test_sampling import serving as sampling_server

SECRET = "swordfish"
MESSAGES: list[Any] = [{"role": "user", "content": f"say {SECRET}"}]
CUT = completion(f"I keep {SECRET}.", [call("look", f'{{"place": "{SECRET}')], finish="length")
GOOD = completion(calls=[call("look", {"place": SECRET})])
IN_TEXT = completion(f'<tool_call>{{"name": "Look", "arguments": {{"place": "{SECRET}"}}}}')


def ask(url: str, path: str = "/chat/completions", **body: Any) -> httpx.Response:
    given = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, **body}
    headers = {"authorization": f"Bearer {SECRET}"}
    return httpx.post(f"{url}{path}?key={SECRET}", json=given, headers=headers)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_request_leaves_a_line(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "trace.jsonl"
    replies = (CUT, GOOD, completion("plain"), failure(404, SECRET), IN_TEXT)
    with serving(*replies) as script, proxying(script.url, trace=str(file)) as url:
        ask(url)
        ask(url, tools=None)
        ask(url, "/embeddings")
        ask(url, stream=False)
    asked, plain, failed, mended = lines(file)
    assert (asked["status"], asked["kind"], asked["verdict"]) == (200, "checked", "accept")
    assert [attempt["verdict"] for attempt in asked["attempts"]] == ["retry", "accept"]
    assert asked["calls"] == [{"name": "look", "dialect": None}]
    assert (plain["kind"], plain["path"], plain["model"]) == (
        "passed",
        "/v1/chat/completions",
        "tiny",
    )
    assert (failed["status"], failed["path"]) == (404, "/v1/embeddings")
    assert mended["repairs"] and {"time", "ms", "mode"} <= set(mended)
    assert SECRET not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_contents_are_there_for_who_asks_for_them(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    sets = ("trace=full", 'models."quiet*".trace=off')
    with (
        serving(CUT, GOOD, GOOD) as script,
        proxying(script.url, trace=str(file), sets=sets) as url,
    ):
        ask(url)
        ask(url, model="quiet-1")
    (only,) = lines(file)
    assert only["attempts"][0]["text"] == f"I keep {SECRET}."
    assert SECRET not in json.dumps({**only, "attempts": [], "repairs": []})  # no header, no key


def test_what_it_was_sampled_with(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    with (
        sampling_server(Server(VLLM)) as server,
        proxying(server.url, contracts="tools", trace=str(file)) as url,
    ):
        ask(url, model="qwen2.5:7b-instruct")
        ask(url, model="quizzical-9b")
    bound, refused = lines(file)
    assert (bound["card"], bound["backend"]) == ("qwen2.5", "vllm")
    assert bound["sent"] == {**CARD, "repetition_penalty": 1.05}
    assert (refused["status"], refused["kind"]) == (422, "refused")
    assert refused["why"] == "sampling_contract_unknown"


def test_a_trace_that_cannot_be_written_costs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once."""
    with serving(GOOD, GOOD) as script, proxying(script.url, trace=str(tmp_path)) as url:
        assert [ask(url).status_code for _ in range(2)] == [200, 200]
    told = [r.getMessage() for r in caplog.records if "cannot be written" in r.getMessage()]
    assert len(told) == 1 and SECRET not in told[0]


def test_a_slow_disk_fills_no_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from gptme_reliability.surfaces.proxy import trace_file

    file = trace_file.TraceFile(str(tmp_path / "trace.jsonl"))
    fields = {"method": "GET", "path": "/v1/x", "status": 200, "ms": 1, "kind": "passed"}
    file._waiting.update(object() for _ in range(256))  # type: ignore[misc]
    file.add(fields, "", None, None, full=False)
    file.close()
    assert "too slow" in caplog.text and not (tmp_path / "trace.jsonl").exists()
