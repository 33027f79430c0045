"""The names that others rely on."""

from __future__ import annotations

import dataclasses
import inspect

import gptme_reliability
from gptme_reliability import Accept, ModelFacts, ModelOutput, Reject, Retry, ToolDefinition, check

NAMES = [
    "Accept",
    "Call",
    "ContractError",
    "Event",
    "Gate",
    "ModelFacts",
    "ModelOutput",
    "ModelRequest",
    "NothingFound",
    "Order",
    "Policy",
    "Prerequisite",
    "RefusedCall",
    "Reject",
    "ReliabilityError",
    "Repair",
    "Retry",
    "RunResult",
    "ToolDefinition",
    "Verdict",
    "Violation",
    "__version__",
    "check",
    "python_tool",
    "run_tools",
    "run_tools_async",
    "sampling_for",
]


def test_exported_names() -> None:
    """The public names are exactly these, and each can be had."""
    assert gptme_reliability.__all__ == NAMES
    for name in NAMES:
        assert getattr(gptme_reliability, name) is not None


def test_check_signature() -> None:
    """Everything but the first two arguments has a default; context goes by name."""
    parameters = inspect.signature(check).parameters
    assert list(parameters) == ["output", "tools", "policy", "messages", "facts"]
    assert [n for n, p in parameters.items() if p.default is p.empty] == ["output", "tools"]
    assert parameters["messages"].kind is inspect.Parameter.KEYWORD_ONLY


def test_values() -> None:
    """The fields that callers name."""

    def fields(cls: type) -> list[str]:
        return [field.name for field in dataclasses.fields(cls)]

    assert fields(ModelOutput) == ["text", "tool_calls", "reasoning", "finish_reason", "model"]
    assert fields(ModelFacts) == [
        "family",
        "size_b",
        "quant",
        "mode",
        "native_tools",
        "tool_choice",
        "response_format",
        "source",
        "structured",
        "temperature",
        "dialect",
    ]
    assert fields(Accept) == ["calls", "text", "repairs", "refused", "written"]
    assert fields(Retry)[:4] == ["feedback", "violations", "calls", "text"]
    assert fields(Reject)[:4] == ["reason", "violations", "calls", "text"]
    assert ToolDefinition.from_openai({"type": "function", "function": {"name": "x"}}).name == "x"
