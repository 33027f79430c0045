"""What ``check`` is given: one line where a caller has something else in hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gptme_reliability.types import ModelFacts, ModelOutput, Policy, ToolDefinition


def refuse_wrong(output: Any, tools: Any, policy: Any, messages: Any, facts: Any) -> None:
    """Look at the arguments of ``check``, as far as costs next to nothing.

    Raises:
        TypeError: one is of another type than ``check`` reads.
    """
    if not isinstance(output, ModelOutput):
        raise _wrong("output", output, "a ModelOutput", "ModelOutput(text) makes one")
    if isinstance(tools, str) or not isinstance(tools, Sequence):
        raise _wrong("tools", tools, "a list of ToolDefinitions", "put it in brackets")
    for position, tool in enumerate(tools):
        if not isinstance(tool, ToolDefinition):
            how = "ToolDefinition.from_openai(tool) reads one"
            raise _wrong(f"tools[{position}]", tool, "a ToolDefinition", how)
    if not isinstance(policy, Policy):
        raise _wrong("policy", policy, "a Policy", "Policy() is the usual one")
    if isinstance(messages, str) or not isinstance(messages, Sequence):
        raise _wrong("messages", messages, "a list of messages", "put it in brackets")
    if facts is not None and not isinstance(facts, ModelFacts):
        raise _wrong("facts", facts, "ModelFacts or None", "ModelFacts(size_b=7) makes them")


def _wrong(name: str, value: Any, wanted: str, how: str) -> TypeError:
    return TypeError(f"check: {name} must be {wanted}, not {type(value).__name__}; {how}")
