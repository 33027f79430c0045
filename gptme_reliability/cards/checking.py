"""Faults of card files: against the published schema, as the reader sees them, and overlaps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from gptme_reliability.cards.card import Card
from gptme_reliability.cards.matching import authority, closeness, disagree
from gptme_reliability.cards.reading import parse, read_cards, read_text
from gptme_reliability.errors import CardError

_PLACE: Final = re.compile(r"(?:source|urls|models)\b[^:]*(?=:)")

SCHEMA_FILE: Final = Path(__file__).with_name("schema.json")
"""The published JSON Schema of a card file; a TOML date is a string in it."""


def check_cards(files: Sequence[Path]) -> list[str]:
    """Every fault of these files, one line each; empty when all are right.

    Overlaps are looked for among these files only: cards that match the same model, with equal
    authority, and disagree.
    """
    problems: list[str] = []
    cards: list[Card] = []
    for path in files:
        try:
            text = read_text(path)
            table = parse(text, path)
        except CardError as error:
            problems.append(str(error))
            continue
        found = schema_problems(table, str(path))
        try:
            cards += read_cards(text, path)
        except CardError as error:
            # The reader stops at the first fault and says more of it than the schema does.
            place = _place(str(error), path)
            found = [str(error), *(line for line in found if _place(line, path) != place)]
        problems += found
    return problems + overlaps(cards)


def _place(problem: str, path: Path) -> str:
    """Where in the file a problem is: ``models[0].values``; empty for the file itself."""
    place = _PLACE.match(problem.removeprefix(f"{path}: "))
    return place[0] if place else ""


def schema_problems(table: Mapping[str, Any], name: str) -> list[str]:
    """Where a card file breaks the schema; ``name`` is the file's, for the messages."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    validator = Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    problems: list[str] = []
    for error in sorted(validator.iter_errors(_plain(table)), key=lambda e: e.json_path):
        closest = best_match([error]) or error
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in closest.absolute_path)
        problems.append(f"{name}: {where.lstrip('.') or 'file'}: {closest.message}")
    return problems


def _plain(value: Any) -> Any:
    """TOML's values as JSON has them: dates become texts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def overlaps(cards: Iterable[Card]) -> list[str]:
    """Pairs of cards between which nothing decides, one line each."""
    return [
        f"{left.source.path} and {right.source.path}: both speak of {what}"
        f"{f' ({left.mode})' if left.mode else ''} with equal rank, and disagree;"
        " make one more specific or remove it"
        for left, right in combinations(cards, 2)
        if left.mode == right.mode
        and closeness(left) == closeness(right)
        and authority(left, left.mode) == authority(right, left.mode)
        and disagree(left, right)
        and (what := _shared(left, right))
    ]


def _shared(left: Card, right: Card) -> str | None:
    """What two equally specific cards both match, in words."""
    if left.names:
        return next(
            (
                min(a, b, key=lambda pattern: pattern.count("*"))
                for a in left.names
                for b in right.names
                if fnmatchcase(a.lower(), b.lower()) or fnmatchcase(b.lower(), a.lower())
            ),
            None,
        )
    apart = left.sizes and right.sizes and not _meet(left.sizes, right.sizes)
    if left.family != right.family or apart:
        return None
    if left.variants:
        return ", ".join(v for v in left.variants if v in right.variants) or None
    return left.family


def _meet(left: tuple[float, float], right: tuple[float, float]) -> bool:
    return left[0] <= right[1] and right[0] <= left[1]
