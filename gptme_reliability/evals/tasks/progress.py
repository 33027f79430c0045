"""How far a run is, for people on a terminal; silent everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Show: TypeAlias = Callable[[int, int | None, str], None]
"""Told how many are done, of how many (None where that is not known), and what comes now."""


@contextmanager
def progress() -> Iterator[Show]:
    """Moves a bar on standard error while the block runs, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda done, total, words: None
        return
    text = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), MofNCompleteColumn(), Remaining(), text)
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task("", total=None)

        def show(done: int, total: int | None, words: str) -> None:
            bars.update(bar, completed=done, total=total, description=words)

        yield show
