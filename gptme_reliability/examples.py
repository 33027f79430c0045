"""The shortest right call of a tool, built from its schema, and how it is spelled.

``...`` stands for every text that the schema leaves free: it is read as a placeholder, so that
an example which is merely repeated does not run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from gptme_reliability.corrections import likely_values, takes, unplaced, valid_values
from gptme_reliability.dialects.encode import ENCODERS, HOST_DIALECTS, EncodingError, encode
from gptme_reliability.resolve import properties, required
from gptme_reliability.types import Call, RefusedCall, ToolDefinition

PLACEHOLDER: Final = "..."
_DEEPEST: Final = 4
_MOST_ITEMS: Final = 8
_LONGEST_GIVEN: Final = 80
_MOST_STEPS: Final = 200
_LARGEST: Final = 1e300
# Names under which the decoder finds what an encoder writes.
_WRITTEN_BY: Final[Mapping[str, str]] = {"json": "plain_json", "python_call": "pythonic"}
_MISTRAL_ARRAY: Final = re.compile(r"\[TOOL_CALLS\]\s{0,8}\[")


def spelled(
    tool: ToolDefinition,
    dialect: str | None,
    named: Collection[str] = (),
    written: Mapping[str, Any] | None = None,
) -> tuple[str, bool]:
    """An example in a dialect, and whether it is a whole call or only the arguments as JSON."""
    arguments = example(tool, named, written)
    encoder = _WRITTEN_BY.get(dialect or "", dialect or "")
    if encoder in ENCODERS:
        defined = [tool] if encoder in HOST_DIALECTS else ()
        try:
            return encode([Call(tool.name, arguments)], encoder, defined), True
        except EncodingError:
            pass  # a name that this dialect cannot carry
    return json.dumps(arguments, ensure_ascii=False, default=str), False


def dialect_of(refused: Collection[RefusedCall]) -> str | None:
    """The dialect that the calls were written in; None when they were native, or none."""
    for call in refused:
        if call.dialect == "mistral" and _MISTRAL_ARRAY.match(call.written):
            return "mistral_array"
        if call.dialect is not None:
            return call.dialect
    return None


def example(
    tool: ToolDefinition, named: Collection[str] = (), written: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The shortest right arguments: the required ones, with those of ``named`` that exist.

    Of arguments that the model has ``written`` the valid ones stand there, as far as they are
    short, and what others may have been meant for; beside these nothing is made up.  A tool that
    requires none is shown with its first one.  Patterns and other rules on texts are not
    followed: a placeholder stands there.
    """
    declared = properties(tool)
    own = _own(tool, written) if written else {}
    if own and written:
        named = (*named, *own, *unplaced(tool, written))
    wanted = dict.fromkeys((*required(tool), *(name for name in named if name in declared)))
    sampler = _Sampler(tool.parameters, invents=not own)
    shown = {}
    for name in wanted or tuple(declared)[:1]:
        value = own[name] if name in own else sampler.value(declared.get(name), _DEEPEST)
        runs = bool(own) and name not in own and name in declared and takes(tool, name, value)
        shown[name] = PLACEHOLDER if runs and not _is_stated(declared[name], value) else value
    return shown


def _own(tool: ToolDefinition, written: Mapping[str, Any]) -> dict[str, Any]:
    values = {**valid_values(tool, written), **likely_values(tool, written)}
    return {name: value for name, value in values.items() if _is_short(value)}


def _choice(allowed: Any) -> str:
    """A placeholder that names the allowed texts, where they are few and short."""
    if not isinstance(allowed, list) or not all(isinstance(one, str) for one in allowed):
        return PLACEHOLDER
    named = f"<{' or '.join(allowed)}>"
    return named if allowed and len(named) <= _LONGEST_GIVEN else PLACEHOLDER


def _is_stated(schema: Any, value: Any) -> bool:
    """Whether the schema itself says that this is the value."""
    return isinstance(schema, Mapping) and any(one == value for one in _only(schema))


