"""What the host's messages behind an answer say of its calls.

The texts are those of gptme 0.35.1: ``ToolUse.execute`` in ``gptme/tools/base.py``,
``execute_msg`` in ``gptme/tools/__init__.py``, and ``gptme/constants.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from gptme_reliability.audit.reading import Message

Fate: TypeAlias = Literal["ran", "failed", "complained", "unavailable", "stopped", "nothing"]
"""What came of a call.

``failed``: its tool raised an error.  ``complained``: it said what is wrong with the call.
``unavailable``: the host has no such tool.
``stopped``: the user did not let it run, or not to its end.  ``nothing``: there is no result.
"""

_FAILED: Final = "Error executing tool '"
_UNAVAILABLE: Final = "' is not available for execution."
_COMPLAINTS: Final = ("Invalid ", "Error: No ", "No path provided", "No content provided")
_INTERRUPTED: Final = "' was not executed (interrupted)."
_STOPPED: Final = frozenset({"Interrupted by user", "Execution declined by user"})
_HEAD: Final = 2_000


def fate(results: Sequence[Message]) -> Fate:
    """What came of the call that these results belong to."""
    for result in results:
        content = result.content
        if content.strip() in _STOPPED or content.endswith(_INTERRUPTED):
            return "stopped"
        if content.startswith("Tool '") and _UNAVAILABLE in content[:_HEAD]:
            return "unavailable"
        if content.startswith(_FAILED):
            return "failed"
        if content.startswith(_COMPLAINTS):
            return "complained"
    return "ran" if results else "nothing"


def digest(results: Sequence[Message]) -> str | None:
    """The head and the tail of what came of a call; None where nothing did."""
    if not results:
        return None
    text = "\n".join(result.content for result in results)
    return text if len(text) <= 2 * _HEAD else text[:_HEAD] + text[-_HEAD:]
