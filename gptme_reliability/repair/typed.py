"""Values written as bare text between tags → values of the types that the schema wants.

The families that write arguments so say nothing about types: their own servers read them with
the tool's schema in hand, and so do we.  That is how the dialect is read, no repair; only what
is no plain literal of JSON or Python leaves one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.dialects.shapes import Untyped
from gptme_reliability.repair.reading import child_path
from gptme_reliability.repair.schemas import ALL_TYPES, Schemas, size_of
from gptme_reliability.repair.syntax import Fault, read_value
from gptme_reliability.types import Repair

_NULLS: Final = frozenset({"null", "None"})
# Templates print lists, objects and literals as Python does.
_PYTHON_SPELLINGS: Final = frozenset({"single_quotes", "python_literal"})
# A word without quotes is text, whatever else it could be read as.
_NO_LITERAL: Final = frozenset({"unquoted_string", "inner_quotes"})


def type_values(
    arguments: Mapping[str, Any], schema: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, Any], tuple[Repair, ...]]:
    """Give every bare text the type its parameter has.

    ``names`` maps the keys as written to the parameters that are meant.
    """
    typer = _Typer(Schemas(schema, 16 * size_of(arguments) + 1_000))
    typed: dict[str, Any] = {}
    for key, value in arguments.items():
        wanted = typer.schemas.members(schema, names.get(key, key))
        typed[key] = typer.value(value, wanted, child_path("$", key))
    return typed, tuple(typer.repairs)


class _Typer:
    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self.repairs: list[Repair] = []

    def value(self, value: Any, wanted: list[Any], path: str) -> Any:
        """The value typed by all the schemas that hold for it."""
        if isinstance(value, Untyped):
            return self._text(value, {"allOf": wanted}, path)
        if isinstance(value, dict):
            return {
                key: self.value(
                    member,
                    [found for schema in wanted for found in self._members(schema, key)],
                    child_path(path, key),
                )
                for key, member in value.items()
            }
        if isinstance(value, list):
            return [
                self.value(
                    item,
                    [found for schema in wanted for found in self.schemas.items(schema, index)],
                    child_path(path, index),
                )
                for index, item in enumerate(value)
            ]
        return value

    def _members(self, schema: Any, key: str) -> list[Any]:
        """The member's schemas, also those of the only alternative that has it."""
        found = self.schemas.members(schema, key)
        for branches in self.schemas.branches(schema):
            options = [m for branch in branches if (m := self.schemas.members(branch, key))]
            if len(options) == 1:
                found += options[0]
        return found

    def _text(self, value: Untyped, schema: Mapping[str, Any], path: str) -> Any:
        text = str(value)
        if value.kind == "text":
            return text
        if value.kind is None:
            if text.strip() in _NULLS and self._states(schema) and self.schemas.fits(None, schema):
                return None
            if not self._states(schema) or self.schemas.fits(text, schema):
                return text
        literal = _literal(text)
        if literal is None:
            return text
        found, repairs = literal
        fits = self.schemas.fits(found, schema)
        if not fits and value.kind is None and not isinstance(found, dict | list):
            return text
        self.repairs += [replace(r, path=path + r.path[1:]) for r in repairs]
        return found

    def _states(self, schema: Mapping[str, Any]) -> bool:
        """Whether the schema says anything about the value's type."""
        return (
            self.schemas.types(schema) != ALL_TYPES
            or self.schemas.choices(schema) is not None
            or bool(self.schemas.branches(schema))
        )


def _literal(text: str) -> tuple[Any, tuple[Repair, ...]] | None:
    """The value that the whole text spells as a literal, with the repairs that took."""
    stripped = text.strip()
    reading = read_value(stripped)
    if isinstance(reading, Fault) or reading.missing_closers or stripped[reading.end :].strip():
        return None
    if any(repair.rule in _NO_LITERAL for repair in reading.repairs):
        return None
    return reading.value, tuple(r for r in reading.repairs if r.rule not in _PYTHON_SPELLINGS)
