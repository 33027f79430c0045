"""A call held against its tool's definition: every violation with its path; decides nothing.

Plain schemas are checked here, which is all that most tools need; ``jsonschema`` decides
whatever this check cannot show to be valid, and is loaded only then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.repair.reading import child_path
from gptme_reliability.repair.schemas import safe_pattern
from gptme_reliability.types import ToolDefinition, Violation

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_MOST_VIOLATIONS: Final = 20
_DEEPEST: Final = 64
# What the check for plain schemas understands, and what says nothing about validity.
_KNOWN_KEYWORDS: Final = frozenset(
    {
        *("type", "properties", "required", "additionalProperties", "items", "enum"),
        *("anyOf", "allOf"),
        *("description", "title", "default", "examples", "$schema", "$id", "$comment"),
        *("deprecated", "readOnly", "writeOnly", "$defs", "definitions"),
    }
)
_BOUNDS: Final = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} items",
    "maxItems": "must have at most {} items",
    "minProperties": "must have at least {} members",
    "maxProperties": "must have at most {} members",
    "pattern": "must match the pattern {}",
    "const": "must be {}",
    "uniqueItems": "must not hold the same item twice",
}
_ALTERNATIVES: Final = ("anyOf", "oneOf")


def validate(arguments: Any, tool: ToolDefinition, call: int | None = None) -> list[Violation]:
    """All violations of the tool's schema by these arguments; empty when they may run.

    Raises:
        ToolDefinitionError: the tool's ``parameters`` are no valid JSON schema.
    """
    if not isinstance(arguments, Mapping):
        return [
            Violation(
                "not_an_object",
                "$",
                f"the arguments must be a JSON object, not {kind_in_words(arguments)}",
                arguments,
                "object",
                tool.name,
                call,
            )
        ]
    schema = tool.parameters
    if _plainly_valid(arguments, schema, _DEEPEST):
        return []
    from referencing.exceptions import Unresolvable

    errors = _validator(tool).iter_errors(arguments)
    found: list[Violation] = []
    try:
        for error in errors:
            found.extend(_violations(error, tool.name, call))
            if len(found) >= _MOST_VIOLATIONS:
                break
    except Unresolvable as error:
        raise ToolDefinitionError(
            f"tool {tool.name!r}: 'parameters' refer to {error.ref!r}, which is not in them"
        ) from None
    except BaseException as error:
        if not _is_too_deep(error):
            raise
        return [_unreadable(tool, call, "the arguments are nested too deeply")]
    return found


def _is_too_deep(error: BaseException) -> bool:
    # The maps of the library's references are Rust's: a RecursionError within becomes a panic.
    return isinstance(error, RecursionError) or type(error).__name__ == "PanicException"


def require_schema(tool: ToolDefinition) -> None:
    """Check that a tool's ``parameters`` are a JSON schema, before any arguments are there.

    Raises:
        ToolDefinitionError: they are none.
    """
    _validator(tool)


def _unreadable(tool: ToolDefinition, call: int | None, message: str) -> Violation:
    return Violation("too_deep", "$", message, None, None, tool.name, call)


def kind_in_words(value: Any) -> str:
    """What a JSON value is, in words for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an object" if isinstance(value, Mapping) else "an array"


def _plainly_valid(value: Any, schema: Any, depth: int) -> bool:
    """Whether the value is certainly valid; False means only that this check cannot tell."""
    if schema is True:
        return True
    if not isinstance(schema, (dict, Mapping)) or depth <= 0:
        return False
    if not _KNOWN_KEYWORDS.issuperset(schema) or not _plain_type(value, schema.get("type")):
        return False
    enum = schema.get("enum")
    if enum is not None and not (
        isinstance(value, str) and isinstance(enum, list) and value in enum
    ):
        return False
    if "anyOf" in schema or "allOf" in schema:
        some, every = schema.get("anyOf", [True]), schema.get("allOf", [])
        if not isinstance(some, list) or not isinstance(every, list):
            return False
        if not any(_plainly_valid(value, branch, depth - 1) for branch in some):
            return False
        if not all(_plainly_valid(value, branch, depth - 1) for branch in every):
            return False
    if isinstance(value, str):
        return True
    if isinstance(value, (dict, Mapping)):
        return _plain_object(value, schema, depth)
    if isinstance(value, list) and "items" in schema:
        return all(_plainly_valid(item, schema["items"], depth - 1) for item in value)
    return True


def _plain_object(value: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> bool:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, (dict, Mapping)) or not isinstance(required, list):
        return False
    for name in required:
        if name not in value:
            return False
    extras = schema.get("additionalProperties", True)
    for name, member in value.items():
        if name in properties:
            if not _plainly_valid(member, properties[name], depth - 1):
                return False
        elif extras is not True:
            return False
    return True


def _plain_type(value: Any, wanted: Any) -> bool:
    if wanted == "string":
        return isinstance(value, str)
    if isinstance(wanted, list):
        return any(isinstance(kind, str) and _plain_type(value, kind) for kind in wanted)
    if wanted is None:
        return True
    if wanted == "null":
        return value is None
    if wanted == "object":
        return isinstance(value, Mapping)
    if wanted == "array":
        return isinstance(value, list)
    if wanted == "boolean":
        return isinstance(value, bool)
    if wanted == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return wanted == "number" and isinstance(value, int | float) and not isinstance(value, bool)


