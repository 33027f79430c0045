"""Requests that go out as the sampling contract of their model says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from gptme_reliability.backends import spellings
from gptme_reliability.contract import Broken, on_wire
from gptme_reliability.surfaces.host import Host
from gptme_reliability.surfaces.sampling import (
    Agreement,
    Sampling,
    Unreachable,
    applied,
    is_near,
    rejected,
)
from gptme_reliability.surfaces.served import Answer, Fetch
from gptme_reliability.surfaces.task import MOST_BYTES, encode, where

_LOG = logging.getLogger(__name__)

_PATH: Final = "/chat/completions"
_ASKING_S: Final = 2.0
_NOT_REPEATED: Final = frozenset({"content-length", "transfer-encoding", "idempotency-key"})

Send = Callable[..., Any]
"""Sends a request; the second argument says whether the answer is streamed."""


class Contracted:
    """Puts the contract on the requests of one client."""

    def __init__(self, host: Host, provider: str, http: Any, build: Callable[..., Any]) -> None:
        self._host = host
        self._provider = provider
        self._http = http
        self._build = build
        self._sampling = Sampling()

    def begin(self, request: Any, send: Send) -> tuple[Any, Send, Any]:
        """The request and how to send it and all that follow it; or a response instead of it.

        Whatever breaks here leaves both as they were.
        """
        try:
            return self._begin(request, send)
        except Unreachable:
            return request, send, None
        except Exception as error:  # law 11: never worse than absent
            _LOG.warning("reliability: no sampling contract: %s", where(error))
            return request, send, None

    def _begin(self, request: Any, send: Send) -> tuple[Any, Send, Any]:
        body = _body(request)
        terms = None if body is None else self._host.terms(self._provider, body)
        if body is None or terms is None:
            return request, send, None
        server = str(request.url.join(f"{_root(request)}/"))
        fetch = self.fetch(request, send) if is_near(request.url.host) else None
        agreed = self._sampling.agree(terms, body, server, fetch)
        if isinstance(agreed, Broken):
            return request, send, self._refused(request, agreed) if terms.may_fail else None
        self._host.agreed(agreed)
        bound = self._rebuilt(request, applied(body, agreed.wire))

        def careful(outgoing: Any, streamed: bool) -> Any:
            return self._careful(agreed, send, outgoing, streamed)

        return bound, careful, None

    def _careful(self, agreed: Agreement, send: Send, request: Any, streamed: bool) -> Any:
        """Send; what the server rejects is left out, now and from then on."""
        response = send(self._without_refused(agreed.model, request), streamed)
        if response.status_code < 400:
            return response
        names = rejected(response.status_code, response.read(), agreed.wire.params)
        if not names:
            return response
        self._sampling.refuse(agreed.model, names)
        wire = on_wire(agreed.contract, agreed.served.backend, self._sampling.refused(agreed.model))
        if isinstance(wire, Broken):
            return self._refused(request, wire)
        self._host.agreed(replace(agreed, wire=wire))
        return send(self._without_refused(agreed.model, request), streamed)

    def _without_refused(self, model: str, request: Any) -> Any:
        names = [key for name in self._sampling.refused(model) for key in spellings(name)]
        body = _body(request) if names else None
        if body is None or not any(name in body for name in names):
            return request
        return self._rebuilt(request, {k: v for k, v in body.items() if k not in names})

    def fetch(self, request: Any, send: Send) -> Fetch:
        """What asks the server of this request about itself; it raises whatever goes wrong."""

        def fetch(path: str, body: Mapping[str, Any] | None) -> Answer:
            headers = {
                name: value
                for name, value in request.headers.items()
                if name.lower() == "authorization"
            }
            asked = self._build(
                "GET" if body is None else "POST",
                request.url.join(_root(request) + path),
                headers=headers,
                json=body,
                timeout=_ASKING_S,
            )
            until = monotonic() + _ASKING_S
            try:
                response = send(asked, True)
            except self._http.ConnectError as error:
                raise Unreachable from error
            raw = _in_time(response, until)
            content = None
            if response.status_code == 200:
                try:
                    content = json.loads(raw)
                except (ValueError, RecursionError):
                    content = raw.decode(errors="replace")
            return Answer(response.headers, content)

        return fetch

    def _rebuilt(self, request: Any, body: Mapping[str, Any]) -> Any:
        return rebuilt(self._build, request, encode(body))

    def _refused(self, request: Any, broken: Broken) -> Any:
        error = {
            "message": broken.message,
            "type": "invalid_request_error",
            "param": "model",
            "code": f"sampling_contract_{broken.kind}",
        }
        return self._http.Response(
            400,
            headers={"content-type": "application/json"},
            content=encode({"error": error}),
            request=request,
        )


def rebuilt(build: Callable[..., Any], request: Any, content: bytes) -> Any:
    """A request like this one with another body, made by ``build`` of the client."""
    headers = [
        (name, value)
        for name, value in request.headers.multi_items()
        if name.lower() not in _NOT_REPEATED
    ]
    extensions = dict(request.extensions)
    return build(
        request.method, request.url, headers=headers, content=content, extensions=extensions
    )


def _root(request: Any) -> str:
    """The path below which a server is, without a slash at its end: it need not have a host of
    its own, and its neighbours are not to be asked."""
    path: str = request.url.path.rstrip("/").removesuffix(_PATH)
    return path.removesuffix("/v1").rstrip("/")


def _in_time(response: Any, until: float) -> bytes:
    """The body, which may come drop by drop: the library bounds the wait for each drop alone.

    Raises:
        TimeoutError: it is not all there in time, or is too large.
    """
    raw = bytearray()
    try:
        for chunk in response.iter_bytes():
            raw += chunk
            if monotonic() > until or len(raw) > MOST_BYTES:
                raise TimeoutError
    finally:
        response.close()
    return bytes(raw)


def _body(request: Any) -> dict[str, Any] | None:
    """The body of a request for a chat completion, else None."""
    if request.method != "POST" or not request.url.path.rstrip("/").endswith(_PATH):
        return None
    try:
        body = json.loads(request.content)
    except (ValueError, RuntimeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
