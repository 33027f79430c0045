"""The proxy as an application: what comes in under ``/v1`` goes to the upstream.

Chat completions with tools are checked on the way (``chat``), everything else goes through in
the bytes it came in (``Service._pass``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gptme_reliability import __version__
from gptme_reliability.surfaces.proxy.chat import Asked, Callers, Chat, offer
from gptme_reliability.surfaces.proxy.guard import Guard
from gptme_reliability.surfaces.proxy.headers import for_client
from gptme_reliability.surfaces.proxy.host import ProxyHost
from gptme_reliability.surfaces.proxy.inlet import Departure, Gone, read_body
from gptme_reliability.surfaces.proxy.metrics import Metrics, repairs_of
from gptme_reliability.surfaces.proxy.options import ModelSettings, Options
from gptme_reliability.surfaces.proxy.outlet import Outlet, Ticker
from gptme_reliability.surfaces.proxy.refusing import Refused, error_body
from gptme_reliability.surfaces.proxy.upstream import Upstream, UpstreamFailed
from gptme_reliability.surfaces.sampling import is_near
from gptme_reliability.surfaces.task import where

LOG: Final = logging.getLogger("gptme_reliability.proxy")

ABORT: Final = "abort"
"""Where in a request's state the function stands that ends its connection at once."""

_PREFIX: Final = "/v1"
_JSON: Final = (b"content-type", b"application/json")
_LONGEST_PATH: Final = 80
_PROBE_EVERY_S: Final = 5.0
_PROBE_S: Final = 3.0
# How long a question about the proxy's health waits for the upstream's.
_PROBE_WAIT_S: Final = 0.05


def build(options: Options) -> ASGIApp:
    """The application.

    Raises:
        ConfigError: the settings cannot be read.
    """
    near = is_near(urlsplit(options.upstream).hostname or "")
    settings = ModelSettings(options.config, observe=options.observe, own_server=near)
    service = Service(options, settings)
    starlette = Starlette(
        routes=[
            Route("/healthz", service.health),
            Route("/metrics", service.counts),
            Route(_PREFIX + "/{path:path}", service),
        ],
        exception_handlers={HTTPException: _not_found},
        lifespan=service.lifespan,
    )
    starlette.router.redirect_slashes = False
    return _Guarded(starlette, Guard(options))


