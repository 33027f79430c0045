"""What names and descriptions of tools say: units, formats, lists of values.

Pure.  Of text in other scripts than Latin nothing is said.
"""

from __future__ import annotations

from typing import Final

from gptme_reliability.lint import vocabulary as known

_LONGEST: Final = 2_000
_SHORTEST_STEM: Final = 3
_QUOTES: Final = "\"'`"


def parts_of(name: str) -> list[str]:
    """The words of a name in any of the usual spellings, in lower case."""
    return [part.lower() for part in known.NAME_PART.findall(name[:_LONGEST])]


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return [word.lower() for word in known.WORD.findall(text[:_LONGEST])]


def is_english(text: str) -> bool:
    """Whether a text is in a script that our words can be found in."""
    return all(ord(c) < 0x250 or not c.isalpha() for c in text[:_LONGEST])


def is_empty(description: str) -> bool:
    """Whether a description stands for one that was never written."""
    words = words_of(description)
    return not words or known.EMPTY.issuperset(words)


def repeats(description: str, name: str) -> bool:
    """Whether a description has no word that the name lacks."""
    if not is_english(description + name):
        return False
    named = {_stem(part) for part in parts_of(name)}
    said = {_stem(word) for word in words_of(description) if word not in known.FILLING}
    return said <= named


def is_generic(name: str) -> bool:
    """Whether a name alone could mean anything."""
    return known.GENERIC.issuperset(part for part in parts_of(name) if not part.isdecimal())


def likeness(name: str) -> tuple[str, ...]:
    """The same for names that differ in spelling, number or, where it says nothing, order."""
    stems = [known.SAME_VERB.get(part, _stem(part)) for part in parts_of(name)] or [name]
    return tuple(stems if known.DIRECTED.intersection(stems) else sorted(stems))


def _stem(word: str) -> str:
    """A word in the singular, as far as its ending tells."""
    for ending, singular in known.PLURALS if not word.endswith("ss") else ():
        stem = word.removesuffix(ending) + singular
        if word.endswith(ending) and len(stem) >= _SHORTEST_STEM:
            return stem
    return word


def quantity(name: str) -> str | None:
    """A unit in which the quantity of this name may be given; None where it is none."""
    parts = parts_of(name)
    while len(parts) > 1 and parts[-1] in known.TRAILING:
        parts.pop()
    if not parts or parts[-1] not in known.QUANTITIES:
        return None
    if parts[-1] == "size" and len(parts) > 1 and parts[-2] not in known.SIZED:
        return None
    return known.QUANTITIES[parts[-1]]


def needs_unit(text: str) -> bool:
    """Whether a name with its description leaves open in which unit a quantity is given."""
    lowered = text[:_LONGEST].lower()
    said = {*words_of(lowered), *parts_of(lowered)}
    clear = said & (known.UNITS | known.UNITLESS)
    return not clear and known.UNIT_PART.search(lowered) is None


def is_time(name: str) -> bool:
    """Whether a name is that of a date or a time."""
    return known.TIMES.issuperset(parts_of(name)[-1:] or [""])


def names_time_format(text: str) -> bool:
    """Whether a description says how a date or time is written."""
    return known.TIME_FORMAT.search(text[:_LONGEST]) is not None


def is_path(name: str) -> bool:
    """Whether a name is that of a place in a file system."""
    return known.PATHS.issuperset(parts_of(name)[-1:] or [""])


def names_path_form(text: str) -> bool:
    """Whether a description says what a path looks like."""
    return known.PATH_FORM.search(text[:_LONGEST]) is not None


def names_keys(text: str) -> bool:
    """Whether a description says what the keys of an object are."""
    return known.KEYS.search(text[:_LONGEST]) is not None


def values_in(description: str) -> list[str]:
    """The values that a description lists as the only ones."""
    text = description[:_LONGEST]
    listing = known.LISTING.search(text)
    if listing is None:
        return []
    around = text[max(listing.start() - 20, 0) : listing.end() + 20]
    if known.OPEN_ENDED.search(around):
        return []
    items = known.NEXT.split(listing["bare"] or listing["quoted"])
    values = [item.strip().strip(_QUOTES) for item in items]
    return [value for value in dict.fromkeys(values) if value]


def meant_type(description: str) -> str | None:
    """What a text describes that is no string: "a boolean", "a number"."""
    if known.BOOLEAN.match(description[:_LONGEST]):
        return "a boolean"
    return "a number" if known.NUMBER.match(description[:_LONGEST]) else None


def is_json(description: str) -> bool:
    """Whether a text describes JSON."""
    return known.JSON.search(description[:_LONGEST]) is not None


def is_negative(name: str) -> bool:
    """Whether a name says what is not."""
    parts = parts_of(name)
    return len(parts) > 1 and parts[0] in known.NEGATIONS
