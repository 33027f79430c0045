"""What stays of failed calls, as a grammar of a real llama.cpp server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_server import INSTALLED, WHY_NOT, LlamaServer, llama_server
from tiny.template import HERE

from gptme_reliability.prompting import structured
from gptme_reliability.types import Attempted, ModelRequest, ToolDefinition

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not INSTALLED, reason=WHY_NOT),
]

POINT = {"type": "object", "properties": {"x": {"type": "integer", "maximum": 9}}}
NOTE = ToolDefinition(
    "note",
    {
        "type": "object",
        "properties": {"kept": {}, "open": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["kept", "open"],
        "additionalProperties": False,
    },
)
PLACE = ToolDefinition(
    "place",
    {
        "type": "object",
        "properties": {
            "point": {"$ref": "#/$defs/point", "description": "where"},
            "kind": {"enum": ["dot", "line"]},
        },
        "required": ["point", "kind"],
        "$defs": {"point": {**POINT, "required": ["x"]}},
    },
)
KEPT = [
    'say "hi"\n\tC:\\x',
    "é 你好 🙂 \u2028", "\x01\x7f", "", "\\u0041", '{"a": "b"}', "</tool_call>",
    0.1, -0.0, 11.0, 1e300, 1e-7, 123456.789, 0, -5, 2**53 - 1, True, None,
    {}, [], {"a": [1, {"b": "x\n"}], "": None}, [[], [[]]], "y" * 100,
]  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[LlamaServer]:
    with llama_server(HERE / "steady.gguf") as running:
        yield running


def answered(
    server: LlamaServer, tool: ToolDefinition, attempted: Sequence[Attempted], tokens: int = 400
) -> Any:
    """What the model writes where the schema of these attempts holds it."""
    request = ModelRequest(({"role": "user", "content": "Go on."},), (tool,))
    asked = structured(request, "response_format", "en", attempted)
    body = {"messages": list(asked.messages), "max_tokens": tokens, "temperature": 0}
    said = server.post("/v1/chat/completions", {**body, **asked.params}).raise_for_status().json()
    return json.loads(said["choices"][0]["message"]["content"])


@pytest.mark.parametrize("value", KEPT, ids=range(len(KEPT)))
def test_a_value_stays_as_it_was_written(server: LlamaServer, value: Any) -> None:
    made = answered(server, NOTE, [Attempted("note", {"kept": value})])
    assert json.dumps(made["arguments"]["kept"]) == json.dumps(value)
    assert 0 <= made["arguments"]["open"] <= 9


@pytest.mark.parametrize("count", [2, 8])
def test_several_calls_are_as_many_in_their_order(server: LlamaServer, count: int) -> None:
    names = [f"n{index}" for index in range(count)]
    made = answered(server, NOTE, [Attempted("note", {"kept": name}) for name in names], 800)
    assert [one["arguments"]["kept"] for one in made] == names


def test_what_was_not_kept_follows_its_definition(server: LlamaServer) -> None:
    attempted = [Attempted("place", {"kind": "line", "point": "here"})] * 2
    made = answered(server, PLACE, attempted)
    assert [one["arguments"]["kind"] for one in made] == ["line", "line"]
    assert all(one["arguments"]["point"]["x"] <= 9 for one in made)
