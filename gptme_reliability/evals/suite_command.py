"""The command ``eval suite``: its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
from typing import Any, Final

_USAGE: Final = "gptme-reliability eval suite [name ...] [options of gptme-eval]"
_DESCRIPTION: Final = """\
Runs gptme's own gptme-eval with the suite "reliability" added: 25 of the 60 tasks of `eval run`,
with real files in a workspace and gptme's own tools read, save, append, patch, shell and
complete. Checked is the state in the end, never words: files are as wanted, all others stay,
nothing else is there; where no call was asked for, no tool was called.

The other 35 stay with `eval run`: 34 need tools that gptme does not have (calendar, mail, ...),
and in 1 the user names one.

All arguments go to gptme-eval (see gptme-eval --help); without a name, the whole suite runs.
Results are written to ./eval_results, or where EVAL_RESULTS_DIR says. gptme runs as it is set up
on this computer: with the plugin where it is on.
"""
_EPILOG: Final = """\
What the model calls is executed on this computer, unasked and without a sandbox; use a container
or another user for a model that you do not trust. gptme-eval's own --use-docker is no way: its
container has neither this suite nor the plugin.

examples:
  gptme-reliability eval suite --list
  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=none \\
      gptme-reliability eval suite -m local/qwen2.5-7b@tool -m local/qwen2.5-7b@markdown -p 1
  gptme-reliability eval suite reliability-single-delete -m local/qwen2.5-7b@xml
  GPTME_RELIABILITY_ENABLED=false gptme-reliability eval suite -m ...   # gptme alone
  gptme-reliability eval suite eval_results/20260101_120000Z            # shows a run again

exit codes are gptme-eval's: 0 when every task was played, whatever came out
"""


def add_suite(kinds: Any) -> None:
    """Add ``suite`` to the kinds of evaluation."""
    suite = kinds.add_parser(
        "suite",
        help="tasks for gptme's own gptme-eval, with real files",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # Nothing is an option here: all of it goes on to gptme-eval.
        prefix_chars="\0",
        add_help=False,
    )
    suite.add_argument("arguments", nargs="*", help=argparse.SUPPRESS)
    suite.set_defaults(run=_run, show_help=suite.print_help, error=suite.error)


def _run(arguments: argparse.Namespace) -> int:
    if {"-h", "--help"} & {*arguments.arguments}:
        arguments.show_help()
        return 0
    if "--use-docker" in arguments.arguments:
        arguments.error("--use-docker: its container has neither this suite nor the plugin")
    from gptme_reliability.surfaces.gptme.eval_suite import run_suite

    return run_suite(arguments.arguments)
