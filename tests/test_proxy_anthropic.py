"""``/v1/messages`` of the proxy under Anthropic's real SDK, before both kinds of upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx
import pytest
from anthropic_world import (
    MESSAGES,
    OFFER,
    Seen,
    ask,
    begin,
    blocks,
    checked,
    event,
    failure,
    sdk,
    stream_of,
    streamed,
    text,
    thinking,
    use,
    whole,
)
from proxy_world import proxying
from scripted_server import (
    DONE,
    ROLE,
    USAGE,
    Reply,
    Script,
    call,
    call_chunks,
    chunk,
    completion,
    serving,
    stream,
    text_chunks,
)
from scripted_server import failure as openai_failure
from test_client_anthropic import BOTH, CACHED, EXTRA, GOOD, ROWS, replies

OTHERS = {"server_tool_use", "web_search_tool_result", "redacted_thinking"}
BRIDGED = [
    row
    for row in ROWS
    if row.get("stop") not in ("refusal", "pause_turn")
    and not any(block["type"] in OTHERS for block in row["content"])
]
FINISH = {"max_tokens": "length"}


@dataclass
class World:
    """A proxy, the upstream behind it, and a client before it."""

    script: Script
    url: str
    client: anthropic.Anthropic

    def play(self, *made: Reply) -> None:
        self.script.replies[:] = made
        self.script.requests.clear()
        self.script.headers.clear()


@contextmanager
def world(**options: Any) -> Iterator[World]:
    with serving() as script, proxying(script.url, **options) as url, checked(None) as http:
        yield World(script, url, sdk(url, http))


@pytest.fixture(scope="module")
def direct() -> Iterator[World]:
    with world(upstream_api="anthropic") as found:
        yield found


@pytest.fixture(scope="module")
def bridge() -> Iterator[World]:
    with world() as found:
        yield found


def as_openai(content: list[dict[str, Any]], stop: str | None, streaming: bool) -> Reply:
    """The same answer from a server that speaks OpenAI's API."""
    said = "".join(block.get("text", "") for block in content)
    thoughts = "".join(block.get("thinking", "") for block in content)
    uses = [block for block in content if block["type"] == "tool_use"]
    given = [
        (u["name"], u["input"] if isinstance(u["input"], str) else json.dumps(u["input"]), u["id"])
        for u in uses
    ]
    finish = FINISH.get(stop or "", "tool_calls" if uses else "stop")
    if not streaming:
        more = {"reasoning_content": thoughts} if thoughts else {}
        calls = [call(*one) for one in given] or None
        return completion(said or None, calls, finish, **more)
    events = [ROLE, *text_chunks(thoughts, key="reasoning_content"), *text_chunks(said)]
    for index, one in enumerate(given):
        events += call_chunks(index, *one)
    return stream(*events, chunk({}, finish), USAGE, DONE)


def expect(row: dict[str, Any], made: Seen, script: Script) -> None:
    assert made.calls == [(name, given) for name, given in row["calls"]]
    assert made.text.strip() == row["text"]
    assert made.stop == row.get("stopped", "tool_use" if made.calls else "end_turn")
    assert len(script.requests) == (2 if "again" in row else 1)


@BOTH
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_row_before_anthropic(row: dict[str, Any], streaming: bool, direct: World) -> None:
    direct.play(*replies(row, streaming))
    expect(row, ask(direct.client, streaming), direct.script)


@BOTH
@pytest.mark.parametrize("row", BRIDGED, ids=lambda row: row["id"])
def test_row_before_openai(row: dict[str, Any], streaming: bool, bridge: World) -> None:
    answers = [(row["content"], row.get("stop")), (row.get("again", []), None)]
    bridge.play(*(as_openai(content, stop, streaming) for content, stop in answers))
    made = ask(bridge.client, streaming)
    expect(row, made, bridge.script)
    assert all(made.ids) and len(set(made.ids)) == len(made.ids)
    if not any(block["type"] == "thinking" for block in row["content"]):
        used = len(bridge.script.requests)
        assert made.tokens == (10 * used, 5 * used)


# --- before Anthropic's API ---------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("tools", [OFFER, []], ids=["tools", "none"])
def test_right_answers_pass_byte_for_byte(tools: list[Any], streaming: bool, direct: World) -> None:
    (row,) = (row for row in ROWS if row["id"] == ("good" if tools else "leaked"))
    (reply,) = replies(row, streaming)
    direct.play(reply)
    body = {"model": "m", "max_tokens": 9, "messages": MESSAGES, "stream": streaming}
    raw = json.dumps({**body, "tools": tools, "odd": [1]}).encode()
    with checked(None) as http:
        headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "b", "x-api-key": "k"}
        got = http.post(f"{direct.url}/messages?beta=true", content=raw, headers=headers)
    assert got.content == reply.body and direct.script.requests == [raw]
    assert {k: direct.script.headers[0][k] for k in headers} == headers


def test_other_paths_pass(direct: World) -> None:
    direct.play(Reply(b'{"input_tokens": 7}', headers={"content-type": "application/json"}))
    counted = direct.client.messages.count_tokens(model="m", messages=MESSAGES)
    assert counted.input_tokens == 7


