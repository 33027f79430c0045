"""The server behind the proxy."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Final, Protocol

import aiohttp
from yarl import URL

from gptme_reliability.surfaces.proxy.headers import CREDENTIALS, Headers, for_upstream
from gptme_reliability.surfaces.proxy.options import Options
from gptme_reliability.surfaces.proxy.refusing import Refused

_LOG: Final = logging.getLogger(__name__)

_CONNECT_S: Final = 10.0
# Less than servers in Python keep an idle connection open, so that none is used that just closed.
_IDLE_S: Final = 4.0
_LARGE: Final = 1024 * 1024
_LONGEST_HEADER: Final = 32 * 1024
# Others are no end of a request, and no server can send them on.
_STATUSES: Final = range(200, 600)
# Any other would reach the client as it is, and without its name.  Some servers name the charset.
_DECODED: Final = frozenset({"", "identity", "utf-8", "gzip", "deflate", "br"})
# What nobody wrote must not be sent.
_NOT_MADE_UP: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class UpstreamFailed(Refused):
    """The upstream cannot be reached, fell silent, broke its answer off or sent what nobody can
    read; ``why`` says which."""

    def __init__(self, why: str) -> None:
        status = 504 if why == "timeout" else 502
        super().__init__(status, f"upstream_{why}", f"the upstream failed: {why}")
        self.why = why


class Answer:
    """A response of the upstream, opened; ``content`` is what was read of it at once."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._parts: list[bytes] = []
        self._ended = False

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self._response.status

    @property
    def headers(self) -> Headers:
        """The headers as they came."""
        return self._response.raw_headers

    @property
    def content(self) -> bytes:
        """What ``read`` has read; all of the body, unless that is too large."""
        if len(self._parts) != 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0]

    async def next(self) -> bytes | None:
        """The next bytes; None behind the last.

        Raises:
            UpstreamFailed: it broke off or fell silent.
        """
        if self._ended:
            return None
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            raise UpstreamFailed(_why(error)) from error
        self._ended = not chunk
        return chunk or None

    async def read(self, most: int) -> int:
        """Read all of it, or a little more than ``most`` bytes; return how many were read.

        Raises:
            UpstreamFailed: it broke off or fell silent.
        """
        size = sum(map(len, self._parts))
        while size <= most and (chunk := await self.next()) is not None:
            self._parts.append(chunk)
            size += len(chunk)
        return size

    def close(self) -> None:
        """Let go of the connection, which ends the request where it is not answered yet."""
        self._response.close()


class Sender(Protocol):
    """Sends requests to the upstream."""

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes | None,
        *,
        decode: bool = False,
    ) -> Answer:
        """See ``Upstream.send``."""


class Upstream:
    """Sends requests.  To be made and closed on the event loop that uses it."""

    def __init__(self, options: Options) -> None:
        self._base = options.upstream.rstrip("/")
        self._key = options.upstream_key
        self._api = options.upstream_api
        self._drops_key = bool(options.callers_keys) or self._key is not None
        silence = options.timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=silence),
            skip_auto_headers=_NOT_MADE_UP,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
        )
        self._told = ""
        self.reachable: bool | None = None

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes | None,
        *,
        decode: bool = False,
    ) -> Answer:
        """Send a request; ``path`` is what follows ``/v1``, with its query, as it came.

        ``decode`` takes the encoding off the body that comes back.  No redirect is followed.

        Raises:
            UpstreamFailed: there is no answer.
        """
        url = URL(self._base + path, encoded=True)
        return await self._send(method, url, headers, body, decode=decode)

    async def fetch(self, path: str, headers: Headers, body: bytes | None) -> Answer:
        """Fetch what stands at ``path`` of the server, beside its API: by POST if there is a body.

        Raises:
            UpstreamFailed: there is no answer.
        """
        kind = [] if body is None else [(b"content-type", b"application/json")]
        method = "GET" if body is None else "POST"
        url = URL(self._base.removesuffix("/v1") + path, encoded=True)
        return await self._send(method, url, [*headers, *kind], body, decode=True)

    async def _send(
        self, method: str, url: URL, headers: Headers, body: bytes | None, *, decode: bool
    ) -> Answer:
        try:
            response = await self._session.request(
                method,
                url,
                headers=self._headers(headers, decode=decode),
                data=_payload(body),
                allow_redirects=False,
                auto_decompress=decode,
            )
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
            self.reachable = not isinstance(error, aiohttp.ClientConnectorError)
            self._tell("" if self.reachable else str(error))
            raise UpstreamFailed(_why(error)) from error
        except ValueError as error:  # a header or path that HTTP cannot carry
            raise Refused(400, "bad_request", "this request cannot be passed on") from error
        self.reachable = True
        self._told = ""
        encoding = response.headers.get("content-encoding", "").strip().lower()
        if response.status not in _STATUSES or (decode and encoding not in _DECODED):
            response.close()
            raise UpstreamFailed("garbled")
        return Answer(response)

    def _tell(self, fault: str) -> None:
        """Log once why nobody is there: callers are only told that nobody is."""
        if fault and fault != self._told:
            _LOG.info("the upstream cannot be reached: %s", fault)
        self._told = fault

    async def probe(self) -> None:
        """Learn whether it is there: any answer will do."""
        try:
            answer = await self.send("GET", "/models", (), None)
        except Refused:
            self.reachable = False
        else:
            answer.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    def _headers(self, headers: Headers, *, decode: bool) -> list[tuple[str, str]]:
        without = set(CREDENTIALS) if self._drops_key else set()
        if decode:
            without.add(b"accept-encoding")
        sent = [(name.decode(), _text(value)) for name, value in for_upstream(headers, without)]
        if self._key and self._api == "anthropic":
            sent.append(("x-api-key", self._key))
        elif self._key:
            sent.append(("authorization", f"Bearer {self._key}"))
        return sent


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """A large body as a file, which is written piece by piece: others are to get their turn."""
    return io.BytesIO(body) if body is not None and len(body) > _LARGE else body


def _text(value: bytes) -> str:
    """A header as the text that is written as these bytes, where there is one."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _why(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "unreachable"
    return "disconnected"
