"""What a server left out of a prompt: tools without a place, and what did not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from proxy_world import proxying, sdk_at
from recording_host import RecordingHost, sdk
from scripted_server import (
    DONE,
    ROLE,
    STOP,
    TOOLS,
    Reply,
    call,
    call_chunks,
    chunk,
    completion_body,
    serving,
    stream,
    text_chunks,
)

from gptme_reliability.adapters.openai_request import read_request
from gptme_reliability.prompt_size import doubtful
from gptme_reliability.surfaces import client as client_surface
from gptme_reliability.surfaces import contracted
from gptme_reliability.surfaces.gptme import trace
from gptme_reliability.surfaces.gptme.notices import summary
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Policy, Retry

COUNTS = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "prompt_counts.jsonl").read_text().splitlines()
]
HI: list[Any] = [{"role": "user", "content": "hi"}]
LONG: list[Any] = [{"role": "user", "content": "one more thing to do, " * 1200}]
WRITTEN = '<tool_call>\n{"name": "look", "arguments": {"place": "hall"}}\n</tool_call>'
Beside = dict[str, Callable[[Any], Any]]


def answer(
    streamed: bool, text: str | None, tokens: int, *calls: dict[str, Any], **usage: Any
) -> Reply:
    """An answer to a prompt of so many tokens."""
    counted = {"prompt_tokens": tokens, "completion_tokens": 4, "total_tokens": tokens + 4, **usage}
    if not streamed:
        body = {**completion_body(text, calls or None), "usage": counted}
        return Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})
    events = [ROLE, *text_chunks(text or "")]
    for index, made in enumerate(calls):
        function = made["function"]
        events += call_chunks(index, function["name"], function["arguments"], made["id"])
    end = chunk({}, "tool_calls") if calls else STOP
    return stream(*events, end, chunk(usage=counted), DONE)


def llama_cpp(shows_tools: bool) -> Beside:
    def prompt(asked: Any) -> Any:
        tools = [tool["function"]["name"] for tool in asked.get("tools", ())]
        return {"prompt": f"{asked['messages']} {tools if shows_tools else ''}"}

    return {"/props": lambda _: {"default_generation_settings": {}}, "/apply-template": prompt}


def ollama(size: int | None) -> Beside:
    entry = {"name": "tiny:latest", **({} if size is None else {"context_length": size})}
    return {"/api/ps": lambda _: {"models": [entry]}}


def lm_studio(size: int) -> Beside:
    return {"/api/v0/models": lambda _: {"data": [{"id": "tiny", "loaded_context_length": size}]}}


def user(own: bool = True, conversation: str = "", **policy: Any) -> RecordingHost:
    chosen = Policy(**{"backoff": 0, **policy})
    settings = Settings("local/tiny", policy=chosen, own_server=own, conversation=conversation)
    return RecordingHost(settings)


def said(client: Any, streamed: bool, messages: list[Any] = HI) -> tuple[str, list[str]]:
    """The text of an answer and the names of its calls."""
    asked = {"model": "tiny", "messages": messages, "tools": TOOLS}
    if not streamed:
        message = client.chat.completions.create(**asked).choices[0].message
        return message.content or "", [c.function.name for c in message.tool_calls or []]
    text, names = "", []
    for part in client.chat.completions.create(**asked, stream=True):
        for choice in part.choices:
            text += choice.delta.content or ""
            calls = choice.delta.tool_calls or []
            names += [c.function.name for c in calls if c.function.name]
    return text, names


def notes(host: RecordingHost) -> list[str]:
    return [note for report in host.reports for note in report.notes]


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def streamed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


# --- tools without a place ---------------------------------------------------------------------


def test_llama_cpp_without_a_place_for_tools(streamed: bool) -> None:
    """It is asked once; this request and all later ones go out with the tools in the prompt."""
    host = user()
    replies = (answer(streamed, "I have no tools.", 13), *[answer(streamed, WRITTEN, 130)] * 2)
    with serving(*replies, beside=llama_cpp(False)) as script, sdk(script, host) as client:
        text, names = said(client, streamed)
        assert names == ["look"] and text.strip() == "I have no tools."
        assert said(client, streamed)[1] == ["look"]
    first, *prompted = script.bodies()
    assert first["tools"] == TOOLS and len(prompted) == 2
    for body in prompted:
        assert "tools" not in body and '"look"' in body["messages"][0]["content"]
    asked = [path for path, _ in script.beside]
    assert asked == ["/props", "/apply-template", "/apply-template"]
    (note,) = notes(host)
    assert "13 tokens" in note
    outcome = host.reports[0].outcome
    assert outcome is not None
    assert [(a.rung, isinstance(a.verdict, Retry)) for a in outcome.attempts] == [
        (None, True),
        ("prompt", False),
    ]
    assert (summary(host.reports[0]) or "").startswith(note)
    assert trace.record(host.reports[0], "a", full=False)["notes"] == [note]


def test_through_the_proxy(streamed: bool) -> None:
    replies = (answer(streamed, "I have no tools.", 13), answer(streamed, WRITTEN, 130))
    with (
        serving(*replies, beside=llama_cpp(False)) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
    ):
        assert said(client, streamed)[1] == ["look"]
    assert len(script.requests) == 2
    assert len(script.beside) == 3


def test_a_template_of_bare_signatures(streamed: bool) -> None:
    """Few tokens and every tool in them: a text is an answer, and nothing is asked twice."""
    host = user()
    with (
        serving(*[answer(streamed, "Hello.", 20)] * 2, beside=llama_cpp(True)) as script,
        sdk(script, host) as client,
    ):
        assert said(client, streamed) == said(client, streamed) == ("Hello.", [])
    assert [body["tools"] for body in script.bodies()] == [TOOLS, TOOLS]
    assert len(script.beside) == 3 and not notes(host)


def broken(_: Any) -> Any:
    raise BrokenPipeError


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {**llama_cpp(False), "/apply-template": lambda _: None},
        {**llama_cpp(False), "/apply-template": lambda _: {"error": "no"}},
        {**llama_cpp(False), "/apply-template": lambda _: ["prompt"]},
        {**llama_cpp(False), "/props": lambda _: "props"},
    ],
)
def test_a_server_that_does_not_answer_keeps_its_tools(beside: Beside) -> None:
    host = user()
    with serving(answer(False, "Hello.", 20), beside=beside) as script, sdk(script, host) as client:
        assert said(client, False) == ("Hello.", [])
    assert len(script.bodies()) == 1 and not notes(host)


@pytest.mark.parametrize("path", ["/props", "/apply-template"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_that_breaks_off(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    host, beside = user(), {**llama_cpp(False), path: broken}
    with serving(answer(False, "Hello.", 20), beside=beside) as script, sdk(script, host) as client:
        assert said(client, False) == ("Hello.", [])
    assert not notes(host)
    assert "BrokenPipeError" in capsys.readouterr().err


def test_nobody_is_asked_without_need(streamed: bool) -> None:
    """A count that holds the tools, a native call, no count, no way to ask in the prompt."""
    hall = call("look", {"place": "hall"})
    cases = [
        (user(), answer(streamed, "Hello.", 300)),
        (user(), answer(streamed, None, 13, hall)),
        (user(), answer(streamed, "Hello.", 0)),
        (user(rungs=("re_ask",)), answer(streamed, "Hello.", 13)),
        (user(own=False), answer(streamed, "Hello.", 13)),
    ]
    for host, reply in cases:
        with serving(reply, beside=llama_cpp(False)) as script, sdk(script, host) as client:
            said(client, streamed)
        assert not script.beside and not notes(host) and len(script.requests) == 1


def test_a_call_settles_it() -> None:
    """Who called knows the tools, whatever is counted later."""
    hall, text = call("look", {"place": "hall"}), answer(False, "Hello.", 13)
    replies = (answer(False, None, 300, hall), text)
    with serving(*replies, beside=llama_cpp(False)) as script, sdk(script, user()) as client:
        assert said(client, False)[1] == ["look"]
        assert said(client, False) == ("Hello.", [])
    assert not script.beside


@pytest.mark.parametrize("text", [WRITTEN, WRITTEN.replace("look", "no_such_tool")])
def test_a_call_in_the_text_is_an_answer(text: str, streamed: bool) -> None:
    """The host's own prompt told of the tools: what stands or is wrong is judged as ever."""
    host = user(retries=1)
    replies = (answer(streamed, text, 13), answer(streamed, WRITTEN, 130))
    with serving(*replies, beside=llama_cpp(False)) as script, sdk(script, host) as client:
        assert said(client, streamed)[1] == ["look"]
    assert len(script.requests) == 1 + (text != WRITTEN)
    outcome = host.reports[0].outcome
    assert outcome is not None and outcome.attempts[-1].rung != "prompt"


