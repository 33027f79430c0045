"""The ladder and the tool for talking on the wire, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from recording_host import RecordingHost, Seen, ask, watch
from scripted_server import (
    DONE,
    ROLE,
    STOP,
    TOOLS,
    Reply,
    Script,
    call,
    call_chunks,
    chunk,
    completion,
    failure,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Accept, ModelFacts, Policy

NO_TOOLS = failure(400, "registry.ollama.ai/library/tiny:latest does not support tools")
WRITTEN = '<tool_call>\n{"name": "look", "arguments": {"place": "hall"}}\n</tool_call>'
HALL = [("look", {"place": "hall"})]


def host(policy: Policy = Policy(backoff=0), **known: Any) -> RecordingHost:
    return RecordingHost(Settings("local/tiny", policy=policy, facts=ModelFacts(**known)))


def says(text: str | None = None, *calls: dict[str, Any], streamed: bool) -> Reply:
    """An answer, in one piece or in many."""
    if not streamed:
        return completion(text, calls or None)
    events = [ROLE, *text_chunks(text or "")]
    for index, made in enumerate(calls):
        function = made["function"]
        events += call_chunks(index, function["name"], function["arguments"], made["id"])
    return stream(*events, chunk({}, "tool_calls") if calls else STOP, DONE)


def got(script: Script, user: RecordingHost, streamed: bool, **body: Any) -> Seen:
    """What the host gets, in the same form for both."""
    if streamed:
        return watch(script, user, **body)
    choice = ask(script, user, **body).parse().choices[0]
    calls = choice.message.tool_calls or []
    made = [(one.id, one.function.name, one.function.arguments) for one in calls]
    return Seen(choice.message.content or "", calls=made, finish=choice.finish_reason)


def calls_of(seen: Seen) -> list[tuple[str, Any]]:
    return [(name, json.loads(arguments)) for _, name, arguments in seen.calls]


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_server_without_tools_is_prompted(streamed: bool) -> None:
    """One request more the first time, none the second; the user is told once."""
    user = host()
    written = says(WRITTEN, streamed=streamed)
    with serving(NO_TOOLS, written) as script:
        seen = got(script, user, streamed)
    assert calls_of(seen) == HALL
    assert seen.finish == "tool_calls" and "tool_call" not in seen.text
    first, second = script.bodies()
    assert first["tools"] == TOOLS and "tools" not in second
    assert second["messages"][0]["role"] == "system"
    assert '"look"' in second["messages"][0]["content"]
    outcome = user.report.outcome
    assert outcome is not None and [one.rung for one in outcome.attempts] == ["prompt"]


def test_what_is_said_to_a_prompt_is_text(streamed: bool) -> None:
    """Plain words reach the host as they are, however they come."""
    user = host(native_tools=False)
    with serving(says("Nothing to look at.", streamed=streamed)) as script:
        seen = got(script, user, streamed)
    assert (seen.text, seen.calls, seen.finish) == ("Nothing to look at.", [], "stop")
    assert len(script.requests) == 1


def test_words_behind_a_refusal_are_text(streamed: bool) -> None:
    user = host()
    with serving(NO_TOOLS, says("Nothing to look at.", streamed=streamed)) as script:
        seen = got(script, user, streamed)
    assert (seen.text, seen.calls, seen.finish) == ("Nothing to look at.", [], "stop")


def test_a_refusal_that_nothing_helps_is_the_servers_own(streamed: bool) -> None:
    """The last word of the server, with its status."""
    refused = pytest.raises(openai.BadRequestError)
    with serving(NO_TOOLS, failure(400, "no prompts either")) as script, refused:
        got(script, host(), streamed)
    assert len(script.requests) == 2
    refused = pytest.raises(openai.BadRequestError, match="does not support tools")
    with serving(NO_TOOLS) as script, refused:
        got(script, host(Policy(rungs=("re_ask",))), streamed)


def test_the_tool_for_talking_is_out_of_sight(streamed: bool) -> None:
    """Offered on the wire; the host gets words."""
    user = host(size_b=3)
    said = says(None, call("respond", {"text": "Hello there."}), streamed=streamed)
    with serving(said) as script:
        seen = got(script, user, streamed)
    assert (seen.text, seen.calls, seen.finish) == ("Hello there.", [], "stop")
    (body,) = script.bodies()
    assert body["tools"][:-1] == TOOLS
    assert body["tools"][-1]["function"]["name"] == "respond"
    assert isinstance(user.report.outcome and user.report.outcome.verdict, Accept)


def test_words_beside_a_call(streamed: bool) -> None:
    said = says(
        None,
        call("respond", {"text": "One moment."}, "a"),
        call("look", {"place": "hall"}, "b"),
        streamed=streamed,
    )
    with serving(said) as script:
        seen = got(script, host(size_b=3), streamed)
    assert seen.text == "One moment." and calls_of(seen) == HALL
    assert seen.finish == "tool_calls"


def test_plain_words_pass_byte_for_byte(streamed: bool) -> None:
    """A text answer is right, with the tool on offer as without it."""
    user = host(size_b=3)
    with serving(says("Hello there.", streamed=streamed)) as script:
        seen = got(script, user, streamed)
    assert seen.text == "Hello there."
    assert len(script.requests) == 1


def test_a_server_that_refuses_the_tool_for_talking(streamed: bool) -> None:
    """The host's own request goes out instead."""
    with serving(failure(400, "too many tools"), says("Hello.", streamed=streamed)) as script:
        seen = got(script, host(size_b=3), streamed)
    assert seen.text == "Hello."
    assert script.bodies()[1]["tools"] == TOOLS


