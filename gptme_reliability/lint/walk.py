"""Tool definitions taken apart: the tools of a list, and the schemas within each.

Nothing here raises, whatever the definitions hold; depth and size are capped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.repair.reading import child_path
from gptme_reliability.schema_keywords import COMPOSED, LISTS, NAMED, SINGLE

_DEEPEST: Final = 64
_MOST_NODES: Final = 20_000


@dataclass(frozen=True, slots=True)
class Tool:
    """One entry of a list of tools, whatever its envelope.

    ``function`` is the object that holds name and description, None where there is none;
    ``parameters`` is what stands for the schema of the arguments.
    """

    entry: Any
    path: str
    function: Mapping[str, Any] | None
    name: str | None
    parameters: Any
    parameters_path: str

    @property
    def description(self) -> str:
        """What the author says about the tool, without space around it."""
        return text_of(self.function or {}, "description")


@dataclass(frozen=True, slots=True)
class Node:
    """One schema within the parameters of a tool; ``about`` is the tool's description.

    ``name`` is that of the property whose schema it is, else None; ``siblings`` are the
    properties that stand beside it.  ``depth`` counts the objects and arrays around it,
    ``level`` all schemas around it; ``part`` says that it stands for a part of a schema, as the
    members of ``anyOf`` do.
    """

    schema: Mapping[str, Any]
    path: str
    tool: str | None
    about: str = ""
    name: str | None = None
    siblings: Mapping[str, Any] | None = None
    depth: int = 0
    level: int = 0
    part: bool = False

    @property
    def description(self) -> str:
        """What the author says about it, without space around it."""
        return text_of(self.schema, "description")

    @property
    def kinds(self) -> frozenset[str]:
        """Its types by name; none where it does not say."""
        kind = self.schema.get("type")
        if isinstance(kind, str):
            return frozenset({kind})
        listed = kind if isinstance(kind, list) else ()
        return frozenset(one for one in listed if isinstance(one, str))


def text_of(schema: Mapping[str, Any], key: str) -> str:
    """The text under a key, without space around it; "" where there is none."""
    value = schema.get(key)
    return value.strip() if isinstance(value, str) else ""


def read_tools(tools: Sequence[Any]) -> list[Tool]:
    """The entries of a list of tools, each as far as it can be read."""
    return [_read_tool(entry, f"$.tools[{at}]") for at, entry in enumerate(tools)]


def _read_tool(entry: Any, path: str) -> Tool:
    function = entry.get("function", entry) if isinstance(entry, Mapping) else None
    if not isinstance(function, Mapping):
        return Tool(entry, path, None, None, None, path)
    name = function.get("name")
    key = "input_schema" if "input_schema" in function else "parameters"
    return Tool(
        entry,
        path,
        function,
        name if isinstance(name, str) and name else None,
        function.get(key),
        child_path(path, key),
    )


def nodes(tool: Tool) -> Iterator[Node]:
    """All schemas of a tool, the whole first and each before what it holds."""
    if not isinstance(tool.parameters, Mapping):
        return
    pending = [Node(tool.parameters, tool.parameters_path, tool.name, tool.description)]
    for _ in range(_MOST_NODES):
        if not pending:
            return
        node = pending.pop()
        yield node
        if node.level < _DEEPEST:
            pending.extend(reversed(list(_below(node))))


def _below(node: Node) -> Iterator[Node]:
    for key, value in node.schema.items():
        path = child_path(node.path, key)
        if key in NAMED and isinstance(value, Mapping):
            for name, member in value.items():
                if isinstance(member, Mapping):
                    yield _child(node, key, member, child_path(path, name), name, value)
        elif key in SINGLE and isinstance(value, Mapping):
            yield _child(node, key, value, path)
        elif key in LISTS and isinstance(value, list):
            for at, member in enumerate(value):
                if isinstance(member, Mapping):
                    yield _child(node, key, member, child_path(path, at))


def _child(
    node: Node,
    key: str,
    schema: Mapping[str, Any],
    path: str,
    name: str | None = None,
    siblings: Mapping[str, Any] | None = None,
) -> Node:
    is_property = key == "properties"
    is_value = key in ("properties", "items", "prefixItems")
    return Node(
        schema,
        path,
        node.tool,
        node.about,
        name if is_property else None,
        siblings if is_property else None,
        node.depth + is_value,
        node.level + 1,
        part=not is_value,
    )


def says_type(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says what its values are, by a type or otherwise."""
    return "type" in schema or not COMPOSED.isdisjoint(schema)
