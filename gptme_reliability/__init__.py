"""Tool calls of local models, made as reliable as those of cloud models.

``check`` decides what may run of one answer of a model; see ``pipeline.py`` first.
Names are loaded at first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gptme_reliability.errors import ContractError, NothingFound, ReliabilityError
    from gptme_reliability.gate import Gate
    from gptme_reliability.pipeline import check
    from gptme_reliability.surfaces.python_tools import python_tool
    from gptme_reliability.surfaces.run import Event, RunResult
    from gptme_reliability.surfaces.runner import run_tools, run_tools_async
    from gptme_reliability.types import (
        Accept,
        Call,
        ModelFacts,
        ModelOutput,
        ModelRequest,
        Order,
        Policy,
        Prerequisite,
        RefusedCall,
        Reject,
        Repair,
        Retry,
        ToolDefinition,
        Verdict,
        Violation,
    )

__version__ = "0.1.0"

__all__ = [
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

_HOMES = {
    "ContractError": "errors",
    "Event": "surfaces.run",
    "Gate": "gate",
    "NothingFound": "errors",
    "ReliabilityError": "errors",
    "RunResult": "surfaces.run",
    "check": "pipeline",
    "python_tool": "surfaces.python_tools",
    "run_tools": "surfaces.runner",
    "run_tools_async": "surfaces.runner",
    "sampling_for": "surfaces.sampling",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'types')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
