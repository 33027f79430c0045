"""What looks sentences up in the table of ``sentences``, and fills their slots.

A sentence is told by its own words, so that the stages need not know of languages: ``fault``
finds its row, takes the values out and says it in the language asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from gptme_reliability.sentences import FAULTS, FRAME, KINDS
from gptme_reliability.types import Language

_LONGEST_VALUE: Final = 400
_LONGEST_FAULT: Final = 400
_SLOT: Final = re.compile(r"\{(\w+)\}")


def say(key: str, language: Language, **values: object) -> str:
    """A sentence of ``FRAME``."""
    return _filled(getattr(FRAME[key], language), {k: str(v) for k, v in values.items()})


def fault(message: str, language: Language, rule: str = "") -> str:
    """What a stage said, in this language, with long values in it shortened.

    What is in no row stays as it is in English; in another language only its ``rule`` is said.
    """
    known = _FIXED.get(message)
    if known is not None:
        return str(getattr(known, language))
    for words in _WITH_SLOTS:
        values = _values(words.en, message)
        if values is not None:
            told = {slot: _told(slot, value, language, rule) for slot, value in values.items()}
            return _filled(getattr(words, language), told)
    if language == "en":
        return message if len(message) <= _LONGEST_FAULT else message[: _LONGEST_FAULT - 1] + "…"
    return say("unknown_fault", language, rule=rule or "?")


def _told(slot: str, value: str, language: Language, rule: str) -> str:
    if slot == "fault":
        return fault(value, language, rule)
    if language != "en" and slot == "kind":
        return KINDS[value]
    if language != "en" and slot == "kinds":
        return value.replace(" or ", " 或 ")
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 1] + "…"


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The values go in as they are: what a model wrote may hold slots of its own."""
    return _SLOT.sub(lambda slot: values[slot[1]], template)


def _values(template: str, message: str) -> dict[str, str] | None:
    """The values of the slots that make the template the message; None where none do.

    The text between the slots is looked for from the left, the last of it at the end, so that
    the time is linear whatever the values hold.
    """
    first, slots, between, last = _parts(template)
    if not message.startswith(first) or not message.endswith(last):
        return None
    position, stop = len(first), len(message) - len(last)
    found: dict[str, str] = {}
    for slot, text in zip(slots, between, strict=False):
        at = message.find(text, position, stop)
        if at < 0:
            return None
        found[slot] = message[position:at]
        position = at + len(text)
    found[slots[-1]] = message[position:stop]
    fits = position <= stop and found.get("kind", "null") in KINDS
    return found if fits else None


@lru_cache(maxsize=256)
def _parts(template: str) -> tuple[str, list[str], list[str], str]:
    """The text before the first slot, the slots, the texts between them, the text behind."""
    pieces = _SLOT.split(template)
    texts, slots = pieces[::2], pieces[1::2]
    return texts[0], slots, texts[1:-1], texts[-1]


_FIXED: Final = {words.en: words for words in FAULTS if not _SLOT.search(words.en)}
_WITH_SLOTS: Final = tuple(words for words in FAULTS if _SLOT.search(words.en))