def _only(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The values that the schema leaves, or puts where none is given."""
    yield from (schema[key] for key in ("const", "default") if schema.get(key) is not None)
    allowed = schema.get("enum")
    if isinstance(allowed, list) and len(allowed) == 1:
        yield from allowed


class _Sampler:
    """Makes values of schemas; ``steps`` keep a schema that branches everywhere short.

    One that ``invents`` nothing leaves a placeholder for all that the schema leaves free.
    """

    def __init__(self, root: Mapping[str, Any], *, invents: bool) -> None:
        self._root = root
        self._invents = invents
        self._steps = _MOST_STEPS

    def value(self, schema: Any, depth: int) -> Any:
        self._steps -= 1
        schema = self._plain(schema)
        if schema is None or depth <= 0 or self._steps <= 0:
            return PLACEHOLDER
        for given in _given(schema) if self._invents else _only(schema):
            if _is_short(given):
                return given
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "null":
            return None
        if not self._invents:
            return _choice(schema.get("enum"))
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return True if kind == "boolean" else _text(schema)

    def _plain(self, schema: Any) -> Mapping[str, Any] | None:
        """The schema with its reference, its first alternative and all its parts put in."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping):
                return None
            rest = {k: v for k, v in schema.items() if k not in ("$ref", "anyOf", "oneOf", "allOf")}
            if len(rest) == len(schema):
                return schema
            for part in self._parts(schema):
                rest = _joined(rest, part)
            schema = rest
        return schema if isinstance(schema, Mapping) else None

    def _parts(self, schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        if "$ref" in schema:
            yield self._referred(schema["$ref"])
        for key in ("anyOf", "oneOf"):
            branches = [b for b in _listed(schema.get(key)) if b.get("type") != "null"]
            yield from branches[:1]
        yield from _listed(schema.get("allOf"))

    def _referred(self, reference: Any) -> Mapping[str, Any]:
        """What a reference within the schema stands for; nothing when it is none."""
        found: Any = self._root
        for key in str(reference).removeprefix("#/").split("/"):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        names, members = schema.get("required"), schema.get("properties")
        members = members if isinstance(members, Mapping) else {}
        wanted = names if isinstance(names, list) else ()
        return {n: self.value(members.get(n), depth - 1) for n in wanted if isinstance(n, str)}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        values = [self.value(one, depth - 1) for one in first] if isinstance(first, list) else []
        least, most = _count(schema.get("minItems"), 0), _count(schema.get("maxItems"), _MOST_ITEMS)
        while len(values) < min(max(least, 0 if values else 1), most, _MOST_ITEMS):
            values.append(self.value(schema.get("items"), depth - 1))
        return values


def _joined(schema: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Two schemas that hold at once."""
    joined = {**part, **schema}
    for key in ("properties", "required"):
        one, other = part.get(key), schema.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            joined[key] = {**one, **other}
        elif isinstance(one, list) and isinstance(other, list):
            joined[key] = [*one, *other]
    return joined


def _given(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The values that the schema itself names."""
    if "const" in schema:
        yield schema["const"]
    for key in ("enum", "examples"):
        if isinstance(schema.get(key), list):
            yield from (value for value in schema[key][:_MOST_ITEMS] if value is not None)
    if schema.get("default") is not None:
        yield schema["default"]


def _is_short(value: Any) -> bool:
    try:
        return len(json.dumps(value)) <= _LONGEST_GIVEN
    except (TypeError, ValueError, RecursionError):
        return False


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    """A number within the bounds that the schema states, looked for beside each of them."""
    stated = {key: schema.get(key) for key in _WITHIN}
    bounds = {k: v for k, v in stated.items() if isinstance(v, int | float) and abs(v) < _LARGEST}
    step = bounds.get("multipleOf", 0) or 1
    near = [n for v in bounds.values() for n in (v, *((v // step + d) * step for d in (0, 1, -1)))]
    middle = (min(bounds.values(), default=0) + max(bounds.values(), default=0)) / 2
    for number in (*(() if whole else (1.5,)), 1, *near, 0, middle):
        right = abs(number) < _LARGEST and (not whole or number == int(number))
        if right and all(_WITHIN[key](number, bound) for key, bound in bounds.items()):
            return int(number) if whole else number
    return 1


_WITHIN: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "minimum": lambda number, bound: number >= bound,
    "maximum": lambda number, bound: number <= bound,
    "exclusiveMinimum": lambda number, bound: number > bound,
    "exclusiveMaximum": lambda number, bound: number < bound,
    "multipleOf": lambda number, bound: not bound or number % bound == 0,
}


def _text(schema: Mapping[str, Any]) -> str:
    least, most = _count(schema.get("minLength"), 0), _count(schema.get("maxLength"), 3)
    return "." * min(max(least, min(most, len(PLACEHOLDER))), _LONGEST_GIVEN)


def _count(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
