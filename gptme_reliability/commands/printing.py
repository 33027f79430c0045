"""How commands print: tables for people on a terminal, plain lines for everything else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console(width: int) -> Console:
    """Standard output for tables; ``width`` is that of the table where it is no terminal.

    A closed pipe is raised, as by ``print``; rich itself would exit with 1.
    """
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise

    shown = Plain(highlight=False)
    return shown if shown.is_terminal else Plain(highlight=False, width=width)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; in a pipe, a line a row with tabs between the cells."""
    if not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(visible(cell) for cell in row))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(visible(cell)) for cell in row))
    Console(highlight=False).print(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and what they are, one a line; what is empty is left out."""
    for name, text in pairs:
        if text:
            print(f"{name + ':':<20}{visible(text)}")


def print_json(value: Mapping[str, Any]) -> None:
    """One line of JSON, ASCII only, so that no terminal can break it."""
    print(json.dumps(value, allow_nan=False))


def visible(text: str) -> str:
    """A text without characters that move a cursor or end a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
