"""What stands beside the functions on offer, and beside the answer that was asked for."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from anthropic_world import OFFER
from proxy_world import head, proxying, upstream
from scripted_server import DONE, ROLE, STOP, TOOLS, call, chunk, completion, completion_body

LOG = "gptme_reliability.proxy"
IN_TEXT = '<tool_call>{"name": "Look", "arguments": {"place": "hall"}}</tool_call>'
CUSTOM = {"type": "custom", "custom": {"name": "patch", "description": "Changes files."}}
CUSTOM_CALL = {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
OTHERS = [CUSTOM, {"type": "web_search"}, {"type": "openrouter:web_search", "parameters_of": 1}]
BOTH = pytest.mark.parametrize("streamed", [False, True])


def asked(raw: bytes, path: str = "/chat/completions", **body: Any) -> httpx.Response:
    """What the client gets where this is the whole response of the upstream."""
    body = {"model": "m", "messages": [{"role": "user", "content": "look around"}], **body}
    api = "anthropic" if path == "/messages" else "openai"
    with (
        upstream(lambda _state, write: write(raw)) as state,
        proxying(state.url, upstream_api=api) as url,
    ):
        response = httpx.post(url + path, json=body, timeout=20)
    assert json.loads(state.bodies[0])["tools"] == body["tools"]
    return response


def told(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = [record.getMessage() for record in caplog.records if record.name == LOG]
    return line


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", LOG)


@pytest.mark.parametrize("other", OTHERS)
def test_functions_beside_other_tools_are_checked(
    other: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    response = asked(head() + completion(IN_TEXT).body, tools=[*TOOLS, other])
    (made,) = response.json()["choices"][0]["message"]["tool_calls"]
    assert made["function"]["name"] == "look"
    assert " checked " in told(caplog) and "unread" not in told(caplog)


def test_functions_beside_tools_without_a_name_are_checked() -> None:
    body = {"role": "assistant", "content": [{"type": "text", "text": IN_TEXT}]}
    raw = head() + json.dumps({**body, "type": "message", "id": "m"}).encode()
    tools = [*OFFER, {"type": "toolbox_20270101", "toolbox": "docs"}]
    response = asked(raw, "/messages", tools=tools, max_tokens=100)
    kinds = [block["type"] for block in response.json()["content"]]
    assert "tool_use" in kinds


@BOTH
def test_a_call_of_a_custom_tool_goes_on_as_it_is(
    streamed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if streamed:
        first = {"index": 0, **CUSTOM_CALL}
        more = {"index": 0, "custom": {"input": " Patch"}}
        calls = [chunk({"tool_calls": [one]}) for one in (first, more)]
        said = b"".join([ROLE, *calls, chunk({}, "tool_calls"), DONE])
        raw = head(kind="text/event-stream") + said
    else:
        said = json.dumps(completion_body(None, [CUSTOM_CALL], "tool_calls")).encode()
        raw = head() + said
    response = asked(raw, tools=[*TOOLS, CUSTOM], stream=streamed)
    assert response.content == said
    assert "unread" in told(caplog)


def several(form: str) -> bytes:
    """Two answers, the second with a call that names no tool on offer."""
    wrong = {"tool_calls": [{"index": 0, **call("erase", {"all": True})}]}
    if form == "whole":
        body = completion_body("fine")
        return (
            head()
            + json.dumps(
                {**body, "choices": [*body["choices"], {"index": 1, "message": wrong}]}
            ).encode()
        )
    second = {"index": 1, "delta": wrong, "finish_reason": None}
    one = json.loads(chunk({"content": "fine"})[6:])
    beside = {**one, "choices": [*one["choices"], second]}
    behind = {**one, "choices": [second]}
    written = [beside] if form == "in one chunk" else [one, behind]
    events = [b"data: " + json.dumps(event).encode() + b"\n\n" for event in written]
    return head(kind="text/event-stream") + b"".join([ROLE, *events, STOP, DONE])


FORMS = pytest.mark.parametrize("form", ["whole", "in one chunk", "in turns"])


@FORMS
def test_several_answers_that_nobody_asked_for_are_said_to_be_unread(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    raw = several(form)
    response = asked(raw, tools=TOOLS, stream=form != "whole")
    assert response.content == raw.partition(b"\r\n\r\n")[2]
    assert "unread" in told(caplog)


@FORMS
def test_several_answers_behind_the_bridge_are_an_error(form: str) -> None:
    raw = several(form)
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "look"}]}
    with (
        upstream(lambda _state, write: write(raw)) as state,
        proxying(state.url) as url,
    ):
        asked = {**body, "tools": OFFER, "stream": form != "whole"}
        response = httpx.post(f"{url}/messages", json=asked, timeout=20)
    assert "erase" not in response.text and '"error"' in response.text
