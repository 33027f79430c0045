"""What is done before the first request, so that no request has to wait for it."""

from __future__ import annotations

import gc
from typing import Final

from gptme_reliability.pipeline import check
from gptme_reliability.types import ModelOutput, ToolDefinition

_TOOL: Final = ToolDefinition(
    name="look",
    parameters={
        "type": "object",
        "properties": {"times": {"type": "integer"}},
        "required": ["times"],
    },
)
# Broken in several ways: libraries that only such answers need are loaded by it.
_BROKEN: Final = "<tool_call>{'name': 'look', arguments: {times: \"2\", \"place\": 'hall',}}"


def warm_up() -> None:
    """Load what is loaded at first use, and keep all that there is by now for good.

    A full collection looks at every object there is, and all requests wait while it does; what
    is kept for good is not looked at.
    """
    check(ModelOutput(text=_BROKEN), (_TOOL,))
    gc.collect()
    gc.freeze()
