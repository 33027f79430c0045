"""Stays with HTTP/1.1 where a client offers to go over to another protocol.

Some clients offer HTTP/2 with every request, bodies included.  The parser takes what follows an
offer for bytes of the other protocol: the body is lost, or is read as the next request.  Nobody
has to take an offer (RFC 9110, section 7.8), so the head is read again without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools


class Steady:
    """A parser that goes on behind an offer.

    ``declined`` gives the head that was just read, without the offer.  Whatever is not fed goes
    to ``parser``.
    """

    def __init__(self, parser: httptools.HttpRequestParser, declined: Callable[[], bytes]) -> None:
        self._parser = parser
        self._declined = declined

    def feed_data(self, data: bytes) -> None:
        """Read on.

        Raises:
            httptools.HttpParserError: this is no HTTP.
        """
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._declined() + data[offer.args[0] :]
            else:
                return

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)
