"""The keywords of a JSON schema that hold plain values: ``enum``, ``default``, bounds.

Part of ``schema_keywords``, which says what a mend is.  Pure; imports nothing of ours.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

GONE: Final = object()
"""Stands for a keyword that is left out."""

FLOATS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
COUNTS: Final = (
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(\.[0-9]{1,15})?")
_SEPARATORS: Final = ("|", ",", ";", "/")
_LONGEST_LIST: Final = 4000

Schema = Mapping[str, Any]
Changes = Mapping[str, Any]


class Place(NamedTuple):
    """Where a schema stands.

    ``part``: it only adds to another one, as in ``allOf``, so that nothing is missing in it.
    ``top``: it is that of all arguments, which are an object.
    ``draft``: the ``$schema`` of the whole, empty where none is named.
    """

    part: bool = False
    top: bool = False
    draft: str = ""


Mend = Callable[[Schema, Place], Changes]


def mend_enum(schema: Schema, place: Place) -> Changes:
    """``enum`` as a list, its values of the schema's type."""
    if "enum" not in schema:
        return {}
    given = schema["enum"]
    values = given
    if isinstance(given, str):
        values = _listed(given)
    elif isinstance(given, Mapping):
        values = list(given)
    elif isinstance(given, bool | int | float):
        values = [given]
    if not isinstance(values, list):
        return {}
    if not values:
        return {"enum": GONE}
    kind = schema.get("type")
    if kind in ("integer", "number", "boolean") and all(isinstance(v, str) for v in values):
        typed = [_typed(value, kind) for value in values]
        values = typed if None not in typed else values
    return {} if values is given else {"enum": values}


def _listed(text: str) -> list[Any]:
    if text.lstrip().startswith("[") and len(text) <= _LONGEST_LIST:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return [text]
        return found if isinstance(found, list) else [text]
    for separator in _SEPARATORS:
        parts = [part.strip().strip("'\"") for part in text.split(separator)]
        if len(parts) > 1 and all(parts):
            return list(dict.fromkeys(parts))
    return [text] if text else []


def mend_default(schema: Schema, place: Place) -> Changes:
    """A ``default`` that is the text of a number or a boolean where one is wanted."""
    given, kind = schema.get("default"), schema.get("type")
    if not isinstance(given, str) or kind not in ("integer", "number", "boolean"):
        return {}
    typed = _typed(given, kind)
    return {} if typed is None else {"default": typed}


def _typed(text: str, kind: Any) -> Any:
    """The number or boolean that a text is; None for any other."""
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.strip().lower())
    found = _NUMBER.fullmatch(text)
    if found is None or (found[1] and kind == "integer"):
        return None
    return float(text) if found[1] else int(text)


# --- bounds -------------------------------------------------------------------------------


def mend_bounds(schema: Schema, place: Place) -> Changes:
    """Bounds that are texts of numbers, and the ``exclusiveMinimum: true`` of the fourth draft."""
    changes: dict[str, Any] = {}
    for key in (*FLOATS, *COUNTS):
        given = schema.get(key)
        if isinstance(given, str):
            found = _typed(given.strip(), "integer" if key in COUNTS else "number")
            if found is not None:
                changes[key] = found
        elif isinstance(given, float) and not math.isfinite(given):
            changes[key] = GONE
    if any(draft in place.draft for draft in ("draft-03", "draft-04")):
        return changes
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        said = schema.get(exclusive)
        if isinstance(said, bool):
            limit = changes.get(bound, schema.get(bound, GONE)) if said else GONE
            changes[exclusive] = limit
            if limit is not GONE:
                changes[bound] = GONE
    return changes


def mend_annotations(schema: Schema, place: Place) -> Changes:
    """``examples`` as a list, and a pattern without the slashes of JavaScript around it."""
    changes: dict[str, Any] = {}
    examples, pattern = schema.get("examples", []), schema.get("pattern")
    if not isinstance(examples, list):
        changes["examples"] = [examples]
    if isinstance(pattern, str) and len(pattern) > 3 and pattern[:2] + pattern[-2:] == "/^$/":
        changes["pattern"] = pattern[1:-1]
    return changes
