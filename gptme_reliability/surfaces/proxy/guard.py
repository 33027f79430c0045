"""Who may ask: the names the proxy goes by, the pages that may call it, and the key.

A page in a browser can send requests to this machine, under a name of its own that leads here.
So a request must name an address or a host that the proxy goes by, and what comes from a page
must come from one that is allowed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from gptme_reliability.surfaces.proxy.headers import Headers, value_of
from gptme_reliability.surfaces.proxy.options import Options, is_local
from gptme_reliability.surfaces.proxy.refusing import Refused

_OPEN_PATHS: Final = frozenset({"/healthz"})
_WANTED_METHOD: Final = b"access-control-request-method"
_WANTED_HEADERS: Final = b"access-control-request-headers"
_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})


class Guard:
    """Lets requests in, or raises ``Refused``."""

    def __init__(self, options: Options) -> None:
        self._keys = tuple(_digest(key.encode()) for key in options.callers_keys)
        own = () if options.host in _ANY_ADDRESS else (options.host,)
        self._hosts = frozenset(host.lower() for host in (*own, *options.allow_hosts))
        self._any_host = "*" in self._hosts
        self._origins = frozenset(origin.lower().rstrip("/") for origin in options.allow_origins)

    def check(self, path: str, headers: Headers) -> None:
        """Let a request in.

        Raises:
            Refused: it is for another host, from a strange page, or without the key.
        """
        self._check_place(headers)
        if self._keys and path not in _OPEN_PATHS and not self._has_key(headers):
            told = "the proxy needs its API key, as a bearer token or as x-api-key"
            raise Refused(401, "invalid_api_key", told)

    def permission(self, method: str, headers: Headers) -> list[tuple[bytes, bytes]] | None:
        """The headers for a browser that asks whether a page may call; None where none asks.

        Browsers ask without the key, so that whoever wants a key has to answer.

        Raises:
            Refused: it may not.
        """
        if method != "OPTIONS" or not self._keys:
            return None
        origin, wanted = value_of(headers, b"origin"), value_of(headers, _WANTED_METHOD)
        if origin is None or wanted is None:
            return None
        self._check_place(headers)
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", wanted),
            (b"access-control-allow-headers", value_of(headers, _WANTED_HEADERS) or b""),
            (b"access-control-max-age", b"600"),
            (b"vary", b"Origin"),
        ]

    def _check_place(self, headers: Headers) -> None:
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) > 1:  # whoever else reads them may take another
            raise Refused(400, "host_not_clear", "a request has one Host")
        if not self._named(hosts[0] if hosts else None):
            told = "this host name is not served here; the proxy's --allow-host NAME changes that"
            raise Refused(403, "host_not_allowed", told)
        origin = value_of(headers, b"origin")
        if origin is None and value_of(headers, b"sec-fetch-site") == b"cross-site":
            # Images and links name no origin; browsers say this of them.
            origin = b"null"
        if origin is not None and not self._welcome(origin.decode("latin-1")):
            told = "this origin may not call the proxy; its --allow-origin ORIGIN changes that"
            raise Refused(403, "origin_not_allowed", told)

    def _named(self, host: bytes | None) -> bool:
        if self._any_host:
            return True
        name = _host_name("//" + (host or b"").decode("latin-1"))
        # Only a name can be made to lead elsewhere; an address is what it is.
        return name is not None and (name in self._hosts or is_local(name) or _is_address(name))

    def _welcome(self, origin: str) -> bool:
        if origin.lower() in self._origins or "*" in self._origins:
            return True
        name = _host_name(origin)
        return name is not None and is_local(name)

    def _has_key(self, headers: Headers) -> bool:
        given = value_of(headers, b"x-api-key") or b""
        scheme, _, token = (value_of(headers, b"authorization") or b"").partition(b" ")
        found = [given] + ([token.strip()] if scheme.lower() == b"bearer" else [])
        digests = [_digest(one) for one in found]
        # All are compared, so that the time tells nothing of which one was near.
        return any([hmac.compare_digest(one, key) for one in digests for key in self._keys])


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


@lru_cache(maxsize=64)
def _host_name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
