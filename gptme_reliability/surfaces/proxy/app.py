"""The proxy as an application: what comes in under ``/v1`` goes to the upstream.

Chat completions with tools are checked on the way (``chat``), everything else goes through in
the bytes it came in (``Service._pass``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gptme_reliability import __version__
from gptme_reliability.surfaces.proxy.account import Done, log
from gptme_reliability.surfaces.proxy.bridge import bridged, is_messages
from gptme_reliability.surfaces.proxy.chat import Asked, Callers, Chat, Offer, may_be_checked, offer
from gptme_reliability.surfaces.proxy.contracts import Contracts
from gptme_reliability.surfaces.proxy.counting import CountingHost, counting, is_count
from gptme_reliability.surfaces.proxy.guard import Guard
from gptme_reliability.surfaces.proxy.headers import for_client, value_of
from gptme_reliability.surfaces.proxy.host import ProxyHost
from gptme_reliability.surfaces.proxy.inlet import Departure, Gone, Inlet, uncancel
from gptme_reliability.surfaces.proxy.metrics import Metrics
from gptme_reliability.surfaces.proxy.options import ModelSettings, Options
from gptme_reliability.surfaces.proxy.outlet import Outlet, Ticker
from gptme_reliability.surfaces.proxy.packing import unpacked
from gptme_reliability.surfaces.proxy.refusing import Refused, error_body
from gptme_reliability.surfaces.proxy.shared import Shared
from gptme_reliability.surfaces.proxy.trace_file import TraceFile
from gptme_reliability.surfaces.proxy.upstream import Sender, Upstream, UpstreamFailed
from gptme_reliability.surfaces.task import where

LOG: Final = logging.getLogger("gptme_reliability.proxy")

ABORT: Final = "abort"
"""Where in a request's state the function stands that ends its connection at once."""
DEPARTURES: Final = "departures"
"""Where those stand that its connection tells when it is lost."""

_PREFIX: Final = "/v1"
_JSON: Final = (b"content-type", b"application/json")
_LATER: Final = ((b"retry-after", b"1"), (b"connection", b"close"))
_PROBE_EVERY_S: Final = 5.0
_PROBE_S: Final = 3.0
_PUBLISH_EVERY_S: Final = 1.0
# How long a question about the proxy's health waits for the upstream's.
_PROBE_WAIT_S: Final = 0.05


def build(options: Options) -> Guarded:
    """The application.

    Raises:
        ConfigError: the settings cannot be read.
    """
    settings = ModelSettings(
        options.config, sets=options.sets, observe=options.observe, upstream=options.upstream
    )
    service = Service(options, settings)
    starlette = Starlette(
        routes=[
            Route("/healthz", service.health),
            Route("/metrics", service.counts),
        ],
        exception_handlers={HTTPException: service.not_found},
        lifespan=service.lifespan,
    )
    starlette.router.redirect_slashes = False
    return Guarded(starlette, service, Guard(options), service.turned_away)


class Guarded:
    """Lets only those requests in that the guard lets in; none any more where ``draining``.

    What is for the upstream goes to ``api`` at once, everything else to ``pages``.
    """

    def __init__(
        self,
        pages: ASGIApp,
        api: ASGIApp,
        guard: Guard,
        turned_away: Callable[[Scope, Refused], None],
    ) -> None:
        self._pages = pages
        self._api = api
        self._guard = guard
        self._turned_away = turned_away
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                if self.draining:
                    raise Refused(503, "shutting_down", "the proxy is about to end")
                permission = self._guard.permission(scope["method"], scope["headers"])
                if permission is not None:
                    await Outlet(send).whole(204, permission, b"")
                    return
                self._guard.check(scope["path"], scope["headers"])
            except Refused as refused:
                headers = [_JSON, *(_LATER if self.draining else ())]
                body = error_body(refused, scope["path"])
                await Outlet(send).whole(refused.status, headers, body)
                self._turned_away(scope, refused)
                return
            if scope["path"].startswith(_PREFIX + "/"):
                await self._api(scope, receive, send)
                return
        await self._pages(scope, receive, send)


