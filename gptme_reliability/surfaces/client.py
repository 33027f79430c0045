"""The HTTP client that stands between the host's SDK and the server.

Only chat completions with tools are looked at; every other request goes through untouched.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from gptme_reliability.adapters.openai_request import write_request
from gptme_reliability.adapters.openai_response import (
    host_readable,
    sum_usage,
    write_response,
)
from gptme_reliability.adapters.server_errors import (
    about_the_conversation,
    model_fault,
    refusal,
)
from gptme_reliability.surfaces.answers import UNKNOWN_SHAPE, WholeAnswer, read_answer, why
from gptme_reliability.surfaces.asking import Asking, Ending, observe
from gptme_reliability.surfaces.contracted import Contracted
from gptme_reliability.surfaces.host import Host
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.prepare import prepare, read_body
from gptme_reliability.surfaces.relay import Relay
from gptme_reliability.surfaces.task import Task, encode, where
from gptme_reliability.surfaces.watching import observed
from gptme_reliability.types import ModelRequest, Reject

_LOG = logging.getLogger(__name__)

_CONTENT_TYPE: Final = "content-type"
_ATTEMPTS: Final = "x-reliability-attempts"
# SDKs and hosts try an error of the server again, and this one not.
_UNPROCESSABLE: Final = 422
_MENDING_MAY_HURT: Final = frozenset({400, 422, 500})
_REWRITTEN: Final = frozenset({"content-length", "content-encoding", "transfer-encoding"})
_NOT_REPEATED: Final = frozenset({"content-length", "transfer-encoding", "idempotency-key"})


@lru_cache(maxsize=8)
def client_class(base: type[Any]) -> type[Any]:
    """A subclass of an SDK's ``DefaultHttpxClient`` that checks what models answer.

    Constructed with ``(host, provider)`` and the keywords of ``base``.
    """
    http = _module_of(base)

    class ReliableClient(base):  # type: ignore[misc]  # the base is the SDK's, known at run time
        def __init__(self, host: Host, provider: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._reliability_host = host
            self._reliability_provider = provider
            self._reliability_memory = Memory()
            self._reliability_contracts = Contracted(host, provider, http, self.build_request)

        def send(self, request: Any, *, stream: bool = False, **kwargs: Any) -> Any:
            def plain(outgoing: Any, streamed: bool) -> Any:
                return super(ReliableClient, self).send(outgoing, stream=streamed, **kwargs)

            request, plain, instead = self._reliability_contracts.begin(request, plain)
            if instead is not None:
                return instead
            body = read_body(request)
            if body is None:
                return plain(request, stream)
            try:
                task = prepare(
                    self._reliability_host,
                    self._reliability_provider,
                    body,
                    self._reliability_memory,
                )
            except Exception as error:  # law 11: a request we cannot read is not ours
                _LOG.warning("reliability: request passed through: %s", where(error))
                return plain(request, stream)
            if task is None:
                return plain(request, stream)
            wire = _Wire(http, self.build_request, plain, request)
            response = _Exchange(wire, task).run()
            if not stream:
                response.read()
            return response

    return ReliableClient


class _Wire:
    """Sends requests like the host's own one, and builds responses to it."""

    def __init__(
        self,
        http: Any,
        build_request: Callable[..., Any],
        plain: Callable[..., Any],
        request: Any,
    ) -> None:
        self.http = http
        self.original = request
        self.send = plain
        self._build_request = build_request

    def build(self, request: ModelRequest) -> Any:
        """A request like the original with another body."""
        headers = [
            (name, value)
            for name, value in self.original.headers.multi_items()
            if name.lower() not in _NOT_REPEATED
        ]
        return self._build_request(
            self.original.method,
            self.original.url,
            headers=headers,
            content=encode(write_request(request)),
            extensions=dict(self.original.extensions),
        )

    def rewritten(self, upstream: Any, content: bytes, attempts: int) -> Any:
        """A whole response with another body, and with how many answers it took."""
        headers = self._headers(upstream)
        headers += [(_CONTENT_TYPE, "application/json"), (_ATTEMPTS, str(attempts))]
        return self.http.Response(200, headers=headers, content=content, request=self.original)

    def final(self, failed: Any) -> Any:
        """An error that nobody is to try again: the model was asked often enough."""
        if failed.status_code < 500:
            return failed
        kind = failed.headers.get(_CONTENT_TYPE, "application/json")
        headers = [*self._headers(failed), (_CONTENT_TYPE, kind)]
        return self.http.Response(
            _UNPROCESSABLE, headers=headers, content=failed.content, request=self.original
        )

    def streaming(
        self, upstream: Any, pieces: Iterator[bytes], close: Callable[[], None], *, like: bool
    ) -> Any:
        """A streamed response with another body; ``like`` keeps the upstream's content type.

        ``close`` is called when the reader is done or leaves.
        """
        headers = self._headers(upstream)
        kind = upstream.headers.get(_CONTENT_TYPE) if like else None
        headers.append((_CONTENT_TYPE, kind or "text/event-stream"))
        stream = _byte_stream(self.http)(pieces, close)
        return self.http.Response(200, headers=headers, stream=stream, request=self.original)

    def _headers(self, upstream: Any) -> list[tuple[str, str]]:
        dropped = _REWRITTEN | {_CONTENT_TYPE}
        return [
            (name, value)
            for name, value in upstream.headers.multi_items()
            if name.lower() not in dropped
        ]


