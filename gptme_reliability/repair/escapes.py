"""What the escapes of a string mean, where one meaning is left."""

from __future__ import annotations

import re
from typing import Final

from gptme_reliability.repair.reading import Broken
from gptme_reliability.types import RepairKind

# Escapes of Python that JSON does not have, and that nobody writes as letters by chance.
_PYTHON_ESCAPE: Final = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8}|N\{[A-Z][A-Z \-]{1,60}\})"
)
_ESCAPE: Final = re.compile(
    r"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u([0-9a-fA-F]{4})|(.))",
    re.DOTALL,
)
_ESCAPED: Final = {
    "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_PLAIN: Final = frozenset('"\\')
_QUOTES: Final = frozenset("'\u201c\u201d\u2018\u2019")
_MARKDOWN: Final = frozenset("_*")


def unescape(body: str, begin: int, rules: dict[str, RepairKind]) -> str:
    """The content of a string that starts at ``begin``, with its escapes read.

    The rules that they needed are added to ``rules``.

    Raises:
        Broken: an escape is incomplete, or could as well be a backslash and a letter.
    """
    if "\\" not in body:
        return body
    escapes = _Escapes(begin)
    content = _ESCAPE.sub(escapes.meaning, body)
    if escapes.unknown is not None and escapes.known:
        # One backslash is certainly a letter; then the others may be letters too.
        message = "a backslash may be an escape or a letter; write \\\\ for a backslash"
        raise Broken("ambiguous", begin + escapes.unknown, message)
    rules.update(escapes.rules)
    return content


class _Escapes:
    """The escapes of one string: what each means, and which kinds there are.

    ``unknown`` is where the first one stands that JSON does not have; ``known`` says that
    there is one whose backslash goes away, other than before a quote or a backslash.
    """

    def __init__(self, begin: int) -> None:
        self._begin = begin
        self.rules: dict[str, RepairKind] = {}
        self.unknown: int | None = None
        self.known = False

    def meaning(self, match: re.Match[str]) -> str:
        high, low, unit, char = match.groups()
        if char is None:
            self.known = True
            if high:
                return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)
            return chr(int(unit, 16))
        if char in _PLAIN:
            return str(char)
        if char in _QUOTES:
            self.rules["escaped_quote"] = "lossless"
            return str(char)
        if char in _ESCAPED:
            self.known = True
            return _ESCAPED[char]
        if char == "u":
            message = "the digits of an escape are incomplete"
            raise Broken("ambiguous", self._begin + match.start(), message)
        if char in _MARKDOWN:
            self.known = True
            self.rules["markdown_escape"] = "inferred"
            return str(char)
        if _PYTHON_ESCAPE.match(match.string, match.start()):
            message = "an escape of Python may be meant or its letters; write the character"
            raise Broken("ambiguous", self._begin + match.start(), message)
        self.rules["unknown_escape"] = "inferred"
        if self.unknown is None:
            self.unknown = match.start()
        return match[0]
