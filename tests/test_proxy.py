"""The proxy under the real SDK: what is checked, and what the client gets."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from proxy_world import Upstream, head, proxying, sdk_at, upstream
from scripted_server import (
    CUT,
    DONE,
    GOOD_STREAM,
    OVERLOAD,
    ROLE,
    STOP,
    TOOLS,
    USAGE,
    Reply,
    call,
    call_chunks,
    chunk,
    completion,
    failure,
    serving,
    stream,
    text_chunks,
)

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
HALL = '{"place": "hall"}'
IN_TEXT = f'<tool_call>{{"name": "Look", "arguments": {HALL}}}</tool_call>'
GOOD = completion(calls=[call("look", {"place": "hall"})])
CUT_OFF = completion(calls=[call("look", '{"place": "ha')], finish="length")
CUT_STREAM = stream(ROLE, *text_chunks("I look."), *CUT, chunk({}, "length"), USAGE, DONE)
CALL_STREAM = stream(ROLE, *call_chunks(0, "look", HALL, "b"), chunk({}, "tool_calls"), USAGE, DONE)


def post(url: str, **body: Any) -> httpx.Response:
    """One request, the bytes of its answer read."""
    given = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, **body}
    return httpx.post(f"{url}/chat/completions", json=given, timeout=30)


def calls_of(response: httpx.Response) -> list[tuple[str, Any]]:
    message = response.json()["choices"][0]["message"]
    functions = [entry["function"] for entry in message.get("tool_calls") or ()]
    return [(f["name"], json.loads(f["arguments"])) for f in functions]


@pytest.mark.parametrize(
    "reply", [GOOD, completion("It is done."), completion("", [call("look", {"place": "a"})])]
)
def test_a_right_answer_keeps_its_bytes_and_costs_one_request(reply: Reply) -> None:
    with serving(reply) as script, proxying(script.url) as url:
        response = post(url)
    assert response.content == reply.body
    assert len(script.requests) == 1
    assert response.headers["x-reliability-attempts"] == "1"
    assert response.headers["x-reliability-repairs"] == "0"
    assert response.headers["x-reliability-mode"] == "on"


def test_the_request_goes_on_in_its_own_bytes() -> None:
    raw = json.dumps({"model": "tiny", "messages": MESSAGES, "tools": TOOLS}, indent=3).encode()
    headers = {
        "content-type": "application/json",
        "authorization": "Bearer sk-x",
        "x-extra": "1",
        "connection": "close, x-hop",
        "x-hop": "1",
    }
    with serving(GOOD) as script, proxying(script.url) as url:
        httpx.post(f"{url}/chat/completions?api-version=2", content=raw, headers=headers)
    assert script.requests == [raw]
    (sent,) = script.headers
    assert (sent["authorization"], sent["x-extra"]) == ("Bearer sk-x", "1")
    assert "x-hop" not in sent and sent["host"] in script.url


def test_a_call_in_text_becomes_a_native_one() -> None:
    with serving(completion(f"I will look.\n{IN_TEXT}")) as script, proxying(script.url) as url:
        response = post(url)
    assert calls_of(response) == [("look", {"place": "hall"})]
    body = response.json()
    assert body["choices"][0]["message"]["content"].strip() == "I will look."
    assert body["timings"] == {"predicted_n": 5}
    assert int(response.headers["x-reliability-repairs"]) > 0


def test_a_cut_call_is_asked_for_again_and_usage_is_summed() -> None:
    with serving(CUT_OFF, GOOD) as script, proxying(script.url) as url:
        response = post(url)
    assert calls_of(response) == [("look", {"place": "hall"})]
    assert response.json()["usage"]["total_tokens"] == 30
    assert response.headers["x-reliability-attempts"] == "2"
    assert len(script.requests) == 2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_what_cannot_be_mended_is_refused_in_words(n: int, tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    toml = f"[reliability]\nretries = {n - 1}\npolicy.rungs = ['re_ask']\npolicy.backoff = 0"
    file.write_text(toml)
    answers = [completion(calls=[call("look", f'{{"place": "ha{n}')]) for n in range(n)]
    with serving(*answers) as script, proxying(script.url, config=str(file)) as url:
        response = post(url)
    assert calls_of(response) == [] and len(script.requests) == n
    assert "not run: look" in response.json()["choices"][0]["message"]["content"]


def test_settings_of_single_models(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text('[reliability]\nretries = 0\n[reliability.models."off-*"]\nenabled = false\n')
    with serving(CUT_OFF, CUT_OFF) as script, proxying(script.url, config=str(file)) as url:
        assert post(url, model="off-1").content == CUT_OFF.body
        assert calls_of(post(url, model="on-1")) == []


def test_a_server_that_takes_no_tools_gets_them_in_the_prompt() -> None:
    refusal = failure(400, "registry.ollama.ai/library/gemma does not support tools")
    with serving(refusal, completion(IN_TEXT)) as script, proxying(script.url) as url:
        response = post(url)
    assert calls_of(response) == [("look", {"place": "hall"})]
    assert "tools" not in script.bodies()[1]


def test_observing_changes_nothing_and_counts() -> None:
    reply = completion(IN_TEXT)
    replies = (reply, CUT_STREAM)
    with serving(*replies) as script, proxying(script.url, observe=True) as url:
        response, streamed = post(url), post(url, stream=True)
        metrics = httpx.get(url.removesuffix("/v1") + "/metrics").text
    assert response.content == reply.body and streamed.content == CUT_STREAM.body
    assert response.headers["x-reliability-mode"] == "observe"
    assert 'reliability_verdicts_total{verdict="accept"} 1' in metrics
    assert 'reliability_verdicts_total{verdict="reject"} 1' in metrics


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        GOOD_STREAM,
        CALL_STREAM,
        stream(ROLE, *text_chunks("Just text, and { a brace."), STOP, USAGE, DONE),
        stream(b": keep-alive\n\n", ROLE, *text_chunks("Hello <world"), STOP, DONE, b": bye\n\n"),
    ],
)
def test_a_right_stream_keeps_its_bytes(reply: Reply) -> None:
    with serving(reply) as script, proxying(script.url) as url:
        response = post(url, stream=True)
    assert response.content == reply.body
    assert len(script.requests) == 1
    assert response.headers["content-type"] == "text/event-stream"


def test_a_cut_call_of_a_stream_is_asked_for_again() -> None:
    with (
        serving(CUT_STREAM, CALL_STREAM) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
    ):
        given: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS}
        with client.chat.completions.stream(**given) as events:
            final = events.get_final_completion()
    (choice,) = final.choices
    assert choice.message.content == "I look."
    made = next(iter(choice.message.tool_calls or []))
    assert (made.function.name, made.function.arguments) == ("look", HALL)
    assert final.usage is not None and final.usage.total_tokens == 30


def test_text_goes_on_before_the_answer_has_ended() -> None:
    def reply(state: Upstream, write: Any) -> None:
        write(head(kind="text/event-stream") + ROLE + b"".join(text_chunks("I look around. ")))
        assert state.release.wait(10)
        write(STOP + DONE)

    body = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
    seen = ""
    with (
        upstream(reply) as state,
        proxying(state.url) as url,
        httpx.stream("POST", f"{url}/chat/completions", json=body, timeout=10) as response,
    ):
        for line in response.iter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                seen += (choices[0]["delta"].get("content") or "") if choices else ""
            if "look" in seen:
                state.release.set()
    assert seen.strip() == "I look around."


def test_comments_keep_the_connection_alive_while_it_waits() -> None:
    """Before the first event and inside a re-ask; the answer is not harmed by them."""

    def reply(state: Upstream, write: Any) -> None:
        time.sleep(0.5)
        answer = CUT_STREAM if len(state.bodies) == 1 else CALL_STREAM
        write(head(kind="text/event-stream") + ROLE)
        time.sleep(0.5)
        write(answer.body.removeprefix(ROLE))

    with upstream(reply) as state, proxying(state.url, keep_alive=0.1) as url:
        raw = post(url, stream=True).content
    assert len(state.bodies) == 2
    events = [event for event in raw.split(b"\n\n") if event]
    comments = [event for event in events if event.startswith(b":")]
    assert len(comments) > 2 and all(event.startswith((b":", b"data: ")) for event in events)
    said = [json.loads(e[6:]) for e in events if e.startswith(b"data: {")]
    assert [c for e in said for c in e["choices"] if c["delta"].get("tool_calls")]


def test_an_error_after_the_first_comment_is_an_event() -> None:
    """Nothing was shown, so that the failed re-ask is the answer; its status is too late."""

    def reply(state: Upstream, write: Any) -> None:
        if len(state.bodies) == 1:
            write(head(kind="text/event-stream") + ROLE)
            time.sleep(0.5)
            write(STOP + DONE)
        else:
            write(head("503 Service Unavailable") + b'{"error": {"message": "Overloaded"}}')

    with upstream(reply) as state, proxying(state.url, keep_alive=0.1) as url:
        response = post(url, stream=True)
    assert response.status_code == 200
    assert b'data: {"error":{"message":"Overloaded"}}' in response.content
    assert not response.content.endswith(DONE)


# --- errors of the upstream -------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_errors_stay_what_they_are(status: int, streamed: bool) -> None:
    reply = failure(status, "no such luck", retry_after="7", x_request_id="r1")
    with serving(reply) as script, proxying(script.url) as url:
        response = post(url, stream=streamed)
    assert (response.status_code, response.content) == (status, reply.body)
    assert (response.headers["retry-after"], response.headers["x-request-id"]) == ("7", "r1")
    assert len(script.requests) == 1


def test_an_error_inside_a_stream_reaches_the_client() -> None:
    raises = pytest.raises(openai.APIError, match="Overloaded")
    with serving(stream(ROLE, OVERLOAD)) as script, proxying(script.url) as url, sdk_at(url) as api:
        given: Any = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True}
        with raises:
            list(api.chat.completions.create(**given))


def test_what_only_failed_is_not_tried_again_by_the_sdk() -> None:
    """The model was asked often enough: 422 instead of 500."""
    fault = failure(500, "Failed to parse input at pos 0: ", retry_after="1")
    with serving(*[fault] * 9) as script, proxying(script.url) as url:
        response = post(url)
    assert response.status_code == 422 and response.content == fault.body
    assert 1 < len(script.requests) < 9


# --- beside the requests ----------------------------------------------------------------------


def test_health_and_counts() -> None:
    with serving(GOOD, CUT_OFF, GOOD) as script, proxying(script.url) as url:
        post(url)
        post(url)
        root = url.removesuffix("/v1")
        health, metrics = httpx.get(f"{root}/healthz"), httpx.get(f"{root}/metrics")
    assert health.json()["status"] == "ok" and health.json()["upstream"] == "ok"
    found = dict(re.findall(r"^(reliability_\S+) ([\d.]+)$", metrics.text, re.MULTILINE))
    assert found['reliability_requests_total{kind="checked",status="2xx"}'] == "2"
    assert found["reliability_attempts_total"] == "3"
    assert found["reliability_open_requests"] == "0"
    for line in metrics.text.splitlines():
        assert re.fullmatch(
            r"# (HELP|TYPE) \S+ .+|\w+(\{\w+=\"\w+\"(,\w+=\"\w+\")*\})? [\d.]+", line
        )


def test_health_of_an_upstream_that_is_down() -> None:
    with proxying("http://127.0.0.1:9/v1") as url:
        root = url.removesuffix("/v1")
        response = httpx.get(f"{root}/healthz")
    assert response.status_code == 200
    assert response.json()["upstream"] == "down"


def test_the_log_holds_no_word_of_anybody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gptme_reliability.proxy")
    reply = completion(f"I will look for the secret.\n{IN_TEXT}")
    with serving(reply) as script, proxying(script.url) as url, sdk_at(url) as client:
        given: Any = {"model": "secret", "messages": MESSAGES, "tools": TOOLS}
        client.chat.completions.create(**given, extra_query={"key": "secret"})
    (line,) = (r.getMessage() for r in caplog.records if r.name == "gptme_reliability.proxy")
    assert re.fullmatch(
        r"POST /v1/chat/completions 200 \d+ms checked mode=on verdict=accept attempts=1 "
        r"calls=1 refused=0 repairs=\d+",
        line,
    )
