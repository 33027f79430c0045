"""The schemas that MCP servers gave for their tools.

gptme keeps of a property only ``type`` and ``description``, and says "string" for one without a
type, such as one with ``anyOf`` (gptme 0.35.1, ``tools/mcp_adapter.py``).  The value goes to
the server as it is written, and the server checks it by the schema that it gave.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.schemas import as_meant
from gptme_reliability.surfaces.gptme.read_only import request_names
from gptme_reliability.types import ToolDefinition
from gptme_reliability.validate import require_schema

_ADAPTER: Final = "gptme.tools.mcp_adapter"
# gptme tells models that there are no other arguments, and servers that say nothing of them
# pass over them: a misspelt one would be lost without a word.
_ADMITTING: Final = frozenset(
    {
        *("additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames"),
        *("allOf", "anyOf", "oneOf", "if", "$ref", "$dynamicRef", "dependentSchemas"),
    }
)
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")


def is_mcp(spec: Any) -> bool:
    """Whether a tool of gptme's registry belongs to an MCP server."""
    return getattr(spec, "is_mcp", False) is True


def given_parameters(spec: Any) -> Mapping[str, Any] | None:
    """The schema that a tool's server gave; None where it is not known, or is none.

    A schema in which anything refers to what is not in it cannot be checked against.  One that
    does not say whether it admits other arguments admits none, as gptme has it.
    """
    if not is_mcp(spec):
        return None
    given = _listed().get(spec.name)
    # Another session may have a server of the same name.
    if given is None or [one.name for one in spec.parameters] != _named(given):
        return None
    try:
        return _usable(json.dumps(given))
    except (TypeError, ValueError, RecursionError):
        return None


def _named(given: Any) -> list[Any]:
    properties = given.get("properties") if isinstance(given, Mapping) else None
    return list(properties) if isinstance(properties, Mapping) else []


def known_parameters() -> dict[str, Mapping[str, Any]]:
    """The schemas that servers gave, by the names under which requests offer their tools."""
    from gptme.tools import get_tools

    return {
        name: parameters
        for spec in get_tools()
        if (parameters := given_parameters(spec)) is not None
        for name in request_names(spec)
    }


def _listed() -> dict[str, Any]:
    """The schemas of all tools of the servers that gptme is connected with."""
    adapter = sys.modules.get(_ADAPTER)
    found: dict[str, Any] = {}
    for kept in ("_dynamic_servers", "_mcp_clients"):
        clients = getattr(adapter, kept, None)
        for server, client in list(clients.items()) if isinstance(clients, dict) else ():
            tools = getattr(getattr(client, "tools", None), "tools", None) or ()
            found.update((f"{server}.{tool.name}", tool.inputSchema) for tool in tools)
    return found


@lru_cache(maxsize=256)
def _usable(text: str) -> Mapping[str, Any] | None:
    meant, _ = as_meant(json.loads(text))
    if not isinstance(meant, Mapping):
        return None
    parameters: Mapping[str, Any] = meant
    if not all(_leads_somewhere(ref, parameters) for ref in _references(parameters)):
        return None
    if _ADMITTING.isdisjoint(parameters):
        parameters = {**parameters, "additionalProperties": False}
    try:
        require_schema(ToolDefinition("tool", parameters))
    except ToolDefinitionError:
        return None
    return parameters


def _references(schema: Any) -> Iterator[Any]:
    if isinstance(schema, Mapping):
        yield from (schema[key] for key in _REFERENCES if key in schema)
    members = schema.values() if isinstance(schema, Mapping) else schema
    for member in members if isinstance(schema, Mapping | list) else ():
        yield from _references(member)


def _leads_somewhere(reference: Any, schema: Any) -> bool:
    """Whether a reference is a path through the schema itself, to its end."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return False
    for key in reference.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        if not isinstance(schema, Mapping) or key not in schema:
            return False
        schema = schema[key]
    return True