def test_the_rungs_on_the_wire(streamed: bool) -> None:
    """Told, forced, refused, held to a schema: each in a shape that servers take."""
    bad = says(None, call("look", {"place": "hall", "times": "often"}), streamed=streamed)
    held = says('{"name": "look", "arguments": {"place": "hall"}}', streamed=streamed)
    user = host(Policy(retries=5, backoff=0))
    with serving(bad, bad, failure(400, "tool_choice is not supported"), held) as script:
        seen = got(script, user, streamed)
    assert calls_of(seen) == HALL and "name" not in seen.text
    plain, told, forced, schema = script.bodies()
    assert plain["tools"] == told["tools"] == TOOLS and "tool_choice" not in told
    assert forced["tool_choice"] == "required"
    assert forced["tools"][-1]["function"]["name"] == "respond"
    assert "tools" not in schema and "tool_choice" not in schema
    assert schema["response_format"]["type"] == "json_schema"
    outcome = user.report.outcome
    assert outcome is not None
    assert [one.rung for one in outcome.attempts] == [None, "re_ask", "structure"]


def test_several_calls_held_to_a_schema_are_native_ones(streamed: bool) -> None:
    """What was right beside a fault is constant there, and a list of calls comes back as calls."""
    right, bad = call("look", {"place": "hall"}, "a"), call("look", {"times": 2}, "b")
    both = [("look", {"place": "hall"}), ("look", {"place": "attic", "times": 2})]
    held = json.dumps([{"name": name, "arguments": given} for name, given in both])
    user = host(Policy(rungs=("structure",), partial="hold", backoff=0))
    first, second = (says(t, *c, streamed=streamed) for t, c in ((None, (right, bad)), (held, ())))
    with serving(first, second) as script:
        seen = got(script, user, streamed)
    assert calls_of(seen) == both
    assert len({made for made, _, _ in seen.calls}) == 2 and all(made for made, _, _ in seen.calls)
    assert (seen.text, seen.finish) == ("", "tool_calls")
    array = script.bodies()[1]["response_format"]["json_schema"]["schema"]["anyOf"][0]
    kept = [one["anyOf"][0]["properties"]["arguments"] for one in array["prefixItems"]]
    assert kept[0]["properties"]["place"] == {"const": "hall"}
    assert kept[1]["properties"]["times"] == {"const": 2}


def test_a_refused_rung_leaves_the_earlier_answer(streamed: bool) -> None:
    """The budget is spent on refusals: what the model said is what the host gets."""
    bad = says("I look.", call("look", {"place": 5, "times": "often"}), streamed=streamed)
    no = failure(400, "unknown parameter")
    policy = Policy(retries=2, backoff=0, rungs=("re_ask", "force", "structure"))
    with serving(bad, bad, no) as script:
        seen = got(script, host(policy), streamed)
    assert len(script.requests) == 3
    assert "I look." in seen.text and "not run: look" in seen.text


def test_the_number_of_attempts_is_told() -> None:
    """In a header of an answer that is not the server's own."""
    bad = completion(None, [call("look", {"place": 5, "times": "often"})])
    good = completion(None, [call("look", {"place": "hall"})])
    with serving(bad, good) as script:
        assert ask(script, host()).headers["x-reliability-attempts"] == "2"
