"""How much JSON a body holds beside its strings.

JSON is read and written in one go, in which no other thread gets its turn.  A string costs that
next to nothing, whatever its length; what stands between the strings costs it a thousand times
as much.  So a body is bounded by that, too.
"""

from __future__ import annotations

from typing import Final

MOST_MARKS: Final = 1_000_000
"""Characters of JSON outside strings, white space aside, up to which a body is read: some tens of
milliseconds.  A request with a hundred tools has a tenth of them."""

# A piece at a time, so that others get their turn between them.
_PIECE: Final = 64 * 1024
_BLANK: Final = b" \t\r\n"


def too_dense(body: bytes) -> bool:
    """Whether this JSON holds more outside its strings than is read."""
    if len(body) <= MOST_MARKS:
        return False
    marks = at = inside = 0
    while at < len(body) and marks <= MOST_MARKS:
        piece = body[at : at + _PIECE]
        at += len(piece)
        if at < len(body) and _ends_in_an_escape(piece):
            piece = piece[:-1]
            at -= 1
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        marks += len(b"".join(parts[inside::2]).translate(None, _BLANK))
        inside = (inside + len(parts) - 1) % 2
    return marks > MOST_MARKS


def _ends_in_an_escape(piece: bytes) -> bool:
    return (len(piece) - len(piece.rstrip(b"\\"))) % 2 == 1