def test_the_upstreams_key_goes_where_the_api_has_it() -> None:
    with world(upstream_api="anthropic", upstream_key="upstream-key") as found:
        found.play(whole([text("Well.")]))
        ask(found.client, False)
        (headers,) = found.script.headers
    assert headers["x-api-key"] == "upstream-key" and "authorization" not in headers


@BOTH
def test_an_error_of_the_server_is_its_own(streaming: bool, direct: World) -> None:
    direct.play(failure(529, "overloaded_error", "busy"))
    with pytest.raises(anthropic.APIStatusError, match="busy") as caught:
        ask(direct.client, streaming)
    assert caught.value.status_code == 529


def test_a_stream_that_breaks_ends_in_an_error(direct: World) -> None:
    reply = stream_of(*begin(), *blocks([text("I look around now, slowly.")]), lost=9)
    direct.play(reply)
    with pytest.raises(anthropic.APIStatusError, match="upstream"):
        ask(direct.client, True)


# --- before OpenAI's API ------------------------------------------------------------------


def sent(world: World, streaming: bool = False, **body: Any) -> dict[str, Any]:
    """What the upstream got for a request."""
    world.play(as_openai([text("Well.")], None, streaming))
    assert ask(world.client, streaming, **body).text == "Well."
    (found,) = world.script.bodies()
    return found


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}
SHOWN = {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}
TALK: list[Any] = [
    {"role": "user", "content": [{**text("look"), **CACHED}, PICTURE]},
    {
        "role": "assistant",
        "content": [thinking("Hm."), text("I look."), use("look", {"place": "hall"})],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "content": [text("dark"), PICTURE],
                "is_error": True,
            },
            text("and now?"),
        ],
    },
]


def test_a_conversation_is_put_in_other_words(bridge: World) -> None:
    found = sent(
        bridge,
        messages=TALK,
        system=[text("You look."), {**text("Well."), **CACHED}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        metadata={"user_id": "u"},
        thinking={"type": "enabled", "budget_tokens": 1024},
        extra_body={"temperature": 0.5, "top_k": 7},
    )
    named = {"name": "look", "arguments": '{"place": "hall"}'}
    assert found["messages"] == [
        {"role": "system", "content": "You look.\nWell."},
        {"role": "user", "content": [{"type": "text", "text": "look"}, SHOWN]},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": named}],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "Error: dark"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What the tools have shown:"},
                SHOWN,
                {"type": "text", "text": "and now?"},
            ],
        },
    ]
    given = {key: value for key, value in found.items() if key not in ("messages", "tools")}
    assert given == {
        "model": "claude-tiny",
        "max_tokens": 500,
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "stop": ["END"],
        "user": "u",
        "reasoning_effort": "low",
        "temperature": 0.5,
        "top_k": 7,
    }
    functions = [tool["function"] for tool in found["tools"]]
    assert [f["parameters"] for f in functions] == [tool["input_schema"] for tool in OFFER]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_tool_choice(choice: Any, wanted: Any, bridge: World) -> None:
    bridge.play(as_openai([GOOD], None, False))
    ask(bridge.client, False, tool_choice=choice)
    assert bridge.script.bodies()[0]["tool_choice"] == wanted


@BOTH
def test_requests_without_tools_are_translated_too(streaming: bool, bridge: World) -> None:
    leaked = '<tool_call>{"name": "look", "arguments": {"place": "hall"}}</tool_call>'
    bridge.play(as_openai([thinking("Hm."), text(leaked)], "max_tokens", streaming))
    made = ask(bridge.client, streaming, tools=anthropic.NOT_GIVEN)
    assert (made.text, made.stop) == (leaked, "max_tokens")
    assert made.kinds == ["thinking", "text"]
    assert made.tokens == (10, 5)
    assert bool(bridge.script.bodies()[0].get("stream_options")) is streaming
    assert bridge.script.headers[0]["authorization"] == "Bearer sk-secret"
    assert not [h for h in bridge.script.headers[0] if h.startswith(("anthropic", "x-api"))]


