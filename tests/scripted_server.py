"""A server that plays a script: one prepared reply per request, every request kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local_http import SilentHandler, listening

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look around.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "times": {"type": "integer"}},
                "required": ["place"],
                "additionalProperties": False,
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "shell",
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string"}},
                "required": ["command"],
            },
        },
    },
]


@dataclass(frozen=True)
class Reply:
    """One reply; ``lost`` bytes are promised and never sent."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    lost: int = 0


@dataclass
class Script:
    """The replies still to play and the requests that came; ``beside`` is what was asked at
    paths of their own, with the body of each question."""

    replies: list[Reply]
    url: str = ""
    requests: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    beside: list[tuple[str, Any]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request) for request in self.requests]


@contextmanager
def serving(
    *replies: Reply, beside: Mapping[str, Callable[[Any], Any]] | None = None
) -> Iterator[Script]:
    """Play the replies on a free port of 127.0.0.1.

    ``beside`` makes the JSON at paths of their own from the body of a question.
    """
    answers = beside or {}
    script = Script(list(replies))

    class Handler(SilentHandler):
        def do_GET(self) -> None:
            self._beside(None)

        def _beside(self, asked: Any) -> None:
            script.beside.append((self.path, asked))
            said = answers[self.path](asked) if self.path in answers else None
            body = json.dumps(said).encode()
            self.send_response(404 if said is None else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            if self.path in answers:
                self._beside(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                return
            script.requests.append(self.rfile.read(int(self.headers["content-length"])))
            script.headers.append({k.lower(): v for k, v in self.headers.items()})
            reply = script.replies.pop(0) if script.replies else Reply(b"script is over", 418)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body) + reply.lost))
            self.end_headers()
            self.wfile.write(reply.body)
            self.close_connection = True

    with listening(Handler) as url:
        script.url = f"{url}/v1"
        yield script


def call(name: Any, arguments: Any, call_id: Any = "call_abc") -> dict[str, Any]:
    """A native call as servers send it; a dict of arguments is written as JSON text."""
    text = json.dumps(arguments) if isinstance(arguments, dict) else arguments
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def completion(
    content: Any = None,
    calls: Sequence[Any] | None = None,
    finish: str | None = None,
    **message: Any,
) -> Reply:
    """A whole completion."""
    body = completion_body(content, calls, finish, **message)
    return Reply(json.dumps(body).encode(), headers={"content-type": "application/json"})


def completion_body(
    content: Any = None,
    calls: Sequence[Any] | None = None,
    finish: str | None = None,
    **message: Any,
) -> dict[str, Any]:
    said = {"role": "assistant", "content": content, **message}
    if calls is not None:
        said["tool_calls"] = list(calls)
    reason = finish or ("tool_calls" if calls else "stop")
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "finish_reason": reason, "message": said}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        "timings": {"predicted_n": 5},
    }


def failure(status: int, message: str, **headers: str) -> Reply:
    """An error as servers report it."""
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body, status, {"content-type": "application/json", **named})


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **top: Any) -> bytes:
    """One event of a stream; without a delta it has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {
        "choices": choices,
        "id": "chatcmpl-2",
        "created": 2,
        "model": "tiny",
        "object": "chat.completion.chunk",
        **top,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def text_chunks(text: str, size: int = 3, key: str = "content") -> list[bytes]:
    """Text in deltas of ``size`` characters."""
    return [chunk({key: text[at : at + size]}) for at in range(0, len(text), size)]


def call_chunks(index: int, name: str, arguments: str, call_id: str | None) -> list[bytes]:
    """A call as llama.cpp streams it: a head with the name, then the arguments in pieces."""
    head = {"name": name, "arguments": arguments[:1]}
    chunks = [
        chunk(
            {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": head}]}
        )
    ]
    for at in range(1, len(arguments), 4):
        piece = {"index": index, "function": {"arguments": arguments[at : at + 4]}}
        chunks.append(chunk({"tool_calls": [piece]}))
    return chunks


USAGE = chunk(usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
DONE = b"data: [DONE]\n\n"
ROLE = chunk({"role": "assistant", "content": None})


def stream(*events: bytes, lost: int = 0) -> Reply:
    """A streamed reply."""
    return Reply(b"".join(events), headers={"content-type": "text/event-stream"}, lost=lost)


STOP = chunk({}, "stop")
GOOD_STREAM = stream(
    ROLE,
    *text_chunks("I look."),
    *call_chunks(0, "look", '{"place": "hall"}', "a"),
    chunk({}, "tool_calls"),
    DONE,
)
CUT = call_chunks(0, "look", '{"place": "ha', "a")
OVERLOAD = b'data: {"error": {"code": 503, "message": "Overloaded"}}\n\n'
