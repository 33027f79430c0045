"""The command ``eval``: its options and its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from gptme_reliability.evals.suite_command import add_suite
from gptme_reliability.evals.tasks.command import add_run, count

_DESCRIPTION: Final = """\
Measures how well calls are recovered from what models wrote: every row of a corpus goes
through the same check as in use, and what may run of it is held against what was expected.

  right   the expected calls run and no others, or none where none was expected
  wrong   a call runs that is none of the expected ones
  false   a call runs where none was expected
  asked   calls are missing, nothing is wrong, and the model is asked again
  missed  calls are missing, nothing is wrong, and nobody asks
  error   the check itself failed
"""

_EPILOG: Final = """\
A corpus is a .jsonl or .jsonl.gz file, one JSON object a line:

  {"id": 1, "raw": "<tool_call>{...}", "tools": [...],
   "expected": [{"name": "shell", "arguments": {"command": "ls"}}]}

  raw            what the model wrote; or "tool_calls", as the server sent them
  tools          OpenAI tool objects; without them, tools that fit the expected calls
  expected       the calls that should run, in order; []: none; null: whatever does not fail
  accepts        one object a call, {argument: [value, ...]}: further right values; an argument
                 that stands only here may be left out
  family         the row of the table it counts in; else "dialect", "model"
  category       "policy" and "defect_nocall" rows are shown and stay out of the total
  stream_chunks  the pieces in which "raw" arrived, for --streamed

and optionally "finish_reason", "messages", "reasoning". Of leaderboard dumps, rows with
"ground_truth" (every right value of each argument, "" where it may be left out) are read too,
and compared as leaderboards do: calls in any order, strings without case and punctuation;
their family is "kind/source_model".

The results file holds one object a row: line, id, family, outcome, reason, calls, us ...

examples:
  gptme-reliability eval recover --corpus rows.jsonl --fails 20
  gptme-reliability eval recover --corpus rows.jsonl.gz --json results.jsonl --resume
  gptme-reliability eval recover --corpus rows.jsonl.gz --only 'text/*' --streamed

exit codes:
  0    every row was measured, whatever came out
  1    a row could not be read, the check failed on one, or text was shown too early
  2    the corpus, the results file or an option is wrong; one line on standard error says what
  130  interrupted; the table shows the rows that were finished
"""


def add_eval(commands: Any) -> None:
    """Add ``eval`` and its subcommands to the command line."""
    evaluation = commands.add_parser("eval", description="Measures this package.")
    kinds = evaluation.add_subparsers(metavar="what", required=True)
    add_run(kinds)
    add_suite(kinds)
    recover = kinds.add_parser(
        "recover",
        help="how well calls are recovered from what models wrote",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    recover.add_argument("--corpus", metavar="FILE", type=Path, required=True, help="the rows")
    recover.add_argument("--json", metavar="FILE", type=Path, help="write a result a row there")
    recover.add_argument(
        "--resume", action="store_true", help="go on with the results file, skip its rows"
    )
    recover.add_argument("--limit", metavar="N", type=count, help="measure N rows at most")
    recover.add_argument(
        "--only", metavar="FAMILY", default="*", help="only this family; * stands for anything"
    )
    recover.add_argument(
        "--policy",
        choices=("default", "permissive"),
        default="default",
        help="permissive: lossy repairs may run too",
    )
    recover.add_argument(
        "--streamed",
        action="store_true",
        help="stream every row in many ways too, and look at what is shown meanwhile",
    )
    recover.add_argument(
        "--fails", metavar="N", type=count, default=0, help="show N failing rows, worst first"
    )
    recover.add_argument(
        "--jobs", metavar="N", type=count, default=1, help="measure with N processes"
    )
    recover.set_defaults(run=_recover, error=recover.error)


def _recover(arguments: argparse.Namespace) -> int:
    if arguments.resume and not arguments.json:
        arguments.error("--resume needs --json FILE: which results should it go on with?")
    from gptme_reliability.evals.recover import Measure, recover

    return recover(
        arguments.corpus,
        Measure(arguments.policy, arguments.streamed, arguments.only),
        results=arguments.json,
        resume=arguments.resume,
        limit=arguments.limit,
        jobs=arguments.jobs,
        fails=arguments.fails,
    )
