"""The HTTP client that stands between the host's SDK and the server.

Only requests with tools are looked at, of chat completions and of Anthropic's messages; every
other request goes through untouched.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from itertools import chain
from time import sleep
from typing import Any, Final, TypeVar

from gptme_reliability.surfaces.contracted import Contracted, rebuilt
from gptme_reliability.surfaces.effects import Ask, Effect, Next, Read, Send, Wait
from gptme_reliability.surfaces.host import Host
from gptme_reliability.surfaces.instead import Instead
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.prepare import adapter_for, prepare, read_body
from gptme_reliability.surfaces.sampling import is_near
from gptme_reliability.surfaces.served import Answer, Fetch
from gptme_reliability.surfaces.serving import (
    MOST_KEPT,
    UNPROCESSABLE,
    Reply,
    Rewritten,
    Serving,
    Stream,
)
from gptme_reliability.surfaces.task import Task, where

_LOG = logging.getLogger(__name__)

_CONTENT_TYPE: Final = "content-type"
_ATTEMPTS: Final = "x-reliability-attempts"
_REWRITTEN: Final = frozenset({"content-length", "content-encoding", "transfer-encoding"})

_Result = TypeVar("_Result")


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
            adapter = adapter_for(request.url.path)
            body = None if adapter is None else read_body(request, adapter)
            if adapter is None or body is None:
                return plain(request, stream)
            try:
                task = prepare(
                    self._reliability_host,
                    self._reliability_provider,
                    body,
                    self._reliability_memory,
                    adapter,
                )
            except Exception as error:  # law 11: a request we cannot read is not ours
                _LOG.warning("reliability: request passed through: %s", where(error))
                return plain(request, stream)
            if task is None:
                return plain(request, stream)
            fetch = self._reliability_contracts.fetch(request, plain)
            near = fetch if is_near(request.url.host) else None
            response = _Wire(http, self.build_request, plain, request, task, near).run()
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
        task: Task,
        fetch: Fetch | None,
    ) -> None:
        self._fetch = fetch
        self._http = http
        self._build_request = build_request
        self._plain = plain
        self._original = request
        self._task = task
        self._reading: Any = None
        self._chunks: Iterator[bytes] = iter(())

    def run(self) -> Any:
        """The response for the host."""
        serving = Serving(self._task, self._http.HTTPError)
        reply: Reply = _completed(_driven(serving.run(), self._perform))
        if isinstance(reply, Stream):
            return self._streamed(reply)
        if isinstance(reply, Rewritten):
            return self._rewritten(reply)
        return self._instead(reply)

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Send):
            return self._plain(self._build(effect.content), self._task.streamed)
        if isinstance(effect, Read):
            return effect.response.read()  # type: ignore[attr-defined]  # it is the library's
        if isinstance(effect, Next):
            return self._next(effect.response)
        if isinstance(effect, Ask):
            return self._ask(effect)
        return sleep(effect.seconds) if isinstance(effect, Wait) else None

    def _ask(self, effect: Ask) -> Answer | None:
        try:
            return self._fetch(effect.path, effect.body) if self._fetch else None
        except Exception as error:  # nobody waits for this answer
            _LOG.debug("reliability: the server was asked in vain: %s", where(error))
            return None

    def _next(self, response: Any) -> bytes | None:
        if self._reading is not response:
            self._reading, self._chunks = response, response.iter_bytes()
        return next(self._chunks, None)

    def _build(self, content: bytes | None) -> Any:
        """A request like the original with another body, or the original."""
        if content is None:
            return self._original
        return rebuilt(self._build_request, self._original, content)

    def _rewritten(self, reply: Rewritten) -> Any:
        """A whole response with another body, and with how many answers it took."""
        headers = self._headers(reply.response)
        headers += [(_CONTENT_TYPE, "application/json"), (_ATTEMPTS, str(reply.attempts))]
        return self._response(200, headers, content=reply.content)

    def _instead(self, instead: Instead) -> Any:
        """A response of the server; a final error is one that nobody is to try again, for the
        model was asked often enough."""
        response: Any = instead.response
        if instead.clearer is not None:
            status, content = instead.clearer
            headers = [*self._headers(response), (_CONTENT_TYPE, "application/json")]
            return self._response(status, headers, content=content)
        if not instead.final or response.status_code < 500:
            return response
        kind = response.headers.get(_CONTENT_TYPE, "application/json")
        headers = [*self._headers(response), (_CONTENT_TYPE, kind)]
        return self._response(UNPROCESSABLE, headers, content=response.content)

    def _streamed(self, stream: Stream) -> Any:
        """The exchange runs here until something is to be shown: what fails before that still
        is a response of its own, with its status and headers, unless there is too much of it."""
        pieces = _driven(stream.steps, self._perform)
        first: list[bytes] = []
        size = 0
        try:
            while not stream.shown and size <= MOST_KEPT:
                first.append(next(pieces))
                size += len(first[-1])
        except StopIteration as stop:
            if stop.value is not None:
                return self._instead(stop.value)
        except self._http.HTTPError:
            raise  # the connection's fault, not ours
        except Exception as error:  # law 11: what the server said, as it said it
            self._task.report(None, error=error)
            return stream.response

        def close() -> None:
            pieces.close()
            stream.close()

        headers = self._headers(stream.response)
        upstream: Any = stream.response
        kind = upstream.headers.get(_CONTENT_TYPE) if stream.like else None
        headers.append((_CONTENT_TYPE, kind or "text/event-stream"))
        body = _byte_stream(self._http)(chain(first, _to_the_end(stream, pieces)), close)
        return self._response(200, headers, stream=body)

    def _response(self, status: int, headers: list[tuple[str, str]], **body: Any) -> Any:
        return self._http.Response(status, headers=headers, request=self._original, **body)

    def _headers(self, upstream: Any) -> list[tuple[str, str]]:
        dropped = _REWRITTEN | {_CONTENT_TYPE}
        return [
            (name, value)
            for name, value in upstream.headers.multi_items()
            if name.lower() not in dropped
        ]


def _driven(
    steps: Generator[bytes | Effect, Any, _Result] | Generator[Effect, Any, _Result],
    perform: Callable[[Effect], Any],
) -> Generator[bytes, None, _Result]:
    """What the steps show, with everything else they ask for done on the way."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, bytes):
                yield step
                step = next(steps)
                continue
            try:
                result = perform(step)
            except BaseException as error:  # whatever it is, the steps say what becomes of it
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        result_of_steps: _Result = stop.value
        return result_of_steps
    finally:
        steps.close()


def _to_the_end(stream: Stream, pieces: Generator[bytes, None, Instead | None]) -> Iterator[bytes]:
    """The pieces, and what they came to where that was nothing."""
    instead = yield from pieces
    if instead is not None:
        yield stream.fault(instead)


def _completed(pieces: Generator[bytes, None, _Result]) -> _Result:
    """The result of steps that show nothing."""
    try:
        next(pieces)
    except StopIteration as stop:
        result: _Result = stop.value
        return result
    raise RuntimeError("a response was shown before there was one")


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
