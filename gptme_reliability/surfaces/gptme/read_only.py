"""Which of gptme's tools only read, as far as gptme says so."""

from __future__ import annotations

from typing import Any


def read_only_tools() -> dict[str, bool]:
    """For each loaded tool, by the name that requests use, whether it is marked as read-only.

    gptme marks its own tools, and those of MCP servers by their ``readOnlyHint``; versions
    before it did so mark none.  What is not marked counts as writing.
    """
    from gptme.tools import get_tools

    return {name: _only_reads(spec) for spec in get_tools() for name in request_names(spec)}


def _only_reads(spec: Any) -> bool:
    hints = getattr(spec, "hints", ())
    marked = getattr(spec, "read_only", False) is True or "read-only" in hints
    return marked and "destructive" not in hints


def request_names(spec: Any) -> tuple[str, ...]:
    """The names under which a tool may be offered, in requests and in texts."""
    block = (getattr(spec, "block_types", None) or (spec.name,))[0]
    try:
        from gptme.tools.native_names import native_tool_name
    except ImportError:
        return tuple(dict.fromkeys((spec.name, block)))
    return tuple(dict.fromkeys((native_tool_name(spec.name), block)))
