"""Tools as wholes, and what is wrong with a set of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.lint import words
from gptme_reliability.lint.parameters import may_be_left_out
from gptme_reliability.lint.rules import (
    CHARS_PER_TOKEN,
    DEEPEST,
    MOST_PARAMETERS,
    MOST_TOKENS,
    MOST_TOKENS_TOOL,
    MOST_TOOLS,
    Finding,
    found,
    listed,
    shown,
)
from gptme_reliability.lint.walk import Node, Tool, nodes
from gptme_reliability.validate import kind_in_words

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COMPOSED: Final = ("anyOf", "oneOf", "allOf", "not", "enum")
_SHORT: Final = 3
_SHORTEST: Final = 20
"""Descriptions shorter than this many characters may be equal by chance."""


def tokens(tool: Any) -> int:
    """About how many tokens a tool costs: characters of its compact JSON divided by 4."""
    chars, pending = 0, [tool]
    while pending:
        value = pending.pop()
        if isinstance(value, Mapping):
            chars += 2 + max(len(value) - 1, 0) + len(value)
            pending += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            chars += 2 + max(len(value) - 1, 0)
            pending += value
        else:
            chars += len(json.dumps(value, ensure_ascii=False, default=str))
    return -(-chars // CHARS_PER_TOKEN)


def envelope(tool: Tool) -> Iterator[Finding]:
    """Entries that are no OpenAI tools."""
    why = _why_no_tool(tool)
    if why:
        yield found("not_a_tool", tool.path, tool.name, why=why)
    if tool.name is not None and not _NAME.fullmatch(tool.name):
        yield found("bad_name", f"{tool.path}.name", tool.name, name=shown(tool.name))


def _why_no_tool(tool: Tool) -> str | None:
    if not isinstance(tool.entry, Mapping):
        return f"a tool must be an object, not {kind_in_words(tool.entry)}"
    kind = tool.entry.get("type", "function")
    if kind != "function":
        return f"type is {shown(kind)} where 'function' is known"
    if tool.function is None:
        return "'function' must be an object"
    if tool.name is None:
        return "a tool needs a 'name' that is a non-empty string"
    if "input_schema" in tool.function:
        return "an Anthropic tool; OpenAI's have 'parameters' for 'input_schema'"
    return None


def description(tool: Tool) -> Iterator[Finding]:
    """Tools, and parameters at the top, of which nothing says what they are for."""
    if tool.function is None or tool.name is None:
        return
    silent = [
        name
        for name, member in _members(tool).items()
        if isinstance(member, Mapping) and not (member.get("description") or member.get("title"))
    ]
    if not tool.description:
        also = ""
        if silent and len(silent) == len(_members(tool)):
            also, silent = f", nor any of {listed(silent)}", []
        yield found("no_description", tool.path, tool.name, also=also)
    elif words.is_empty(tool.description):
        path = f"{tool.path}.description"
        yield found("empty_description", path, tool.name, text=shown(tool.description))
    elif _is_short(tool.description) and words.repeats(tool.description, tool.name):
        path = f"{tool.path}.description"
        yield found("vague_description", path, tool.name, text=shown(tool.description))
    if silent:
        path = f"{tool.parameters_path}.properties"
        yield found("undescribed", path, tool.name, names=listed(silent))


def _is_short(description: str) -> bool:
    """Whether a description is no sentence that tells by its form what the name leaves open."""
    return len(words.words_of(description)) <= _SHORT


def _members(tool: Tool) -> Mapping[str, Any]:
    schema = tool.parameters
    members = schema.get("properties") if isinstance(schema, Mapping) else None
    return members if isinstance(members, Mapping) else {}


def top(tool: Tool) -> Iterator[Finding]:
    """Schemas of arguments that are none of an object, or do not say what is required."""
    schema, path = tool.parameters, tool.parameters_path
    if schema is None or schema == {}:
        return
    if not isinstance(schema, Mapping):
        yield found("top_not_object", path, tool.name, why=f"not {kind_in_words(schema)}")
        return
    kind = schema.get("type")
    composed = [key for key in _COMPOSED if key in schema]
    if kind is None and "$ref" not in schema and not composed:
        yield found("missing_type", path, tool.name)
    elif kind is not None and kind != "object":
        yield found("top_not_object", path, tool.name, why=f"not {shown(kind)}")
    elif composed:
        why = f"and OpenAI and Anthropic refuse '{composed[0]}' there"
        yield found("top_not_object", path, tool.name, why=why)
    wanted = [name for name, member in _members(tool).items() if not may_be_left_out(member)]
    inside = any(isinstance(m, Mapping) and "required" in m for m in _members(tool).values())
    if wanted and "required" not in schema and not inside:
        yield found("no_required", path, tool.name, names=listed(wanted))


def strict(tool: Tool) -> Iterator[Finding]:
    """Tools that promise what OpenAI's strict mode asks for, and do not keep it."""
    if tool.function is None or tool.function.get("strict") is not True:
        return
    for node in nodes(tool):
        why = _why_not_strict(node)
        if why:
            yield found("strict_schema", node.path, tool.name, why=why)


