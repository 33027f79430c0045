"""The HTTP client under the real SDK, whole answers."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import httpx
import openai
import pytest
from recording_host import MESSAGES, RecordingHost, ask, sdk
from scripted_server import TOOLS, Reply, call, completion, failure, serving

from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Accept, Policy, Reject

GOOD = completion("I look.", [call("look", {"place": "hall"})])
MARKUP = '<tool_call>\n{"name": "look", "arguments": {"place": "hall"}}\n</tool_call>'


def message(raw: Any) -> Any:
    return raw.parse().choices[0].message


def arguments(raw: Any) -> list[Any]:
    return [json.loads(c.function.arguments) for c in message(raw).tool_calls or []]


# --- what is right is untouched ---------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        GOOD,
        completion("All done, nothing to call."),
        completion("Cut off he", finish="length"),
        completion("", [call("look", {"place": "a"}, "a"), call("look", {"place": "b"}, "b")]),
        completion("So.", reasoning_content="I think."),
    ],
)
def test_right_answers_go_on_byte_for_byte(reply: Reply) -> None:
    host = RecordingHost()
    with serving(reply, reply) as script:
        without = ask(script, None)
        with_us = ask(script, host)
    assert with_us.http_response.content == reply.body == without.http_response.content
    assert script.requests[0] == script.requests[1]
    assert script.headers[0] == script.headers[1]
    outcome = host.report.outcome
    assert outcome is not None and isinstance(outcome.verdict, Accept)
    assert (host.report.repairs, host.report.error, host.report.streamed) == ((), None, False)


@pytest.mark.parametrize("body", [{"tools": openai.NOT_GIVEN}, {"n": 2}])
def test_other_requests_are_not_looked_at(body: dict[str, Any]) -> None:
    host = RecordingHost()
    with serving(completion(MARKUP)) as script:
        assert message(ask(script, host, **body)).content == MARKUP
    assert host.reports == []


def test_a_host_that_wants_nothing_gets_nothing() -> None:
    host = RecordingHost(answer=None)
    with serving(completion(MARKUP)) as script:
        assert message(ask(script, host)).content == MARKUP
    assert host.reports == []


def test_observing_changes_nothing_and_reports_what_would_have_been() -> None:
    host = RecordingHost(answer=Settings("local/tiny", "observe"))
    reply = completion(None, [call("look", '{"place": "ha')])
    history = [*MESSAGES, {"role": "assistant", "tool_calls": [call("look", "")]}]
    with serving(reply, reply) as script:
        raw = ask(script, host, messages=history)
        ask(script, None, messages=history)
    assert raw.http_response.content == reply.body
    assert script.requests[0] == script.requests[1]
    outcome = host.report.outcome
    assert outcome is not None and isinstance(outcome.verdict, Reject)


# --- what is wrong is mended ------------------------------------------------------------------


def test_a_call_in_text_becomes_a_native_one() -> None:
    host = RecordingHost()
    with serving(completion("I will look.\n" + MARKUP)) as script:
        raw = ask(script, host)
    assert arguments(raw) == [{"place": "hall"}]
    assert message(raw).content.strip() == "I will look."
    parsed = raw.parse()
    assert parsed.choices[0].finish_reason == "tool_calls"
    assert parsed.model_extra["timings"] == {"predicted_n": 5}
    assert len(script.requests) == 1


@pytest.mark.parametrize("call_id", [None, "", "no/good", 7])
def test_ids_that_the_host_cannot_carry_are_replaced(call_id: Any) -> None:
    host = RecordingHost()
    with serving(completion(None, [call("look", {"place": "a"}, call_id)])) as script:
        (made,) = message(ask(script, host)).tool_calls
    assert made.id.startswith("call_")


def test_a_broken_call_is_asked_again_and_usage_adds_up() -> None:
    host = RecordingHost()
    broken = completion(None, [call("look", '{"place": "ha')], finish="length")
    with serving(broken, GOOD) as script:
        raw = ask(script, host, temperature=0.0)
    assert arguments(raw) == [{"place": "hall"}]
    assert raw.parse().usage.total_tokens == 30
    first, second = script.bodies()
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert len(second["messages"]) > len(first["messages"])
    assert second["tools"] == first["tools"] and second["temperature"] == 0.0
    assert script.headers[1]["authorization"] == "Bearer sk-secret"
    assert host.asked == [(1, 3)]


def test_the_budget_ends_in_text_that_says_what_was_not_run() -> None:
    host = RecordingHost(answer=Settings("local/tiny", policy=Policy(retries=1)))
    broken = completion("I look.", [call("look", '{"place": "ha')], finish="length")
    with serving(broken, broken) as script:
        raw = ask(script, host)
    assert message(raw).tool_calls is None
    assert message(raw).content.startswith("I look.")
    assert "not run: look" in message(raw).content
    assert raw.parse().choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b'{"id": "x", "object": "chat.completion", "choices": []}'),
        completion(None),
        completion(None, []),
        completion("   "),
        failure(500, "The output does not match the expected peg-native format"),
    ],
)
def test_answers_that_are_none_are_asked_for_again(reply: Reply) -> None:
    host = RecordingHost()
    with serving(reply, GOOD) as script:
        raw = ask(script, host)
    assert arguments(raw) == [{"place": "hall"}]
    assert raw.http_response.status_code == 200


def test_a_legacy_call_becomes_a_call() -> None:
    legacy = {"name": "look", "arguments": '{"place": "hall"}'}
    with serving(completion(None, function_call=legacy)) as script:
        raw = ask(script, RecordingHost())
    assert arguments(raw) == [{"place": "hall"}]


def test_text_in_an_error_is_read() -> None:
    host = RecordingHost()
    with serving(failure(500, f"Failed to parse input at pos 0: {MARKUP}")) as script:
        raw = ask(script, host)
    assert arguments(raw) == [{"place": "hall"}]
    assert raw.parse().object == "chat.completion"


def test_text_that_the_host_would_run_is_made_inert() -> None:
    host = RecordingHost()
    with serving(completion("The format is:\n@look(call-1): {...}\nand so on.")) as script:
        raw = ask(script, host)
    assert message(raw).content == "The format is:\n\\@look(call-1): {...}\nand so on."
    assert [r.rule for r in host.report.repairs] == ["host_call"]


def test_compressed_answers_are_read_and_rewritten_plain() -> None:
    plain = completion(MARKUP)
    headers = {**plain.headers, "content-encoding": "gzip"}
    packed = replace(plain, body=gzip.compress(plain.body), headers=headers)
    with serving(packed) as script:
        raw = ask(script, RecordingHost())
    assert arguments(raw) == [{"place": "hall"}]
    assert "content-encoding" not in raw.headers


# --- errors -----------------------------------------------------------------------------------


def test_real_errors_stay_what_they_are() -> None:
    host = RecordingHost()
    overloaded = failure(503, "Overloaded", retry_after="7")
    raises = pytest.raises(openai.InternalServerError)
    with serving(overloaded) as script, raises as caught:
        ask(script, host)
    assert caught.value.response.headers["retry-after"] == "7"
    assert host.reports == []


@pytest.mark.parametrize("body", [b"<html>gateway</html>", b'{"data": []}', b"[]", b"null"])
def test_answers_of_unknown_shape_are_untouched(body: bytes) -> None:
    with serving(Reply(body, headers={"content-type": "application/json"})) as script:
        assert ask(script, RecordingHost()).http_response.content == body


def test_an_error_of_a_hidden_request_never_replaces_an_answer() -> None:
    host = RecordingHost()
    broken = completion("I look.", [call("look", '{"place": "ha')], finish="length")
    with serving(broken, failure(503, "Overloaded")) as script:
        raw = ask(script, host)
    assert message(raw).content.startswith("I look.")
    assert "not run: look" in message(raw).content
    outcome = host.report.outcome
    assert outcome is not None and isinstance(outcome.verdict, Reject)
    assert "HTTP 503" in outcome.verdict.reason


def test_without_any_answer_the_later_error_is_the_hosts() -> None:
    overloaded = failure(503, "Overloaded", retry_after="7")
    raises = pytest.raises(openai.InternalServerError)
    with serving(completion(None), overloaded) as script, raises as caught:
        ask(script, RecordingHost())
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_connection_that_breaks_is_the_hosts_to_handle() -> None:
    with serving(replace(GOOD, lost=10)) as script, pytest.raises(openai.APIConnectionError):
        ask(script, RecordingHost())


# --- this layer breaks ------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["settings", "defuse", "asking_again", "done"])
def test_when_this_layer_breaks_the_host_gets_the_servers_bytes(method: str) -> None:
    host = RecordingHost(broken=frozenset({method}))
    reply = completion("x", [call("look", '{"place": "ha')], finish="length")
    if method in ("defuse", "done"):
        reply = GOOD
    with serving(reply) as script:
        assert ask(script, host).http_response.content == reply.body
    if method in ("defuse", "asking_again"):
        error = host.report.error
        assert error is not None and error.startswith("LookupError in recording_host.py, line ")
        assert "secret" not in error


def test_tools_that_are_none_go_out_as_they_came() -> None:
    host = RecordingHost()
    with serving(GOOD) as script:
        ask(script, host, tools=["web_search"])
    assert host.report.error is not None and "ToolDefinitionError" in host.report.error


# --- the conversation -------------------------------------------------------------------------

POISONED = [
    *MESSAGES,
    {"role": "assistant", "tool_calls": [call("look", '{"place": "ha', "x")]},
    {"role": "tool", "tool_call_id": "x", "content": "error"},
]


def test_a_poisoned_conversation_is_mended_on_the_wire() -> None:
    host = RecordingHost()
    with serving(GOOD) as script:
        raw = ask(script, host, messages=POISONED)
    sent = script.bodies()[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert isinstance(json.loads(sent), dict)
    assert raw.http_response.content == GOOD.body
    assert [r.rule for r in host.report.repairs] == ["history_arguments"]


def test_a_server_that_refuses_the_mended_one_gets_the_original() -> None:
    with serving(failure(400, "bad tool_call id"), GOOD, GOOD) as script:
        ask(script, RecordingHost(), messages=POISONED)
        ask(script, None, messages=POISONED)
    assert script.requests[1] == script.requests[2] != script.requests[0]


def test_refusals_beside_calls_that_stand_are_told_with_the_results() -> None:
    host = RecordingHost()
    both = completion(
        None, [call("look", {"place": "a"}, "one"), call("look", {"times": 2}, "two")]
    )
    with serving(both, GOOD, GOOD) as script, sdk(script, host) as client:

        def create(messages: Any) -> Any:
            given: Any = {"model": "tiny", "messages": messages, "tools": TOOLS}
            return client.chat.completions.with_raw_response.create(**given)

        (made,) = message(create(MESSAGES)).tool_calls
        assert made.id == "one"
        answered = [
            *MESSAGES,
            {"role": "assistant", "tool_calls": [call("look", {"place": "a"}, "one")]},
            {"role": "tool", "tool_call_id": "one", "content": "a hall"},
        ]
        create(answered)
        create([*answered, {"role": "user", "content": "go on"}])
    for body in script.bodies()[1:]:
        content = body["messages"][2]["content"]
        assert content.startswith("a hall\n\n") and "place" in content
    assert host.reports[1].repairs[0].rule == "late_feedback"


# --- the class --------------------------------------------------------------------------------


def test_both_http_libraries_are_served() -> None:
    httpx2 = pytest.importorskip("httpx2")
    for library in (httpx, httpx2):
        client = client_class(library.Client)(RecordingHost(), "local")
        with serving(completion(MARKUP)) as script, client:
            body = {"messages": MESSAGES, "tools": TOOLS}
            response = client.post(f"{script.url}/chat/completions", json=body)
        assert type(response) is library.Response
        assert response.json()["choices"][0]["message"]["tool_calls"]


def test_a_class_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError):
        client_class(dict)
