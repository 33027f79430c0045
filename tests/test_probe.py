"""Probes: what is found of servers that do their part, of those that lie, and of weak models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest
from probe_world import (
    GOOD,
    LEAK,
    LLAMA_CPP,
    LMSTUDIO,
    OLLAMA,
    PLAIN,
    VLLM,
    Ways,
    drive,
    error,
    only,
    values,
    with_tools,
)

from gptme_reliability.backends import Backend
from gptme_reliability.probe.canaries import CANARIES
from gptme_reliability.probe.context import Context
from gptme_reliability.probe.fields import FIELDS, is_bad
from gptme_reliability.probe.finding import Finding
from gptme_reliability.probe.run import CannotProbe, at_most
from gptme_reliability.probe.sample import Heard, read

OPENAI: Final = {
    "temperature": "read",
    "top_p": "read",
    "top_k": "accepted",
    "min_p": "accepted",
    "seed": "read",
    "presence_penalty": "read",
    "frequency_penalty": "read",
}
READ: Final = dict.fromkeys(OPENAI, "read")
ACCEPTED: Final = dict.fromkeys(OPENAI, "accepted")

Row = tuple[Backend, Ways, dict[str, str], dict[str, str], Context]

KNOWN: Final[list[Row]] = [
    (
        "llama.cpp",
        LLAMA_CPP,
        {"tool_choice_named": "no", "tool_choice_none": "no", "overflow": "refused"},
        {**READ, "repeat_penalty": "read"},
        Context(2048, 32768, "/props"),
    ),
    (
        "ollama",
        OLLAMA,
        {
            "tool_choice_required": "no",
            "tool_choice_named": "no",
            "tool_choice_none": "no",
            "tool_schema": "accepted",
            "overflow": "cut",
        },
        {**OPENAI, "repetition_penalty": "accepted"},
        Context(4096, 40960, "/api/ps"),
    ),
    (
        "vllm",
        VLLM,
        {"tool_schema": "accepted"},
        {**READ, "repetition_penalty": "read"},
        Context(8192, None, "/v1/models"),
    ),
    (
        "lmstudio",
        LMSTUDIO,
        {
            "tool_choice_named": "rejected",
            "stream_usage": "no",
            "tools_with_format": "calls",
            "tool_schema": "accepted",
            "overflow": "refused",
        },
        {**OPENAI, "repeat_penalty": "accepted"},
        Context(4096, 32768, "/api/v0/models"),
    ),
    (
        "unknown",
        PLAIN,
        {
            "native_tools": "leaked",
            "leaked": "hermes",
            "finish_calls": "unclear",
            "tool_choice_required": "no",
            "tool_choice_named": "no",
            "tool_choice_none": "no",
            "parallel_calls": "unclear",
            "stream_calls": "leaked",
            "stream_usage": "no",
            "response_format": "accepted",
            "structured": "unclear",
            "tools_with_format": "neither",
            "tool_schema": "unclear",
        },
        {**ACCEPTED, "repetition_penalty": "accepted"},
        Context(),
    ),
]


@pytest.mark.parametrize(
    ("backend", "ways", "differs", "sampling", "context"), KNOWN, ids=[row[0] for row in KNOWN]
)
def test_every_field_of_every_kind_of_server(
    backend: Backend,
    ways: Ways,
    differs: Mapping[str, str],
    sampling: Mapping[str, str],
    context: Context,
) -> None:
    probed, server = drive(ways, backend)
    assert values(probed) == {**GOOD, **differs}
    assert list(probed.found) == list(FIELDS)
    assert probed.sampling == sampling
    assert probed.context == context
    most_requests, most_tokens = at_most(backend)
    assert probed.requests == len(server.asked) <= most_requests
    allowed = sum(ask.body.get("max_tokens", 0) for ask in server.asked if ask.body)
    assert probed.written <= allowed <= most_tokens


# --- servers that lie ---------------------------------------------------------------------


def without(*parts: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """Events without those that hold one of these."""
    return lambda events: [e for e in events if not any(part in e for part in parts)]


def with_event(event: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda events: [*events[:2], event, *events[2:]]


def changed(old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda events: [event.replace(old, new) for event in events]


def whole_stream(body: Mapping[str, Any]) -> Heard | None:
    """Breaks every stream off in the middle of the connection."""
    return Heard(200, b'data: {"choices"', "text/event-stream", True) if "stream" in body else None


STREAM: Final = '"index": 0, "id": "call_0", '

LIES: Final[list[tuple[str, Ways, dict[str, str]]]] = [
    ("ignores required", Ways(required="no"), {"tool_choice_required": "no"}),
    ("rejects required", Ways(required="rejected"), {"tool_choice_required": "rejected"}),
    ("calls another than named", Ways(named="no"), {"tool_choice_named": "no"}),
    ("calls where none is allowed", Ways(none="calls"), {"tool_choice_none": "no"}),
    ("leaks where none is allowed", Ways(none="text"), {"tool_choice_none": "no"}),
    (
        "drops the tools",
        Ways(tools_in_prompt=False, required="no", named="no"),
        {
            "native_tools": "dropped",
            "tools_in_prompt": "no",
            "leaked": "unclear",
            "finish_calls": "unclear",
            "tool_choice_required": "no",
            "tool_choice_named": "no",
            "tool_choice_none": "unclear",
            "parallel_calls": "unclear",
            "stream_calls": "dropped",
            "tool_schema": "unclear",
        },
    ),
    ("counts that deny a call", Ways(counts_tools=False), {"tools_in_prompt": "unclear"}),
    (
        "takes no tools",
        Ways(takes_tools=False),
        {
            name: "rejected"
            for name in GOOD
            if name not in ("usage", "finish_length", "response_format", "structured", "overflow")
        },
    ),
    ("says stop of a cut answer", Ways(tells_cut=False), {"finish_length": "no"}),
    (
        "says stop of a cut answer and counts nothing",
        Ways(tells_cut=False, counts=False),
        {"usage": "no", "finish_length": "unclear", "tools_in_prompt": "unclear"},
    ),
    ("writes on and on", Ways(obeys_limit=False), {"finish_length": "no"}),
    ("says stop of calls", Ways(tells_calls=False), {"finish_calls": "no"}),
    ("one call at a time", Ways(parallel=False), {"parallel_calls": "unclear"}),
    ("schema without effect", Ways(schema="no"), {"tool_schema": "accepted"}),
    ("schema rejected", Ways(schema="rejected"), {"tool_schema": "rejected"}),
    (
        "format without effect",
        Ways(keys=frozenset()),
        {"response_format": "accepted", "structured": "unclear", "tools_with_format": "calls"},
    ),
    (
        "format rejected",
        Ways(format="rejected"),
        {
            "response_format": "rejected",
            "structured": "unclear",
            "tools_with_format": "rejected",
        },
    ),
    ("a stream without its end", Ways(events=without(b"[DONE]")), {"streaming": "no"}),
    (
        "a stream without a finish reason",
        Ways(events=without(b'"finish_reason": "tool_calls"')),
        {"streaming": "no"},
    ),
    ("a stream with garbage", Ways(events=with_event(b"data: {nonsense\n\n")), {"streaming": "no"}),
    (
        "a stream with an error",
        Ways(events=with_event(b'data: {"error": {"message": "Overloaded"}}\n\n')),
        {"streaming": "no"},
    ),
    (
        "a streamed call without an id",
        Ways(events=changed(b'"id": "call_0"', b'"id": null')),
        {"streaming": "no"},
    ),
    (
        "a streamed call without its end",
        Ways(events=without(b's\\"}')),
        {"streaming": "no"},
    ),
    ("a stream of another type", Ways(stream_type="application/json"), {"streaming": "no"}),
    (
        "a stream that breaks off",
        Ways(down=whole_stream),
        {"streaming": "no", "stream_calls": "unclear", "stream_usage": "no"},
    ),
    (
        "a whole answer instead of a stream",
        Ways(events=lambda events: [b'{"choices": [{"message": {"content": "hi"}}]}']),
        {"streaming": "no", "stream_calls": "unclear", "stream_usage": "no"},
    ),
    (
        "busy whenever there are tools",
        Ways(down=with_tools(error(503, "loading"))),
        {
            name: "unclear"
            for name in GOOD
            if name not in ("usage", "finish_length", "response_format", "structured")
        },
    ),
    (
        "cannot read its model",
        Ways(
            down=with_tools(
                error(500, "The model produced output that does not match the expected x format")
            )
        ),
        {
            name: "unclear"
            for name in GOOD
            if name not in ("usage", "finish_length", "response_format", "structured")
        },
    ),
    (
        "garbage for tools",
        Ways(down=with_tools(Heard(200, b"<html>", "text/html"))),
        {
            **{
                name: "unclear"
                for name in GOOD
                if name not in ("usage", "finish_length", "response_format", "structured")
            },
            "streaming": "no",
            "stream_usage": "no",
        },
    ),
]


@pytest.mark.parametrize(("ways", "differs"), [row[1:] for row in LIES], ids=[r[0] for r in LIES])
def test_servers_that_lie(ways: Ways, differs: Mapping[str, str]) -> None:
    """Each lie is found, and taints nothing else."""
    probed, _ = drive(ways)
    assert values(probed) == {**GOOD, **differs}


@pytest.mark.parametrize(
    ("heard", "says"),
    [
        (error(500, "boom"), "HTTP 500 (boom)"),
        (error(404, "model 'tiny' not found"), "model 'tiny' not found"),
        (error(401, "wrong key sk-secret"), "wants a key"),
        (error(503, "loading"), "HTTP 503"),
        (Heard(200, b"<html>", "text/html"), "no chat completion"),
        (Heard(200, b'{"choices": [7]}', "application/json"), "no chat completion"),
        (Heard(200, b"[" * 100_000, "application/json"), "no chat completion"),
        (Heard(200, b'{"choices": [', "application/json", broken=True), "no answer"),
        (Heard(0), "no answer"),
    ],
)
def test_nothing_is_found_of_a_server_that_answers_nothing(heard: Heard, says: str) -> None:
    with pytest.raises(CannotProbe) as raised:
        drive(Ways(down=lambda body: heard))
    assert says in str(raised.value)
    assert "sk-secret" not in str(raised.value)


def test_a_server_that_falls_silent_is_left_alone() -> None:
    """What was found before stands; the rest is not guessed, and not asked for for hours."""
    probed, server = drive(Ways(down=with_tools(Heard(0))))
    assert (probed.found["usage"].value, probed.found["finish_length"].value) == ("yes", "yes")
    assert probed.found["native_tools"].value == "unclear"
    assert probed.found["overflow"] == Finding("unclear", "not asked: the server stopped answering")
    assert sum("tools" in (ask.body or {}) for ask in server.asked) == 4


def test_parameters_that_a_server_rejects_are_found_and_not_sent() -> None:
    probed, server = drive(Ways(rejects=frozenset({"min_p", "seed"}), reads=frozenset({"top_p"})))
    assert values(probed) == GOOD
    rejected = {name for name, how in probed.sampling.items() if how == "rejected"}
    assert rejected == {"min_p", "seed"}
    assert probed.sampling["top_p"] == "read"
    assert all("seed" not in ask.body for ask in server.asked if ask.body and "tools" in ask.body)


@pytest.mark.parametrize(
    ("other", "structured"),
    [("llama.cpp", "json_schema"), ("vllm", "structured_outputs"), ("ollama", "format")],
)
def test_another_key_for_a_schema_is_tried(other: Backend, structured: str) -> None:
    probed, _ = drive(Ways(keys=frozenset({structured})), other)
    assert probed.found["response_format"].value == "accepted"
    assert probed.found["structured"].value == structured


def test_a_key_that_may_hold_is_not_replaced() -> None:
    """Another one is only tried where OpenAI's was seen to fail."""

    def down(body: Mapping[str, Any]) -> Heard | None:
        return error(503, "loading") if "response_format" in body else None

    probed, server = drive(Ways(keys=frozenset({"format"}), down=down), "ollama")
    assert probed.found["structured"].value == "unclear"
    assert not any("format" in (ask.body or {}) for ask in server.asked)