class _Guarded:
    """Lets only those requests in that the guard lets in."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._guard.check(scope["path"], scope["headers"])
            except Refused as refused:
                await Outlet(send).whole(
                    refused.status, [_JSON], error_body(refused, scope["path"])
                )
                return
        await self._app(scope, receive, send)


class Service:
    """What is behind the routes, and what they share."""

    def __init__(self, options: Options, settings: ModelSettings) -> None:
        self._options = options
        self._settings = settings
        self._metrics = Metrics()
        self._callers = Callers()
        self._ticker = Ticker(options.keep_alive, options.stall)
        self._upstream: Upstream
        self._probed = float("-inf")
        self._probing: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """What lives as long as the event loop does."""
        self._upstream = Upstream(self._options)
        ticking = asyncio.ensure_future(self._ticker.run())
        try:
            yield
        finally:
            ticking.cancel()
            if self._probing is not None:
                self._probing.cancel()
            await self._upstream.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request under ``/v1``."""
        task = asyncio.current_task()
        assert task is not None
        outlet = Outlet(send, task)
        done = _Done(scope, time.monotonic())
        self._metrics.open += 1
        self._ticker.outlets.add(outlet)
        try:
            await self._answer(scope, receive, outlet, task, done)
        except Refused as refused:
            done.why = refused.code
            if isinstance(refused, UpstreamFailed):
                self._metrics.failed(refused.why)
            # Behind the first bytes, a connection that breaks is what says it.
            if outlet.status is None:
                await outlet.whole(refused.status, [_JSON], error_body(refused, scope["path"]))
        except Gone:
            done.why = "client_left"
        except asyncio.CancelledError:
            if not (done.left or outlet.stalled):
                raise
            _uncancel(task)
            done.why = "client_stalled" if outlet.stalled else "client_left"
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
        done: _Done,
    ) -> None:
        options, headers = self._options, scope["headers"]
        path = _path(scope)
        body = await read_body(receive, headers, options.most_body, options.stall)
        done.departure = Departure(receive, task)
        asked = Asked(scope["method"], path, headers, body)
        done.host = host = ProxyHost(self._settings.settings, self._metrics.reported)
        work = await offer(asked, host, self._callers.of(headers))
        if work is None:
            await self._pass(asked, outlet)
        else:
            done.kind = "checked"
            await Chat(asked, self._upstream, outlet, host, work).run()

    async def _pass(self, asked: Asked, outlet: Outlet) -> None:
        """Every byte as it came, there and back."""
        answer = await self._upstream.send(asked.method, asked.path, asked.headers, asked.body)
        try:
            await outlet.start(answer.status_code, for_client(answer.headers))
            while (chunk := await answer.next()) is not None:
                await outlet.write(chunk)
        finally:
            answer.close()
        await outlet.finish()

    def _account(self, done: _Done, status: int | None) -> None:
        seconds = time.monotonic() - done.began
        self._metrics.answered(done.kind, status or 0, seconds)
        if done.why in ("client_left", "client_stalled"):
            self._metrics.left()
        report = None if done.host is None else done.host.report
        for note in () if report is None else report.notes:
            LOG.warning("%s", note)
        if LOG.isEnabledFor(logging.INFO):
            LOG.info("%s", done.line(status, seconds))

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
        return PlainTextResponse(
            self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


class _Done:
    """What becomes of one request, for the log."""

    def __init__(self, scope: Scope, began: float) -> None:
        self._scope = scope
        self.began = began
        self.kind = "passed"
        self.why = ""
        self.host: ProxyHost | None = None
        self.departure: Departure | None = None

    @property
    def left(self) -> bool:
        """Whether the client left."""
        return self.departure is not None and self.departure.gone

    def stop(self) -> None:
        """Do not wait for the client to leave any more."""
        if self.departure is not None:
            self.departure.stop()

    def line(self, status: int | None, seconds: float) -> str:
        """One line without anything that a caller or a model wrote but the path."""
        path = "".join(c if c.isprintable() and c != " " else "?" for c in self._scope["path"])
        parts = [
            self._scope["method"],
            path[:_LONGEST_PATH],
            str(status or "-"),
            f"{seconds * 1000:.0f}ms",
            self.kind,
        ]
        report = None if self.host is None else self.host.report
        if report is not None:
            parts.append(f"mode={report.settings.mode}")
            if report.outcome is not None:
                verdict = report.outcome.verdict
                parts.append(f"verdict={type(verdict).__name__.lower()}")
                parts.append(f"attempts={len(report.outcome.attempts)}")
                parts.append(f"calls={len(verdict.calls)} refused={len(verdict.refused)}")
            parts.append(f"repairs={repairs_of(report)}")
            if report.error:
                parts.append("unread")
        return " ".join([*parts, self.why]).rstrip()


def _path(scope: Scope) -> str:
    """What follows ``/v1``, with its query, in the bytes it came in.

    Raises:
        Refused: it leads out of there.
    """
    decoded = scope["path"].replace("\\", "/").split("/")
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    if ".." in decoded or "." in decoded or not raw.startswith(_PREFIX + "/"):
        raise Refused(400, "bad_path", f"a path must stay under {_PREFIX}")
    query = scope["query_string"].decode("latin-1")
    rest = raw[len(_PREFIX) :]
    return f"{rest}?{query}" if query else rest


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"there is nothing here: the API is under {_PREFIX}"
    body = error_body(Refused(status, "not_found", message), request.url.path)
    return Response(body, status, media_type="application/json")


def _uncancel(task: asyncio.Task[Any]) -> None:
    """The cancellation was ours and is over; Python 3.10 does not count them."""
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()
