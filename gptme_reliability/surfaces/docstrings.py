"""What a docstring says of a function and of its parameters.

Google, NumPy and Sphinx style are read; whatever is in none of them belongs to the description.
"""

from __future__ import annotations

import inspect
import re
from itertools import pairwise
from typing import Final, Literal, NamedTuple

_PARAMETERS: Final = frozenset(
    {"args", "arguments", "parameters", "params", "keyword args", "keyword arguments"}
    | {"other parameters"}
)
_OTHERS: Final = frozenset(
    {"returns", "return", "yields", "raises", "example", "examples", "note", "notes", "warns"}
    | {"see also", "references", "attributes", "warning", "warnings", "todo"}
)
_RULE: Final = re.compile(r"-{3,200}\s{0,20}")
_GOOGLE: Final = re.compile(
    r"\*{0,2}(\w{1,200})\s{0,20}(?:\([^()]{0,400}\)\s{0,20})?:(?:\s+(.*)|$)"
)
_NUMPY: Final = re.compile(r"\*{0,2}(\w{1,200}(?:, ?\*{0,2}\w{1,200}){0,20})\s{0,20}(?::.*)?")
_FIELD: Final = re.compile(r":(\w{1,40})(?:\s+([^:]{0,400}))?:\s{0,20}(.*)")
_FIELDS: Final = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})


class Docstring(NamedTuple):
    """The description of a function, and of its parameters by their names."""

    description: str
    parameters: dict[str, str]


def read_docstring(text: str | None) -> Docstring:
    """Read a docstring; anything is one."""
    reader = _Reader()
    lines = inspect.cleandoc(text or "").splitlines()
    for line, after in pairwise([*lines, ""]):
        reader.take(line, after)
    named = {name: " ".join(said).strip() for name, said in reader.parameters.items()}
    return Docstring(
        "\n".join(reader.description).strip(), {name: said for name, said in named.items() if said}
    )


class _Reader:
    """Line by line; ``_style`` is the one of the section at hand, None in the description."""

    def __init__(self) -> None:
        self.description: list[str] = []
        self.parameters: dict[str, list[str]] = {}
        self._style: Literal["google", "numpy", "field", "other"] | None = None
        self._ruled = False  # whether the section's title is underlined: no indentation ends it
        self._indent: int | None = None  # of a Google section's entries
        self._names: list[str] = []  # whom the next line describes

    def take(self, line: str, after: str) -> None:
        """Read one line, knowing the one after it."""
        if self._heading(line, after) or (self._ruled and _RULE.fullmatch(line)):
            return
        said = line.strip()
        indent = len(line) - len(line.lstrip())
        if field := _FIELD.fullmatch(line):
            self._style, self._ruled = "field", False
            kind, about, text = field.groups()
            self._describe((about or "").split()[-1:] if kind in _FIELDS else [], text)
        elif self._style is None or (said and not indent and not self._ruled):
            self._style = None
            self.description.append(line)
        elif self._style != "other" and said:
            self._parameter(said, indent)

    def _heading(self, line: str, after: str) -> bool:
        """Whether a line is the title of a section, which then begins."""
        title = line.rstrip().lower()
        ruled = _RULE.fullmatch(after) is not None
        name = title if ruled else title.removesuffix(":")
        if not (ruled or title.endswith(":")) or name not in _PARAMETERS | _OTHERS:
            return False
        style: Literal["google", "numpy"] = "numpy" if ruled else "google"
        self._style = style if name in _PARAMETERS else "other"
        self._ruled, self._indent, self._names = ruled, None, []
        return True

    def _parameter(self, said: str, indent: int) -> None:
        """A line of a section about parameters: it begins with a name, or goes on."""
        entry = None
        if self._style == "google":
            self._indent = indent if self._indent is None else self._indent
            entry = _GOOGLE.fullmatch(said) if indent <= self._indent else None
        elif self._style == "numpy" and not indent:
            entry = _NUMPY.fullmatch(said)
        if entry is None:
            self._describe(self._names, said)
        else:
            text = entry[2] if self._style == "google" else None
            self._describe([name.strip(" *") for name in entry[1].split(",")], text or "")

    def _describe(self, names: list[str], said: str) -> None:
        self._names = names
        for name in names:
            self.parameters.setdefault(name, []).append(said)
