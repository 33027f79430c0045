"""The proxy as a process: uvicorn, with bounds on what a connection may cost before a request."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from typing import Any, Final

import uvicorn

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.proxy.account import log
from gptme_reliability.surfaces.proxy.app import ABORT, DEPARTURES, LOG, Guarded, build
from gptme_reliability.surfaces.proxy.corking import Corked
from gptme_reliability.surfaces.proxy.options import Options
from gptme_reliability.surfaces.proxy.warming import warm_up

_MOST_HEAD: Final = 64 * 1024
_HEAD_S: Final = 30.0
_IDLE_S: Final = 75
_BACKLOG: Final = 1024
_LOOK_EVERY_S: Final = 0.05
_TURN_S: Final = 0.0001


class Server(uvicorn.Server):
    """Answers 503 while the last requests are finished, so that callers know what is going on."""

    def __init__(self, config: uvicorn.Config, app: Guarded) -> None:
        super().__init__(config)
        self._guarded = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is open, for as long as it may take, then stop listening."""
        self._guarded.draining = True
        grace = float(self.config.timeout_graceful_shutdown or 0)
        until = time.monotonic() + grace
        while self.server_state.tasks and not self.force_exit and time.monotonic() < until:
            await asyncio.sleep(_LOOK_EVERY_S)
        self.config.timeout_graceful_shutdown = max(1, round(until - time.monotonic()))
        await super().shutdown(sockets)


def make(options: Options) -> Server:
    """The server, not started.

    Raises:
        ConfigError: the settings cannot be read.
    """
    app = build(options)
    config = uvicorn.Config(
        app,
        http=_protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level=logging.CRITICAL,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=max(1, round(options.grace)),
        h11_max_incomplete_event_size=_MOST_HEAD,
    )
    return Server(config, app)


def serve(options: Options, listening: socket.socket) -> None:
    """Serve until a signal comes, which then takes its usual course.

    Raises:
        ConfigError: the settings cannot be read.
    """
    # Whoever waits for one of the other thread's turns to end must not wait long.
    sys.setswitchinterval(_TURN_S)
    running = make(options)
    warm_up()
    running.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket at this address.

    Raises:
        ConfigError: it cannot be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"cannot listen on {host} port {port}: {reason}") from None
    # Connections inherit it; asyncio itself sets it for sockets only that it made.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _protocol() -> Any:
    """How connections are read: by httptools, or by h11 where that does not install.

    h11 bounds the size of a request's head by itself, and not its time.
    """
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        from gptme_reliability.surfaces.proxy.steady import Steady
    except ImportError:
        return _plain_protocol()

    class Bounded(HttpToolsProtocol):
        """Ends a connection whose request's head is too long, or takes too long.

        Tells its requests when it is lost.
        """

        _head = 0
        _in_head = False
        _timer: asyncio.TimerHandle | None = None
        _declined = b""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]
            self.parser = Steady(self.parser, self._again)  # type: ignore[assignment]
            self.app_state = _state(self.app_state, transport)
            self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)
            _tell(self.app_state)

        def data_received(self, data: bytes) -> None:
            began_before = self._in_head  # else most of it may be of what came before this head
            super().data_received(data)
            if self._in_head and began_before:
                self._head += len(data)
                if self._head > _MOST_HEAD:
                    self.transport.abort()

        def on_message_begin(self) -> None:
            self._head, self._in_head = 0, True
            if self._timer is None:
                self._expect_head()
            super().on_message_begin()

        def on_header(self, name: bytes, value: bytes) -> None:
            # What follows a body in pieces is of no use, and without a bound.
            if self._in_head:
                super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._declined = self._without_offer() if self._offers() else b""
            if self._declined:
                return
            self._in_head = False
            self._stop_timer()
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            if not self._declined:
                super().on_message_complete()

        def send_400_response(self, msg: str) -> None:
            _log_no_http()
            super().send_400_response(msg)

        def _offers(self) -> bool:
            return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

        def _without_offer(self) -> bytes:
            version = self.parser.get_http_version().encode()
            lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
            lines += [b"%s: %s" % pair for pair in self.headers if pair[0] != b"upgrade"]
            return b"\r\n".join([*lines, b"", b""])

        def _again(self) -> bytes:
            return self._declined

        def _expect_head(self) -> None:
            self._timer = self.loop.call_later(_HEAD_S, self._abort)

        def _abort(self) -> None:
            self.transport.abort()

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Bounded


def _plain_protocol() -> Any:
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Plain(H11Protocol):
        """Lets requests end their connection, and tells them when it is lost."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]
            self.app_state = _state(self.app_state, transport)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            _tell(self.app_state)

        def send_400_response(self, msg: str) -> None:
            _log_no_http()
            super().send_400_response(msg)

    return Plain


def _state(state: dict[str, Any], transport: asyncio.Transport) -> dict[str, Any]:
    """What requests are told of their connection."""
    return {**state, ABORT: transport.abort, DEPARTURES: set()}


def _tell(state: dict[str, Any]) -> None:
    for departure in tuple(state[DEPARTURES]):
        departure.leave()


def _log_no_http() -> None:
    """Somebody speaks something else: TLS, as a rule."""
    fields = {"method": "", "path": "", "status": 400, "ms": 0, "kind": "refused", "why": "no_http"}
    log(LOG, fields)
