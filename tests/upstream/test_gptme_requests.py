"""What gptme's requests lose, leave out, or say to every model."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anthropic
import pytest
from anthropic.types import Message as Answered
from defects import reproduced
from gptme.config import Config, MCPServerConfig
from gptme.llm import llm_anthropic, llm_openai
from gptme.llm.utils import parameters2dict
from gptme.message import Message
from gptme.tools import mcp_adapter
from gptme.tools.base import Parameter
from gptme_world import call, calls_in, converse, world
from mcp.types import Tool

__all__ = ["world"]
pytestmark = pytest.mark.upstream


def test_an_enum_is_lost() -> None:
    """The models are never told which values there are."""
    mode = Parameter("mode", "string", "How.", enum=["fast", "safe"], required=True)
    schema: Any = parameters2dict([mode])
    assert schema["properties"]["mode"]["type"] == "string"
    with reproduced("enum-is-lost"):
        assert "enum" not in schema["properties"]["mode"]


def test_every_model_is_sampled_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy, which many publishers advise against, and never made to call."""
    (request, _) = converse(monkeypatch, {"calls": [call("todo", {"operation": "x"})]}).requests
    assert request["tools"]
    with reproduced("one-sampling-for-all"):
        assert (request["temperature"], request["top_p"]) == (0.0, 0.1)
    with reproduced("nothing-is-forced"):
        assert not {"tool_choice", "parallel_tool_calls"} & request.keys()


def test_a_call_that_failed_comes_back_as_text() -> None:
    """The model is shown a format that is not its own, and goes on in it."""
    written = '@shell(call-1): {"command": "ls'
    (said,) = llm_openai._handle_tools([{"role": "assistant", "content": written}])
    with reproduced("foreign-text-replayed"):
        assert "tool_calls" not in said and said["content"] == written


def whole(given: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A whole answer of Anthropic's API with one call, as gptme writes it."""
    block = {"type": "tool_use", "id": "toolu_1", "name": "shell", "input": given}
    body = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [block], "stop_reason": "tool_use", "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    answered = Answered.model_validate(body)
    client = anthropic.Anthropic(api_key="x", base_url="http://127.0.0.1:9")
    monkeypatch.setattr(client.messages, "create", lambda **_: answered)
    monkeypatch.setattr(llm_anthropic, "_anthropic", client)
    messages = [Message("system", "Be brief."), Message("user", "Please.")]
    text: str
    text, _ = llm_anthropic.chat(messages, "claude-sonnet-4-5", None, max_tokens=100)
    client.close()
    return text


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("ls", ["ls"]),
        ("""echo "it's" > a; echo {""", []),
    ],
)
def test_a_whole_call_of_anthropic_is_written_as_python(
    command: str, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What JSON it is taken for is guessed afterwards; one of both quotes and a brace is lost."""
    text = whole({"command": command}, monkeypatch)
    with reproduced("anthropic-python-dict"):
        assert repr({"command": command}) in text
        assert [(use.kwargs or {})["command"] for use in calls_in(text)] == runs


@pytest.fixture
def mcp_clients() -> Iterator[dict[str, Any]]:
    yield mcp_adapter._mcp_clients
    mcp_adapter._mcp_clients.clear()


def test_the_schema_of_an_mcp_server_is_cut(mcp_clients: dict[str, Any]) -> None:
    """The model is told "string", obeys, and the server refuses what it was sent."""
    number = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}
    schema = {"type": "object", "properties": {"number": number}, "required": ["number"]}
    listed: Any = SimpleNamespace(tools=[Tool(name="put", inputSchema=schema)])
    mcp_clients["store"] = SimpleNamespace(tools=listed)
    config = MCPServerConfig("store")
    (spec,) = mcp_adapter._build_tool_specs_for_server(config, listed, Config(), mcp_clients)
    told: Any = parameters2dict(spec.parameters)
    with reproduced("mcp-schema-is-cut"):
        assert told["properties"]["number"] == {"type": "string", "description": ""}