def test_a_far_server_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(client_surface, "is_near", lambda _: False)
    host = user()
    for messages, tokens in ((HI, 3), (LONG, 4096)):
        reply = answer(False, "Hello.", tokens)
        with serving(reply, beside=llama_cpp(False)) as script, sdk(script, host) as client:
            assert said(client, False, messages) == ("Hello.", [])
        assert not script.beside
    assert not notes(host) and not caplog.records


def test_a_server_below_a_path_is_asked_there() -> None:
    """What stands at the root of its host is another server."""
    beside = {f"/tiny{path}": told for path, told in llama_cpp(False).items()}
    replies = (answer(False, "Hello.", 13), answer(False, WRITTEN, 130))
    with serving(*replies, beside=beside) as script:
        script.url = script.url.replace("/v1", "/tiny/v1")
        with sdk(script, user()) as client:
            assert said(client, False)[1] == ["look"]
    assert [path for path, _ in script.beside] == ["/tiny/props", *["/tiny/apply-template"] * 2]


def test_nobody_waits_for_an_answer_that_comes_drop_by_drop(
    streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look at the clock is three seconds later: one more than it may take in all."""
    monkeypatch.setattr(contracted, "monotonic", count(step=3).__next__)
    host = user()
    reply = answer(streamed, "Hello.", 13)
    with serving(reply, beside=llama_cpp(False)) as script, sdk(script, host) as client:
        assert said(client, streamed) == ("Hello.", [])
    assert [path for path, _ in script.beside] == ["/props"]
    assert not notes(host)


def test_without_a_budget_only_later_requests_change(streamed: bool) -> None:
    host = user(retries=0)
    replies = (answer(streamed, "Hello.", 13), answer(streamed, WRITTEN, 130))
    with serving(*replies, beside=llama_cpp(False)) as script, sdk(script, host) as client:
        assert said(client, streamed) == ("Hello.", [])
        assert said(client, streamed)[1] == ["look"]
    assert "tools" not in script.bodies()[1]
    assert not any(report.error for report in host.reports)


@pytest.mark.parametrize(("tokens", "prompted"), [(5, True), (1, True), (6, False), (20, False)])
def test_other_servers_by_the_count_alone(tokens: int, prompted: bool) -> None:
    """One word and five names need six tokens, in whatever form."""
    replies = (answer(False, "Hello.", tokens), answer(False, WRITTEN, 130))
    with serving(*replies) as script, sdk(script, user()) as client:
        assert (said(client, False)[1] == ["look"]) is prompted
    assert len(script.requests) == 1 + prompted


@pytest.mark.parametrize("row", COUNTS, ids=[row["name"] for row in COUNTS])
def test_counts(row: dict[str, Any]) -> None:
    request = read_request({"messages": row["messages"], "tools": row.get("tools", TOOLS)})
    found = doubtful(request, row["usage"])
    said = found and [found.said, found.most, found.messages, found.all]
    assert said == row["counts"]


# --- what did not fit --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "tokens", "parts"),
    [
        (ollama(4096), 4090, ["4090 of about 6", "is 4096", "OLLAMA_CONTEXT_LENGTH", "num_ctx"]),
        (ollama(4096), 700, ["700 of about 6", "is 4096"]),
        (ollama(None), 2048, ["2048 of about 6", "likely 2048", "OLLAMA_CONTEXT_LENGTH"]),
        (lm_studio(4096), 4000, ["4000 of about 6", "is 4096", "LM Studio"]),
        ({}, 4096, ["4096 of about 6", "likely 4096", "larger context"]),
    ],
)
def test_a_prompt_that_was_cut(
    beside: Beside, tokens: int, parts: list[str], streamed: bool
) -> None:
    """Said once in a conversation, with the numbers and the setting; nothing is asked again."""
    host = user(conversation="a")
    with (
        serving(*[answer(streamed, "Hello.", tokens)] * 3, beside=beside) as script,
        sdk(script, host) as client,
    ):
        for _ in range(2):
            assert said(client, streamed, LONG) == ("Hello.", [])
        (note,) = notes(host)
        assert all(part in note for part in parts), note
        host.answer = user(conversation="b").answer
        said(client, streamed, LONG)
        assert notes(host) == [note, note]
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("beside", "usage"),
    [
        (ollama(32768), {"prompt_tokens": 4096}),
        (lm_studio(32768), {"prompt_tokens": 4096}),
        ({}, {"prompt_tokens": 10}),
        ({}, {"prompt_tokens": 2600}),
        ({}, {"prompt_tokens": 4096, "prompt_tokens_details": {"cached_tokens": 3000}}),
        ({}, {"prompt_tokens": 4096, "cache_read_input_tokens": 3000}),
        (ollama(4096), {"prompt_tokens": 7000}),
    ],
)
def test_counts_that_say_nothing(beside: Beside, usage: dict[str, Any]) -> None:
    """A context that is large enough, counts of nothing, and what came from a cache."""
    host = user()
    reply = answer(False, "Hello.", 0, **usage)
    with serving(reply, beside=beside) as script, sdk(script, host) as client:
        assert said(client, False, LONG) == ("Hello.", [])
    assert not notes(host) and len(script.requests) == 1


def test_a_cut_prompt_through_the_proxy(streamed: bool, caplog: pytest.LogCaptureFixture) -> None:
    reply = answer(streamed, "Hello.", 4096)
    with (
        serving(reply, beside=ollama(4096)) as script,
        proxying(script.url) as url,
        sdk_at(url) as client,
    ):
        assert said(client, streamed, LONG) == ("Hello.", [])
    told = [record.getMessage() for record in caplog.records]
    assert any("OLLAMA_CONTEXT_LENGTH" in line for line in told)
