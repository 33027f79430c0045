"""Chunks of a stream that are alike but for their text.

A server writes one chunk of an answer like the next: the same bytes around another piece of
text.  What stands around it is read once, and then known by its bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

# A text that stands in JSON as it is, without an escape.
_PLAIN: Final = re.compile(r'"([^"\\\x00-\x1f]+)"')
_MARK: Final = "\0"
# Outside of a string this is no JSON.
_WRITTEN_MARK: Final = r'"\u0000"'
_MOST_TRIES: Final = 4


class Alike:
    """Knows chunks with nothing but text by one of them that was read."""

    def __init__(self) -> None:
        self._before = self._behind = ""
        self._tries = 0

    def text(self, data: str) -> str | None:
        """The text of a chunk that is like the one learned from; None for any other."""
        before, behind = self._before, self._behind
        if not before or not data.startswith(before) or not data.endswith(behind):
            return None
        found = _PLAIN.fullmatch(data, len(before), len(data) - len(behind))
        if found is None:
            return None
        self._tries = 0
        return found[1]

    def learn(self, data: str, chunk: Mapping[str, Any], text: str) -> None:
        """Know chunks like this one, where that is safe; ``data`` is the JSON it was read from.

        It is safe if a mark in place of the bytes of the text is read as its text, and changes
        nothing else.
        """
        self._tries += 1
        before, found, behind = data.partition(f'"{text}"')
        if not found or self._tries > _MOST_TRIES:  # where no two are alike, it is of no use
            return
        try:
            marked = json.loads(f"{before}{_WRITTEN_MARK}{behind}")
            delta = marked["choices"][0]["delta"]
            if delta["content"] != _MARK:
                return
            delta["content"] = text
            same = bool(marked == chunk)
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        if same:
            self._before, self._behind = before, behind
