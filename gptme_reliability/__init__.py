"""Tool calls of local models, made as reliable as those of cloud models.

``check`` decides what may run of one answer of a model; see ``pipeline.py`` first.
Names are loaded at first use, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gptme_reliability.gate import Gate
    from gptme_reliability.pipeline import check
    from gptme_reliability.types import (
        Accept,
        Call,
        ModelFacts,
        ModelOutput,
        ModelRequest,
        Policy,
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
    "Gate",
    "ModelFacts",
    "ModelOutput",
    "ModelRequest",
    "Policy",
    "RefusedCall",
    "Reject",
    "Repair",
    "Retry",
    "ToolDefinition",
    "Verdict",
    "Violation",
    "__version__",
    "check",
]

_HOMES = {"Gate": "gate", "check": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'types')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