REFUSED = [
    ({"tools": [*OFFER, {"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
    ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "bash_20250124"),
    ({"tools": [{**OFFER[0], "defer_loading": True}]}, "defer_loading"),
    ({"extra_body": {"mcp_servers": [{}]}}, "mcp_servers"),
    ({"extra_body": {"container": "c"}}, "container"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "document"),
    ({"messages": [*MESSAGES, {"role": "assistant", "content": "I"}]}, "beginning of an answer"),
    ({"messages": [{"role": "user", "content": [{"type": "search_result"}]}]}, "search_result"),
    (
        {
            "messages": [
                {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
                *MESSAGES,
            ]
        },
        "redacted_thinking",
    ),
    ({"tool_choice": {"type": "odd"}}, "odd"),
    ({"tool_choice": {"type": ["odd"]}}, "odd"),
    ({"messages": "hello"}, "messages"),
]


@pytest.mark.parametrize(("body", "named"), REFUSED, ids=[named for _, named in REFUSED])
def test_what_cannot_be_said_is_refused_by_name(
    body: dict[str, Any], named: str, bridge: World
) -> None:
    bridge.play()
    with pytest.raises(anthropic.BadRequestError, match=named) as caught:
        ask(bridge.client, False, **body)
    assert bridge.script.requests == []
    error = caught.value.body
    assert isinstance(error, dict) and error["type"] == "error"
    assert error["error"]["type"] == "invalid_request_error"


@BOTH
@pytest.mark.parametrize("tools", [OFFER, []], ids=["tools", "none"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (503, anthropic.APIStatusError),
    ],
)
def test_errors_are_put_in_other_words(
    status: int, error: type[Exception], tools: list[Any], streaming: bool, bridge: World
) -> None:
    bridge.play(openai_failure(status, "no such luck", retry_after="7"))
    with pytest.raises(error, match="no such luck") as caught:
        ask(bridge.client, streaming, tools=tools)
    assert isinstance(caught.value, anthropic.APIStatusError)
    assert caught.value.response.headers["retry-after"] == "7"
    assert caught.value.status_code == status


@BOTH
def test_an_answer_that_the_server_could_not_read_is_asked_for_again(
    streaming: bool, bridge: World
) -> None:
    fault = openai_failure(500, 'Failed to parse input at pos 0: <tool_call>{"name": ')
    bridge.play(fault, as_openai([GOOD], None, streaming))
    made = ask(bridge.client, streaming)
    assert made.calls == [("look", {"place": "hall"})]


def test_an_error_in_a_stream(bridge: World) -> None:
    error = b'data: {"error": {"code": 503, "message": "Overloaded"}}\n\n'
    bridge.play(stream(ROLE, *text_chunks("I look around."), error))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        ask(bridge.client, True)


@pytest.mark.parametrize("tools", [OFFER, []], ids=["tools", "none"])
def test_what_is_no_completion_is_an_error(tools: list[Any], bridge: World) -> None:
    bridge.play(Reply(b"<html>hello</html>", headers={"content-type": "text/html"}))
    with pytest.raises(anthropic.InternalServerError, match="no chat completion"):
        ask(bridge.client, False, tools=tools)


PAGES = [b"<html>\n\nhello\n\n</html>", b"\n\n", b"no", b'{"choices": "none"}', b"upstream error"]


@pytest.mark.parametrize("tools", [OFFER, []], ids=["tools", "none"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_in_place_of_a_stream_is_an_error(
    page: bytes, tools: list[Any], bridge: World
) -> None:
    bridge.play(Reply(page, headers={"content-type": "text/html"}))
    if page.strip():
        with pytest.raises(anthropic.InternalServerError, match="no chat completion") as caught:
            ask(bridge.client, True, tools=tools)
        assert caught.value.status_code == 502
    bridge.play(Reply(page, headers={"content-type": "text/event-stream"}))
    body: Any = {
        "model": "m",
        "max_tokens": 9,
        "messages": MESSAGES,
        "tools": tools,
        "stream": True,
    }
    said = httpx.post(f"{bridge.url}/messages", json=body).text
    assert "html" not in said and "choices" not in said


def test_a_whole_answer_to_a_request_for_a_stream(bridge: World) -> None:
    bridge.play(as_openai([text("I look."), use("Look", {"place": "hall"})], None, False))
    made = ask(bridge.client, True)
    assert made.calls == [("look", {"place": "hall"})] and made.text == "I look."


def test_rungs_of_the_other_api_are_there(bridge: World) -> None:
    """What is asked again is asked in the words of the upstream."""
    broken = as_openai([use("look", {})], None, False)
    bridge.play(broken, broken, broken, as_openai([GOOD], None, False))
    ask(bridge.client, False)
    bodies = bridge.script.bodies()
    assert len(bodies) > 2
    assert all(message["role"] != "system" for message in bodies[1]["messages"])
    assert any("seed" in body or body.get("tool_choice") == "required" for body in bodies[1:])


def test_observing_changes_nothing_before_anthropic() -> None:
    (row,) = (row for row in ROWS if row["id"] == "leaked")
    with world(upstream_api="anthropic", observe=True) as found:
        for streaming in (False, True):
            found.play(*replies(row, streaming))
            made = ask(found.client, streaming)
            assert made.calls == [] and "<tool_call>" in made.text


@BOTH
def test_asking_again_keeps_all_that_is_not_ours(streaming: bool, direct: World) -> None:
    broken = [use("look", {}, "toolu_9")]
    direct.play(*replies({"content": broken, "again": [GOOD]}, streaming))
    ask(direct.client, streaming, **EXTRA)
    first, second = direct.script.bodies()
    assert second["messages"][:3] == first["messages"]
    assert {k: first[k] for k in first if k != "messages"} == {
        k: second[k] for k in second if k != "messages"
    }


def test_a_ping_keeps_a_stream_alive(direct: World) -> None:
    ping = event({"type": "ping"})
    reply = streamed([text("I look.")])
    direct.play(Reply(reply.body.replace(ping, ping * 3), headers=reply.headers))
    assert ask(direct.client, True).text == "I look."
