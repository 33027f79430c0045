"""Chat completions with tools: asked, checked and asked again as the client of the core does."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from gptme_reliability.adapters.adapter import Adapter
from gptme_reliability.surfaces.budgets import Budgets
from gptme_reliability.surfaces.effects import Ask, Effect, Next, Read, Response, Wait
from gptme_reliability.surfaces.effects import Send as SendEffect
from gptme_reliability.surfaces.instead import Instead
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.prepare import adapter_for, prepare, read_object
from gptme_reliability.surfaces.proxy.contracts import Contracts
from gptme_reliability.surfaces.proxy.driving import HEAVY, WORKER, Drive
from gptme_reliability.surfaces.proxy.headers import (
    CREDENTIALS,
    REWRITTEN,
    Headers,
    for_client,
    value_of,
)
from gptme_reliability.surfaces.proxy.host import ProxyHost
from gptme_reliability.surfaces.proxy.inlet import check_density
from gptme_reliability.surfaces.proxy.metrics import repairs_of
from gptme_reliability.surfaces.proxy.outlet import Outlet
from gptme_reliability.surfaces.proxy.refusing import failure_event
from gptme_reliability.surfaces.proxy.upstream import Answer, Sender, UpstreamFailed
from gptme_reliability.surfaces.served import Answer as Page
from gptme_reliability.surfaces.serving import (
    MOST_KEPT,
    UNPROCESSABLE,
    Reply,
    Rewritten,
    Serving,
    Stream,
)
from gptme_reliability.surfaces.task import MOST_BYTES, Task, encode

_COMPLETIONS: Final = "/chat/completions"
_PATHS: Final = frozenset({_COMPLETIONS, "/messages"})
_JSON: Final = (b"content-type", b"application/json")
_EVENTS: Final = (b"content-type", b"text/event-stream")
_ENCODED: Final = frozenset({b"content-length", b"content-encoding"})
_ONCE: Final = frozenset({b"idempotency-key"})
_REDIRECTS: Final = range(300, 400)
_MOST_CALLERS: Final = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came: ``path`` is what follows ``/v1``, with its query.

    ``adapter`` is set where the path does not tell the API that the client speaks.
    """

    method: str
    path: str
    headers: Headers
    body: bytes | None
    adapter: Adapter | None = None


class Callers:
    """What is remembered from request to request, each caller's own.

    What one is told about refused calls is nobody else's.  Those not heard of longest are
    forgotten first.
    """

    def __init__(self) -> None:
        self._memories: OrderedDict[bytes, Memory] = OrderedDict()

    def of(self, headers: Headers) -> Memory:
        """The memory for a request.

        Budgets are its own: two callers may well ask the same, and what failed is answered with
        an error that nobody repeats.
        """
        said = [value_of(headers, name) or b"" for name in sorted(CREDENTIALS)]
        caller = hashlib.sha256(b"\0".join(said)).digest()
        memory = self._memories.get(caller)
        if memory is None:
            memory = self._memories[caller] = Memory()
        self._memories.move_to_end(caller)
        while len(self._memories) > _MOST_CALLERS:
            self._memories.popitem(last=False)
        return Memory(memory.pending, Budgets(), memory.servers)


def may_be_checked(method: str, path: str) -> bool:
    """Whether a request, by what follows ``/v1``, is one of those that are looked at."""
    return method == "POST" and _plain(path) in _PATHS


def _plain(path: str) -> str:
    return path.partition("?")[0].rstrip("/")


@dataclass(frozen=True, slots=True)
class Offer:
    """A request as it goes on: with its task, or None for one that is passed on as it is."""

    asked: Asked
    task: Task | None
    sender: Sender


async def offer(
    asked: Asked, host: ProxyHost, memory: Memory, contracts: Contracts, sender: Sender
) -> Offer:
    """What is to be done about a request.

    Raises:
        Refused: it is too dense, or nobody knows how its model is to be sampled.
    """
    raw = asked.body
    if asked.method != "POST" or raw is None:
        return Offer(asked, None, sender)
    path = _plain(asked.path)
    adapter = asked.adapter or (adapter_for(path) if path in _PATHS else None)
    if adapter is None:
        return Offer(asked, None, sender)
    work = partial(_aside, len(raw) > HEAVY)
    body = await work(_read, raw)
    if body is None:
        return Offer(asked, None, sender)
    bound = None
    if path == _COMPLETIONS:  # cards speak of servers with OpenAI's API
        bound = await contracts.bind(host, body, asked.headers, sender)
    if bound is not None:
        agreed = bound.body(body)
        if agreed != body:
            asked, body = replace(asked, body=await work(encode, agreed)), agreed
    wanted = adapter.wanted(body)
    task = await work(prepare, host, "", body, memory, adapter) if wanted else None
    return Offer(asked, task, bound or sender)


def _read(raw: bytes) -> dict[str, Any] | None:
    check_density(raw)
    return read_object(raw)


async def _aside(heavy: bool, work: Callable[..., Any], *given: Any) -> Any:
    """Do some work; in the thread for it where it may take long."""
    if heavy:
        return await asyncio.get_running_loop().run_in_executor(WORKER, work, *given)
    return work(*given)


