"""Text that kills gptme when it is shown: closing tags of terminal markup without an opening.

gptme prints a whole answer as rich's markup, and ``[/THINK]`` or ``[/b]`` in plain text ends
the session with an error (gptme 0.35.1).  Such tags get the backslash that makes them text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gptme_reliability.types import Repair

_CLOSING_TAG: Final = re.compile(r"(?<!\\)\[(?=/[^\[\]]*\])")
_ANY_TAG: Final = re.compile(r"(?<!\\)\[(?=[a-zA-Z#/@][^\[\]]*\])")


def tame(text: str) -> tuple[str, tuple[Repair, ...]]:
    """The text as gptme can print it, and a record if that took a change."""
    if "[/" not in text or _prints(text):
        return text, ()
    for tag in (_CLOSING_TAG, _ANY_TAG):
        changed = tag.sub(r"\\[", text)
        if _prints(changed):
            break
    record = Repair("markup", "$.text", "[/…]", "\\[/…]", "presentation")
    return changed, (record,)


def tame_beside(text: str, written: Sequence[str]) -> tuple[str, tuple[Repair, ...]]:
    """The same for all but the calls ``written`` in the text, which are never changed."""
    if "[/" not in text or _prints(text):
        return text, ()
    parts: list[str] = []
    repairs: tuple[Repair, ...] = ()
    for one in (*written, ""):
        before, call, text = text.partition(one) if one else (text, "", "")
        tamed, marks = tame(before)
        parts += [tamed, call]
        repairs += marks
    return "".join(parts), repairs


def _prints(text: str) -> bool:
    from rich.errors import MarkupError
    from rich.markup import render

    try:
        render(text)
    except MarkupError:
        return False
    return True
