"""The HTTP client under Anthropic's real SDK: every row whole and streamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic_world import (
    MESSAGES,
    OFFER,
    ask,
    begin,
    blocks,
    checked,
    end,
    event,
    failure,
    received,
    sdk,
    stream_of,
    streamed,
    text,
    thinking,
    use,
    whole,
)
from recording_host import RecordingHost
from scripted_server import Reply, serving

from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import ModelFacts, Policy, Reject

CASES = Path(__file__).parent / "cases" / "anthropic.jsonl"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in CASES.read_text().splitlines()]
BOTH = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
WONDER = "Where could it be? In the hall, I think."
GOOD = use("look", {"place": "hall"}, "toolu_2")


def replies(row: dict[str, Any], streaming: bool, size: int = 4) -> list[Reply]:
    answers = [(row["content"], row.get("stop"))]
    if "again" in row:
        answers.append((row["again"], None))
    return [streamed(c, s, size) if streaming else whole(c, s) for c, s in answers]


def run(script_replies: list[Reply], host: RecordingHost, streaming: bool, **body: Any) -> Any:
    with serving(*script_replies) as script, checked(host) as http:
        return ask(sdk(script.url, http), streaming, **body), script


@BOTH
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_row(row: dict[str, Any], streaming: bool) -> None:
    host = RecordingHost()
    made, script = run(replies(row, streaming), host, streaming)
    assert made.calls == [(name, given) for name, given in row["calls"]]
    assert made.text.strip() == row["text"]
    assert made.stop == row.get("stopped", "tool_use" if made.calls else "end_turn")
    assert len(script.requests) == (2 if "again" in row else 1)
    assert len(set(made.ids)) == len(made.ids)
    if "thinking" in row:
        assert made.thinking == [tuple(pair) for pair in row["thinking"]]
    if "kinds" in row:
        assert made.kinds == row["kinds"]
    used = 2 if "again" in row else 1
    assert made.tokens == (10 * used, 5 * used)


@BOTH
@pytest.mark.parametrize("row", [r for r in ROWS if r.get("untouched")], ids=lambda r: r["id"])
def test_right_answers_go_on_byte_for_byte(row: dict[str, Any], streaming: bool) -> None:
    (reply,) = replies(row, streaming)
    host = RecordingHost()
    with serving(reply, reply) as script:
        assert received(script, host, streaming) == reply.body
        received(script, None, streaming)
    assert script.requests[0] == script.requests[1]
    assert script.headers[0] == script.headers[1]
    assert host.report.repairs == ()


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_any_chunking_says_the_same(row: dict[str, Any], size: int) -> None:
    host, other = RecordingHost(), RecordingHost()
    one, _ = run(replies(row, True, size), host, True)
    two, _ = run(replies(row, False), other, False)
    assert (one.calls, one.text.strip(), one.stop) == (two.calls, two.text.strip(), two.stop)
    if host.report.outcome is None:
        assert other.report.outcome is None
        return
    assert other.report.outcome is not None
    ours, theirs = host.report.outcome.verdict, other.report.outcome.verdict
    assert [r.rule for r in ours.repairs] == [r.rule for r in theirs.repairs]
    assert type(ours) is type(theirs)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_every_stream_is_a_row_of_blocks(row: dict[str, Any]) -> None:
    """One message, its blocks numbered, each opened and closed before the next."""
    with serving(*replies(row, True)) as script:
        raw = received(script, RecordingHost(), True)
    chunks = [json.loads(e.data) for e in EventReader().feed(raw) if e.data is not None]
    kinds = [chunk["type"] for chunk in chunks if chunk["type"] != "ping"]
    assert kinds[0] == "message_start" and kinds.count("message_start") == 1
    assert kinds[-2:] == ["message_delta", "message_stop"]
    opened: list[int] = []
    inside = False
    for chunk in chunks:
        match chunk["type"]:
            case "content_block_start":
                assert not inside
                opened.append(chunk["index"])
                inside = True
            case "content_block_delta":
                assert inside and chunk["index"] == opened[-1]
            case "content_block_stop":
                assert inside and chunk["index"] == opened[-1]
                inside = False
    assert not inside and opened == list(range(len(opened)))


def test_a_whole_answer_to_a_request_for_a_stream_is_streamed() -> None:
    broken = [thinking("Hm."), text("I look."), use("Look", {"place": "hall"})]
    made, _ = run([whole(broken)], RecordingHost(), True)
    assert made.calls == [("look", {"place": "hall"})] and made.text == "I look."
    assert made.thinking == [("Hm.", "c2ln")] and made.tokens == (10, 5)


# --- requests -----------------------------------------------------------------------------

CACHED = {"cache_control": {"type": "ephemeral"}}
TALK: list[Any] = [
    {"role": "user", "content": [{**text("look around"), **CACHED}, {"type": "odd", "x": 1}]},
    {
        "role": "assistant",
        "content": [thinking("Hm."), text("I look."), use("look", {"place": "hall"})],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "dark", **CACHED},
            text("and now?"),
        ],
    },
]
EXTRA: dict[str, Any] = {
    "messages": TALK,
    "system": [{**text("You look."), **CACHED}],
    "tools": [*OFFER, {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "metadata": {"user_id": "u"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "max_tokens": 2048,
    "extra_headers": {"anthropic-beta": "some-beta"},
    "extra_body": {"unknown": [1]},
}


@BOTH
def test_asking_again_keeps_all_that_is_not_ours(streaming: bool) -> None:
    broken = [thinking("Where?"), use("look", {}, "toolu_9")]
    made, script = run(
        replies({"content": broken, "again": [GOOD]}, streaming),
        RecordingHost(),
        streaming,
        **EXTRA,
    )
    assert made.calls == [("look", {"place": "hall"})]
    first, second = script.bodies()
    assert second["messages"][:3] == first["messages"] == TALK
    assert {k: v for k, v in first.items() if k != "messages"} == {
        k: v for k, v in second.items() if k != "messages"
    }
    assert script.headers[1]["anthropic-beta"] == "some-beta"
    failed, told = second["messages"][3:]
    assert failed == {"role": "assistant", "content": broken}
    (result,) = told["content"]
    assert result["tool_use_id"] == "toolu_9" and "place" in result["content"]


@BOTH
def test_asking_in_words_alternates_roles(streaming: bool) -> None:
    broken = [use("look", '{"place": "ha')]
    _, script = run(
        replies({"content": broken, "again": [GOOD]}, streaming), RecordingHost(), streaming
    )
    _, second = script.bodies()
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][0] == MESSAGES[0]


@BOTH
def test_what_is_refused_beside_a_call_is_told_with_its_result(streaming: bool) -> None:
    host = RecordingHost()
    (row,) = (row for row in ROWS if row["id"] == "one_stands")
    talk: list[Any] = [*MESSAGES]
    make = streamed if streaming else whole
    with serving(*replies(row, streaming), make([text("Done.")])) as script, checked(host) as http:
        client = sdk(script.url, http)
        made = ask(client, streaming)
        talk.append({"role": "assistant", "content": [use("look", {"place": "hall"}, made.ids[0])]})
        result = {"type": "tool_result", "tool_use_id": made.ids[0], "content": "dark", **CACHED}
        ask(client, streaming, messages=[*talk, {"role": "user", "content": [result]}])
    (sent,) = script.bodies()[1]["messages"][2]["content"]
    assert sent["content"].startswith("dark") and "place" in sent["content"]
    assert sent["cache_control"] == CACHED["cache_control"]


def test_a_broken_conversation_is_mended() -> None:
    """A call without a result makes the API refuse every later request."""
    talk = [
        *MESSAGES,
        {"role": "assistant", "content": [use("look", {"place": "hall"})]},
        {"role": "user", "content": "and?"},
    ]
    host = RecordingHost()
    _, script = run([whole([text("Well.")])], host, False, messages=talk)
    (body,) = script.bodies()
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    result, said = body["messages"][2]["content"]
    assert (result["type"], result["tool_use_id"], said) == ("tool_result", "toolu_1", text("and?"))
    assert [repair.rule for repair in host.report.repairs] == ["history_result"]


def test_a_mended_schema_keeps_the_rest_of_its_tool() -> None:
    odd = {"name": "odd", "input_schema": {"properties": {"x": {"type": "str"}}}, **CACHED}
    _, script = run([whole([text("Well.")])], RecordingHost(), False, tools=[*OFFER, odd])
    *same, mended = script.bodies()[0]["tools"]
    assert same == OFFER and mended["input_schema"]["properties"]["x"]["type"] == "string"
    assert mended["cache_control"] == CACHED["cache_control"]


@pytest.mark.parametrize(
    ("choice", "thinks", "forced"),
    [
        ({"type": "auto"}, False, True),
        ({"type": "auto"}, True, False),
        ({"type": "none"}, False, False),
    ],
)
def test_forcing_is_left_where_it_would_be_refused(choice: Any, thinks: bool, forced: bool) -> None:
    settings = Settings("local/tiny", policy=Policy(force=True))
    body: dict[str, Any] = {"tool_choice": choice}
    if thinks:
        body.update(thinking=EXTRA["thinking"], max_tokens=2048)
    _, script = run([whole([GOOD])], RecordingHost(answer=settings), False, **body)
    (sent,) = script.bodies()
    assert sent["tool_choice"] == ({"type": "any"} if forced else choice)
    assert "response_format" not in sent and "seed" not in sent


def test_resampling_says_nothing_that_the_host_did_not() -> None:
    settings = Settings("local/tiny", policy=Policy(rungs=("resample",), backoff=0))
    broken = whole([use("look", {})])
    for given in ({}, {"temperature": 0.9}):
        made, script = run(
            [broken, whole([GOOD])], RecordingHost(answer=settings), False, extra_body=given
        )
        assert made.calls
        first, second = script.bodies()
        assert set(first) == set(second)
        assert second.get("temperature") == (0.45 if given else None)


@BOTH
def test_a_server_that_knows_no_tools_is_told_of_them_in_words(streaming: bool) -> None:
    settings = Settings("local/tiny", facts=ModelFacts(native_tools=False))
    leaked = '<tool_call>\n{"name": "look", "arguments": {"place": "hall"}}\n</tool_call>'
    row = {"content": [text(leaked)]}
    made, script = run(replies(row, streaming), RecordingHost(answer=settings), streaming, **EXTRA)
    assert made.calls == [("look", {"place": "hall"})]
    (sent,) = script.bodies()
    assert [tool["name"] for tool in sent["tools"]] == ["web_search"]
    assert "tool_choice" not in sent and "look" in json.dumps(sent["system"])
    blocks_sent = [b for m in sent["messages"] for b in m["content"] if isinstance(b, dict)]
    assert not [b for b in blocks_sent if b["type"] in ("tool_use", "tool_result")]


@pytest.mark.parametrize(
    "parts", [("So:", "@look(x): {}"), ("See", "@look(x): {}", "@look(y): {}")]
)
@BOTH
def test_every_block_of_text_begins_a_line(parts: tuple[str, ...], streaming: bool) -> None:
    """gptme begins a line with each, and runs what the host here makes inert."""
    made, _ = run(replies({"content": [*map(text, parts)]}, streaming), RecordingHost(), streaming)
    assert made.text.count("\\@look") == len(parts) - 1 and made.calls == []


@pytest.mark.parametrize("first", ["A `", "``", "@look", "<tool-u"])
def test_nothing_grows_together_across_blocks(first: str) -> None:
    content = [text(first), text("`shell\nls\n```")]
    with serving(streamed(content)) as script:
        raw = received(script, RecordingHost(), True)
    shown = "".join(
        chunk["delta"].get("text", "")
        for one in EventReader().feed(raw)
        if (chunk := json.loads(one.data or "{}"))["type"] == "content_block_delta"
    )
    assert shown == f"{first}\n`shell\nls\n```"


def test_who_thinks_is_not_sampled_otherwise() -> None:
    settings = Settings("local/tiny", policy=Policy(rungs=("resample",), backoff=0))
    body = {"thinking": EXTRA["thinking"], "max_tokens": 2048, "extra_body": {"temperature": 1.0}}
    broken = whole([use("look", {})])
    _, script = run([broken, whole([GOOD])], RecordingHost(answer=settings), False, **body)
    assert [sent["temperature"] for sent in script.bodies()] == [1.0, 1.0]


@BOTH
@pytest.mark.parametrize("signature", ["c2lh", ""])
def test_thoughts_keep_their_signatures(signature: str, streaming: bool) -> None:
    """A server that signs takes nothing back that it did not sign."""
    content = [thinking(WONDER, "c2ln" if signature else ""), use("look", {})]
    again = [thinking("Oh.", signature), GOOD]
    row = {"content": content, "again": again}
    made, _ = run(replies(row, streaming), RecordingHost(), streaming)
    first = (WONDER, "c2ln" if signature else "")
    dropped = signature and not streaming
    assert made.thinking == [*([] if dropped else [first]), ("Oh.", signature)]


def test_blocks_of_both_answers_are_there() -> None:
    """What went by of the first answer, and what the second one brought."""
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    content = [search, text("I look around."), use("look", {})]
    row = {"content": content, "again": [{**search, "id": "srvtoolu_2"}, GOOD]}
    made, _ = run(replies(row, True), RecordingHost(), True)
    assert made.kinds == ["server_tool_use", "text", "server_tool_use", "tool_use"]


@pytest.mark.parametrize("tool", ["bash_20250124", "text_editor_20250728", "unheard_of_1"])
def test_tools_without_a_schema_may_be_called(tool: str) -> None:
    offered = [*OFFER, {"type": tool, "name": "bash"}]
    reply = whole([use("bash", {"command": "ls"})])
    host = RecordingHost()
    made, _ = run([reply], host, False, tools=offered)
    assert made.calls == [("bash", {"command": "ls"})] and host.report.repairs == ()


def test_a_call_in_text_of_a_tool_that_the_server_runs_is_text() -> None:
    leaked = '<tool_call>{"name": "web_search", "arguments": {"query": "x"}}</tool_call>'
    settings = Settings("local/tiny", policy=Policy(retries=0))
    offered = [*OFFER, {"type": "web_search_20250305", "name": "web_search"}]
    made, _ = run([whole([text(leaked)])], RecordingHost(answer=settings), False, tools=offered)
    assert made.calls == []


@pytest.mark.parametrize("body", [{"tools": anthropic.NOT_GIVEN}, {"tools": []}])
def test_requests_without_tools_are_not_looked_at(body: dict[str, Any]) -> None:
    host = RecordingHost()
    (row,) = (row for row in ROWS if row["id"] == "leaked")
    made, _ = run(replies(row, False), host, False, **body)
    assert "<tool_call>" in made.text and host.reports == []


# --- what fails ---------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (529, "overloaded_error", anthropic.APIStatusError),
        (401, "authentication_error", anthropic.AuthenticationError),
        (429, "rate_limit_error", anthropic.RateLimitError),
        (400, "invalid_request_error", anthropic.BadRequestError),
    ],
)
def test_errors_of_the_server_are_the_sdks_own(
    status: int, kind: str, error: type[Exception], streaming: bool
) -> None:
    with pytest.raises(error) as caught:
        run([failure(status, kind, "no")] * 2, RecordingHost(), streaming)
    assert getattr(caught.value, "type", kind) == kind


@BOTH
def test_the_sdk_tries_again_what_failed(streaming: bool) -> None:
    make = streamed if streaming else whole
    overloaded = failure(529, "overloaded_error", "busy")
    overloaded.headers["retry-after-ms"] = "1"
    with serving(overloaded, make([GOOD])) as script, checked(RecordingHost()) as http:
        made = ask(sdk(script.url, http, max_retries=1), streaming)
    assert made.calls == [("look", {"place": "hall"})] and len(script.requests) == 2


def test_an_error_in_a_stream_ends_it() -> None:
    error = event({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    reply = stream_of(*begin(), *blocks([text("I look now.")]), error)
    with pytest.raises(anthropic.APIStatusError, match="busy"):
        run([reply], RecordingHost(), True)


def test_a_stream_that_breaks_off_in_a_call_runs_nothing() -> None:
    cut = [*blocks([text("I look now."), use("shell", {"command": "ls"})])][:-1]
    settings = Settings("local/tiny", policy=Policy(retries=0))
    host = RecordingHost(answer=settings)
    made, _ = run([stream_of(*begin(), *cut)], host, True)
    assert made.calls == [] and made.stop == "max_tokens"
    assert "shell" in made.text
    assert host.report.outcome is not None and isinstance(host.report.outcome.verdict, Reject)


def test_what_was_given_up_says_so() -> None:
    settings = Settings("local/tiny", policy=Policy(retries=1, backoff=0))
    broken = whole([text("I look."), use("look", {})])
    made, script = run([broken, broken], RecordingHost(answer=settings), False)
    assert made.calls == [] and made.stop == "end_turn" and len(script.requests) == 2
    assert made.text.startswith("I look.") and "look" in made.text[7:]


@pytest.mark.parametrize("broken", ["defuse", "settings", "done"])
@BOTH
def test_a_layer_that_breaks_changes_nothing(broken: str, streaming: bool) -> None:
    (row,) = (row for row in ROWS if row["id"] == "wrong_name")
    host = RecordingHost(broken=frozenset({broken}))
    (reply,) = replies(row, streaming)
    with serving(reply) as script:
        got = received(script, host, streaming)
    assert got == reply.body or broken == "done"


ODD = [
    pytest.param(
        [
            {"type": "content_block_start", "index": 0, "content_block": use("look", {})},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": use("look", {}, "toolu_2"),
            },
            *(
                {
                    "type": "content_block_delta",
                    "index": index,
                    "delta": {"type": "input_json_delta", "partial_json": part},
                }
                for part in ('{"place": ', '"hall"}')
                for index in (0, 1)
            ),
        ],
        2,
        id="interleaved",
    ),
    pytest.param(
        [
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": use("look", {"place": "hall"}),
            }
        ],
        1,
        id="input_at_once",
    ),
    pytest.param(
        [
            {"type": "content_block_start", "index": 0, "content_block": use("look", {}, "")},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": '{"place": "hall"}'},
            },
        ],
        1,
        id="no_id",
    ),
]


@pytest.mark.parametrize(("chunks", "count"), ODD)
def test_calls_in_odd_events_arrive_whole(chunks: list[Any], count: int) -> None:
    """Each with its name and id at the start, and its input in deltas behind it."""
    stops = [{"type": "content_block_stop", "index": index} for index in range(count)]
    reply = stream_of(*begin(), *map(event, [*chunks, *stops]), *end("tool_use"))
    with serving(reply) as script:
        raw = received(script, RecordingHost(), True)
    calls: list[tuple[Any, Any, str]] = []
    for one in EventReader().feed(raw):
        told = json.loads(one.data or "{}")
        if told["type"] == "content_block_start":
            block = told["content_block"]
            calls.append((block["id"], block["name"], ""))
        elif told["type"] == "content_block_delta":
            call_id, name, given = calls[-1]
            calls[-1] = (call_id, name, given + told["delta"]["partial_json"])
    assert len(script.requests) == 1 and calls
    for call_id, name, given in calls:
        assert call_id and name == "look" and json.loads(given) == {"place": "hall"}
