"""The documents, taken apart: fences, commands, names of files and of tests."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
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


def section(document: str, heading: str) -> str:
    """What stands under a heading of the second level, up to the next one."""
    (found,) = re.findall(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text(document), re.MULTILINE | re.DOTALL
    )
    return str(found)


def commands(document: str, program: str) -> Iterator[list[str]]:
    """The arguments of every command that is shown of a program."""
    lines = [line for body in fences(document, "sh") for line in _joined(body).splitlines()]
    for line in [*lines, *(span for span in spans(document) if span.startswith(program))]:
        for part in re.split(r"&&|\|(?!\|)", line):
            words = _words(part)
            if words and words[0].rpartition("/")[2] == program:
                yield words[1:]


def _joined(body: str) -> str:
    return body.replace("\\\n", " ")


def _words(command: str) -> list[str]:
    """The words of a command, without what is set for it before and where its output goes."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # a quotation that goes on behind a pipe
        return []
    while words and _ASSIGNMENT.match(words[0]):
        words.pop(0)
    return words
