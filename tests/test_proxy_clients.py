"""Requests in the shapes that agents of other people send, through the proxy to OpenAI's API.

The shapes are those that Claude Code 2.1.197, Cline 3.0.65 and Continue 1.5.47 were seen to send.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic_world import MESSAGES, OFFER, ask, text, thinking, use
from scripted_server import Reply, call, completion, failure
from test_client_anthropic import BOTH, CACHED, replies
from test_proxy_anthropic import World, as_openai, sent, world

GOOD = use("look", {"place": "hall"})
HALL = '{"place": "hall"}'
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "dark"}
KEEP_ALL = {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
OFFERED: list[Any] = [
    {**tool, "input_schema": {**tool["input_schema"], "$schema": "https://json-schema.org/schema"}}
    for tool in OFFER
]
# What Claude Code puts into every request beside the conversation.
AROUND: dict[str, Any] = {
    "tools": OFFERED,
    "system": [
        text("x-anthropic-billing-header: cc_version=1.2.3.4; cc_entrypoint=cli; cch=0a1b2;"),
        {**text("You look around."), **CACHED},
        {**text("\nYou are brief."), **CACHED},
    ],
    "metadata": {"user_id": json.dumps({"device_id": "0" * 64, "session_id": "1" * 36})},
    "thinking": {"type": "adaptive"},
    "extra_body": {"context_management": KEEP_ALL, "output_config": {"effort": "high"}},
    "extra_headers": {"anthropic-beta": "context-management-2025-06-27,effort-2025-11-24"},
    "extra_query": {"beta": "true"},
}
OPENING: list[Any] = [
    {"role": "user", "content": [text("It is Monday."), {**text("Look!"), **CACHED}]},
    {"role": "system", "content": "There are two rooms."},
]
LATER: list[Any] = [
    *OPENING,
    {"role": "assistant", "content": [thinking("Hm.", ""), GOOD]},
    {"role": "user", "content": [{**RESULT, **CACHED}]},
    {"role": "system", "content": [text("One room is closed.")]},
    {"role": "user", "content": "And now?"},
]


@pytest.fixture(scope="module")
def bridge() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture(scope="module")
def direct() -> Iterator[World]:
    with world(upstream_api="anthropic") as found:
        yield found


# --- requests -----------------------------------------------------------------------------


@BOTH
def test_a_request_like_that_of_claude_code(streaming: bool, bridge: World) -> None:
    """It is served, and nothing of it is strange to the upstream."""
    found = sent(bridge, streaming, messages=OPENING, **AROUND)
    assert found["messages"] == [
        {"role": "system", "content": "You look around.\n\nYou are brief.\nThere are two rooms."},
        {"role": "user", "content": "It is Monday.\nLook!"},
    ]
    left = {"model", "messages", "max_tokens", "tools", "reasoning_effort"}
    assert set(found) == left | ({"stream", "stream_options"} if streaming else set())
    assert found["reasoning_effort"] == "high"
    assert [tool["function"]["name"] for tool in found["tools"]] == ["look", "shell"]


def test_later_words_of_the_system_are_said_by_the_user(bridge: World) -> None:
    """Templates raise on a system message behind the first, and where roles do not alternate."""
    found = sent(bridge, messages=LATER, **AROUND)
    assert [message["role"] for message in found["messages"]] == [
        *("system", "user", "assistant", "tool", "user")
    ]
    last = "<system>\nOne room is closed.\n</system>\nAnd now?"
    assert found["messages"][-1]["content"] == last


NEIGHBOURS = [
    (
        "texts",
        [*MESSAGES, {"role": "user", "content": [text("please")]}],
        [{"role": "user", "content": "look around\nplease"}],
    ),
    (
        "answers",
        [
            *MESSAGES,
            {"role": "assistant", "content": "I look."},
            {"role": "assistant", "content": [GOOD]},
            {"role": "user", "content": [RESULT]},
            {"role": "user", "content": "well?"},
        ],
        [
            {"role": "user", "content": "look around"},
            {"role": "assistant", "content": "I look.", "tool_calls": [call("look", HALL)]},
            {"role": "tool", "tool_call_id": "toolu_1", "content": "dark"},
            {"role": "user", "content": "well?"},
        ],
    ),
    (
        "no prompt",
        [{"role": "system", "content": "Be brief."}, *MESSAGES],
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "look around"},
        ],
    ),
]


@pytest.mark.parametrize(
    ("said", "wanted"), [row[1:] for row in NEIGHBOURS], ids=[row[0] for row in NEIGHBOURS]
)
def test_neighbours_of_one_role_are_one_turn(
    said: list[Any], wanted: list[Any], bridge: World
) -> None:
    messages = sent(bridge, messages=said)["messages"]
    for message in messages:
        for made in message.get("tool_calls", ()):
            made["id"] = "call_abc"
    assert messages == wanted


@pytest.mark.parametrize(
    "given",
    [
        {"metadata": {"user_id": "u" * 65}},
        {"metadata": {"user_id": 7}},
        {"metadata": {}},
        {"thinking": {"type": "adaptive"}},
        {"extra_body": {"context_management": KEEP_ALL}},
        {"extra_body": {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}},
        {"extra_body": {"context_management": {"edits": [{"type": "compact_20260112"}]}}},
        {"extra_body": {"context_management": {}}},
        {"extra_body": {"context_management": None}},
    ],
    ids=str,
)
def test_what_does_not_change_the_answer_is_left_out(given: dict[str, Any], bridge: World) -> None:
    assert sent(bridge, **given) == sent(bridge)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [("low", "low"), ("medium", "medium"), ("xhigh", "high"), ("max", "high"), (["odd"], ["odd"])],
)
def test_efforts_are_those_that_servers_know(asked: Any, wanted: Any, bridge: World) -> None:
    found = sent(bridge, extra_body={"output_config": {"effort": asked}})
    assert found["reasoning_effort"] == wanted


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"edits": [{"type": "shuffle_20300101"}]}, "shuffle_20300101"),
        ({"clever": True}, "context_management.clever"),
        ({"edits": "all"}, "context_management.edits"),
        ("all", "context_management"),
    ],
)
def test_an_edit_that_nobody_knows_is_refused_by_name(
    given: Any, named: str, bridge: World
) -> None:
    bridge.play()
    with pytest.raises(anthropic.BadRequestError, match=named):
        ask(bridge.client, False, extra_body={"context_management": given})
    assert bridge.script.requests == []


@BOTH
def test_before_anthropics_api_all_of_it_stays(streaming: bool, direct: World) -> None:
    """Also where the model is asked again."""
    broken, good = {"content": [use("look", {}, "toolu_9")]}, [GOOD]
    direct.play(*replies({**broken, "again": good}, streaming))
    made = ask(direct.client, streaming, messages=LATER, **AROUND)
    assert made.calls == [("look", {"place": "hall"})]
    first, second = direct.script.bodies()
    assert first["messages"] == LATER
    assert second["messages"][: len(LATER)] == LATER
    assert {**second, "messages": LATER} == first


# --- answers ------------------------------------------------------------------------------


def answer_id(
    client: anthropic.Anthropic, streaming: bool, messages: list[Any], **body: Any
) -> str:
    """The id of the answer."""
    asked = {"model": "m", "max_tokens": 500, "messages": messages, **body}
    if not streaming:
        return str(client.messages.create(**asked).id)
    with client.messages.stream(**asked) as stream:
        return str(stream.get_final_message().id)


@BOTH
@pytest.mark.parametrize("body", [{"tools": OFFER}, {}], ids=["tools", "none"])
def test_ids_are_unlike_where_those_of_the_server_are_alike(
    body: dict[str, Any], streaming: bool, bridge: World
) -> None:
    """Claude Code takes messages with one id for parts of one message."""
    longer = [*MESSAGES, {"role": "assistant", "content": "I look."}, *MESSAGES]
    bridge.play(*(as_openai([text("Well.")], None, streaming) for _ in range(3)))
    said = (MESSAGES, longer, longer * 2)
    ids = [answer_id(bridge.client, streaming, one, **body) for one in said]
    assert len(set(ids)) == 3 and all(one.startswith("msg_") for one in ids)


THOUGHTLESS = [
    failure(400, '"tiny" does not support thinking'),
    failure(400, "Unsupported parameter: 'reasoning_effort' is not supported with this model."),
    failure(422, "invalid reasoning value: 'high'"),
]


@BOTH
@pytest.mark.parametrize("refused", THOUGHTLESS, ids=lambda reply: reply.body.decode())
@pytest.mark.parametrize("body", [{}, {"tools": anthropic.NOT_GIVEN}], ids=["tools", "none"])
def test_a_model_that_cannot_think_is_asked_without_an_effort(
    body: dict[str, Any], refused: Reply, streaming: bool, bridge: World
) -> None:
    bridge.play(refused, as_openai([text("Well.")], None, streaming))
    body = {**body, "extra_body": {"output_config": {"effort": "high"}}}
    assert ask(bridge.client, streaming, **body).text == "Well."
    first, second = bridge.script.bodies()
    assert first.pop("reasoning_effort") == "high"
    assert second == first


def test_what_is_asked_again_is_asked_without_an_effort_at_once(bridge: World) -> None:
    broken, good = as_openai([use("look", {})], None, False), as_openai([GOOD], None, False)
    bridge.play(THOUGHTLESS[0], broken, good)
    made = ask(bridge.client, False, extra_body={"output_config": {"effort": "high"}})
    efforts = ["reasoning_effort" in body for body in bridge.script.bodies()]
    assert made.calls == [("look", {"place": "hall"})]
    assert efforts == [True, False, False]


@pytest.mark.parametrize(
    ("refused", "effort"),
    [
        (failure(400, "no such luck"), True),
        (failure(400, "I think that is wrong"), False),
        (failure(401, "think of a key"), True),
    ],
    ids=["another fault", "no effort", "another status"],
)
def test_other_refusals_are_final(refused: Reply, effort: bool, bridge: World) -> None:
    body = {"extra_body": {"output_config": {"effort": "high"}}} if effort else {}
    bridge.play(refused)
    with pytest.raises(anthropic.APIStatusError):
        ask(bridge.client, False, **body, tools=anthropic.NOT_GIVEN)
    assert len(bridge.script.requests) == 1


PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}}
SHOWN: list[Any] = [
    *MESSAGES,
    {"role": "assistant", "content": [GOOD]},
    {"role": "user", "content": [{**RESULT, "content": [PICTURE]}]},
]


@BOTH
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (400, "tiny is not a multimodal model"),
    ],
)
def test_a_picture_nobody_sees_is_told_in_the_words_of_the_api(
    status: int, said: str, streaming: bool, bridge: World
) -> None:
    """By these Claude Code leaves it out, where it would ask the same again and again."""
    bridge.play(failure(status, said))
    with pytest.raises(anthropic.BadRequestError, match=f"Could not process image: {said}"):
        ask(bridge.client, streaming, messages=SHOWN)
    assert len(bridge.script.requests) == 1


def test_without_a_picture_the_same_words_are_any_error(bridge: World) -> None:
    bridge.play(failure(500, "image input is not supported"))
    with pytest.raises(anthropic.InternalServerError):
        ask(bridge.client, False)


def test_a_document_nobody_reads_is_told_in_the_words_of_the_api(bridge: World) -> None:
    bridge.play()
    source = {"type": "base64", "media_type": "application/pdf", "data": "eA=="}
    said: list[Any] = [{"role": "user", "content": [{"type": "document", "source": source}]}]
    with pytest.raises(anthropic.BadRequestError, match="Could not process PDF: 'document'"):
        ask(bridge.client, False, messages=said)
    assert bridge.script.requests == []


TOO_LONG = [
    (
        "request (40000 tokens) exceeds the available context size (32768 tokens), try more",
        "prompt is too long: 40000 tokens > 32768 maximum",
    ),
    ("the request exceeds the available context size", "prompt is too long"),
    (
        "This model's maximum context length is 40960 tokens. However, you requested 32000 output"
        " tokens and your prompt contains at least 20000 input tokens, for a total of 52000.",
        "input length and `max_tokens` exceed context limit: 20000 + 32000 > 40960",
    ),
]


@BOTH
@pytest.mark.parametrize("api", ["bridge", "direct"])
@pytest.mark.parametrize(("said", "wanted"), TOO_LONG, ids=[row[1] for row in TOO_LONG])
def test_a_prompt_too_long_is_told_in_the_words_of_the_api(
    said: str, wanted: str, api: str, streaming: bool, request: pytest.FixtureRequest
) -> None:
    """By these Claude Code shortens its conversation, or asks for less, and goes on."""
    found: World = request.getfixturevalue(api)
    found.play(failure(400, said))
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(found.client, streaming)
    assert len(found.script.requests) == 1
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["message"].startswith(f"{wanted}. The prompt")
    assert "maximum context length" in body["error"]["message"]


@pytest.mark.parametrize(
    "answer",
    [completion(None, [call("look", "")], "length"), completion("<tool_call>", None, "length")],
    ids=["call", "text"],
)
def test_a_request_that_counts_is_asked_once(answer: Reply, bridge: World) -> None:
    """One token is all it wants, and it is never a call."""
    bridge.play(answer, answer)
    made = bridge.client.messages.create(
        model="m", max_tokens=1, messages=[{"role": "user", "content": "count"}], tools=OFFER
    )
    assert len(bridge.script.requests) == 1
    assert made.usage.input_tokens == 10
    assert [block.type for block in made.content] == ["text"]