class Service:
    """What is behind the routes, and what they share."""

    def __init__(self, options: Options, settings: ModelSettings) -> None:
        self._options = options
        self._settings = settings
        self._metrics = Metrics()
        self._callers = Callers()
        self._shared = (
            Shared(options.shared, options.worker, self._metrics) if options.shared else None
        )
        self._trace = TraceFile(options.trace) if options.trace else None
        self._ticker = Ticker(options.keep_alive, options.stall, options.longest)
        self._upstream: Upstream
        self._contracts: Contracts
        self._probed = float("-inf")
        self._probing: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """What lives as long as the event loop does."""
        self._upstream = Upstream(self._options)
        self._contracts = Contracts(self._options, self._upstream)
        running = [asyncio.ensure_future(self._ticker.run())]
        if self._shared is not None:
            running.append(asyncio.ensure_future(self._publish(self._shared)))
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            if self._shared is not None:
                with suppress(OSError):
                    self._shared.publish()
            if self._trace is not None:
                self._trace.close()
            if self._probing is not None:
                self._probing.cancel()
            self._contracts.close()
            await self._upstream.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request under ``/v1``."""
        task = asyncio.current_task()
        assert task is not None
        outlet = Outlet(send, task)
        done = Done(scope, time.monotonic())
        self._metrics.open += 1
        self._ticker.outlets.add(outlet)
        try:
            await self._answer(scope, receive, outlet, task, done)
        except Refused as refused:
            done.why = refused.code
            if isinstance(refused, UpstreamFailed):
                self._metrics.failed(refused.why)
            else:
                done.kind = "refused"
            # Behind the first bytes, a connection that breaks is what says it.
            if outlet.status is None:
                await outlet.whole(refused.status, [_JSON], error_body(refused, scope["path"]))
        except Gone:
            done.why = "client_left"
        except asyncio.CancelledError:
            if not (done.left or outlet.stalled or outlet.overdue):
                raise
            uncancel(task)
            done.why = _why_ended(outlet)
            if outlet.overdue and outlet.status is None:
                late = Refused(504, "request_timeout", "the request took too long")
                await outlet.whole(504, [_JSON], error_body(late, scope["path"]))
                return
            abort = scope.get("state", {}).get(ABORT)
            if abort is not None:  # who does not read would never let a connection end well
                abort()
        except Exception as error:  # nobody's answer may depend on a fault of ours being known
            done.why = "internal_error"
            LOG.error("internal error: %s", where(error))
            if outlet.status is None:
                fault = Refused(500, "internal_error", "the proxy failed")
                await outlet.whole(500, [_JSON], error_body(fault, scope["path"]))
        finally:
            done.stop()
            self._ticker.outlets.discard(outlet)
            self._metrics.open -= 1
            self._account(done, outlet.status)

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        outlet: Outlet,
        task: asyncio.Task[Any],
        done: Done,
    ) -> None:
        options, headers = self._options, scope["headers"]
        path = _path(scope)
        inlet = Inlet(receive, task, options.stall)
        self._ticker.inlets.add(inlet)
        try:
            body = await inlet.body(headers, options.most_body)
        finally:
            self._ticker.inlets.discard(inlet)
        done.departure = Departure(scope["state"].setdefault(DEPARTURES, set()), task)
        came = opened = Asked(scope["method"], path, headers, body)
        if may_be_checked(came.method, path) or is_count(came.method, path):
            opened = await unpacked(came, options.most_body)
        if is_count(came.method, path):
            await self._count(opened, outlet, done)
            return
        done.host = host = ProxyHost(self._settings, self._metrics.reported, self._contracts)
        asked = opened
        sender: Sender = self._upstream
        if options.upstream_api == "openai" and is_messages(path):
            asked, sender = await bridged(asked, sender)
        offered = await offer(asked, host, self._callers.of(headers), self._contracts, sender)
        if offered.task is None:
            if body and value_of(opened.headers, b"content-encoding"):
                done.why = "encoded"  # nobody here could read whether there are tools in it
            if offered.asked is opened:
                offered = replace(offered, asked=came)
            await self._pass(offered, outlet, host)
        else:
            done.kind = "checked"
            ask = partial(self._contracts.ask, headers=headers)
            await Chat(offered.asked, offered.sender, outlet, host, offered.task, ask).run()

    async def _count(self, asked: Asked, outlet: Outlet, done: Done) -> None:
        """How many tokens a request would be."""
        done.host = host = CountingHost(self._settings, self._metrics.reported, self._contracts)
        memory, api = self._callers.of(asked.headers), self._options.upstream_api
        offered = await counting(asked, host, memory, self._contracts, self._upstream, api)
        await self._pass(offered, outlet, host)

    async def _pass(self, offered: Offer, outlet: Outlet, host: ProxyHost) -> None:
        """Every byte as it came, there and back."""
        asked = offered.asked
        answer = await offered.sender.send(asked.method, asked.path, asked.headers, asked.body)
        try:
            headers = [*for_client(answer.headers), *host.card()]
            await outlet.start(answer.status_code, headers)
            await outlet.write(answer.content)
            while (chunk := await answer.next()) is not None:
                await outlet.write(chunk)
        finally:
            answer.close()
        await outlet.finish()

    def _account(self, done: Done, status: int | None) -> None:
        seconds = time.monotonic() - done.began
        self._metrics.answered(done.kind, status or 0, seconds)
        if done.why in ("client_left", "client_stalled"):
            self._metrics.left()
        report = None if done.host is None else done.host.report
        for note in () if report is None else report.notes:
            LOG.warning("%s", note)
        if self._trace is None and not LOG.isEnabledFor(logging.INFO):
            return
        fields = done.fields(status, seconds)
        log(LOG, fields)
        if self._trace is not None:
            host = done.host
            model = "" if host is None else host.model
            level = self._settings.of(model).values["trace"]
            if level != "off":
                agreement = None if host is None else host.agreement
                self._trace.add(fields, model, report, agreement, full=level == "full")

    async def _publish(self, shared: Shared) -> None:
        """Let the other workers know the counts, until cancelled."""
        while True:
            await asyncio.sleep(_PUBLISH_EVERY_S)
            with suppress(OSError):
                shared.publish()

    def turned_away(self, scope: Scope, refused: Refused) -> None:
        """Log and count a request that got nowhere."""
        self._metrics.answered("refused", refused.status, 0.0)
        log(LOG, Done.refused(scope, refused.code).fields(refused.status, 0.0))

    async def not_found(self, request: Request, error: Exception) -> Response:
        """An error for a path, or a method, that is not served."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        refused = Refused(status, "not_found", f"there is nothing here: the API is under {_PREFIX}")
        self.turned_away(request.scope, refused)
        body = error_body(refused, request.url.path)
        return Response(body, status, media_type="application/json")

    async def health(self, _request: Request) -> Response:
        """That the proxy is there, and what it knows of the upstream."""
        now = time.monotonic()
        if now - self._probed > _PROBE_EVERY_S and (self._probing is None or self._probing.done()):
            self._probed = now
            self._probing = asyncio.ensure_future(self._probe())
            await asyncio.wait({self._probing}, timeout=_PROBE_WAIT_S)
        words = {True: "ok", False: "down", None: "unknown"}
        upstream = words[self._upstream.reachable]
        return JSONResponse({"status": "ok", "upstream": upstream, "version": __version__})

    async def _probe(self) -> None:
        with suppress(Exception):
            try:
                await asyncio.wait_for(self._upstream.probe(), _PROBE_S)
            except asyncio.TimeoutError:
                self._upstream.reachable = False

    async def counts(self, _request: Request) -> Response:
        """The counts, as Prometheus reads them."""
        metrics = self._metrics if self._shared is None else self._shared.all()
        text = metrics.text(self._upstream.reachable)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _path(scope: Scope) -> str:
    """What follows ``/v1``, with its query, in the bytes it came in.

    Raises:
        Refused: it leads out of there.
    """
    # Some servers take what follows a semicolon for a parameter of the segment.
    parts = scope["path"].replace("\\", "/").split("/")
    decoded = [part.partition(";")[0] for part in parts]
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    if ".." in decoded or "." in decoded or not raw.startswith(_PREFIX + "/"):
        raise Refused(400, "bad_path", f"a path must stay under {_PREFIX}")
    query = scope["query_string"].decode("latin-1")
    rest = raw[len(_PREFIX) :]
    return f"{rest}?{query}" if query else rest


def _why_ended(outlet: Outlet) -> str:
    if outlet.overdue:
        return "overdue"
    return "client_stalled" if outlet.stalled else "client_left"
