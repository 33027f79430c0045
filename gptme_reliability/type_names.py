"""Names of types as authors of tools write them, and what JSON schema has for each.

Pure, and imports nothing of ours.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Final

JSON_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object", "null"})
"""The names that JSON schema itself knows."""

_NAMES: Final = {
    "string": "string str text varchar char character unicode uuid date datetime date-time time "
    "email uri url file path filepath filename binary bytes password",
    "integer": "integer int int8 int16 int32 int64 uint uint8 uint16 uint32 uint64 long short "
    "bigint",
    "number": "number float float32 float64 double decimal numeric real",
    "boolean": "boolean bool",
    "array": "array list tuple set frozenset sequence iterable collection arraylist",
    "object": "object dict dictionary map mapping hashmap record struct",
    "null": "null none nonetype nil",
    "": "any unknown mixed json",  # any value at all
}
_TYPE_OF: Final = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_UNIONS: Final = frozenset({"union", "optional"})
_LONGEST: Final = 200
_DEEPEST: Final = 8
_TOKEN: Final = re.compile(
    r"\s{0,8}(?:(?P<text>\"[^\"\\]{0,80}\"|'[^'\\]{0,80}')|(?P<number>-?[0-9]{1,15})"
    r"|(?P<name>[A-Za-z_][\w.\-]{0,60})|(?P<sign>\.\.\.|\[\]|[\[\]<>|,?]))"
)
_QUALIFIERS: Final = re.compile(r"(?:typing|builtins|collections\.abc|java\.(?:lang|util))\.")
_NOT_REQUIRED: Final = re.compile(r"\s{0,4},\s{0,4}optional\s{0,4}\Z", re.IGNORECASE)
_OPENERS: Final = {"[": "]", "<": ">"}


@lru_cache(maxsize=512)
def _parsed(text: str) -> str | None:
    """The schema as JSON text, so that no caller can change what is kept here."""
    try:
        return json.dumps(_Parser(_NOT_REQUIRED.sub("", text)).schema())
    except _UnreadableError:
        return None


def type_schema(text: str) -> dict[str, Any] | None:
    """The schema that a type's name stands for: ``List[int]`` is an array of integers.

    ``any`` gives an empty schema; None means that the name says nothing to us.
    """
    if len(text) > _LONGEST:
        return None
    found = _parsed(text)
    return None if found is None else json.loads(found)


def united(members: list[dict[str, Any]]) -> dict[str, Any]:
    """A schema that each of these satisfies: a list of types where that says it all."""
    if {} in members:
        return {}
    members = [m for at, m in enumerate(members) if m not in members[:at]]
    if len(members) == 1:
        return members[0]
    if all(set(member) == {"type"} for member in members):
        kinds = [kind for member in members for kind in _several(member["type"])]
        return {"type": list(dict.fromkeys(kinds))}
    return {"anyOf": members}


def _several(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


class _UnreadableError(Exception):
    """The text is no name of a type."""


class _Parser:
    """``union := item ('|' item)*``, ``item := (literal | name arguments?) ('[]' | '?')*``."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, text = 0, text.strip()
        while at < len(text):
            token = _TOKEN.match(text, at)
            if token is None or token.lastgroup is None:
                raise _UnreadableError
            self._tokens.append((token.lastgroup, token[token.lastgroup]))
            at = token.end()
        self._at = 0

    def schema(self) -> dict[str, Any]:
        found = self._union(_DEEPEST)
        if self._at != len(self._tokens):
            raise _UnreadableError
        return found

    def _union(self, depth: int) -> dict[str, Any]:
        members = [self._item(depth)]
        while self._skip("|"):
            members.append(self._item(depth))
        return united(members)

    def _item(self, depth: int) -> dict[str, Any]:
        if depth <= 0 or self._at >= len(self._tokens):
            raise _UnreadableError
        kind, word = self._tokens[self._at]
        self._at += 1
        if kind != "name":
            raise _UnreadableError
        found = self._named(_QUALIFIERS.sub("", word).lower(), depth)
        while True:
            if self._skip("[]"):
                found = {"type": "array", "items": found} if found else {"type": "array"}
            elif self._skip("?"):
                found = united([found, {"type": "null"}])
            else:
                return found

    def _named(self, name: str, depth: int) -> dict[str, Any]:
        opener = next((sign for sign in _OPENERS if self._skip(sign)), None)
        if name == "literal" and opener:
            return self._literal(_OPENERS[opener])
        if opener is None:
            if name not in _TYPE_OF:
                raise _UnreadableError
            return {"type": _TYPE_OF[name]} if _TYPE_OF[name] else {}
        inner, endless = self._arguments(_OPENERS[opener], depth - 1)
        if name in _UNIONS:
            return united([*inner, {"type": "null"}] if name == "optional" else inner)
        return _generic(name, inner, endless)

    def _arguments(self, closer: str, depth: int) -> tuple[list[dict[str, Any]], bool]:
        found: list[dict[str, Any]] = []
        while True:
            if self._skip("..."):
                self._expect(closer)
                return found, True
            found.append(self._union(depth))
            if not self._skip(","):
                self._expect(closer)
                return found, False

    def _literal(self, closer: str) -> dict[str, Any]:
        values: list[Any] = []
        while self._at < len(self._tokens):
            kind, word = self._tokens[self._at]
            self._at += 1
            if kind not in ("text", "number"):
                raise _UnreadableError
            values.append(word[1:-1] if kind == "text" else int(word))
            if not self._skip(","):
                break
        self._expect(closer)
        return {"enum": values}

    def _skip(self, sign: str) -> bool:
        here = self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign)
        self._at += here
        return here

    def _expect(self, sign: str) -> None:
        if not self._skip(sign):
            raise _UnreadableError


def _generic(name: str, inner: list[dict[str, Any]], endless: bool) -> dict[str, Any]:
    """A container with what is in it: ``dict[str, int]``, ``tuple[int, int]``, ``set[str]``."""
    kind = _TYPE_OF.get(name)
    if kind == "array" and name == "tuple" and not endless and len(inner) > 1:
        size = len(inner)
        return {"type": "array", "prefixItems": inner, "minItems": size, "maxItems": size}
    if kind == "array" and len(inner) == 1:
        return {"type": "array", "items": inner[0]} if inner[0] else {"type": "array"}
    if kind == "object" and len(inner) == 2:
        return {"type": "object", "additionalProperties": inner[1]} if inner[1] else {"type": kind}
    raise _UnreadableError
