"""The command ``probe``: its options and its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
from typing import Any, Final

_DESCRIPTION: Final = """\
Finds out what a server does for a model, by small requests with a known right answer: whether
calls arrive as calls, whether tool_choice, schemas and streams do what they should, whether a
cut answer says so, which sampling parameters are read. What the server says of itself is not
believed. The result is a card that the gptme plugin and the proxy read from then on.
"""

_EPILOG: Final = """\
A model may fail where its server does its part: what fails is asked again with another seed, up
to three times, and what stays doubtful is called unclear. Nothing is called missing after one
answer. What a server does can change with its version, options and chat template: probe again.

Prompts are a few words long, but for one that is longer than the context, which is sent where
that is 4096 tokens or less. How many requests and tokens of answers it can take is said first.

The card lies in ~/.config/gptme/reliability/capabilities (or below $XDG_CONFIG_HOME) and ranks
below what you set yourself. A key for the server is taken from GPTME_RELIABILITY_UPSTREAM_KEY.

examples:
  gptme-reliability probe http://127.0.0.1:8080/v1
  gptme-reliability probe http://127.0.0.1:11434/v1 --model qwen3:8b --compare

exit codes:
  0    usable
  1    calls, streams or cut answers are not what they should be; the table says which
  2    the server cannot be probed, or an option is wrong; one line says why
"""


def add_probe(commands: Any) -> None:
    """Add the command to the command line."""
    probe = commands.add_parser(
        "probe",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = probe.add_argument
    add("url", metavar="URL", help="the server's base URL, up to its /v1")
    add("--model", metavar="NAME", help="as you name it to gptme; needed where there are several")
    add("--out", metavar="FILE", help="write the card there; - for nowhere")
    add("--compare", action="store_true", help="show what changed since the last card")
    add("--json", action="store_true", help="one JSON object")
    add(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="how long one request may take (default: 60)",
    )
    probe.set_defaults(run=_run, error=probe.error)


def _run(arguments: argparse.Namespace) -> int:
    from gptme_reliability.commands.probed import run

    if not arguments.timeout > 0:
        arguments.error("--timeout must be more than 0 seconds")
    return run(
        arguments.url,
        arguments.model,
        arguments.out,
        compare=arguments.compare,
        as_json=arguments.json,
        seconds=arguments.timeout,
    )
