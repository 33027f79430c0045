"""The lenient reader of last resort, for users who allow lossy repairs."""

from __future__ import annotations

from typing import Any, Final

from gptme_reliability.repair.reading import DEEPEST, deeper_than, excerpt
from gptme_reliability.types import Repair

_LONGEST: Final = 1_000_000
_DEEPEST_TEXT: Final = 500


def lenient_value(text: str) -> tuple[Any, Repair] | None:
    """What ``json_repair`` makes of a text: an object or a non-empty list, and one repair.

    It guesses ends and quotes, so the repair is ``lossy``.  None when the text is longer than
    a million characters or nothing usable comes out.
    """
    # Its nested calls need several frames for each level of brackets.
    if len(text) > _LONGEST or text.count("{") + text.count("[") > _DEEPEST_TEXT:
        return None
    from json_repair import loads

    try:
        value: Any = loads(text, skip_json_loads=True)
    except (RecursionError, ValueError, IndexError, KeyError, TypeError):
        return None
    if not isinstance(value, dict | list) or not value or deeper_than(value, DEEPEST):
        return None
    return value, Repair("lenient_reader", "$", excerpt(text), "a guessed value", "lossy")
