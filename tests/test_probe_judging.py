"""What single answers show: read off the wire, judged, and what servers say of their context."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from scripted_server import DONE, STOP, call, chunk

from gptme_reliability.backends import Backend
from gptme_reliability.probe import judging
from gptme_reliability.probe.context import Context, declared_context
from gptme_reliability.probe.finding import Finding, Known
from gptme_reliability.probe.judging import Judge, judged
from gptme_reliability.probe.sample import Heard, Kind, Sample, read
from gptme_reliability.types import ModelOutput

WEATHER: Final = call("get_weather", {"city": "Paris"})
TIMER: Final = call("set_timer", {"minutes": 5})
LEAK: Final = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
FAULT: Final = {"message": "The model produced output that does not match the expected x format"}
OTHER: Final = {"message": "Overloaded"}


def answer(
    text: str | None = None,
    *calls: Any,
    finish: str = "stop",
    usage: tuple[int, int] | None = (10, 5),
) -> Sample:
    counted = {} if usage is None else {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Sample("answer", 200, ModelOutput(text, calls, finish_reason=finish), counted)


TALKS: Final = Known({"talks": Finding("yes")})
CALLS: Final = Known({"native_tools": Finding("yes")})
LEAKS: Final = Known({"native_tools": Finding("leaked")})
SIZED: Final = Known(context=100)
NOTHING: Final = Known()


@pytest.mark.parametrize(
    ("judge", "sample", "known", "value"),
    [
        (judging.arrives, answer(None, WEATHER), NOTHING, "yes"),
        (judging.arrives, answer(LEAK, TIMER), NOTHING, "yes"),
        (judging.arrives, answer(LEAK), NOTHING, "leaked"),
        (judging.arrives, answer("It is sunny."), NOTHING, "unclear"),
        (judging.arrives, answer(None, {"function": {"name": ""}}), NOTHING, "unclear"),
        (judging.arrives, answer(None, 7, None, {"function": 7}), NOTHING, "unclear"),
        (judging.leaks, answer(LEAK), NOTHING, "hermes"),
        (judging.leaks, answer(LEAK, WEATHER), NOTHING, "none"),
        (judging.calls_are_told, answer(None, WEATHER, finish="tool_calls"), NOTHING, "yes"),
        (judging.calls_are_told, answer(None, WEATHER, finish="stop"), NOTHING, "no"),
        (judging.must_call, answer(None, WEATHER), TALKS, "yes"),
        (judging.must_call, answer(None, WEATHER), NOTHING, "unclear"),
        (judging.must_call, answer("Hello!"), TALKS, "no"),
        (judging.must_call, answer(LEAK), TALKS, "no"),
        (judging.must_call, answer("so so so", finish="length"), TALKS, "unclear"),
        (judging.must_call_timer, answer(None, TIMER), NOTHING, "yes"),
        (judging.must_call_timer, answer(None, TIMER, TIMER), NOTHING, "yes"),
        (judging.must_call_timer, answer(None, WEATHER, TIMER), NOTHING, "no"),
        (judging.must_call_timer, answer("no", finish="length"), NOTHING, "unclear"),
        (judging.must_not_call, answer("It is sunny."), CALLS, "yes"),
        (judging.must_not_call, answer("It is sunny."), LEAKS, "yes"),
        (judging.must_not_call, answer("It is sunny."), NOTHING, "unclear"),
        (judging.must_not_call, answer("so so so", finish="length"), CALLS, "unclear"),
        (judging.must_not_call, answer(None, WEATHER), CALLS, "no"),
        (judging.talks, answer("Hello!"), NOTHING, "yes"),
        (judging.talks, answer(" "), NOTHING, "unclear"),
        (judging.talks, answer(LEAK), NOTHING, "no"),
        (judging.calls_twice, answer(None, WEATHER, TIMER), NOTHING, "yes"),
        (judging.calls_twice, answer(None, WEATHER), NOTHING, "unclear"),
        (judging.holds_arguments, answer(None, WEATHER), NOTHING, "accepted"),
        (
            judging.holds_arguments,
            answer(None, call("get_weather", {"city": "Par"})),
            NOTHING,
            "enforced",
        ),
        (judging.holds_arguments, answer(None, TIMER), NOTHING, "unclear"),
        (judging.holds_arguments, answer(None, call("get_weather", "{")), NOTHING, "unclear"),
        (judging.holds_answer("enforced"), answer('{"colour": "ochre"}\n'), NOTHING, "enforced"),
        (judging.holds_answer("format"), answer('{"colour": "ochre"}'), NOTHING, "format"),
        (
            judging.holds_answer("enforced"),
            answer('{"size": 1, "colour": "ochre"}'),
            NOTHING,
            "accepted",
        ),
        (judging.holds_answer("enforced"), answer('{"colour": "red"}'), NOTHING, "accepted"),
        (judging.holds_answer("enforced"), answer('{"colour": ["ochre"]}'), NOTHING, "accepted"),
        (judging.holds_answer("enforced"), answer("[" * 99_999), NOTHING, "accepted"),
        (judging.holds_answer("enforced"), answer('{"col', finish="length"), NOTHING, "unclear"),
        (judging.holds_answer("enforced"), answer(None), NOTHING, "unclear"),
        (judging.stays_within, answer("a", usage=(101, 1)), SIZED, "taken"),
        (judging.stays_within, answer("a", usage=(100, 1)), SIZED, "cut"),
        (judging.stays_within, answer("a", usage=None), SIZED, "unclear"),
        (judging.cut_is_told(4), answer("1 2 3 4", finish="length"), NOTHING, "yes"),
        (judging.cut_is_told(4), answer("1 2 3 4", usage=(9, 4)), NOTHING, "no"),
        (judging.cut_is_told(4), answer("1 2", usage=(9, 3)), NOTHING, "unclear"),
        (judging.cut_is_told(4), answer("1 2 3 4 5", usage=(9, 5)), NOTHING, "no"),
        (judging.sees_tools, answer(None, usage=(50, 1)), Known(bare_tokens=40), "yes"),
        (judging.sees_tools, answer(None, usage=(40, 1)), Known(bare_tokens=40), "no"),
        (judging.sees_tools, answer(None, usage=(45, 1)), Known(bare_tokens=40), "unclear"),
        (judging.sees_tools, answer(None, usage=(4, 1)), Known(bare_tokens=40), "unclear"),
        (judging.sees_tools, answer(None, usage=(50, 1)), NOTHING, "unclear"),
    ],
)
def test_judges(judge: Judge, sample: Sample, known: Known, value: str) -> None:
    assert judge(sample, known).value == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("refused", "rejected"),
        ("model", "unclear"),
        ("busy", "unclear"),
        ("lost", "unclear"),
        ("garbage", "unclear"),
    ],
)
def test_an_answer_that_is_none_is_not_judged(kind: Kind, value: str) -> None:
    found = judged(judging.arrives, Sample(kind, 400), NOTHING)
    assert found.value == value and found.note


def stream(*events: bytes) -> bytes:
    return b"".join(events)


def error_event(error: Any) -> bytes:
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("heard", "streamed", "kind"),
    [
        (Heard(200, json.dumps({"error": FAULT}).encode()), False, "model"),
        (Heard(200, json.dumps({"error": OTHER}).encode()), False, "refused"),
        (Heard(500, json.dumps({"error": FAULT}).encode()), False, "model"),
        (Heard(500, json.dumps({"error": OTHER}).encode()), False, "refused"),
        (Heard(429, b"slow down"), False, "busy"),
        (Heard(200, b"{}", broken=True), False, "lost"),
        (Heard(200, stream(chunk({"content": "a"}), error_event(FAULT))), True, "model"),
        (Heard(200, stream(chunk({"content": "a"}), error_event(OTHER))), True, "answer"),
        (Heard(400, stream(error_event(OTHER))), True, "refused"),
    ],
)
def test_kinds(heard: Heard, streamed: bool, kind: Kind) -> None:
    assert read(heard, streamed=streamed).kind == kind


@pytest.mark.parametrize("status", [401, 403])
def test_an_error_about_a_key_is_not_quoted(status: int) -> None:
    said = read(Heard(status, b'{"error": {"message": "bad key sk-secret"}}'), streamed=False)
    assert (said.kind, said.said) == ("refused", "")


def test_an_error_is_quoted_on_one_line_and_shortened() -> None:
    body = json.dumps({"error": {"message": "no\nsuch  model " + "x" * 999}}).encode()
    said = read(Heard(400, body), streamed=False).said
    assert said.startswith("no such model x") and len(said) < 150


def test_a_good_stream_has_no_faults() -> None:
    raw = stream(chunk({"role": "assistant", "content": "a"}), b": ping\n\n", STOP, DONE)
    assert read(Heard(200, raw, "text/event-stream; charset=utf-8"), streamed=True).faults == ()


@pytest.mark.parametrize("call", [5, "look", [], None, {}, {"function": 5}, {"function": {}}])
def test_calls_that_are_none_are_a_fault_of_the_stream(call: Any) -> None:
    raw = stream(chunk({"tool_calls": [call]}), STOP, DONE)
    sample = read(Heard(200, raw, "text/event-stream"), streamed=True)
    assert sample.faults == ("a call without an id, a name or whole arguments",)


LIST: Final = "/v1/models"


def entries(*rows: Any) -> dict[str, Any]:
    return {LIST: {"data": list(rows)}}


@pytest.mark.parametrize(
    ("backend", "answers", "expected"),
    [
        ("vllm", entries({"id": "m", "max_model_len": 8}), Context(8, None, LIST)),
        ("vllm", entries({"id": "other", "max_model_len": 8}), Context(8, None, LIST)),
        (
            "vllm",
            entries({"id": "x", "max_model_len": 8}, {"id": "m", "max_model_len": 9}),
            Context(9, None, LIST),
        ),
        ("vllm", entries({"id": "x", "max_model_len": 8}, {"id": "y"}), Context()),
        ("unknown", entries({"id": "m", "max_model_len": True}), Context()),
        ("unknown", entries({"id": "m", "max_model_len": -1}), Context()),
        ("unknown", entries("m", None, 7), Context()),
        ("unknown", {LIST: ["m"]}, Context()),
        ("unknown", {LIST: None}, Context()),
        ("llama.cpp", {"/props": {"default_generation_settings": 7}}, Context()),
        ("lmstudio", {"/api/v0/models": {"data": [{"id": "m"}]}}, Context()),
        (
            "lmstudio",
            {"/api/v0/models": {"data": [{"id": "m", "max_context_length": 7}]}},
            Context(None, 7, "/api/v0/models"),
        ),
        ("ollama", {"/api/ps": {"models": [7, None]}, "/api/show": 7}, Context()),
        (
            "ollama",
            {"/api/ps": {"models": [{"name": "x:latest", "context_length": 5}]}},
            Context(),
        ),
        (
            "ollama",
            {"/api/ps": {"models": [{"name": "m:latest", "context_length": 5}]}},
            Context(5, None, "/api/ps"),
        ),
        (
            "ollama",
            {"/api/show": {"model_info": {"llama.context_length": 9, "a": "b"}}},
            Context(None, 9, "/api/show"),
        ),
    ],
)
def test_declared_context(backend: Backend, answers: dict[str, Any], expected: Context) -> None:
    assert declared_context(backend, answers, "m") == expected