class _Exchange:
    """One task on one wire."""

    def __init__(self, wire: _Wire, task: Task) -> None:
        self._wire = wire
        self._task = task

    def run(self) -> Any:
        """The response for the host."""
        task = self._task
        try:
            asked = None if task.settings.mode == "observe" else self._asked()
        except Exception as error:  # law 11: the host's own request, and the answer to it
            task.report(None, error=error)
            return self._wire.send(self._wire.original, task.streamed)
        response = self._send_first(asked)
        try:
            if asked is None:
                return self._observe(response)
            if isinstance(asked, Relay):
                return self._stream(asked, response)
            return self._whole(asked, response)
        except self._wire.http.HTTPError:
            raise  # the connection's fault, not ours
        except Exception as error:  # law 11: what the server said, as it said it
            task.report(None, error=error)
            return response

    def _asked(self) -> Relay | Asking:
        if not self._task.streamed:
            return Asking(self._task)
        return Relay(
            self._task,
            lambda request: self._wire.send(self._wire.build(request), True),
            self._wire.http.HTTPError,
            self._remember,
        )

    def _remember(self, ending: Ending) -> None:
        pending = self._task.memory.pending
        pending.remember(self._task.conversation, ending.calls, ending.outcome.pending)

    def _send_first(self, asked: Relay | Asking | None) -> Any:
        """The host's own request, or the one with mended conversation and tools.

        A server that refuses the mended one is asked with the original: mending must never
        make anything worse.
        """
        send, streamed = self._wire.send, self._task.streamed
        first = None if asked is None else self._rewritten(asked.request)
        if first is None:
            return send(self._wire.original, streamed)
        response = send(first, streamed)
        if self._task.mended and _refused(response):
            return send(self._wire.original, streamed)
        return response

    def _rewritten(self, request: ModelRequest) -> Any:
        """The request as it goes out; None where that is the host's own."""
        if not self._task.mended and request == self._task.request:
            return None
        try:
            return self._wire.build(request)
        except Exception as error:  # law 11: the host's own request instead
            _LOG.warning("reliability: request not mended: %s", where(error))
            return None

    def _observe(self, response: Any) -> Any:
        task = self._task
        if task.streamed and response.status_code < 400:
            pieces = observed(task, response)

            def close() -> None:
                pieces.close()
                # A generator that was never started does not run its own clean-up.
                response.close()

            return self._wire.streaming(response, pieces, close, like=True)
        found = read_answer(response)
        if found is not None:
            faults = [found.status] if found.body is None else []
            task.report(observe(task.settings, task.request, found.output), faults=faults)
        return response

    def _whole(self, asking: Asking, response: Any) -> Any:
        found = read_answer(response)
        while found is None and (other := asking.refused(response)) is not None:
            response = self._wire.send(self._wire.build(other), False)
            found = read_answer(response)
        if found is None:
            if response.status_code < 400:
                self._task.report(None, error=UNKNOWN_SHAPE)
            elif self._task.repairs:
                self._task.report(None)
            return response
        try:
            return self._answered(asking, response, found)
        except KeyboardInterrupt:
            self._task.report(asking.abandoned("interrupted"), interrupted=True)
            raise

    def _answered(self, asking: Asking, response: Any, found: WholeAnswer) -> Any:
        """Ask until there is an end; the response that says it."""
        answers = [found]
        step = asking.answer(found.output, found.usage)
        while isinstance(step, ModelRequest):
            asking.announce(step)
            again = self._ask_whole(step)
            if isinstance(again, WholeAnswer):
                answers.append(again)
                step = asking.answer(again.output, again.usage)
                continue
            other = None if isinstance(again, Exception) else asking.refused(again)
            if other is not None:
                step = other
                continue
            ending = asking.give_up(why(again))
            if ending is None:
                self._task.report(asking.abandoned(why(again)), faults=_faults(answers))
                if isinstance(again, Exception):
                    raise again
                return again
            step = ending
        hopeless = all(answer.says_nothing for answer in answers)
        if hopeless and isinstance(step.outcome.verdict, Reject):
            result = self._wire.final(response)
        else:
            result = response
            body = answers[step.attempt].body
            if not (step.untouched and body is not None and host_readable(body)):
                usage = sum_usage(answer.usage for answer in answers)
                written = _write(self._task, body or found.body, step, usage)
                result = self._wire.rewritten(response, encode(written), len(answers))
            self._remember(step)
        self._task.report(step.outcome, step.repairs, faults=_faults(answers))
        return result

    def _ask_whole(self, request: ModelRequest) -> Any:
        """A further answer; failing that, the response or the exception there was instead."""
        try:
            response = self._wire.send(self._wire.build(request), False)
        except self._wire.http.HTTPError as error:
            return error
        return read_answer(response) or response

    def _stream(self, relay: Relay, response: Any) -> Any:
        """The exchange runs here until something is to be shown: what fails before that still
        is a response of its own, with its status and headers."""
        pieces = relay.run(response)
        first: list[bytes] = []
        while not relay.showing:
            try:
                first.append(next(pieces))
            except StopIteration as stop:
                instead = stop.value
                if instead is not None:
                    response = instead.response
                    return self._wire.final(response) if instead.final else response
                break

        def close() -> None:
            pieces.close()
            relay.close()

        return self._wire.streaming(response, chain(first, pieces), close, like=not relay.whole)


