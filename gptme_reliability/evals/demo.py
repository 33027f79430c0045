"""The demo: the real gptme against a misbehaving model, without and with the plugin.

What the table says comes from what really happened: files in the workspace, exit codes and
the requests that were sent.
"""

from __future__ import annotations

import importlib.metadata
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.commands.printing import console
from gptme_reliability.errors import InputError, ReliabilityError
from gptme_reliability.evals.gptme_run import Outcome, Run, require_gptme, run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario, demo_scenarios

_AT_A_TIME: Final = 2
_RAN_WRONGLY: Final = 1
_UNJUDGED: Final = 2
_INTERRUPTED: Final = 130
_WIDTH: Final = 110

_WORDS: Final[dict[Outcome, tuple[str, str]]] = {
    "executed": ("runs as meant", "green"),
    "asked": ("asked again, then runs", "green"),
    "text": ("stays text", "green"),
    "asked for nothing": ("stays text, asked again", "green"),
    "not run": ("does not run", "yellow"),
    "silent": ("ends silently", "yellow"),
    "crash": ("gptme dies", "red"),
    "hung": ("retries for minutes", "red"),
    "stuck": ("stands still", "red"),
    "unjudged": ("could not be judged", "yellow"),
    "wrong": ("RUNS WRONGLY", "bold red"),
    "empty command": ("RUNS AN EMPTY COMMAND", "bold red"),
}
_AGAIN: Final = (
    "could not be judged: gptme was still at work after five minutes, or was killed from outside; "
    "try again when the machine is less busy, with --only for one kind"
)
_WRONG: Final[frozenset[Outcome]] = frozenset(("wrong", "empty command"))
_RIGHT: Final[frozenset[Outcome]] = frozenset(("executed", "asked", "text", "asked for nothing"))


@dataclass(frozen=True, slots=True)
class Job:
    """One run to do; every second kind is streamed, those that exist only so always."""

    scenario: Scenario
    streamed: bool
    plugin: bool


def demo(only: str = "") -> int:
    """Run the demo and print its table; ``only`` selects kinds by a part of their name.

    Returns the exit code: 0, 1 when something ran wrongly with the plugin, 2 when a run with it
    could not be judged, 130 on Ctrl-C.

    Raises:
        ReliabilityError: gptme or the plugin is not installed, no kind is selected, or the system
            gives no folder, process or port.
    """
    require_gptme()
    _require_plugin()
    scenarios = [s for s in demo_scenarios() if only.lower() in s.kind.lower()]
    if not scenarios:
        raise InputError(f"no kind of the demo has {only!r} in its name")
    runs: dict[tuple[str, bool], Run] = {}
    interrupted = False
    with _terminated_like_interrupted():
        try:
            for run in _run_all(jobs(scenarios)):
                runs[run.scenario.id, run.plugin] = run
        except KeyboardInterrupt:
            interrupted = True
        except OSError as error:
            raise ReliabilityError(f"gptme could not be run: {_told(error)}") from error
    _print_table(scenarios, runs)
    if interrupted:
        return _INTERRUPTED
    plugged = {run.outcome for run in runs.values() if run.plugin}
    if plugged & _WRONG:
        return _RAN_WRONGLY
    return _UNJUDGED if "unjudged" in plugged else 0


def _told(error: OSError) -> str:
    """What the system said, without its number."""
    told = error.strerror or str(error)
    return f"{error.filename}: {told}" if error.filename else told


def jobs(scenarios: Sequence[Scenario]) -> list[Job]:
    """Both arms of every scenario, side by side."""
    return [
        Job(scenario, scenario.only_streamed or index % 2 == 0, plugin)
        for index, scenario in enumerate(scenarios)
        for plugin in (False, True)
    ]


def _require_plugin() -> None:
    found = importlib.metadata.entry_points(group="gptme.plugins", name="reliability")
    if not found:
        raise ReliabilityError(
            "the plugin is not installed here; try: pip install gptme-reliability"
        )


def _run_all(todo: Sequence[Job]) -> Iterator[Run]:
    """Run the jobs, two at a time; leaves nothing running, however it ends."""
    launcher = Launcher()
    pool = ThreadPoolExecutor(_AT_A_TIME)
    try:
        with _progress(len(todo)) as show:
            futures: set[Future[Run]] = {pool.submit(_run, job, launcher) for job in todo}
            while futures:
                # A wait without end would not let Ctrl-C through on every platform.
                done, futures = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    run = future.result()
                    show(run)
                    yield run
    finally:
        launcher.kill()
        pool.shutdown(cancel_futures=True)


def _run(job: Job, launcher: Launcher) -> Run:
    return run_gptme(
        job.scenario,
        streamed=job.streamed,
        plugin=job.plugin,
        launcher=launcher,
    )


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does, children and all."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A function to call with every finished run; silent unless it writes to a terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda run: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("running gptme", total=total)

        def show(run: Run) -> None:
            words, style = _WORDS[run.outcome]
            arm = "with the plugin" if run.plugin else "gptme alone"
            progress.console.print(
                f"[dim]{run.seconds:4.1f} s[/dim]  {escape(run.scenario.kind)}, {arm}: "
                f"[{style}]{words}[/{style}]",
                highlight=False,
            )
            progress.advance(task)

        yield show


def _print_table(scenarios: Sequence[Scenario], runs: dict[tuple[str, bool], Run]) -> None:
    from rich.markup import escape
    from rich.table import Table

    out = console(_WIDTH)
    table = Table("what the model does", "", "gptme alone", "with the plugin")
    for scenario in scenarios:
        arms = [runs.get((scenario.id, plugin)) for plugin in (False, True)]
        finished = [run for run in arms if run is not None]
        if not finished:
            continue
        how = "streamed" if finished[0].streamed else "whole"
        table.add_row(escape(scenario.kind), how, *(_cell(run) for run in arms))
    if table.row_count:
        out.print(table)
    for plugin, arm in ((False, "gptme alone:    "), (True, "with the plugin:")):
        summary = _summary([run for run in runs.values() if run.plugin is plugin])
        out.print(f"{arm} {summary}", soft_wrap=True)
    if any(run.outcome == "unjudged" for run in runs.values()):
        out.print(_AGAIN, soft_wrap=True)


def _cell(run: Run | None) -> str:
    if run is None:
        return "[dim]not finished[/dim]"
    words, style = _WORDS[run.outcome]
    return f"[{style}]{words}[/{style}]"


def _summary(runs: Sequence[Run]) -> str:
    right = sum(run.outcome in _RIGHT for run in runs)
    others = Counter(run.outcome for run in runs if run.outcome not in _RIGHT)
    parts = [f"{right} of {len(runs)} right"]
    parts += [f"{count} x {_WORDS[outcome][0].lower()}" for outcome, count in others.most_common()]
    return ", ".join(parts)
