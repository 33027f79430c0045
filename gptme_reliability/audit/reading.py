"""A log of gptme, line by line, in constant memory.

A line is what ``Message.to_dict`` in ``gptme/message.py`` writes; gptme 0.32 to 0.35 differ in
what ``metadata`` holds, older ones have the token figures beside ``model`` instead of under
``usage``.  What a run dies of is a message with ``metadata.error`` since 0.35.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

_LONGEST: Final = 32 * 1024 * 1024
_ROLES: Final = frozenset({"system", "user", "assistant"})
CHARS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a log; None is what the log does not say.

    ``tool`` is the one whose result it is; ``output_tokens`` is the server's figure; ``line`` is
    its number in the file, from 1.
    ``fresh`` is False where a branch repeats what stands in the conversation that it left.
    """

    role: str
    content: str
    call_id: str | None = None
    tool: str | None = None
    model: str | None = None
    output_tokens: int | None = None
    error: str | None = None
    degenerate: bool = False
    fresh: bool = True
    line: int = 0

    @property
    def tokens(self) -> int:
        """The server's figure, else a quarter of the characters."""
        if self.output_tokens is not None:
            return self.output_tokens
        return -(-len(self.content) // CHARS_PER_TOKEN)


@dataclass(slots=True)
class Lines:
    """How many lines were read, how many of them are no messages, and bytes read."""

    read: int = 0
    broken: int = 0
    size: int = 0


def read_log(path: Path, lines: Lines, trunk: Path | None = None) -> Iterator[Message]:
    """The messages of a log in order; lines that are none are counted and skipped.

    ``trunk`` is the conversation from which a branch was made: what both begin with is not fresh.

    Raises:
        OSError: a file cannot be read.
    """
    with path.open("rb") as file:
        if trunk is None:
            yield from _messages(file, lines, None)
            return
        with trunk.open("rb") as other:
            yield from _messages(file, lines, other)


def _messages(file: IO[bytes], lines: Lines, trunk: IO[bytes] | None) -> Iterator[Message]:
    shared = trunk is not None
    for number, line in enumerate(_lines(file), start=1):
        if shared and trunk is not None:
            shared = line.strip() == trunk.readline(_LONGEST).strip()
        lines.size += len(line)
        if not line.strip():
            continue
        message = read_message(line, number, fresh=not shared)
        if not shared:
            lines.read += 1
            lines.broken += message is None
        if message is not None:
            yield message


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines, one that is too long in pieces of which none is JSON."""
    while line := file.readline(_LONGEST):
        yield line


def read_message(line: bytes, number: int, *, fresh: bool = True) -> Message | None:
    """The message that a line holds; None where it holds none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    role, content = row.get("role"), row.get("content")
    if not isinstance(role, str) or role not in _ROLES or not isinstance(content, str):
        return None
    meta = row.get("metadata")
    meta = meta if isinstance(meta, Mapping) else {}
    return Message(
        role=role,
        content=content,
        call_id=_text(row.get("call_id")),
        tool=_text(meta.get("tool")),
        model=_text(meta.get("model")),
        output_tokens=_output_tokens(meta),
        error=(_text(meta.get("error_class")) or "generic") if meta.get("error") is True else None,
        degenerate=isinstance(meta.get("degeneration"), Mapping),
        fresh=fresh,
        line=number,
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _output_tokens(meta: Mapping[str, Any]) -> int | None:
    usage = meta.get("usage")
    figures = usage if isinstance(usage, Mapping) else meta
    found = figures.get("output_tokens")
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else None
