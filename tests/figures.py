"""The figures of README and design note, and where each of them comes from.

``figures.toml`` holds a section for each measurement.  ``says`` are the words in which it stands
in the documents, figures and all; ``how`` and ``when`` tell how it was come by; and one of

- ``command`` measures it again,
- ``test`` fails when it no longer holds,
- ``source`` is where it was published, or says that it was measured elsewhere and once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import settings_table
from documents import text
from tiny.tables import MARKED

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE: Final = Path(__file__).parent / "figures.toml"
ORIGINS: Final = frozenset({"command", "test", "source"})

_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_UPSTREAM: Final = re.compile(r"^## What goes upstream$.*\Z", re.MULTILINE | re.DOTALL)
"""Sizes of changes that nobody has written yet: estimates, which the section says."""
_FIGURE: Final = re.compile(
    r"""
      (?<![\w.])\d[\d.,]*(?:\ ?%|\ (?:µs|ms|times|points)\b)   # 83.8 %, 113 µs, 1.8 times
    | (?<![\w.:/])\d{1,3}(?:,\d{3})+(?!\w)                     # 17,328
    | (?<![\w.])\d[\d,]*\ of\ (?:the\ )?\d[\d,]*              # 836 of 892
    | (?<=\|\ )\**\d(?!\d?\.\ )[^|]*(?=\ \|)                   # a cell, but no law's number
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A section of the file; ``origin`` is the key that says where its figures come from."""

    name: str
    says: tuple[str, ...]
    how: str
    when: str
    origin: str
    where: str


def measured() -> list[Measured]:
    """All sections, in order."""
    sections = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return [_section(name, section) for name, section in sections.items()]


def _section(name: str, section: Mapping[str, Any]) -> Measured:
    (origin,) = ORIGINS & section.keys()
    return Measured(
        name,
        tuple(line for says in section["says"] for line in says.strip().splitlines()),
        section["how"],
        str(section["when"]),
        origin,
        section[origin],
    )


def figures(document: str) -> Iterator[re.Match[str]]:
    """Every figure of a document, but for code and what other tests generate."""
    yield from _FIGURE.finditer(prose(document))


def prose(document: str) -> str:
    """A document, with blanks in place of what holds no figures that were measured."""
    shown = text(document)
    for pattern in (_FENCE, _UPSTREAM, settings_table.TABLE, MARKED):
        shown = pattern.sub(lambda found: re.sub(r"\S", " ", found[0]), shown)
    return shown