def _why_not_strict(node: Node) -> str | None:
    members, names = node.schema.get("properties"), node.schema.get("required")
    if not isinstance(members, Mapping) or "object" not in node.kinds:
        return None
    if node.schema.get("additionalProperties") is not False:
        return "'additionalProperties' must be false"
    stated = {n for n in names if isinstance(n, str)} if isinstance(names, list) else set()
    left = [name for name in members if name not in stated]
    return f"'required' must list {listed(left)} too" if left else None


def size(tool: Tool) -> Iterator[Finding]:
    """Tools that are too deep, too wide or too long."""
    depth = 0
    for node in nodes(tool):
        depth = max(depth, node.depth - 1)
        members = node.schema.get("properties")
        count = len(members) if isinstance(members, Mapping) else 0
        if count > MOST_PARAMETERS:
            path = f"{node.path}.properties"
            yield found("many_parameters", path, tool.name, count=count, most=MOST_PARAMETERS)
    if depth > DEEPEST:
        path = tool.parameters_path
        yield found("too_deep", path, tool.name, depth=depth, most=DEEPEST)
    count = tokens(tool.entry)
    if count > MOST_TOKENS_TOOL:
        yield found("costly_tool", tool.path, tool.name, count=f"{count:,}")


def similar(tools: Sequence[Tool]) -> Iterator[Finding]:
    """Tools of the same name, of names that are easily confused, or of the same description."""
    by_name: dict[str, Tool] = {}
    by_likeness: dict[tuple[str, ...], Tool] = {}
    by_description: dict[tuple[str, ...], Tool] = {}
    for tool in tools:
        if tool.name is None:
            continue
        same = by_name.setdefault(tool.name, tool)
        if same is not tool:
            path = f"{tool.path}.name"
            yield found(
                "duplicate_name", path, tool.name, name=shown(tool.name), other=same.path[2:]
            )
            continue
        near = by_likeness.setdefault(words.likeness(tool.name), tool)
        if near is not tool:
            about = {"name": shown(tool.name), "other": shown(near.name)}
            yield found("similar_tools", f"{tool.path}.name", tool.name, **about)
        if len(tool.description) >= _SHORTEST:
            alike = by_description.setdefault(tuple(words.words_of(tool.description)), tool)
            if alike is not tool:
                path = f"{tool.path}.description"
                yield found("same_description", path, tool.name, other=shown(alike.name))


def burden(tools: Sequence[Tool]) -> Iterator[Finding]:
    """Sets of tools that are too much for a small model or a small context."""
    if len(tools) > MOST_TOOLS:
        yield found("many_tools", "$.tools", None, count=len(tools), most=MOST_TOOLS)
    total = sum(tokens(tool.entry) for tool in tools)
    if total > MOST_TOKENS:
        yield found("costly_tools", "$.tools", None, count=f"{total:,}", most=f"{MOST_TOKENS:,}")


OF_TOOLS: Final = (envelope, description, top, strict, size)
"""Checks of one tool."""
OF_SETS: Final = (similar, burden)
"""Checks of all tools together."""
