"""Scripted answers of Anthropic's API, whole and streamed, and what the real SDK makes of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anthropic
from recording_host import RecordingHost
from scripted_server import TOOLS, Reply, Script

from gptme_reliability.surfaces.client import client_class

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]
OFFER: list[Any] = [
    {
        "name": tool["function"]["name"],
        "description": "Do it.",
        "input_schema": tool["function"]["parameters"],
    }
    for tool in TOOLS
]


def use(name: Any, given: Any, call_id: Any = "toolu_1", **more: Any) -> dict[str, Any]:
    """A call; a text is input as it is streamed, however broken."""
    return {"type": "tool_use", "id": call_id, "name": name, "input": given, **more}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def thinking(said: str, signature: str = "c2ln") -> dict[str, Any]:
    return {"type": "thinking", "thinking": said, "signature": signature}


def whole(content: Sequence[Mapping[str, Any]], stop: str | None = None) -> Reply:
    """An answer in one piece."""
    body = {**_head(), "content": [_complete(block) for block in content]}
    body.update(stop_reason=_stop(content, stop), usage={"input_tokens": 10, "output_tokens": 5})
    return Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})


def streamed(content: Sequence[Mapping[str, Any]], stop: str | None = None, size: int = 4) -> Reply:
    """The same as a stream, in deltas of ``size`` characters."""
    return stream_of(*begin(), *blocks(content, size), *end(_stop(content, stop)))


def stream_of(*events: bytes, lost: int = 0) -> Reply:
    return Reply(b"".join(events), headers={"content-type": "text/event-stream"}, lost=lost)


def begin() -> Iterator[bytes]:
    message = {**_head(), "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}
    yield event({"type": "message_start", "message": message})
    yield event({"type": "ping"})


def blocks(content: Sequence[Mapping[str, Any]], size: int = 4) -> Iterator[bytes]:
    for index, block in enumerate(content):
        kind, start, deltas = block["type"], dict(block), [("", "", "")]
        if kind == "text":
            start["text"] = ""
            deltas = [("text_delta", "text", block["text"])]
        elif kind == "thinking":
            start.update(thinking="", signature="")
            deltas = [
                ("thinking_delta", "thinking", block["thinking"]),
                ("signature_delta", "signature", block["signature"]),
            ]
        elif "input" in block:
            start["input"] = {}
            given = block["input"]
            written = given if isinstance(given, str) else json.dumps(given)
            deltas = [("input_json_delta", "partial_json", written)]
        yield event({"type": "content_block_start", "index": index, "content_block": start})
        for name, key, value in deltas:
            step = len(value) if name == "signature_delta" else size
            for at in range(0, len(value), max(step, 1)):
                delta = {"type": name, key: value[at : at + step]}
                yield event({"type": "content_block_delta", "index": index, "delta": delta})
        yield event({"type": "content_block_stop", "index": index})


def end(stop: str) -> Iterator[bytes]:
    delta = {"stop_reason": stop, "stop_sequence": None}
    yield event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}})
    yield event({"type": "message_stop"})


def event(chunk: Mapping[str, Any]) -> bytes:
    return f"event: {chunk['type']}\ndata: {json.dumps(chunk)}\n\n".encode()


def failure(status: int, kind: str, message: str) -> Reply:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return Reply(json.dumps(body).encode(), status, {"content-type": "application/json"})


def _head() -> dict[str, Any]:
    named = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-tiny"}
    return {**named, "stop_reason": None, "stop_sequence": None}


def _stop(content: Sequence[Mapping[str, Any]], stop: str | None) -> str:
    called = any(block["type"] == "tool_use" for block in content)
    return stop or ("tool_use" if called else "end_turn")


def _complete(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block whose input is what its text says, where that says anything."""
    given = block.get("input")
    if isinstance(given, str):
        with contextlib.suppress(ValueError):
            given = json.loads(given)
        return {**block, "input": given}
    return dict(block)


@dataclass
class Seen:
    """What the SDK made of an answer."""

    text: str = ""
    thinking: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    stop: str | None = None
    tokens: tuple[int, int] = (0, 0)


def seen(message: Any) -> Seen:
    made = Seen(stop=message.stop_reason)
    made.tokens = (message.usage.input_tokens, message.usage.output_tokens)
    for block in message.content:
        made.kinds.append(block.type)
        if block.type == "text":
            made.text += block.text
        elif block.type == "thinking":
            made.thinking.append((block.thinking, block.signature))
        elif block.type == "tool_use":
            made.calls.append((block.name, block.input))
            made.ids.append(block.id)
    return made


def sdk(url: str, http_client: Any = None, **options: Any) -> anthropic.Anthropic:
    """The real SDK."""
    given = {"api_key": "sk-secret", "max_retries": 0, **options}
    return anthropic.Anthropic(base_url=url.removesuffix("/v1"), http_client=http_client, **given)


def checked(host: RecordingHost | None) -> Any:
    """The SDK's HTTP client with the checks, or without a host as it is."""
    base = anthropic.DefaultHttpxClient
    # Nothing here is encrypted, and reading certificates takes longer than all else.
    if host is None:
        return base(verify=False)
    return client_class(base)(host, "local", verify=False)


def ask(client: anthropic.Anthropic, streaming: bool, **body: Any) -> Seen:
    """One request, as SDK users send it."""
    given: Any = {
        "model": "claude-tiny",
        "max_tokens": 500,
        "messages": MESSAGES,
        "tools": OFFER,
        **body,
    }
    if not streaming:
        return seen(client.messages.create(**given))
    with client.messages.stream(**given) as events:
        return seen(events.get_final_message())


def received(script: Script, host: RecordingHost | None, streaming: bool) -> bytes:
    """The bytes that the SDK would get."""
    body: dict[str, Any] = {"model": "claude-tiny", "max_tokens": 500, "messages": MESSAGES}
    body.update(tools=OFFER, stream=streaming)
    with checked(host) as client:
        found: bytes = client.post(f"{script.url}/messages", json=body).content
        return found