def _validator(tool: ToolDefinition) -> Validator:
    try:
        text = json.dumps(tool.parameters, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolDefinitionError(
            f"tool {tool.name!r}: 'parameters' are no JSON: {error}"
        ) from None
    return _compiled(text, tool.name)


@lru_cache(maxsize=512)
def _compiled(text: str, name: str) -> Validator:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for
    from jsonschema_specifications import REGISTRY

    schema = _without_unusable_patterns(json.loads(text))
    if not isinstance(schema.get("$schema", ""), str):  # it names no draft, and means nothing else
        del schema["$schema"]
    cls = validator_for(schema, default=Draft202012Validator)
    try:
        cls.check_schema(schema)
    except SchemaError as error:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise ToolDefinitionError(
            f"tool {name!r}: 'parameters'{where} is no valid JSON schema: {error.message}"
        ) from None
    except RecursionError:
        raise ToolDefinitionError(f"tool {name!r}: 'parameters' are nested too deeply") from None
    # A registry of its own: a reference to another place must not be fetched from there.
    validator: Validator = cls(schema, registry=REGISTRY)
    return validator


def _without_unusable_patterns(schema: Any) -> Any:
    """The schema without the patterns that Python cannot read or that may take forever."""
    if isinstance(schema, list):
        return [_without_unusable_patterns(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    kept, loose = {}, False
    for key, member in schema.items():
        if key == "pattern" and isinstance(member, str) and safe_pattern(member) is None:
            continue
        if key == "patternProperties" and isinstance(member, dict):
            patterns = {name: one for name, one in member.items() if safe_pattern(name)}
            if len(patterns) < len(member):
                # Which names it leaves to additionalProperties cannot be told.
                loose = True
                continue
        kept[key] = _without_unusable_patterns(member)
    if loose:
        kept.pop("additionalProperties", None)
    return kept


def json_path(parts: Iterable[str | int]) -> str:
    """A JSONPath from the keys and indices that lead to a value."""
    return reduce(child_path, parts, "$")


def _violations(error: Any, tool: str, call: int | None) -> list[Violation]:
    path = json_path(error.absolute_path)
    keyword, wanted, written = error.validator, error.validator_value, error.instance
    if keyword == "required" and isinstance(written, Mapping):
        # jsonschema reports each missing name as an error of its own, named in its message.
        missing = [n for n in wanted if n not in written and error.message.startswith(repr(n))]
        return [
            Violation(
                "missing",
                json_path([*error.absolute_path, name]),
                f"required argument {name!r} is missing",
                None,
                _described(error.schema, name),
                tool,
                call,
            )
            for name in missing
        ]
    if keyword == "additionalProperties" and isinstance(written, Mapping) and wanted is False:
        declared = error.schema.get("properties", {})
        patterns = [safe_pattern(p) for p in error.schema.get("patternProperties", ())]
        return [
            Violation(
                "unknown_argument",
                json_path([*error.absolute_path, name]),
                f"there is no argument {name!r}",
                written[name],
                sorted(declared),
                tool,
                call,
            )
            for name in written
            if name not in declared and not any(p and p.search(name) for p in patterns)
        ]
    if keyword == "type":
        names = wanted if isinstance(wanted, list) else [wanted]
        message = f"must be {' or '.join(map(str, names))}, not {kind_in_words(written)}"
        return [Violation("type", path, message, written, wanted, tool, call)]
    if keyword == "enum":
        return [
            Violation("enum", path, "is none of the allowed values", written, wanted, tool, call)
        ]
    if keyword is None:
        message = "is not allowed here"
        return [Violation("not_allowed", path, message, written, None, tool, call)]
    return [Violation(str(keyword), path, _message(error), written, wanted, tool, call)]


def _json_kind(value: Any) -> str:
    return kind_in_words(value).split()[-1]


def _message(error: Any) -> str:
    """What is wrong in one phrase, with the bound."""
    keyword, wanted, written = error.validator, error.validator_value, error.instance
    if keyword in _BOUNDS:
        return _BOUNDS[keyword].format(json.dumps(wanted, ensure_ascii=False))
    if keyword in _ALTERNATIVES:
        if keyword == "oneOf" and not error.context:
            return "fits more than one of its forms"
        stated = [branch.get("type") for branch in wanted if isinstance(branch, Mapping)]
        kinds = list(dict.fromkeys(kind for kind in stated if isinstance(kind, str)))
        if len(stated) == len(wanted) and None not in stated and _json_kind(written) not in kinds:
            return f"must be {' or '.join(kinds)}, not {kind_in_words(written)}"
        return "fits none of its forms"
    return f"does not satisfy {keyword!r}"


def _described(schema: Any, name: str) -> Any:
    member = schema.get("properties", {}).get(name) if isinstance(schema, Mapping) else None
    return member.get("type") if isinstance(member, Mapping) else None
