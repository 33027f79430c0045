"""The command ``audit``: its options, its help, and what becomes of an interruption."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.errors import InputError

if TYPE_CHECKING:
    from gptme_reliability.audit.advice import Advice
    from gptme_reliability.audit.counting import Tally
    from gptme_reliability.audit.finding import LogFile

OK: Final = 0
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it

_DESCRIPTION: Final = """\
Reads gptme's conversation logs and says what failed with tools: what, with which tool, format
and model, what it cost, what would have handled it, and what to switch on.

Nothing is sent anywhere, and no log is changed.
"""

_EPILOG: Final = """\
Without a name, gptme's own logs are read: $GPTME_LOGS_HOME, or ~/.local/share/gptme/logs.
A directory is one conversation, or holds one a directory; branches are read, too, and what they
share with their conversation counts once. A line that is no message is counted and skipped.

On a terminal the report comes as tables, in a pipe as lines with tabs. With --json it is one
JSON object. Ctrl-C ends the reading and shows what is known by then.

With --redact neither contents nor names of conversations are shown, nor names of tools that
only the model knows: what is left may be shown to others. Names of models stay.

examples:
  gptme-reliability audit
  gptme-reliability audit --redact --html report.html
  gptme-reliability audit --json ~/old-logs | jq .coverage

exit codes:
  0    the logs were read, whatever they say
  2    a place or an option is wrong; one line on standard error says what
  130  interrupted; the report is of what was read by then
"""


def add_audit(commands: Any) -> None:
    """Add ``audit`` to the command line."""
    command = commands.add_parser(
        "audit",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("places", metavar="LOGDIR|FILE", nargs="*", help="which logs")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument("--html", metavar="FILE", help="write a page with plots, too")
    command.add_argument(
        "--since", metavar="DATE", type=_date, default=0.0, help="logs written since, 2026-01-31"
    )
    command.add_argument("--redact", action="store_true", help="show nothing private")
    command.set_defaults(run=_run)


def _date(text: str) -> float:
    """The beginning of a day in local time, in seconds since 1970."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").timestamp()
    except (ValueError, OverflowError, OSError):
        raise argparse.ArgumentTypeError(f"{text!r} is no date like 2026-01-31") from None


def _run(arguments: argparse.Namespace) -> int:
    from gptme_reliability.audit.advice import advise
    from gptme_reliability.audit.counting import Tally
    from gptme_reliability.audit.finding import find_logs

    logs = find_logs(arguments.places, arguments.since)
    page = _open_page(arguments.html) if arguments.html else None
    tally, interrupted = Tally(), False
    try:
        _read(logs, tally, redact=arguments.redact)
    except KeyboardInterrupt:
        interrupted = True
    advice = advise(tally)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What stands in logs need not fit the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    _show(tally, advice, as_json=arguments.json, interrupted=interrupted)
    if page is not None:
        _write_page(page, tally, advice, interrupted=interrupted)
    return INTERRUPTED if interrupted else OK


def _read(logs: Sequence[LogFile], tally: Tally, *, redact: bool) -> None:
    from gptme_reliability.audit.run import audit

    with _progress(sum(log.size for log in logs)) as done:
        audit(logs, tally, redact=redact, done=done)


@contextmanager
def _progress(size: int) -> Iterator[Callable[[int], None] | None]:
    """A bar on the terminal; nothing where nobody looks."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading logs", total=size)
        yield lambda read: progress.advance(task, read)


def _show(tally: Tally, advice: Sequence[Advice], *, as_json: bool, interrupted: bool) -> None:
    if as_json:
        from gptme_reliability.audit.figures import as_json as report
        from gptme_reliability.commands.printing import print_json

        print_json(report(tally, list(advice), interrupted=interrupted))
        return
    from gptme_reliability.audit.words import print_report

    print_report(tally, advice, interrupted=interrupted)


def _open_page(name: str) -> Path:
    """The file for the page, made now: a wrong name must not cost a long reading.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(name)
    try:
        path.touch()
    except OSError as error:
        raise InputError(f"{name}: cannot be written ({error.strerror or error})") from None
    return path


def _write_page(path: Path, tally: Tally, advice: Sequence[Advice], *, interrupted: bool) -> None:
    from gptme_reliability.audit.page import page

    try:
        text = page(tally, advice, interrupted=interrupted)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    print(f"written: {path}", file=sys.stderr)
