"""Bodies of requests that come compressed: unpacked within bounds, so that they can be checked."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from gptme_reliability.surfaces.proxy.chat import Asked
from gptme_reliability.surfaces.proxy.driving import WORKER
from gptme_reliability.surfaces.proxy.headers import value_of
from gptme_reliability.surfaces.proxy.inlet import too_large

_ENCODING: Final = b"content-encoding"
_AS_GZIP: Final = 16 + zlib.MAX_WBITS
# What is called deflate has a header of its own, which some leave out.
_WINDOWS: Final[Mapping[bytes, tuple[int, ...]]] = {
    b"gzip": (_AS_GZIP,),
    b"x-gzip": (_AS_GZIP,),
    b"deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}


async def unpacked(asked: Asked, most: int) -> Asked:
    """The request with its body as it is meant; the same where nobody here can unpack it.

    Raises:
        Refused: it is larger than ``most`` bytes when it is unpacked.
    """
    windows = _WINDOWS.get((value_of(asked.headers, _ENCODING) or b"").strip().lower(), ())
    if not asked.body or not windows:
        return asked
    # A few bytes may be very many when they are unpacked.
    work = asyncio.get_running_loop().run_in_executor(WORKER, _unpack, asked.body, windows, most)
    body = await work
    if body is None:
        return asked
    headers = [pair for pair in asked.headers if pair[0] != _ENCODING]
    return replace(asked, headers=headers, body=body)


def _unpack(raw: bytes, windows: tuple[int, ...], most: int) -> bytes | None:
    for window in windows:
        reader = zlib.decompressobj(window)
        try:
            body = reader.decompress(raw, most + 1)
        except zlib.error:
            continue
        if len(body) > most:
            raise too_large(most)
        # More behind its end would be a second one: whoever reads it may read both, or one.
        return body if reader.eof and not reader.unused_data else None
    return None
