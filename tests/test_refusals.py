"""What servers say of tools that they do not take and of prompts that they have no room for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import openai
import pytest
from proxy_world import proxying, sdk_at
from recording_host import MESSAGES, RecordingHost, sdk
from scripted_server import (
    DONE,
    ROLE,
    STOP,
    TOOLS,
    Reply,
    call,
    completion,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability.adapters.overflow import error_for, overflow, status_for
from gptme_reliability.adapters.server_errors import model_fault, refusal
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.reading import IN_THE_PROMPT
from gptme_reliability.types import Policy

ROWS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "refusals.jsonl").read_text().splitlines()
]
NO_TOOLS = [row for row in ROWS if row["tools"]]
TOO_LONG = [row for row in ROWS if "overflow" in row]
WRITTEN = '<tool_call>\n{"name": "look", "arguments": {"place": "hall"}}\n</tool_call>'
# What the SDK and gptme 0.35.1 take for a passing trouble.
REPEATED = re.compile(r"overload|internal|timeout|rate limit|server_error", re.IGNORECASE)


def raw(row: dict[str, Any]) -> bytes:
    body = row["body"]
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def reply(row: dict[str, Any]) -> Reply:
    kind = "text/plain" if isinstance(row["body"], str) else "application/json"
    return Reply(raw(row), row["status"], {"content-type": kind})


def written(streamed: bool) -> Reply:
    return stream(ROLE, *text_chunks(WRITTEN), STOP, DONE) if streamed else completion(WRITTEN)


def user(**settings: Any) -> RecordingHost:
    return RecordingHost(
        Settings("local/tiny", policy=Policy(backoff=0), own_server=True, **settings)
    )


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# --- what they say ----------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_rows(row: dict[str, Any]) -> None:
    """None of it is the model's fault; who is asked in another way is known."""
    assert model_fault(row["status"], raw(row)) is None
    found = refusal(row["status"], raw(row))
    assert (None if found is None else found.tools) is row["tools"]
    assert (overflow(row["status"], raw(row)) is not None) == ("overflow" in row)


@pytest.mark.parametrize("row", TOO_LONG, ids=[row["name"] for row in TOO_LONG])
def test_a_prompt_too_long(row: dict[str, Any]) -> None:
    """Both numbers and the setting, in an error that nobody sends again."""
    found = overflow(row["status"], raw(row))
    assert found is not None
    said = {name: getattr(found, name) for name in row["overflow"]}
    assert said == row["overflow"]
    error = error_for(raw(row), found)["error"]
    assert error["code"] == "context_length_exceeded"
    assert all(part in error["message"] for part in row["says"])
    assert "maximum context length" in error["message"]
    assert not REPEATED.search(json.dumps(error))
    assert 400 <= status_for(row["status"]) < 500


@pytest.mark.parametrize("size", [10_000, 1_000_000])
def test_hostile_errors(size: int) -> None:
    """Long and strange errors are read in time, and are none of these."""
    texts = ("maximum context length is 1" + "0" * size, "tool " * size, "unknown " * size)
    bodies = [json.dumps({"error": {"message": text}}).encode() for text in texts]
    for body in (*bodies, b"[" * size, b"\xff" * size):
        assert overflow(400, body) is None
        found = refusal(400, body)
        assert found is None or not found.tools


# --- on the wire ------------------------------------------------------------------------------


def test_servers_without_tools_are_prompted(streamed: bool) -> None:
    """Whatever words they have for it: one request more, and the user is told."""
    for row in NO_TOOLS:
        host = user()
        with (
            serving(reply(row), written(streamed), written(streamed)) as script,
            sdk(script, host) as client,
        ):
            for _ in range(2):
                assert called(client, streamed) == ["look"], row["name"]
        refused, *prompted = script.bodies()
        assert refused["tools"] == TOOLS and not any("tools" in body for body in prompted)
        first, second = host.reports
        assert len(first.notes) == 1 and IN_THE_PROMPT in first.notes[0]
        assert second.notes == ()


def test_a_later_refusal_is_no_news() -> None:
    """That tools are not taken is said once, whatever else is refused in the same exchange."""
    bad = completion(WRITTEN.replace('"hall"', '"hall", "times": "often"'))
    policy = Policy(retries=5, backoff=0, rungs=("prompt", "structure", "re_ask"))
    host = RecordingHost(Settings("local/tiny", policy=policy))
    other = Reply(b'{"error": {"message": "response_format is not supported"}}', 400)
    with (
        serving(reply(NO_TOOLS[0]), bad, other, written(False)) as script,
        sdk(script, host) as client,
    ):
        assert called(client, False) == ["look"]
    assert "response_format" in script.bodies()[2]
    assert len(host.report.notes) == 1


