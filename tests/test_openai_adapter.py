"""Chat completions ⇄ core values: requests, answers, streams, conversations, errors."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from scripted_server import TOOLS, call, completion_body

from gptme_reliability.adapters.openai_ids import assign_ids
from gptme_reliability.adapters.openai_request import read_request, write_request
from gptme_reliability.adapters.openai_response import (
    host_readable,
    is_completion,
    read_response,
    sum_usage,
    write_response,
)
from gptme_reliability.errors import InputError, ToolDefinitionError
from gptme_reliability.types import Accept, Call, ToolDefinition

# --- requests ---------------------------------------------------------------------------------


def test_a_request_survives_reading_and_writing() -> None:
    body = {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "tiny",
        "temperature": 0.0,
        "tools": TOOLS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    request = read_request(body)
    assert [tool.name for tool in request.tools] == ["look", "shell"]
    assert write_request(request) == body
    assert list(write_request(request)) == list(body)


def offered(enum: Any) -> list[dict[str, Any]]:
    schema = {"type": "object", "properties": {"to": {"type": "integer", "enum": enum}}}
    return [{"type": "function", "function": {"name": "look", "parameters": schema}}]


@pytest.mark.parametrize("enum", [[1], [True], [1.0], [-0.0], [0.0], [[1]], [(1,)], [None]])
def test_equal_tools_are_read_once_and_no_others_for_them(enum: list[Any]) -> None:
    one, again, other = (
        read_request({"messages": [], "tools": offered(given)}).tools
        for given in (enum, list(enum), [*enum, 2])
    )
    assert one is again
    assert one is not other
    assert repr(one[0].parameters["properties"]["to"]["enum"]) == repr(enum)


def test_what_becomes_of_a_body_changes_no_tool_of_another() -> None:
    body = {"messages": [], "tools": offered([7, 8])}
    read_request(body)
    body["tools"][0]["function"]["parameters"]["properties"]["to"]["enum"].append(9)
    (tool,) = read_request({"messages": [], "tools": offered([7, 8])}).tools
    assert tool.parameters["properties"]["to"]["enum"] == [7, 8]


OTHERS = [
    {"type": "custom", "custom": {"name": "patch", "format": {"type": "text"}}},
    {"type": "web_search"},
    {"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example"},
]
CUSTOM_CALL = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}


@pytest.mark.parametrize("other", OTHERS)
def test_tools_that_are_no_functions_are_left_alone(other: dict[str, Any]) -> None:
    body = {"messages": [], "tools": [TOOLS[0], other, *TOOLS[1:]]}
    request = read_request(body)
    assert [tool.name for tool in request.tools] == [
        tool.name for tool in read_request({"messages": [], "tools": TOOLS}).tools
    ]
    assert write_request(request) == body
    fewer = replace(request, tools=(ToolDefinition("respond"),))
    first, second = write_request(fewer)["tools"]
    assert first is other and second["function"]["name"] == "respond"


@pytest.mark.parametrize("kind", [None, "function", "tool"])
def test_a_tool_with_parameters_is_a_function(kind: str | None) -> None:
    tool = {"type": kind, "name": "look", "parameters": {"type": "object"}}
    (read,) = read_request({"messages": [], "tools": [tool]}).tools
    assert read.name == "look"


def test_tools_that_changed_are_written_and_the_others_keep_their_object() -> None:
    request = read_request({"messages": [], "tools": TOOLS})
    tools = (request.tools[1], ToolDefinition("respond"))
    written = write_request(type(request)((), tools, None, request.params))["tools"]
    assert written[0] is TOOLS[1]
    assert written[1]["function"]["name"] == "respond"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"messages": "x"}, InputError),
        ({"messages": [1]}, InputError),
        ({"messages": [], "tools": ["web_search"]}, ToolDefinitionError),
        ({"messages": [], "tools": {"a": 1}}, ToolDefinitionError),
    ],
)
def test_a_request_that_is_none_is_refused(body: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read_request(body)


# --- whole answers ----------------------------------------------------------------------------


def test_an_answer_is_read_as_received() -> None:
    raw = call("look", '{"place": "ha', None)
    output = read_response(completion_body("hm", [raw], "length", reasoning="so"))
    assert output.text == "hm"
    assert list(output.tool_calls) == [raw]
    assert (output.reasoning, output.finish_reason, output.model) == ("so", "length", "tiny")


@pytest.mark.parametrize(
    ("message", "text", "calls"),
    [
        ({"content": [{"type": "text", "text": "a"}, "b", {"type": "image"}]}, "ab", 0),
        ({"content": None, "refusal": "no"}, "no", 0),
        ({"function_call": {"name": "look", "arguments": "{}"}}, None, 1),
        ({"tool_calls": {"function": {"name": "look"}}}, None, 1),
        ({"tool_calls": [None, 3]}, None, 2),
        ({"content": 5, "tool_calls": "x"}, None, 0),
        ("text", None, 0),
    ],
)
def test_odd_messages_are_read(message: Any, text: str | None, calls: int) -> None:
    output = read_response({"choices": [{"message": message}]})
    assert (output.text, len(output.tool_calls)) == (text, calls)
    ordinary = isinstance(message, dict) and message.get("content") is None
    assert host_readable({"choices": [{"message": message}]}) is (
        ordinary and "refusal" in message and not calls
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"choices": []}, True),
        ({"choices": None, "object": "chat.completion"}, True),
        ({"choices": [1]}, True),
        ({"choices": [None]}, True),
        ({"choices": "none"}, False),
        ({"choices": [{"message": {}}, {"message": {}}]}, False),
        ({"choices": [{"message": {"tool_calls": [CUSTOM_CALL]}}]}, False),
        ({"choices": [{"message": {"tool_calls": [{**CUSTOM_CALL, "custom": None}]}}]}, True),
        ({"object": "list", "data": []}, False),
        ({"error": {"message": "x"}, "choices": []}, False),
        ([], False),
        (None, False),
    ],
)
def test_what_counts_as_a_completion(body: Any, expected: bool) -> None:
    assert is_completion(body) is expected


def test_a_written_answer_keeps_what_is_unknown() -> None:
    raw = {**call("look", "{}", "keep"), "extra_content": {"google": {"thought_signature": "s"}}}
    body = completion_body("old", [raw], "tool_calls", reasoning_content="r", annotations=[1])
    verdict = Accept((Call("look", {"place": "h\ud800"}, "keep"), Call("look", {}, "new")))
    written = write_response(body, verdict, "new", "R", {"total_tokens": 30})
    message = written["choices"][0]["message"]
    assert message["content"] == "new"
    assert message["reasoning_content"] == "R"
    assert message["annotations"] == [1]
    assert message["tool_calls"][0]["extra_content"] == raw["extra_content"]
    assert "extra_content" not in message["tool_calls"][1]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"place": "h\ud800"}
    assert written["timings"] == body["timings"]
    assert written["usage"] == {"total_tokens": 30}
    assert body["choices"][0]["message"]["content"] == "old"


@pytest.mark.parametrize(
    ("finish", "calls", "expected"),
    [
        ("stop", 1, "tool_calls"),
        ("length", 1, "tool_calls"),
        ("length", 0, "length"),
        ("model_length", 0, "length"),
        ("max_output_tokens", 0, "length"),
        ("aborted", 0, "length"),
        ("content_filter", 0, "content_filter"),
        ("tool_calls", 0, "stop"),
        (None, 0, "stop"),
    ],
)
def test_the_finish_reason_says_what_is_there(finish: Any, calls: int, expected: str) -> None:
    verdict = Accept((Call("look", {}, "a"),) * calls)
    body = {**completion_body("x")}
    body["choices"][0]["finish_reason"] = finish
    written = write_response(body, verdict, "x", None, None)
    assert written["choices"][0]["finish_reason"] == expected


def test_an_answer_without_choices_gets_one() -> None:
    written = write_response({"choices": [], "id": "i"}, Accept(), "x", None, None)
    assert written["choices"][0]["message"] == {"role": "assistant", "content": "x"}


def test_usage_adds_up_at_every_depth() -> None:
    one = {"total_tokens": 3, "details": {"cached": 1, "kind": "a"}, "cost": None}
    two = {"total_tokens": 4, "details": {"cached": 2}, "cost": 0.5}
    expected = {"total_tokens": 7, "details": {"cached": 3, "kind": "a"}, "cost": 0.5}
    assert sum_usage([one, None, two]) == expected
    assert sum_usage([None]) is None


# --- ids --------------------------------------------------------------------------------------


def test_ids_stay_where_they_can_and_are_deterministic_where_not() -> None:
    calls = [
        Call("look", {"place": "a"}, "ok"),
        Call("look", {"place": "b"}, "ok"),
        Call("look", {"place": "c"}, "no/good"),
        Call("look", {"place": "d"}, None, dialect="hermes"),
    ]
    named, repairs = assign_ids(calls, lambda call_id: "/" not in call_id)
    assert named[0].id == "ok"
    assert len({c.id for c in named}) == 4
    assert all(str(c.id).startswith("call_") and len(str(c.id)) == 17 for c in named[1:])
    assert [r.call for r in repairs] == [1, 2]
    assert assign_ids(calls, lambda call_id: "/" not in call_id)[0] == named
    taken = {str(c.id) for c in named}
    again, _ = assign_ids(calls, lambda call_id: False, taken)
    assert not {c.id for c in again} & taken


def test_a_call_that_comes_in_both_spellings_is_one_call() -> None:
    message = completion_body(None, [call("look", {"place": "a"})])["choices"][0]["message"]
    body = {"choices": [{"message": {**message, "function_call": {"name": "look"}}}]}
    assert len(read_response(body).tool_calls) == 1
    assert host_readable(body)
