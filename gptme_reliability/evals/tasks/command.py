"""The command ``eval run``: its options and its help; what it does is imported when it runs."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, Final

_DESCRIPTION: Final = """\
Lets a model work on whole tasks with simulated tools, and looks at what was done in the end:
files, a calendar, an inventory and the like must be as the user wanted them, and nothing else
may have been touched. Any server with an OpenAI-compatible API will do.

arms, what stands between the model and the tools:
  bare       a plain host: runs what it reads, errors go back to the model as results
  strict     the same, and arguments are validated first
  guarded    this package: checked, repaired, asked again
  no-repair, no-inferred, no-resolve, no-aliases, no-asking, no-resample, no-force,
  no-structure, no-prompt, no-respond, no-loops, no-echo
             the guard with one stage switched off; "ablation" stands for all of them

modes, how the model is asked:
  native     tools and calls where the API has them
  prompted   tools in the system prompt, calls in <tool_call> tags
  markdown   calls in fenced blocks, as gptme has them
  xml        calls in tags, as gptme has them
  each with +stream; native with +force (every answer is a call, or text through a tool for
  talking) or +respond (that tool is on offer)
"""

_EPILOG: Final = """\
A task is done when the final state is exactly what was wanted, no call did anything else on the
way, and the model came to an end. Scenarios that ask for no call are done by an answer in text.

A file of your own for --scenarios holds a scenario a line; a directory, such files (.jsonl):

  {"id": "lamp", "user": "Switch the lamp on.", "tools": [{"type": "function", ...}],
   "calls": [{"name": "switch", "arguments": {"what": "lamp", "on": true}}]}

examples:
  gptme-reliability eval run --endpoint http://127.0.0.1:8080/v1 --model qwen2.5-7b \\
      --modes native,native+stream,markdown --results results.jsonl
  gptme-reliability eval run ... --arms guarded,ablation --only 'steps*' --repeat 3
  gptme-reliability report results.jsonl --html report.html

exit codes:
  0    every task was played, whatever came out
  1    this package failed at a request, and passed it through
  2    the server, a file or an option is wrong; one line on standard error says what
  130  interrupted; the results so far stand in the file
"""


def add_run(kinds: Any) -> None:
    """Add ``run`` to the kinds of evaluation."""
    run = kinds.add_parser(
        "run",
        help="whole tasks against a real server, with and without this package",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--endpoint", metavar="URL", required=True, help="the API, .../v1")
    run.add_argument("--model", metavar="NAME", required=True, help="as requests name it")
    run.add_argument("--modes", metavar="LIST", default="native", help="default: native")
    run.add_argument("--arms", metavar="LIST", default="bare,guarded", help="default: bare,guarded")
    run.add_argument("--only", metavar="PATTERN", default="*", help="of ids or categories")
    run.add_argument(
        "--scenarios",
        metavar="PATH",
        type=Path,
        help="a file or directory, instead of those shipped",
    )
    run.add_argument("--repeat", metavar="N", type=count, default=1, help="default: 1")
    run.add_argument("--seed", metavar="N", type=int, default=1, help="where all draws come from")
    run.add_argument("--temperature", metavar="T", type=float, help="default: the server's")
    run.add_argument("--max-tokens", metavar="N", type=count, default=1024, help="default: 1024")
    run.add_argument(
        "--param",
        metavar="KEY=JSON",
        action="append",
        type=parameter,
        default=[],
        help="more for each request",
    )
    run.add_argument("--timeout", metavar="S", type=float, default=120.0, help="for a request")
    run.add_argument("--key-env", metavar="NAME", help="environment variable with an API key")
    run.add_argument("--results", metavar="FILE", type=Path, help="write a result a line there")
    run.add_argument("--resume", action="store_true", help="go on with the results file")
    run.set_defaults(run=_run, error=run.error)


def count(text: str) -> int:
    """A number of something, of which there is at least one."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, not {text!r}")
    return int(text)


def parameter(text: str) -> tuple[str, Any]:
    """A parameter of requests, ``KEY=JSON``."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: behind = must stand JSON") from None


def _run(arguments: argparse.Namespace) -> int:
    if arguments.resume and not arguments.results:
        arguments.error("--resume needs --results FILE: what should it go on with?")
    from gptme_reliability.evals.tasks.modes import read_arms, read_mode
    from gptme_reliability.evals.tasks.play import Connection
    from gptme_reliability.evals.tasks.run import Plan, chosen, evaluate
    from gptme_reliability.evals.tasks.scenario import read_scenarios, shipped_scenarios
    from gptme_reliability.surfaces.endpoint import ask_server

    given = arguments.scenarios
    scenarios = read_scenarios(given) if given else shipped_scenarios()
    plan = Plan(
        scenarios=chosen(scenarios, arguments.only),
        modes=[read_mode(text) for text in arguments.modes.split(",")],
        arms=read_arms(arguments.arms),
        repeats=arguments.repeat,
        seed=arguments.seed,
    )
    connection = Connection(
        endpoint=arguments.endpoint,
        model=arguments.model,
        key=_key(arguments),
        params=_params(arguments),
        timeout=arguments.timeout,
    )
    backend = ask_server(arguments.endpoint, arguments.model).backend
    return evaluate(plan, connection, backend, arguments.results, resume=arguments.resume)


def _key(arguments: argparse.Namespace) -> str:
    if not arguments.key_env:
        return "none"
    key = os.environ.get(arguments.key_env, "").strip()
    if not key:
        arguments.error(f"--key-env: the environment has no {arguments.key_env}")
    return key


def _params(arguments: argparse.Namespace) -> dict[str, Any]:
    params: dict[str, Any] = {"max_tokens": arguments.max_tokens}
    if arguments.temperature is not None:
        params["temperature"] = arguments.temperature
    return {**params, **dict(arguments.param)}
