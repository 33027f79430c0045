"""OpenAI's own Python client in front of the proxy: what it can do, it still can."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from proxy_world import Upstream, head, proxying, sdk_at, upstream
from pydantic import BaseModel
from scripted_server import (
    DONE,
    ROLE,
    STOP,
    TOOLS,
    USAGE,
    Reply,
    call,
    call_chunks,
    chunk,
    completion,
    completion_body,
    failure,
    serving,
    stream,
    text_chunks,
)

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
GIVEN: dict[str, Any] = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS}
HALL = '{"place": "hall"}'
IN_TEXT = f'<tool_call>{{"name": "Look", "arguments": {HALL}}}</tool_call>'
CUT = call("look", '{"place": "ha')
TWO = [call("look", {"place": "hall"}, "a"), call("shell", {"command": "ls"}, "b")]
TWO_STREAM = stream(
    ROLE,
    *call_chunks(0, "look", HALL, "a"),
    *call_chunks(1, "shell", '{"command": "ls"}', "b"),
    chunk({}, "tool_calls"),
    USAGE,
    DONE,
)


def made(message: Any) -> list[tuple[str, Any]]:
    calls = message.tool_calls or []
    return [(c.function.name, json.loads(c.function.arguments)) for c in calls]


BOTH = [("look", {"place": "hall"}), ("shell", {"command": "ls"})]


# --- tools ------------------------------------------------------------------------------------


def test_parallel_calls() -> None:
    in_text = IN_TEXT + '\n<tool_call>{"name": "shell", "arguments": {"command": "ls"}}</tool_call>'
    with (
        serving(completion(calls=TWO), completion(in_text)) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
    ):
        for _ in range(2):
            (choice,) = client.chat.completions.create(**GIVEN).choices
            assert made(choice.message) == BOTH and choice.finish_reason == "tool_calls"
            ids = [one.id for one in choice.message.tool_calls or []]
            assert len(set(ids)) == 2 and all(ids)


def test_a_whole_conversation() -> None:
    """Calls, their results, and the answer."""
    with (
        serving(completion(IN_TEXT), completion("A hall.")) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
    ):
        first = client.chat.completions.create(**GIVEN).choices[0].message
        (asked,) = first.tool_calls or []
        result = {"role": "tool", "tool_call_id": asked.id, "content": "a hall"}
        history = [*MESSAGES, first.model_dump(exclude_none=True), result]
        last = client.chat.completions.create(**{**GIVEN, "messages": history})
    assert last.choices[0].message.content == "A hall."
    roles = [message["role"] for message in script.bodies()[1]["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_tools_run_by_the_client() -> None:
    """``parse`` makes objects of what was called."""

    class Look(BaseModel):
        place: str

    tool = openai.pydantic_function_tool(Look, name="look")
    with serving(completion(IN_TEXT)) as script, proxying(script.url) as url, sdk_at(url) as client:
        parsed = client.chat.completions.parse(model="tiny", messages=MESSAGES, tools=[tool])
    (call_made,) = parsed.choices[0].message.tool_calls or []
    assert call_made.function.parsed_arguments == Look(place="hall")


@pytest.mark.parametrize("tools", [[], TOOLS], ids=["passed", "checked"])
def test_structured_output(tools: list[Any]) -> None:
    """The answer is JSON, and no call, whether tools are on offer or not."""

    class Answer(BaseModel):
        place: str
        rooms: list[int]

    said = '{"place": "hall", "rooms": [1, 2]}'
    with serving(completion(said)) as script, proxying(script.url) as url, sdk_at(url) as client:
        strict = [{**t, "function": {**t["function"], "strict": True}} for t in tools]
        given: Any = {"tools": strict} if tools else {}
        parsed = client.chat.completions.parse(
            model="tiny", messages=MESSAGES, response_format=Answer, **given
        )
    assert parsed.choices[0].message.parsed == Answer(place="hall", rooms=[1, 2])
    assert script.bodies()[0]["response_format"]["type"] == "json_schema"


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        TWO_STREAM,
        stream(
            ROLE,
            *text_chunks(IN_TEXT),
            *call_chunks(0, "shell", '{"command": "ls"}', "b"),
            chunk({}, "tool_calls"),
            USAGE,
            DONE,
        ),
    ],
    ids=["native", "mixed"],
)
def test_the_streaming_helper(reply: Reply) -> None:
    kinds, arguments = set(), {}
    with (
        serving(reply) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
        client.chat.completions.stream(**GIVEN) as events,
    ):
        for event in events:
            kinds.add(event.type)
            if event.type == "tool_calls.function.arguments.done":
                arguments[event.name] = json.loads(event.arguments)
        final = events.get_final_completion()
    assert made(final.choices[0].message)[-1] == BOTH[1]
    assert arguments.items() >= {"shell": {"command": "ls"}}.items()
    assert "tool_calls.function.arguments.done" in kinds and "chunk" in kinds


def test_text_of_a_stream() -> None:
    reply = stream(ROLE, *text_chunks("It is done."), STOP, DONE)
    with (
        serving(reply) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
        client.chat.completions.stream(**GIVEN) as events,
    ):
        text = "".join(event.delta for event in events if event.type == "content.delta")
    assert text == "It is done."


@pytest.mark.parametrize("cut", [False, True])
def test_usage_of_a_stream_is_there_if_it_was_asked_for(cut: bool) -> None:
    """At the end, and once; the sum where the model was asked again."""
    first = stream(ROLE, *call_chunks(0, "look", '{"place": "ha', "a"), chunk({}, "length"), USAGE)
    replies = [first, TWO_STREAM] if cut else [TWO_STREAM]
    with serving(*replies) as script, proxying(script.url) as url, sdk_at(url) as client:
        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**GIVEN, **options))
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert [usage.total_tokens for usage in usages] == [30 if cut else 15]
    assert chunks[-1].usage is not None and chunks[-1].choices == []
    assert all(body["stream_options"] == {"include_usage": True} for body in script.bodies())


def test_a_stream_that_the_client_leaves() -> None:
    def reply(state: Upstream, write: Any) -> None:
        write(head(kind="text/event-stream") + ROLE + b"".join(text_chunks("I look around. ")))
        state.left.wait(20)

    with upstream(reply) as state, proxying(state.url) as url, sdk_at(url) as client:
        answer: Any = client.chat.completions.create(**GIVEN, stream=True)
        next(answer)
        answer.close()
        assert state.left.wait(10)


# --- other things that a request may ask for --------------------------------------------------


LOGPROBS = {"content": [{"token": "It", "logprob": -0.5, "bytes": [73, 116], "top_logprobs": []}]}


@pytest.mark.parametrize("streamed", [False, True])
def test_logprobs_stay(streamed: bool) -> None:
    body = completion_body("It")
    body["choices"][0]["logprobs"] = LOGPROBS
    part = json.loads(chunk({"content": "It"})[6:])
    part["choices"][0]["logprobs"] = LOGPROBS
    event = b"data: " + json.dumps(part).encode() + b"\n\n"
    whole = Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})
    reply = stream(ROLE, event, STOP, DONE) if streamed else whole
    with serving(reply) as script, proxying(script.url) as url, sdk_at(url) as client:
        given = {**GIVEN, "logprobs": True, "top_logprobs": 0, "stream": streamed}
        answer: Any = client.chat.completions.create(**given)
        found = (
            [c.choices[0].logprobs for c in answer] if streamed else [answer.choices[0].logprobs]
        )
    (told,) = [one for one in found if one is not None]
    assert told.content[0].logprob == -0.5
    assert script.bodies()[0]["logprobs"] is True


@pytest.mark.parametrize("tools", [None, TOOLS])
def test_several_answers(tools: Any) -> None:
    body = completion_body(IN_TEXT)
    body["choices"].append({**body["choices"][0], "index": 1})
    reply = Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})
    with serving(reply) as script, proxying(script.url) as url, sdk_at(url) as client:
        extra = {} if tools is None else {"tools": tools}
        answer: Any = client.chat.completions.create(model="m", messages=MESSAGES, n=2, **extra)
    assert [choice.message.content for choice in answer.choices] == [IN_TEXT] * 2


def passed(said: bytes, kind: str = "application/json") -> Any:
    return upstream(lambda _state, write: write(head(kind=kind) + said))


def test_responses() -> None:
    """A newer API, which is not checked: it passes, whole and streamed."""
    output = {
        "type": "function_call",
        "call_id": "c",
        "name": "look",
        "arguments": '{"place": "ha',
    }
    whole = {"id": "r", "object": "response", "output": [output], "status": "completed"}
    with passed(json.dumps(whole).encode()) as state, proxying(state.url) as url, sdk_at(url) as c:
        response = c.responses.create(model="m", input="hi")
    assert response.output[0].arguments == '{"place": "ha'  # type: ignore[union-attr]
    event = {"type": "response.output_text.delta", "delta": "Hi", "sequence_number": 1}
    raw = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
    with passed(raw, "text/event-stream") as state, proxying(state.url) as url, sdk_at(url) as c:
        deltas = [e.delta for e in c.responses.create(model="m", input="hi", stream=True)]  # type: ignore[union-attr]
    assert deltas == ["Hi"]


def test_embeddings() -> None:
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}
    said = {"object": "list", "data": [vector], "model": "e", "usage": {}}
    with passed(json.dumps(said).encode()) as state, proxying(state.url) as url, sdk_at(url) as c:
        found = c.embeddings.create(model="e", input="x", encoding_format="float")
    assert found.data[0].embedding == [0.5, -1.0]
    assert json.loads(state.bodies[0])["encoding_format"] == "float"


def test_completions() -> None:
    choice = {"index": 0, "text": IN_TEXT, "finish_reason": None, "logprobs": None}
    said = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    raw = b"data: " + json.dumps(said).encode() + b"\n\ndata: [DONE]\n\n"
    with passed(raw, "text/event-stream") as state, proxying(state.url) as url, sdk_at(url) as c:
        texts = [e.choices[0].text for e in c.completions.create(model="m", prompt="", stream=True)]
    assert texts == [IN_TEXT]


def test_models() -> None:
    model = {"id": "a/b:c", "object": "model", "created": 1, "owned_by": "x"}
    said = {"object": "list", "data": [model]}
    with passed(json.dumps(said).encode()) as state, proxying(state.url) as url, sdk_at(url) as c:
        assert [one.id for one in c.models.list()] == ["a/b:c"]
    with passed(json.dumps(model).encode()) as state, proxying(state.url) as url, sdk_at(url) as c:
        assert c.models.retrieve("a/b:c").owned_by == "x"
    assert b"/v1/models/a" in state.heads[0]


# --- errors and retries -----------------------------------------------------------------------


@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_errors_are_those_of_the_server(status: int, kind: Any, tools: Any) -> None:
    reply = failure(status, "no such luck", x_request_id="req-7")
    with (
        serving(reply) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
        pytest.raises(kind, match="no such luck") as caught,
    ):
        extra = {} if tools is None else {"tools": tools}
        client.chat.completions.create(model="tiny", messages=MESSAGES, **extra)
    assert caught.value.request_id == "req-7" and caught.value.body["code"] == status


def test_the_client_tries_again_and_gets_through() -> None:
    busy = failure(503, "Loading model", retry_after_ms="1")
    with (
        serving(busy, busy, completion(IN_TEXT)) as script,
        proxying(script.url) as url,
        sdk_at(url).with_options(max_retries=2) as client,
    ):
        answer = client.chat.completions.with_raw_response.create(**GIVEN)
    assert made(answer.parse().choices[0].message) == BOTH[:1]
    assert answer.headers["x-reliability-attempts"] == "1" and len(script.requests) == 3


def test_what_the_proxy_did_is_in_the_headers() -> None:
    replies = (completion(calls=[CUT], finish="length"), completion(IN_TEXT))
    with serving(*replies) as script, proxying(script.url) as url, sdk_at(url) as client:
        headers = client.chat.completions.with_raw_response.create(**GIVEN).headers
    assert headers["x-reliability-mode"] == "on" and headers["x-reliability-attempts"] == "2"
    assert int(headers["x-reliability-repairs"]) > 0


def test_a_bad_key_is_an_authentication_error() -> None:
    with (
        proxying("http://127.0.0.1:9/v1", api_key="a-long-secret") as url,
        sdk_at(url) as client,
        pytest.raises(openai.AuthenticationError, match="the proxy needs its API key"),
    ):
        client.chat.completions.create(**GIVEN)


def test_the_asynchronous_client_asks_many_at_once() -> None:
    def reply(state: Upstream, write: Any) -> None:
        place = json.loads(state.body())["messages"][0]["content"]
        said = f'<tool_call>{{"name": "Look", "arguments": {{"place": "{place}"}}}}</tool_call>'
        write(head() + completion(said).body)

    async def run(url: str) -> list[str]:
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)

        async def ask(place: str) -> str:
            messages: Any = [{"role": "user", "content": place}]
            answer: Any = await client.chat.completions.create(**{**GIVEN, "messages": messages})
            return str(made(answer.choices[0].message)[0][1]["place"])

        async with client:
            return await asyncio.gather(*[ask(f"room {n}") for n in range(20)])

    with upstream(reply) as state, proxying(state.url) as url:
        assert asyncio.run(run(url)) == [f"room {n}" for n in range(20)]


def test_a_client_with_other_ideas_of_time() -> None:
    """Its time is up before the server's: an error of the client's, and the server is let go."""

    def reply(state: Upstream, _write: Any) -> None:
        state.left.wait(20)

    with (
        upstream(reply) as state,
        proxying(state.url) as url,
        sdk_at(url, timeout=httpx.Timeout(0.3)) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**GIVEN)
        assert state.left.wait(10)
