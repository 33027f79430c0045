"""What makes tool definitions hard for small models, or refused by servers.

The page to read first; the rules and their words are in ``rules``.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gptme_reliability.lint import parameters, servers, tools, values
from gptme_reliability.lint.rules import RULES, Finding, Rule, Severity
from gptme_reliability.lint.tools import tokens
from gptme_reliability.lint.walk import Tool, nodes, read_tools

__all__ = ["RULES", "Finding", "Rule", "Severity", "lint", "tokens"]


def lint(definitions: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Everything that is worth a change in these tool definitions.

    ``definitions`` are the entries of an OpenAI ``tools`` list as they are sent; the bare
    ``function`` object is fine too.  They may hold any JSON: nothing raises.  The findings come
    tool by tool, those about several tools last; the same definitions give the same findings.
    """
    entries = read_tools(definitions)
    return (
        *(finding for entry in entries for finding in _of_one(entry)),
        *(finding for check in tools.OF_SETS for finding in check(entries)),
    )


def _of_one(tool: Tool) -> Iterator[Finding]:
    for check in tools.OF_TOOLS:
        yield from check(tool)
    for node in nodes(tool):
        for look in (*servers.CHECKS, values.contradictions, parameters.similar):
            yield from look(node, tool.parameters)
        if node.name is not None:
            for look in parameters.OF_PARAMETERS:
                yield from look(node, tool.parameters)
