"""Which headers go on: all but those that belong to one connection, or to the proxy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Final, TypeAlias

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""

# RFC 9110, section 7.6.1, and what is older and still sent.
_HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
# The upstream has a name, a length and a key of its own.
_OF_THIS_SIDE: Final = frozenset({b"host", b"content-length", b"expect"})
_UNSENDABLE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
CREDENTIALS: Final = frozenset({b"authorization", b"x-api-key"})
REWRITTEN: Final = frozenset({b"content-length", b"content-encoding", b"content-type"})
"""Headers that speak of the bytes of a body, and do not hold for another one."""


def value_of(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header; None where there is none."""
    return next((value for key, value in headers if key == name), None)


def for_upstream(headers: Headers, without: Collection[bytes] = ()) -> list[tuple[bytes, bytes]]:
    """The headers of a request as they go on."""
    return [pair for pair in _end_to_end(headers) if pair[0] not in without]


def for_client(
    headers: Iterable[tuple[bytes, bytes]], without: Collection[bytes] = ()
) -> list[tuple[bytes, bytes]]:
    """The headers of a response as they go on; what no header can hold is left out."""
    lowered = [(name.lower(), value) for name, value in headers]
    named = _named(lowered)
    return [
        (name, value)
        for name, value in lowered
        if name not in _HOP_BY_HOP
        and name not in named
        and name not in without
        and not _UNSENDABLE.search(value)
    ]


def _end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    named = _named(headers)
    return [
        (name, value)
        for name, value in headers
        if name not in _HOP_BY_HOP and name not in _OF_THIS_SIDE and name not in named
    ]


def _named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that ``Connection`` says to be of this connection only."""
    return frozenset(
        part.strip().lower()
        for name, value in headers
        if name == b"connection"
        for part in value.split(b",")
    )
