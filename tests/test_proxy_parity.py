"""The same rows through the library and through the proxy: the same calls and the same text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import ratchet
from proxy_world import proxying
from scripted_server import DONE, ROLE, Reply, chunk, completion, serving, stream, text_chunks

from gptme_reliability.exchange import exchange
from gptme_reliability.refusals import final_text
from gptme_reliability.types import ModelOutput, ModelRequest, Policy, ToolDefinition

EVERY = 31
MESSAGES: list[Any] = [{"role": "user", "content": "go on"}]
Said = tuple[list[tuple[str, Any]], list[str]]


def sample() -> Iterator[dict[str, Any]]:
    """Rows of all families; an answer without text has nothing to be compared."""
    for row in ratchet.family_rows()[::EVERY]:
        if row["raw"].strip():
            yield row


def through_the_library(row: dict[str, Any]) -> Said:
    tools = tuple(ToolDefinition.from_openai(tool) for tool in row["tools"])
    request = ModelRequest(messages=tuple(row.get("messages", MESSAGES)), tools=tools)
    steps = exchange(request, Policy(retries=0))
    next(steps)
    try:
        steps.send(ModelOutput(row["raw"], finish_reason=row.get("finish_reason", "stop")))
    except StopIteration as stop:
        verdict = stop.value.verdict
        calls = [(call.name, dict(call.arguments)) for call in verdict.calls]
        return calls, final_text(verdict).split()
    raise AssertionError("asked again without a budget")


def through_the_proxy(client: httpx.Client, url: str, row: dict[str, Any], streamed: bool) -> Said:
    body = {"messages": row.get("messages", MESSAGES), "tools": row["tools"], "stream": streamed}
    response = client.post(f"{url}/chat/completions", json=body)
    if not streamed:
        message = response.json()["choices"][0]["message"]
        functions = [entry["function"] for entry in message.get("tool_calls") or ()]
        calls = [(f["name"], json.loads(f["arguments"])) for f in functions]
        return calls, (message["content"] or "").split()
    text, streamed_calls = "", []
    for line in response.text.splitlines():
        if line.startswith("data: {"):
            delta = (json.loads(line[6:])["choices"] or [{}])[0].get("delta", {})
            text += delta.get("content") or ""
            for entry in delta.get("tool_calls", ()):
                function = entry["function"]
                streamed_calls.append((function["name"], json.loads(function["arguments"])))
    return streamed_calls, text.split()


def reply(row: dict[str, Any], streamed: bool) -> Reply:
    finish = row.get("finish_reason", "stop")
    if not streamed:
        return completion(row["raw"], finish=finish)
    return stream(ROLE, *text_chunks(row["raw"], 7), chunk({}, finish), DONE)


@pytest.mark.parametrize("streamed", [False, True])
def test_rows(streamed: bool, tmp_path: Any) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text("[reliability]\nretries = 0\n")
    rows = list(sample())
    differing, called = {}, 0
    with (
        serving(*[reply(row, streamed) for row in rows]) as script,
        proxying(script.url, config=str(file)) as url,
        httpx.Client(timeout=20) as client,
    ):
        for row in rows:
            wanted, got = through_the_library(row), through_the_proxy(client, url, row, streamed)
            called += bool(wanted[0])
            if wanted != got:
                differing[row["id"]] = (wanted, got)
    assert called > 50
    assert not differing
