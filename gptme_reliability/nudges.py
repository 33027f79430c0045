"""Which user messages the host wrote by itself.

gptme says ``<system>No tool call detected …</system>`` in the user's role when an answer called
nothing, and ``<system>You appear stuck …</system>`` when calls repeat (gptme 0.35.1,
``tools/complete.py``).  Such words are no new question of the user.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gptme_reliability.quotations import text_parts


def is_nudge(message: Mapping[str, Any]) -> bool:
    """Whether a message in the user's role is the host's, all of it."""
    if message.get("role") != "user":
        return False
    text = "".join(text_parts(message.get("content"))).strip()
    return text.startswith("<system>") and text.endswith("</system>")
