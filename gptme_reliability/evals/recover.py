"""Recovery measured on a corpus: every row through ``check``, one result a row.

``recover_rows.py`` reads the rows, ``recover_scoring.py`` judges what came out of one,
``recover_streaming.py`` watches the gate, ``recover_report.py`` adds up.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Final

from gptme_reliability.errors import InputError
from gptme_reliability.evals.interrupts import uninterrupted
from gptme_reliability.evals.recover_files import (
    Corpus,
    Line,
    open_corpus,
    read_results,
    results_writer,
)
from gptme_reliability.evals.recover_report import print_report
from gptme_reliability.evals.recover_rows import read_row
from gptme_reliability.evals.recover_scoring import Result, score

_INTERRUPTED: Final = 130
_BATCH: Final = 32  # rows that one of several processes takes at a time


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be read, and why."""

    message: str


@dataclass(frozen=True, slots=True)
class Measure:
    """How rows are measured; ``only`` is a pattern of family names."""

    policy: str = "default"
    streamed: bool = False
    only: str = "*"

    def takes(self, family: str) -> bool:
        """Whether rows of this family are measured."""
        return fnmatchcase(family, self.only)

    def __call__(self, lines: Sequence[Line]) -> list[Result | Broken]:
        """The results of these lines, without the rows of other families."""
        measured: list[Result | Broken] = []
        for number, line in lines:
            try:
                row = read_row(line, number)
            except InputError as error:
                measured.append(Broken(str(error)))
                continue
            if self.takes(row.family):
                measured.append(score(row, self.policy, streamed=self.streamed))
        return measured


def recover(
    corpus: Path,
    measure: Measure,
    *,
    results: Path | None = None,
    resume: bool = False,
    limit: int | None = None,
    jobs: int = 1,
    fails: int = 0,
) -> int:
    """Measure a corpus and print what came out; results are appended to a file as they come.

    Returns the exit code: 0; 1 when a row could not be read, ``check`` raised or the gate
    showed text too early; 130 on Ctrl-C, after the table of the rows that were finished.

    Raises:
        InputError: the corpus or the results file cannot be used, or no row is to be measured.
    """
    broken, interrupted = 0, False
    with ExitStack() as stack:
        rows = stack.enter_context(open_corpus(corpus))
        earlier: list[Result] = []
        if resume and results:
            earlier = read_results(results, corpus.name, measure.policy, streamed=measure.streamed)
        done = [result for result in earlier if measure.takes(result.family)]
        write = stack.enter_context(results_writer(results, corpus.name, resume=resume))
        show = stack.enter_context(_progress(rows, limit))
        known = {result.line for result in earlier}
        todo = (line for line in rows if line[0] not in known)
        items = stack.enter_context(closing(_measured(todo, measure, jobs)))
        try:
            while limit is None or len(done) < limit:
                item = next(items, None)
                if item is None:
                    break
                if isinstance(item, Broken):
                    broken += 1
                else:
                    with uninterrupted():
                        write(item)
                        done.append(item)
                show(item, len(done))
        except KeyboardInterrupt:
            interrupted = True
    if not (done or broken or interrupted):
        raise InputError(f"no row is of a family like {measure.only!r}")
    done.sort(key=lambda result: result.line)
    print_report(done, broken, fails)
    if interrupted:
        return _INTERRUPTED
    return int(broken > 0 or any(result.is_fault for result in done))


def _measured(
    lines: Iterable[Line], measure: Measure, jobs: int
) -> Generator[Result | Broken, None, None]:
    """The results in the order of the rows, by several processes where asked for."""
    if jobs == 1:
        for line in lines:
            yield from measure([line])
        return
    lines = iter(lines)
    pool = ProcessPoolExecutor(jobs, initializer=_ignore_interrupts)
    waiting: deque[Future[list[Result | Broken]]] = deque()
    try:
        while batch := list(islice(lines, _BATCH)):
            waiting.append(pool.submit(measure, batch))
            # Only so much ahead that no process waits: the corpus may be large.
            if len(waiting) > 2 * jobs:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Ctrl-C is the parent's business: it ends the pool."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _progress(rows: Corpus, limit: int | None) -> Iterator[Callable[[Result | Broken, int], None]]:
    """A function to call with every item; says broken rows, and moves a bar on a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, highlight=False)

    def say(item: Result | Broken) -> None:
        if isinstance(item, Broken):
            console.print(f"gptme-reliability: {item.message}", markup=False, soft_wrap=True)

    if not console.is_terminal:
        yield lambda item, count: say(item)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("measuring", total=limit or rows.size)

        def show(item: Result | Broken, count: int) -> None:
            say(item)
            done = count if limit else rows.position
            progress.update(task, completed=done, description=f"{count:,} rows")

        yield show