def test_through_the_proxy(streamed: bool) -> None:
    replies = [played for row in NO_TOOLS for played in (reply(row), written(streamed))]
    with serving(*replies) as script, proxying(script.url) as url, sdk_at(url) as client:
        for number, row in enumerate(NO_TOOLS):
            assert called(client, streamed, f"tiny-{number}") == ["look"], row["name"]


def called(client: openai.OpenAI, streamed: bool, model: str = "tiny", **other: Any) -> list[str]:
    """The names of the calls in an answer."""
    asked: dict[str, Any] = {"model": model, "messages": MESSAGES, "tools": TOOLS, **other}
    if not streamed:
        message = client.chat.completions.create(**asked).choices[0].message
        return [made.function.name for made in message.tool_calls or []]
    names = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        for made in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            names += [made.function.name] if made.function.name else []
    return names


def fails(client: openai.OpenAI, streamed: bool) -> openai.APIError:
    with pytest.raises(openai.APIError) as raised:
        called(client, streamed)
    return raised.value


def test_a_prompt_too_long_on_the_wire(streamed: bool) -> None:
    """Asked once; the host gets the clearer error, and gptme knows what to make of it."""
    from gptme.llm import is_context_length_error, mark_llm_reply_origin

    for row in TOO_LONG:
        with serving(reply(row)) as script, sdk(script, user()) as client:
            error = fails(client.with_options(max_retries=2), streamed)
        assert len(script.requests) == 1
        assert all(part in str(error) for part in row["says"]), row["name"]
        mark_llm_reply_origin(error)
        assert is_context_length_error(error)


def test_a_prompt_too_long_through_the_proxy(streamed: bool) -> None:
    replies = [reply(row) for row in TOO_LONG]
    with serving(*replies) as script, proxying(script.url) as url, sdk_at(url) as client:
        for row in TOO_LONG:
            error = fails(client.with_options(max_retries=2), streamed)
            assert all(part in str(error) for part in row["says"]), row["name"]
    assert len(script.requests) == len(TOO_LONG)


def test_a_prompt_too_long_inside_a_stream() -> None:
    """LM Studio says it in an event."""
    row = next(row for row in TOO_LONG if row["name"] == "lm studio")
    message = {"error": {"message": row["body"]["error"]}}
    event = b"event: error\ndata: " + json.dumps(message).encode() + b"\n\n"
    with serving(stream(event)) as script, sdk(script, user()) as client:
        error = fails(client, streamed=True)
    assert all(part in str(error) for part in row["says"])


def test_a_mended_conversation_is_no_shorter_as_it_was(streamed: bool) -> None:
    """The server that has no room for it is not asked with the original."""
    cut = call("look", '{"place": "ha')
    messages = [*MESSAGES, {"role": "assistant", "content": None, "tool_calls": [cut]}]
    host = user()
    with (
        serving(reply(TOO_LONG[0])) as script,
        sdk(script, host) as client,
        pytest.raises(openai.APIError, match="--ctx-size"),
    ):
        called(client, streamed, messages=messages)
    assert len(script.requests) == 1
    assert host.report.repairs


def test_an_original_that_would_be_sent_again_is_not_quoted() -> None:
    body = {
        "error": {"message": "context_length_exceeded: internal", "code": "context_length_exceeded"}
    }
    found = overflow(400, json.dumps(body).encode())
    assert found is not None
    assert not REPEATED.search(json.dumps(error_for(json.dumps(body).encode(), found)))


def test_other_peoples_servers_speak_for_themselves(streamed: bool) -> None:
    """What one may set up there is no advice."""
    row = TOO_LONG[0]
    with serving(reply(row)) as script, sdk(script, RecordingHost()) as client:
        error = fails(client, streamed)
    assert error.body == row["body"]["error"]


def test_observing_changes_no_error(streamed: bool) -> None:
    row = TOO_LONG[0]
    with serving(reply(row)) as script, sdk(script, user(mode="observe")) as client:
        assert fails(client, streamed).body == row["body"]["error"]