def test_calls_without_tools_in_the_prompt_are_made_up() -> None:
    """A model that was never told of tools and calls them all the same is told nothing."""
    dropping = Ways(tools_in_prompt=False, model=only(1, 2, 3, says=LEAK, text="weather"))
    probed, _ = drive(dropping)
    assert probed.found["native_tools"].value == probed.found["stream_calls"].value == "dropped"
    assert probed.found["leaked"].value == "hermes"


def test_a_parameter_is_neither_read_nor_rejected_by_chance() -> None:
    """Errors that are not about the request say nothing of what stands in it."""
    times = 0

    def down(body: Mapping[str, Any]) -> Heard | None:
        nonlocal times
        if body.get("top_p") == "much":
            return error(503, "loading")
        if "min_p" in body:
            times += 1
            return error(400 if times < 3 else 503, "no")
        return None

    probed, _ = drive(Ways(down=down))
    assert (probed.sampling["top_p"], probed.sampling["min_p"]) == ("accepted", "unclear")


# --- the tables ---


def test_one_sample_never_denies() -> None:
    """No word that is not good news stands after one answer."""
    for name, row in FIELDS.items():
        assert row.sure <= row.good, name
        assert is_bad(name, "rejected") == row.matters
        assert not is_bad(name, "unclear")


def test_every_field_has_one_canary() -> None:
    judged = [name for canary in CANARIES for name in canary.judges]
    assert len(judged) == len(set(judged))
    assert set(FIELDS) - set(judged) == {"structured", "overflow"}


@pytest.mark.parametrize("raw", [b"", b"\xff\xfe", b"null", b"[]", b"data: [1]\n\n", b"{" * 9_999])
@pytest.mark.parametrize("status", [0, 200, 204, 301, 400, 500, 599])
@pytest.mark.parametrize("streamed", [True, False])
def test_reading_never_raises(raw: bytes, status: int, streamed: bool) -> None:
    sample = read(Heard(status, raw, "text/event-stream"), streamed=streamed)
    assert sample.kind != "answer" or sample.faults
