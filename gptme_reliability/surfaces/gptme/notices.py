"""What the user is told while gptme runs: single lines on stderr, never on stdout.

Only the main thread speaks to the terminal.  Servers, the TUI and subagents generate in other
threads; there a notice goes to the log, and ``/reliability`` shows it.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

from gptme_reliability.respond import SPOKEN
from gptme_reliability.types import Accept, Reject, Repair, Retry, Rung

if TYPE_CHECKING:
    from gptme_reliability.exchange import Attempt
    from gptme_reliability.surfaces.host import Report

logger = logging.getLogger(__name__)

_LONGEST: Final = 300
_MOST_REFUSED: Final = 3
_TIMES: Final = {1: "once", 2: "twice"}
_WAYS: Final[Mapping[Rung | None, str]] = {
    "resample": "with other sampling",
    "force": "made to call",
    "structure": "held to a schema",
    "prompt": "with the tools in the prompt",
}
# Save the cursor and stop wrapping; wrap again; restore the cursor and erase what follows.
# Without wrapping the screen cannot scroll, so that the saved place stays the right one.
_BEGIN: Final = "\x1b7\x1b[?7l"
_END: Final = "\x1b[?7h"
_ERASE: Final = "\x1b8\x1b[K"


def printable(text: str, longest: int = _LONGEST) -> str:
    """The text on one line, without what a terminal would obey; a model may have written it."""
    line = "".join(c if c.isprintable() else " " for c in text[: longest + 1])
    return line if len(line) <= longest else line[: longest - 1] + "…"


def say(text: str, *, in_text: bool = False) -> None:
    """Tell the user one line; ``in_text`` if part of an answer may stand on the line so far."""
    line = f"reliability: {printable(text)}"
    if not _has_terminal():
        logger.info(line)
        return
    clear_status()
    sys.stdout.flush()
    console = Console(stderr=True, highlight=False)
    if console.is_terminal and sys.stdout.isatty():
        sys.stderr.write("\n" if in_text else "\r\x1b[K")
    console.print(Text(line, style="dim"), soft_wrap=True)


def say_once(text: str) -> None:
    """Tell the user something once per process."""
    if text not in _said:
        _said.add(text)
        say(text)


_said: set[str] = set()


def show_status(text: str) -> None:
    """Show a line until ``clear_status``; where no line can be taken back, it stays."""
    if not _has_terminal():
        return
    line = f"reliability: {printable(text)}"
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        console.print(Text(line, style="dim"), soft_wrap=True)
        return
    clear_status()
    sys.stdout.flush()
    sys.stderr.write(f"{_BEGIN}\x1b[2m{line}\x1b[0m{_END}")
    sys.stderr.flush()
    _status.append(line)


def clear_status() -> None:
    """Take the status line back, if one is shown."""
    if _status and _has_terminal():
        _status.clear()
        sys.stderr.write(_ERASE)
        sys.stderr.flush()


def forget_status() -> None:
    """A line that still counts as shown belongs to an answer that was broken off: the cursor
    is elsewhere by now, and taking it back would spoil the screen."""
    if _has_terminal():
        _status.clear()


_status: list[str] = []


def _has_terminal() -> bool:
    from gptme.message import is_output_quiet

    return threading.current_thread() is threading.main_thread() and not is_output_quiet()


def asking(attempt: int, retries: int, verdict: Retry) -> str:
    """The status while a re-ask runs."""
    why = verdict.violations[0].message if verdict.violations else "the call cannot run"
    return f"asking again ({attempt}/{retries}): {why}"


def summary(report: Report) -> str | None:
    """What was done about one answer, on one line; None when there is nothing to tell."""
    parts = list(_parts(report))
    if not parts:
        return None
    observed = "observing, nothing changed: " if report.settings.mode == "observe" else ""
    return observed + " · ".join(parts)


def _parts(report: Report) -> Iterator[str]:
    yield from report.notes
    if report.outcome is not None:
        verdict = report.outcome.verdict
        yield from _repaired(verdict)
        yield from _asked_again(report.outcome.attempts)
        if report.settings.first_only and len(verdict.calls) > 1:
            yield _first_only(len(verdict.calls))
        yield from _refused(verdict)
    if report.faults:
        statuses = ", ".join(f"HTTP {status}" for status in dict.fromkeys(report.faults))
        yield f"the server failed on what the model wrote ({statuses})"
    inert = sum(repair.rule == "defuse" for repair in report.repairs)
    if inert:
        yield f"made {inert} {'passage' if inert == 1 else 'passages'} of text inert"
    if report.error:
        yield f"failed, the answer is as the model wrote it ({report.error})"
    if report.interrupted:
        yield "interrupted"


def _asked_again(attempts: Sequence[Attempt]) -> Iterator[str]:
    asked = len(attempts) - 1
    ways = list(dict.fromkeys(_WAYS[one.rung] for one in attempts if one.rung in _WAYS))
    if asked > 0:
        yield ", ".join((f"asked again {_TIMES.get(asked, f'{asked} times')}", *ways))
    elif ways:
        yield ways[0]


def _refused(verdict: Accept | Reject) -> Iterator[str]:
    for refused in verdict.refused[:_MOST_REFUSED]:
        yield f"refused {refused.name or 'a call'}: {refused.reason}"
    if len(verdict.refused) > _MOST_REFUSED:
        yield f"refused {len(verdict.refused) - _MOST_REFUSED} more"
    if isinstance(verdict, Reject) and not verdict.refused:
        yield f"gave up: {verdict.reason}"


def _first_only(calls: int) -> str:
    from gptme_reliability.surfaces.gptme.current import in_server

    said = f"gptme runs only the first of {calls} calls in one text"
    # A server takes no word on this.
    return said if in_server() else f"{said} (GPTME_BREAK_ON_TOOLUSE=0 lets all run)"


def _repaired(verdict: Accept | Reject) -> Iterator[str]:
    groups: dict[str, list[Repair]] = {}
    for repair in verdict.repairs:
        if repair.rule != SPOKEN:  # the tool for talking is out of sight
            groups.setdefault(_name(verdict, repair), []).append(repair)
    for name, repairs in groups.items():
        rules = list(dict.fromkeys(repair.rule for repair in repairs))
        listed = ", ".join(rules[:3]) + (", …" if len(rules) > 3 else "")
        yield f"{name}: repaired {len(repairs)} ({listed})"


def _name(verdict: Accept | Reject, repair: Repair) -> str:
    """The tool a repair is about; positions count refused calls as well, so often unknown."""
    names = [call.name for call in verdict.calls]
    if len(set(names)) == 1:
        return names[0]
    if repair.call is None:
        return "answer"
    if not verdict.refused and repair.call < len(names):
        return names[repair.call]
    return f"call {repair.call + 1}"
