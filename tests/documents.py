"""The documents, taken apart: fences, commands, names of files and of tests."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = {name: ROOT / name for name in ("README.md", "docs/design-note.md")}

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=")


def text(document: str) -> str:
    """The whole document."""
    return DOCUMENTS[document].read_text(encoding="utf-8")


def fences(document: str, language: str) -> list[str]:
    """The contents of all fences of one language."""
    return [body for tag, body in _FENCE.findall(text(document)) if tag == language]


def spans(document: str) -> Iterator[str]:
    """Everything in single backticks outside of fences."""
    for found in _CODE.finditer(_FENCE.sub("", text(document))):
        yield found[1]


def anchors(path: Path) -> set[str]:
    """What a link can lead to within a page: its headings, as GitHub spells them."""
    found: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", path.read_text("utf-8")), re.MULTILINE):
        found[re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")] += 1
    return {name if n == 0 else f"{name}-{n}" for name, most in found.items() for n in range(most)}


def section(document: str, heading: str) -> str:
    """What stands under a heading of the second level, up to the next one."""
    (found,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text(document), re.MULTILINE | re.DOTALL
    )
    return str(found)


def lines(document: str) -> Iterator[str]:
    """Every command line of a shell or of systemd that stands in a fence."""
    for body in fences(document, "sh"):
        yield from body.replace("\\\n", " ").splitlines()
    for body in fences(document, "ini"):
        yield from re.findall(r"^ExecStart=(.+)$", body, re.MULTILINE)


def commands(document: str, program: str) -> Iterator[list[str]]:
    """The arguments of every command that is shown of a program."""
    for line in [*lines(document), *(s for s in spans(document) if s.startswith(program))]:
        for part in re.split(r"&&|\|(?!\|)", line):
            words = _words(part)
            if words and words[0].rpartition("/")[2] == program:
                yield words[1:]


def _words(command: str) -> list[str]:
    """The words of a command, without what is set for it before and where its output goes."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # a quotation that goes on behind a pipe
        return []
    while words and _ASSIGNMENT.match(words[0]):
        words.pop(0)
    return list(takewhile(lambda word: word not in ("<", ">"), words))
