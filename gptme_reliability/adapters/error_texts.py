"""What an HTTP error says, wherever servers put it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

LONGEST_MESSAGE: Final = 4096
"""Characters of an error's text that go on where the server sent no error of its API's form."""

_DEEPEST: Final = 3
_MOST: Final = 8


def read_error(body: bytes) -> Any:
    """The JSON of an error's body, or else its text."""
    decoded = body.decode("utf-8-sig", errors="replace")
    try:
        return json.loads(decoded)
    except (ValueError, RecursionError):
        return decoded


def messages_of(error: Any, depth: int = _DEEPEST) -> Iterator[str]:
    """The messages of an error."""
    if isinstance(error, str):
        yield error
    elif isinstance(error, Mapping) and depth:
        for key in ("error", "message", "detail", "msg"):
            yield from messages_of(error.get(key), depth - 1)
    elif isinstance(error, list) and depth:
        for entry in error[:_MOST]:
            yield from messages_of(entry, depth - 1)
