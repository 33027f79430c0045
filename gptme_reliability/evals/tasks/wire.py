"""Requests to a server, with or without the guard in between, counted where they really go."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from gptme_reliability.adapters.openai_response import read_text
from gptme_reliability.errors import InputError, ReliabilityError
from gptme_reliability.evals.tasks.guard import Guarded
from gptme_reliability.surfaces.client import client_class

_DATA: Final = b"data:"
_NOT_OURS: Final = frozenset({401, 403, 404, 429})
"""Statuses that say nothing about a model: the run cannot go on."""


class ServerFault(ReliabilityError):
    """The server answered a request with an error; what it says is in the message."""


@dataclass(slots=True)
class Spent:
    """What a task took, on the wire: requests, and tokens as the server counts them.

    ``uncounted`` are answers for which it said none.
    """

    requests: int = 0
    read: int = 0
    written: int = 0
    uncounted: int = 0


class Wire:
    """A client for one task."""

    def __init__(
        self,
        endpoint: str,
        key: str,
        params: Mapping[str, Any],
        timeout: float,
        guard: Guarded | None,
    ) -> None:
        self.spent = Spent()
        self._url = f"{endpoint.rstrip('/')}/chat/completions"
        self._params = dict(params)
        headers = {
            "authorization": f"Bearer {key}",
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        given: dict[str, Any] = {
            "transport": _Metered(self.spent, endpoint),
            "timeout": timeout,
            "headers": headers,
        }
        self._client = (
            httpx.Client(**given)
            if guard is None
            else client_class(httpx.Client)(guard, "local", **given)
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ask(self, body: Mapping[str, Any], *, streamed: bool) -> dict[str, Any]:
        """The model's message.

        Raises:
            ServerFault: the server answered with an error, or with no message.
            InputError: it cannot be reached, or wants another key or name.
        """
        full: dict[str, Any] = {**self._params, **body}
        if streamed:
            full |= {"stream": True, "stream_options": {"include_usage": True}}
        try:
            response = self._client.post(self._url, content=json.dumps(full).encode("ascii"))
        except httpx.TimeoutException as error:
            raise ServerFault(f"no answer in time: {type(error).__name__}") from None
        except httpx.ConnectError as error:
            raise InputError(f"{self._url} cannot be reached: {error}; is it up?") from None
        except httpx.HTTPError as error:
            raise ServerFault(f"the connection broke: {type(error).__name__}") from None
        if response.status_code in _NOT_OURS:
            text = response.text[:200]
            raise InputError(f"{self._url} answers {response.status_code}: {text}")
        if response.status_code >= 400:
            raise ServerFault(f"HTTP {response.status_code}: {response.text[:200]}")
        return gathered(response.content) if streamed else _message(response.content)


def _message(raw: bytes) -> dict[str, Any]:
    try:
        message = json.loads(raw)["choices"][0]["message"]
        calls = message.get("tool_calls")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ServerFault("the answer holds no message") from None
    said: dict[str, Any] = {"role": "assistant", "content": read_text(message.get("content"))}
    objects = _objects(calls)
    return {**said, "tool_calls": objects} if objects else said


def gathered(raw: bytes) -> dict[str, Any]:
    """The message in the events of a stream, put together as hosts do.

    Raises:
        ServerFault: the stream holds an error.
    """
    text, calls = "", dict[int, dict[str, Any]]()
    for event in _events(raw):
        if event.get("error"):
            raise ServerFault(f"the stream holds an error: {str(event['error'])[:200]}")
        delta = _delta(event)
        text += read_text(delta.get("content")) or ""
        for piece in _objects(delta.get("tool_calls")):
            at = piece.get("index")
            _add(calls.setdefault(at if type(at) is int else len(calls), {}), piece)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    return {**message, "tool_calls": [calls[at] for at in sorted(calls)]} if calls else message


def _delta(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an event adds to the first choice; nothing where it has another shape."""
    delta = next((choice.get("delta") for choice in _objects(event.get("choices"))), None)
    return delta if isinstance(delta, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none of anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _add(call: dict[str, Any], piece: Mapping[str, Any]) -> None:
    function = piece.get("function")
    call.setdefault("type", "function")
    call["id"] = call.get("id") or piece.get("id")
    made = call.setdefault("function", {"name": "", "arguments": ""})
    for key in made:
        said = function.get(key) if isinstance(function, Mapping) else None
        made[key] += said if isinstance(said, str) else ""


def _events(raw: bytes) -> Iterator[dict[str, Any]]:
    for line in raw.splitlines():
        if line.startswith(_DATA):
            try:
                event = json.loads(line[len(_DATA) :])
            except ValueError:
                continue  # [DONE]
            if isinstance(event, dict):
                yield event


def usage_in(raw: bytes) -> Mapping[str, Any] | None:
    """The server's own count in a response of either kind."""
    try:
        bodies = [json.loads(raw)]
    except ValueError:
        bodies = list(_events(raw))
    found = [body["usage"] for body in bodies if isinstance(body, dict) and body.get("usage")]
    return found[-1] if found and isinstance(found[-1], Mapping) else None


class _Metered(httpx.BaseTransport):
    """Counts what goes over it."""

    def __init__(self, spent: Spent, endpoint: str) -> None:
        self._spent = spent
        self._inner = httpx.HTTPTransport(
            # Certificates take longer to read than a local model to answer.
            verify=endpoint.startswith("https:"),
            # A server may close a connection that is kept just as the next request goes out,
            # which is no fault of the model.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._spent.requests += 1
        response = self._inner.handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        tapped = _Tapped(response.stream, self._count)
        headers, extensions = response.headers, response.extensions
        return httpx.Response(
            response.status_code, headers=headers, stream=tapped, extensions=extensions
        )

    def close(self) -> None:
        self._inner.close()

    def _count(self, raw: bytes) -> None:
        usage = usage_in(raw)
        if usage is None:
            self._spent.uncounted += 1
            return
        self._spent.read += _number(usage.get("prompt_tokens"))
        self._spent.written += _number(usage.get("completion_tokens"))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


class _Tapped(httpx.SyncByteStream):
    """A stream that is also kept, and handed over when it is closed."""

    def __init__(self, stream: httpx.SyncByteStream, done: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._done = done
        self._kept = bytearray()
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._kept += piece
            yield piece

    def close(self) -> None:
        self._stream.close()
        if not self._closed:
            self._closed = True
            self._done(bytes(self._kept))