def _refused(response: Any) -> bool:
    """Whether a server refuses the conversation, as opposed to what its model wrote."""
    status = response.status_code
    if status not in _MENDING_MAY_HURT:
        return False
    raw = response.read()
    if model_fault(status, raw) is not None or _takes_no_tools(status, raw):
        return False
    # An overloaded server says 500 too, and asking it once more would help nobody.
    return status != 500 or about_the_conversation(raw)


def _takes_no_tools(status: int, raw: bytes) -> bool:
    """Whether a server refuses tools as such: without mending it would, too."""
    found = refusal(status, raw)
    return found is not None and found.tools


def _faults(answers: Iterable[WholeAnswer]) -> list[int]:
    return [answer.status for answer in answers if answer.body is None]


def _write(
    task: Task, body: Mapping[str, Any] | None, ending: Ending, usage: Mapping[str, Any] | None
) -> dict[str, Any]:
    if body is None:
        body = {
            "id": "chatcmpl-reliability",
            "object": "chat.completion",
            "created": 0,
            "model": task.request.model or "",
        }
    verdict = replace(ending.outcome.verdict, calls=ending.calls)
    return write_response(body, verdict, ending.text, ending.reasoning, usage)


def _module_of(base: type[Any]) -> Any:
    """The HTTP library that a client class belongs to."""
    for ancestor in base.__mro__:
        root = ancestor.__module__.partition(".")[0]
        if ancestor.__name__ == "Client" and root.startswith("httpx"):
            return importlib.import_module(root)
    raise TypeError(f"{base.__name__} is no httpx client class")


@lru_cache(maxsize=8)
def _byte_stream(http: Any) -> type[Any]:
    """The class of streams that pass on bytes made here and close what they come from."""

    class Pieces(http.SyncByteStream):  # type: ignore[misc]  # known at run time only
        def __init__(self, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
            self._pieces = pieces
            self._close = close

        def __iter__(self) -> Iterator[bytes]:
            return self._pieces

        def close(self) -> None:
            self._close()

    return Pieces
