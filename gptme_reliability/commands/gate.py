"""The command ``gate``: its options and its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from gptme_reliability.evals.tasks.command import count, parameter

_DESCRIPTION: Final = """\
For your own CI, when model or server change: is it still as good as before? Probes the server
(see `probe`), holds what it finds against the card of a baseline, and lets the model do eight
small tasks with simulated tools through this package: one call, two calls, nested arguments,
another script, two steps, a tool that fails at first, what no tool is for, small talk.
"""

_EPILOG: Final = """\
With --baseline, what the server did then and does no more is worse; what it never did is not.
Without one, a server is judged as `probe` does: calls, streams and cut answers must be right.
What is only unclear this time is never worse. Tasks are played in the mode that the new card
recommends: native tools unless the server loses them, streamed where that works. A model that
draws its answers has its luck: --repeat makes shares finer, --param temperature=0 repeats itself.

Nothing is written but what you name: --card FILE holds the new card, a baseline for the next
time once you are content with it; --results FILE a line of JSON for each task, which
`gptme-reliability report` reads. Both replace what stood there. A key for the server is taken
from GPTME_RELIABILITY_UPSTREAM_KEY.

examples:
  gptme-reliability gate http://127.0.0.1:8080/v1 --card baseline.toml
  gptme-reliability gate http://127.0.0.1:8080/v1 --model qwen3:8b --baseline baseline.toml \\
      --card now.toml --results now.jsonl
  gptme-reliability gate http://127.0.0.1:8080/v1 --scenarios own.jsonl --min-success 0.9

exit codes:
  0    as good as before
  1    worse; a line for each reason says what
  2    could not be asked: the endpoint, the key, the model, a file or an option is wrong
  130  interrupted; the tasks so far are shown, and stand in the results
"""


def add_gate(commands: Any) -> None:
    """Add the command to the command line."""
    gate = commands.add_parser(
        "gate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = gate.add_argument
    add("url", metavar="URL", help="the server's base URL, up to its /v1")
    add("--model", metavar="NAME", help="as requests name it; needed where there are several")
    add("--baseline", metavar="FILE", type=Path, help="a card of before, to compare with")
    add("--card", metavar="FILE", type=Path, help="write the new card there")
    add("--results", metavar="FILE", type=Path, help="write a result a line there")
    add("--json", action="store_true", help="one JSON object instead of tables")
    add("--min-success", metavar="SHARE", type=_share, default=0.8, help="default: 0.8")
    add(
        "--max-wrong",
        metavar="N",
        type=_number,
        default=0,
        help="tasks in which a call may do what nobody wanted (default: 0)",
    )
    add("--modes", metavar="LIST", help="as `eval run` names them; default: the best one")
    add("--scenarios", metavar="PATH", type=Path, help="tasks of your own instead of the eight")
    add("--repeat", metavar="N", type=count, default=1, help="default: 1")
    add(
        "--param",
        metavar="KEY=JSON",
        action="append",
        type=parameter,
        default=[],
        help="more for each request, such as temperature=0",
    )
    add("--timeout", metavar="S", type=float, default=120.0, help="for a request (default: 120)")
    gate.set_defaults(run=_run, error=gate.error)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"must be a share from 0 to 1, not {text!r}")
    return share


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, not {text!r}")
    return int(text)


def _run(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.gating import Options, gate
    from gptme_reliability.evals.tasks.smoke import Limits

    if not arguments.timeout > 0:
        arguments.error("--timeout must be more than 0 seconds")
    return gate(
        Options(
            url=arguments.url,
            model=arguments.model,
            baseline=arguments.baseline,
            card=arguments.card,
            results=arguments.results,
            as_json=arguments.json,
            limits=Limits(arguments.min_success, arguments.max_wrong),
            modes=arguments.modes,
            scenarios=arguments.scenarios,
            repeats=arguments.repeat,
            params=dict(arguments.param),
            seconds=arguments.timeout,
        )
    )
