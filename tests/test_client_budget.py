"""The budget at the client: what asks the same, what it costs, and what the host gets then."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from recording_host import MESSAGES, RecordingHost, ask, sdk, watch
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
)

from gptme_reliability.surfaces import asking
from gptme_reliability.surfaces import client as blocking
from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Policy, Reject

BAD = '{"times": 2}'
NUDGE = {"role": "user", "content": "<system>No tool call detected in last message.</system>"}
both = pytest.mark.parametrize("streamed", [False, True])


def answer(streamed: bool, name: str = "look", arguments: str = BAD) -> Reply:
    """An answer with one call, and what it cost."""
    if not streamed:
        return completion(None, [call(name, arguments)])
    calls = call_chunks(0, name, arguments, "call_abc")
    return stream(ROLE, *calls, chunk({}, "tool_calls"), USAGE, DONE)


def said(client: openai.OpenAI, streamed: bool, messages: Any = MESSAGES) -> str:
    """The text of an answer; what was called stands in it too."""
    given: Any = {"model": "tiny", "messages": messages, "tools": TOOLS, "stream": streamed}
    made = client.chat.completions.create(**given)
    if not streamed:
        message = made.choices[0].message
        return (message.content or "") + "".join(c.function.name for c in message.tool_calls or ())
    deltas = [event.choices[0].delta for event in made if event.choices]
    calls = [c.function.name or "" for delta in deltas for c in delta.tool_calls or ()]
    return "".join([*(delta.content or "" for delta in deltas), *calls])


def with_policy(**policy: Any) -> RecordingHost:
    return RecordingHost(answer=Settings("local/tiny", policy=Policy(backoff=0, **policy)))


def behind(text: str, *more: Any) -> list[Any]:
    return [*MESSAGES, {"role": "assistant", "content": text}, *more]


# --- what asks the same -----------------------------------------------------------------------


@both
def test_a_request_sent_again_goes_on_with_the_count(streamed: bool) -> None:
    """The budget is spent by then: the model gets one chance, and the host a visible refusal."""
    host = with_policy(retries=2)
    with serving(*[answer(streamed)] * 5) as script, sdk(script, host) as client:
        first = said(client, streamed)
        assert len(script.requests) == 3
        second = said(client, streamed)
        assert len(script.requests) == 4
        third = said(client, streamed, behind(second, NUDGE))
        assert len(script.requests) == 5
    assert first.startswith("(not run: look - ") and first == second == third
    assert host.asked == [(1, 2), (2, 2)]
    outcomes = [report.outcome for report in host.reports]
    assert [len(outcome.attempts) for outcome in outcomes if outcome] == [3, 1, 1]
    last = outcomes[-1]
    assert last is not None and isinstance(last.verdict, Reject)
    assert last.verdict.reason.endswith("it was asked for again twice before")


@both
def test_a_good_answer_at_the_second_time_is_taken(streamed: bool) -> None:
    """And whoever asks once more after it has the whole budget again."""
    good = answer(streamed, arguments='{"place": "hall"}')
    bad = answer(streamed)
    host = with_policy(retries=1)
    with serving(bad, bad, good, bad, good) as script, sdk(script, host) as client:
        assert "not run" in said(client, streamed)
        assert said(client, streamed) == "look"
        assert said(client, streamed) == "look"
    assert len(script.requests) == 5


@pytest.mark.parametrize("what", ["user", "result", "model", "conversation"])
def test_what_asks_something_else_has_a_budget_of_its_own(what: str) -> None:
    host = with_policy(retries=1)
    messages: list[Any] = list(MESSAGES)
    with serving(*[answer(False)] * 4) as script, sdk(script, host) as client:
        refused = said(client, False)
        if what == "user":
            messages = behind(refused, {"role": "user", "content": "go on"})
        elif what == "result":
            made = {"role": "assistant", "tool_calls": [call("shell", {"command": "ls"}, "a")]}
            messages += [made, {"role": "tool", "tool_call_id": "a", "content": "x"}]
        elif what == "model":
            host.answer = Settings("local/other", policy=Policy(retries=1))
        else:
            host.answer = Settings("local/tiny", policy=Policy(retries=1), conversation="b")
        said(client, False, messages)
    assert len(script.requests) == 4


@both
def test_the_sdk_tries_again_within_the_budget(streamed: bool) -> None:
    """A re-ask that the server refuses is tried again by the SDK, and is counted."""
    empty = stream(ROLE, STOP, DONE) if streamed else completion(None)
    busy = failure(503, "busy", retry_after="0")
    good = answer(streamed, arguments='{"place": "hall"}')
    host = with_policy(retries=2)
    with serving(empty, busy, empty, busy, empty, good) as script:
        client = openai.OpenAI(
            http_client=client_class(openai.DefaultHttpxClient)(host, "local"),
            base_url=script.url,
            api_key="sk-secret",
            max_retries=5,
        )
        with client:
            text = said(client, streamed)
    assert text.startswith("(not run: the answer held nothing")
    assert len(script.requests) == 5
    assert host.asked == [(1, 2), (2, 2)]


@both
def test_nobody_tries_again_what_the_server_could_not_read(streamed: bool) -> None:
    """Its error stays what it says, with a status that says that trying again is no use."""
    fault = failure(500, "Failed to parse the tool call", x_number="1")
    host = with_policy(retries=2)
    with serving(*[fault] * 9) as script:
        client = openai.OpenAI(
            http_client=client_class(openai.DefaultHttpxClient)(host, "local"),
            base_url=script.url,
            api_key="sk-secret",
            max_retries=5,
        )
        with client, pytest.raises(openai.UnprocessableEntityError) as caught:
            said(client, streamed)
    assert len(script.requests) == 3
    assert "Failed to parse" in caught.value.message
    assert caught.value.response.headers["x-number"] == "1"


# --- what it costs ----------------------------------------------------------------------------


@both
def test_usage_is_the_sum_and_the_attempts_are_told(streamed: bool) -> None:
    host = with_policy(retries=3)
    replies = [answer(streamed, name) for name in ("look", "nosuch", "neither")]
    good = answer(streamed, arguments='{"place": "hall"}')
    with serving(*replies, good) as script:
        if streamed:
            usage = watch(script, host, stream_options={"include_usage": True}).usage
        else:
            usage = ask(script, host).parse().usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (40, 20, 60)
    outcome = host.report.outcome
    assert outcome is not None and len(outcome.attempts) == 4
    assert host.asked == [(1, 3), (2, 3), (3, 3)]


@both
def test_usage_counts_what_came_to_nothing(streamed: bool) -> None:
    host = with_policy(retries=1)
    with serving(answer(streamed), answer(streamed)) as script:
        usage = watch(script, host).usage if streamed else ask(script, host).parse().usage
    assert usage.total_tokens == 30


@both
def test_tokens_are_bounded(streamed: bool) -> None:
    """Each answer costs 15: the second re-ask would be one too many."""
    host = with_policy(retries=5, max_added_tokens=29)
    with serving(*[answer(streamed)] * 5) as script, sdk(script, host) as client:
        said(client, streamed)
        assert len(script.requests) == 2
        said(client, streamed)
        assert len(script.requests) == 3
    outcome = host.reports[0].outcome
    assert outcome is not None and isinstance(outcome.verdict, Reject)
    assert "more than 29 tokens" in outcome.verdict.reason


@both
def test_seconds_are_bounded(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(asking, "monotonic", lambda: float(next(clock)))
    host = with_policy(retries=9, max_added_seconds=10)
    replies = [answer(streamed, f"tool{n}") for n in range(9)]
    with serving(*replies) as script, sdk(script, host) as client:
        said(client, streamed)
    assert len(script.requests) == 4


# --- waiting ----------------------------------------------------------------------------------


@both
def test_waiting(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before the first re-ask; what is waited counts as time of the re-ask."""
    waited: list[float] = []
    monkeypatch.setattr(blocking, "sleep", waited.append)
    host = RecordingHost(answer=Settings("local/tiny", policy=Policy(retries=3, backoff=1)))
    with serving(*[answer(streamed, f"tool{n}") for n in range(4)]) as script:
        (watch if streamed else ask)(script, host)
    assert len(waited) == 2
    assert 0.5 <= waited[0] < 1 <= waited[1] < 2


