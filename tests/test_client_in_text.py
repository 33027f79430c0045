"""The HTTP client for a host that has calls written in the text, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from recording_host import MESSAGES, RecordingHost, ask, watch
from scripted_server import (
    DONE,
    ROLE,
    STOP,
    TOOLS,
    USAGE,
    Reply,
    call,
    completion,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import HostFormat, Policy, ToolDefinition

OFFERED = tuple(map(ToolDefinition.from_openai, TOOLS))
MARKDOWN = HostFormat("markdown", {"shell": "shell", "look": "look"}, {"shell": "positional"})
XML = HostFormat("xml", {"shell": "shell"}, {"shell": "positional"}, strict=True)
POLICY = Policy(rungs=("re_ask", "resample"), respond=False, force=False, backoff=0)
BLOCK = "```shell\nls\n```"
SECTION = "<tool-use>\n<shell>\nls\n</shell>\n</tool-use>"
BODY: dict[str, Any] = {"tools": openai.NOT_GIVEN}


def chat(form: HostFormat = MARKDOWN) -> RecordingHost:
    return RecordingHost(Settings("local/tiny", policy=POLICY, format=form, offered=OFFERED))


def streamed(text: str, finish: bytes = STOP) -> Reply:
    return stream(ROLE, *text_chunks(text), finish, USAGE, DONE)


def both(host: RecordingHost, *answers: str) -> list[tuple[str, list[dict[str, Any]]]]:
    """What the host gets, whole and streamed, and the requests it took."""
    with serving(*map(completion, answers)) as script:
        message = ask(script, host, **BODY).parse().choices[0].message
        assert not message.tool_calls
        whole = message.content, script.bodies()
    with serving(*map(streamed, answers)) as script:
        seen = watch(script, host, **BODY)
        assert seen.calls == []
        return [whole, (seen.text, script.bodies())]


@pytest.mark.parametrize("text", [f"I look.\n\n{BLOCK}", "Just text, with `code` in it.", BLOCK])
def test_right_answers_go_on_byte_for_byte(text: str) -> None:
    with serving(completion(text), completion(text)) as script:
        assert (
            ask(script, chat(), **BODY).http_response.content
            == ask(script, None, **BODY).http_response.content
        )
        assert script.requests[0] == script.requests[1]
    reply = streamed(text)
    with serving(reply, reply) as script:
        assert watch(script, chat(), **BODY).text == watch(script, None, **BODY).text == text
        assert script.requests[0] == script.requests[1]


@pytest.mark.parametrize(
    ("form", "written", "wanted"),
    [
        (MARKDOWN, "I look.\n\n```shell\nls", f"I look.\n\n{BLOCK}"),
        (MARKDOWN, "~~~shell\nls\n~~~", BLOCK),
        (MARKDOWN, f"Run this in your terminal:\n{BLOCK}", None),
        (XML, "I look.\n\n<shell>\nls\n</shell>", f"I look.\n\n{SECTION}"),
        (XML, f"It is written `{SECTION}`.", None),
    ],
)
def test_what_is_meant_is_written_as_the_host_reads_it(
    form: HostFormat, written: str, wanted: str | None
) -> None:
    host = chat(form)
    for text, requests in both(host, written):
        assert text == wanted if wanted else (text != written and not host.written)
        assert len(requests) == 1
    assert host.written == ([BLOCK if form is MARKDOWN else SECTION] if wanted else [])


@pytest.mark.parametrize("form", [MARKDOWN, XML])
def test_a_fault_is_asked_about_in_words_and_in_the_format(form: HostFormat) -> None:
    good = BLOCK if form is MARKDOWN else SECTION
    for text, requests in both(chat(form), good.replace("ls", ""), good):
        assert text == good
        first, second = requests
        assert "tools" not in first and "tools" not in second
        *earlier, answer, told = second["messages"]
        assert [earlier, answer["role"], told["role"]] == [MESSAGES, "assistant", "user"]
        assert "required argument 'command' is missing" in told["content"]
        assert good.replace("ls", "...") in told["content"]


def test_native_calls_are_written_in_the_text() -> None:
    reply = completion("I look.", [call("shell", {"command": "ls"})])
    with serving(reply) as script:
        message = ask(script, chat(), **BODY).parse().choices[0].message
    assert (message.content, message.tool_calls) == (f"I look.\n\n{BLOCK}", None)


def test_a_broken_native_call_is_asked_about_without_the_tool_channel() -> None:
    broken = completion(None, [call("shell", '{"command": "l')])
    with serving(broken, completion(BLOCK)) as script:
        message = ask(script, chat(), **BODY).parse().choices[0].message
        roles = [one["role"] for one in script.bodies()[1]["messages"]]
    assert message.content == BLOCK
    assert roles == ["user", "assistant", "user"]


def test_who_goes_on_failing_is_told_in_text_and_nothing_runs() -> None:
    bad = "```shell\n\n```"
    host = chat()
    for text, requests in both(host, bad, bad, bad):
        assert "(not run: shell - required argument 'command' is missing" in text
        assert "```shell" not in text and len(requests) == 3
    assert host.written == []


def test_a_good_call_stands_beside_a_faulty_one_and_the_text_says_so() -> None:
    for text, requests in both(chat(), f"{BLOCK}\n\n```look\n\n```\n\n```shell -x\nls\n```"):
        assert text.startswith(BLOCK) and "(not run: shell" in text
        assert len(requests) == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_requests_that_are_no_turn_of_a_chat_are_left_alone(streaming: bool) -> None:
    host = RecordingHost()
    text = "```shell\nls"
    if streaming:
        with serving(streamed(text)) as script:
            assert watch(script, host, **BODY).text == text
    else:
        with serving(completion(text)) as script:
            assert ask(script, host, **BODY).parse().choices[0].message.content == text
    assert host.reports == []


def test_a_host_that_breaks_gets_what_the_server_said() -> None:
    host = chat()
    host.broken = frozenset({"settle_text"})
    for text, _ in both(host, "```shell\nls"):
        assert text == "```shell\nls"
    assert all(report.error for report in host.reports)
    assert "secret" not in json.dumps([report.error for report in host.reports])