class Chat:
    """One task, from the upstream to the client."""

    def __init__(
        self,
        asked: Asked,
        upstream: Sender,
        outlet: Outlet,
        host: ProxyHost,
        task: Task,
        ask: Callable[..., Awaitable[Page | None]],
    ) -> None:
        self._asked = asked
        self._upstream = upstream
        self._outlet = outlet
        self._host = host
        self._task = task
        self._ask = ask
        self._opened: list[Answer] = []
        self._mode = task.settings.mode
        self._size = len(asked.body or b"")

    async def run(self) -> None:
        """Serve it.

        Raises:
            UpstreamFailed: there is no answer, and the client was sent nothing yet.
        """
        drive: Drive[Reply] = Drive(
            Serving(self._task, UpstreamFailed).run(), self._perform, self._size
        )
        try:
            shown = await drive.piece()
            assert shown is None, "a response was shown before there was one"
            reply = drive.result
            if isinstance(reply, Stream):
                await self._stream(reply)
            elif isinstance(reply, Rewritten):
                headers = for_client(_answer(reply.response).headers, REWRITTEN)
                await self._outlet.whole(200, [*headers, _JSON, *self._trail()], reply.content)
            else:
                await self._instead(reply)
        finally:
            drive.close()
            for answer in self._opened:
                answer.close()

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Next):
            return await _answer(effect.response).next()
        if isinstance(effect, SendEffect):
            return await self._send(effect.content)
        if isinstance(effect, Read):
            return await _answer(effect.response).read(MOST_BYTES)
        if isinstance(effect, Ask):
            return await self._ask(effect.path, effect.body)
        return await asyncio.sleep(effect.seconds) if isinstance(effect, Wait) else None

    async def _send(self, content: bytes | None) -> Answer:
        asked = self._asked
        headers, body = asked.headers, asked.body
        if content is not None:
            headers = [pair for pair in headers if pair[0] not in _ONCE]
            body = content
        answer = await self._upstream.send(asked.method, asked.path, headers, body, decode=True)
        self._opened.append(answer)
        if answer.status_code in _REDIRECTS:
            raise UpstreamFailed("redirect")
        return answer

    async def _instead(self, instead: Instead) -> None:
        """A response of the upstream; a final error is one that nobody is to try again."""
        answer = _answer(instead.response)
        if instead.clearer is not None:
            status, body = instead.clearer
            headers = [*for_client(answer.headers, REWRITTEN), _JSON, *self._trail()]
            await self._outlet.whole(status, headers, body)
            return
        failed = instead.final and answer.status_code >= 500
        status = UNPROCESSABLE if failed else answer.status_code
        headers = [*for_client(answer.headers, _ENCODED), *self._trail()]
        first = answer.content
        rest = await answer.next()
        if rest is None:
            await self._outlet.whole(status, headers, first)
            return
        await self._outlet.start(status, headers)
        await self._outlet.write(first)
        while rest is not None:
            await self._outlet.write(rest)
            rest = await answer.next()
        await self._outlet.finish()

    async def _stream(self, stream: Stream) -> None:
        drive: Drive[Instead | None] = Drive(stream.steps, self._perform, self._size)
        upstream = _answer(stream.response)
        headers = for_client(upstream.headers, REWRITTEN)
        if self._mode == "on" and upstream.status_code < 400:
            self._outlet.promise([*headers, _EVENTS, *self._trail(known=False)])
        try:
            await self._pieces(stream, drive, headers)
        except UpstreamFailed as failed:
            if self._outlet.status is None:
                raise
            # The client is to see a fault, and a connection that breaks as the upstream's did.
            if self._mode == "on":
                await self._outlet.write(failure_event(failed, self._task.adapter))
            raise
        finally:
            drive.close()

    async def _pieces(
        self, stream: Stream, drive: Drive[Instead | None], headers: list[tuple[bytes, bytes]]
    ) -> None:
        """What fails before anything is shown still is a response of its own, with its status
        and headers, unless the client was kept waiting for too long, or got too much."""
        first: list[bytes] = []
        size = 0
        piece: bytes | None = b""
        while not stream.shown and size <= MOST_KEPT:
            if (piece := await drive.piece()) is None:
                break
            first.append(piece)
            size += len(piece)
        instead = drive.result if piece is None else None
        if instead is not None and self._outlet.status is None:
            await self._instead(instead)
            return
        if self._outlet.status is None:
            upstream = _answer(stream.response)
            kind = next((v for k, v in upstream.headers if k.lower() == b"content-type"), None)
            like = (b"content-type", kind) if kind and stream.like else _EVENTS
            status = upstream.status_code if upstream.status_code < 300 else 200
            await self._outlet.start(status, [*headers, like, *self._trail(known=piece is None)])
        if piece is None:
            end = b"".join(first) if instead is None else stream.fault(instead)
            await self._outlet.finish(end)
            return
        await self._outlet.write(b"".join(first))
        first.clear()
        while (piece := await drive.piece()) is not None:
            await self._outlet.write(piece)
        await self._outlet.finish(b"" if drive.result is None else stream.fault(drive.result))

    def _trail(self, *, known: bool = True) -> list[tuple[bytes, bytes]]:
        """What the headers say of what was done, as far as it is known yet."""
        trail = [(b"x-reliability-mode", self._mode.encode()), *self._host.card()]
        report = self._host.report
        if known and report is not None:
            attempts = len(report.outcome.attempts) if report.outcome else 1
            trail.append((b"x-reliability-attempts", b"%d" % attempts))
            trail.append((b"x-reliability-repairs", b"%d" % repairs_of(report)))
        return trail


def _answer(response: Response) -> Answer:
    """A response as what it is: all of them come from the upstream."""
    assert isinstance(response, Answer)
    return response