@both
def test_waiting_is_interruptible(streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent any more, and the report holds the attempts so far."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(blocking, "sleep", interrupt)
    host = RecordingHost()
    with (
        serving(*[answer(streamed, f"tool{n}") for n in range(4)]) as script,
        pytest.raises(KeyboardInterrupt),
    ):
        (watch if streamed else ask)(script, host)
    assert len(script.requests) == 2
    assert host.report.interrupted
    outcome = host.report.outcome
    assert outcome is not None and len(outcome.attempts) == 2


# --- loops ------------------------------------------------------------------------------------


@both
def test_a_call_that_leads_nowhere_is_refused_in_the_end(streamed: bool) -> None:
    """It is asked about once; after a nudge it is refused without another question."""
    messages = list(MESSAGES)
    for number in range(3):
        made = call("look", {"place": "hall"}, f"call_{number}")
        messages += [
            {"role": "assistant", "tool_calls": [made]},
            {"role": "tool", "tool_call_id": made["id"], "content": "an empty hall"},
        ]
    host = with_policy()
    same = answer(streamed, arguments='{"place": "hall"}')
    with serving(*[same] * 3) as script, sdk(script, host) as client:
        text = said(client, streamed, messages)
        assert text.startswith("(not run: look - this call was made 3 times in a row")
        assert len(script.requests) == 2
        messages += [{"role": "assistant", "content": text}, NUDGE]
        assert said(client, streamed, messages) == text
        assert len(script.requests) == 3
    told = json.dumps(script.bodies()[1]["messages"][-1])
    assert "made 3 times in a row" in told and "Do something else" in told


def test_tokens_are_estimated_where_the_server_is_silent() -> None:
    """A bound on tokens bounds, whether or not there is a ``usage``."""
    replies = []
    for number in range(4):
        body = completion_body(None, [call("look", {"place": number, "times": f"x{number}"})])
        del body["usage"]
        replies.append(Reply(json.dumps(body).encode()))
    policy = Policy(retries=9, backoff=0, max_added_tokens=400)
    host = RecordingHost(Settings("local/tiny", policy=policy))
    with serving(*replies) as script:
        ask(script, host)
    assert 1 < len(script.requests) < 4
    verdict = host.report.outcome and host.report.outcome.verdict
    assert isinstance(verdict, Reject) and "more than 400 tokens" in verdict.reason
