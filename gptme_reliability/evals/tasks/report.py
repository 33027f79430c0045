"""The command ``report``: results of ``eval run`` as a page and in plain text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from gptme_reliability.errors import InputError

_DESCRIPTION: Final = """\
Shows what came out of `gptme-reliability eval run`: in plain text, and with --html as one page
with plots that needs nothing but itself. Several files become one report: several models,
servers or settings side by side.
"""


def add_report(commands: Any) -> None:
    """Add ``report`` to the command line."""
    report = commands.add_parser("report", description=_DESCRIPTION)
    report.add_argument("results", metavar="RESULTS", nargs="+", type=Path)
    report.add_argument("--html", metavar="FILE", type=Path, help="write the page there")
    report.set_defaults(run=_report, error=report.error)


def _report(arguments: argparse.Namespace) -> int:
    from gptme_reliability.evals.tasks.page import page
    from gptme_reliability.evals.tasks.results import read_results
    from gptme_reliability.evals.tasks.summary import print_summary

    results = [result for path in arguments.results for result in read_results(path)]
    if not results:
        raise InputError(f"no results in {', '.join(map(str, arguments.results))}")
    if len({(repr(result.setup), result.key) for result in results}) < len(results):
        raise InputError("the same result stands there twice; give each file once")
    print_summary(results)
    if arguments.html:
        try:
            arguments.html.write_text(page(results), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {arguments.html}: {error.strerror}") from None
    return 0
