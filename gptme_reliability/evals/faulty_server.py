"""An OpenAI-compatible server that answers whatever a script tells it to.

It listens on 127.0.0.1 only, on a free port, and keeps every request it got.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, TypeAlias

from gptme_reliability.evals.scenarios import Answer, finish_reason, wire_calls

Script: TypeAlias = Callable[[Mapping[str, Any]], Answer]
"""Gets a request's body, gives the model's answer."""

_TEXT_PIECE: Final = 5
_ARGUMENTS_PIECE: Final = 7
_USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


class FaultyServer:
    """A server for the length of a ``with`` block; ``url`` is the base URL for a client."""

    def __init__(self, script: Script) -> None:
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.script = script
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """Base URL, ending in ``/v1``."""
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of the chat completion requests so far, in order."""
        return self._http.requests

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    script: Script
    requests: list[dict[str, Any]]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.requests = []
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the requests are kept, nobody reads a log."""

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        if not self.path.endswith("/chat/completions"):
            self._send(404, {"error": {"message": f"no such path: {self.path}"}})
            return
        with self.server.lock:
            self.server.requests.append(body)
            answer = self.server.script(body)
        if "status" in answer:
            self._send(answer["status"], answer.get("error"))
        elif body.get("stream"):
            self._stream(body, answer)
        else:
            self._send(200, whole(answer))

    def _send(self, status: int, body: Any) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, body: Mapping[str, Any], answer: Answer) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        for chunk in chunks(answer, with_usage=with_usage):
            self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


def whole(answer: Answer) -> dict[str, Any]:
    """An answer as the body of a ``chat.completion``."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.get("text")}
    if "reasoning" in answer:
        message["reasoning_content"] = answer["reasoning"]
    if "calls" in answer:
        message["tool_calls"] = wire_calls(answer)
    message.update(answer.get("message", {}))
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(answer)}
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": "scripted",
        "choices": answer.get("choices", [choice]),
        "usage": _USAGE,
    }


def chunks(answer: Answer, *, with_usage: bool = True) -> Iterator[dict[str, Any]]:
    """An answer as the chunks of a stream."""
    if "choices" in answer:
        yield _chunk(answer["choices"])
        return
    for delta in _deltas(answer):
        yield _chunk([{"index": 0, "delta": delta, "finish_reason": None}])
    yield _chunk([{"index": 0, "delta": {}, "finish_reason": finish_reason(answer)}])
    if with_usage:
        yield {**_chunk([]), "usage": _USAGE}


def _deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in _pieces(answer.get("reasoning") or "", _TEXT_PIECE):
        yield {"reasoning_content": piece}
    for piece in _pieces(answer.get("text") or "", _TEXT_PIECE):
        yield {"content": piece}
    if "message" in answer:
        yield dict(answer["message"])
    yield from answer.get("deltas", ())
    if answer.get("calls") == []:
        yield {"tool_calls": []}
    for index, call in enumerate(wire_calls(answer)):
        yield from _call_deltas(index, call)


def _call_deltas(index: int, call: Any) -> Iterator[dict[str, Any]]:
    function = call.get("function") if isinstance(call, Mapping) else None
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if not isinstance(arguments, str):
        yield {"tool_calls": [{"index": index, **call}]}
        return
    head = {**call, "function": {**(function or {}), "arguments": ""}}
    yield {"tool_calls": [{"index": index, **head}]}
    for piece in _pieces(arguments, _ARGUMENTS_PIECE):
        yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _chunk(choices: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "scripted",
        "choices": choices,
    }


def _pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))
