"""The command line: ``check`` and ``lint`` for scripts, ``audit``, ``demo``, ``doctor`` and
``report`` for people, ``cards``, ``eval``, ``probe``, ``gate``, and ``proxy`` for every other
client.

Heavy imports happen inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability import __version__
from gptme_reliability.audit.command import add_audit
from gptme_reliability.commands.cards import add_cards
from gptme_reliability.commands.doctor import add_doctor
from gptme_reliability.commands.gate import add_gate
from gptme_reliability.commands.probe import add_probe
from gptme_reliability.errors import InputError, ReliabilityError
from gptme_reliability.evals.command import add_eval
from gptme_reliability.evals.tasks.report import add_report
from gptme_reliability.lint_command import add_lint
from gptme_reliability.surfaces.proxy.command import add_proxy

if TYPE_CHECKING:
    from gptme_reliability.types import ModelOutput, ToolDefinition, Verdict

OK: Final = 0
ROW_FAILED: Final = 1
WRONG_INPUT: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it
PIPE_CLOSED: Final = 141  # 128 + SIGPIPE

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))

_DESCRIPTION: Final = """\
Validates, repairs and enforces the tool calls of local models.

commands:
  check    say what may run of a model's answer
  audit    say what failed with tools in your conversations, and what would help
  lint     find what makes tool definitions hard for small models
  demo     run the real gptme against a misbehaving model, without and with the plugin
  doctor   look for what is wrong, and say how to mend it
  cards    what the publishers of models say about sampling, and what is sent because of it
  eval     measure how well calls are recovered, and what a real model does with whole tasks
  report   show what `eval run` measured, as a page or as text
  proxy    stand between any OpenAI client and a local server
  probe    find out what a server does for a model, and keep it for plugin and proxy
  gate     say in your CI whether a model or server still does as well as before
"""

_EPILOG: Final = """\
example:
  $ cat tools.json
  [{"type": "function", "function": {"name": "shell", "parameters": {"type": "object",
    "properties": {"command": {"type": "string"}}, "required": ["command"]}}}]
  $ echo '<tool_call>{"name": "Shell", "arguments": {"command": "ls"' \\
      | gptme-reliability check --tools tools.json
  {"verdict": "accept", "calls": [{"name": "shell", "arguments": {"command": "ls"}}], ...}

Each command explains itself: gptme-reliability check --help
"""

_CHECK_DESCRIPTION: Final = """\
Reads a model's answer from standard input and prints one JSON verdict:

  verdict     accept | retry (ask the model again) | reject (the end of several attempts,
              never of the one answer that is read here)
  calls       what may run: [{"name", "arguments"}]
  refused     attempted calls that do not run, and why
  text        the answer without its calls
  repairs     every change that was made: rule, path, before, after, kind
  violations  every fault that was not repaired
  feedback    what to tell the model on a retry, else null
"""

_CHECK_EPILOG: Final = """\
tools.json is a list of OpenAI tool objects, or an object with such a list under "tools".

With --jsonl, standard input holds one JSON object a line:

  {"id": 1, "raw": "<tool_call>{...}", "tools": [...]}

and optionally "finish_reason", "tool_calls" (as the server sent them), "messages" (the
conversation so far), "reasoning" and "model"; other keys are ignored. A row without "tools"
gets those of --tools. A verdict a line comes out with the same "id", in order, as it goes.
A row that cannot be read gets {"id", "error"}, and the rest goes on.

examples:
  gptme-reliability check --tools tools.json < output.txt
  gptme-reliability check --jsonl < answers.jsonl > verdicts.jsonl

exit codes:
  0    every answer got a verdict, whatever it says
  1    --jsonl: at least one row got an error
  2    the input or an option is wrong; one line on standard error says what
  130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except ReliabilityError as error:
        print(f"gptme-reliability: {error}", file=sys.stderr)
        return WRONG_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read us has enough
        _write_no_more()
        return PIPE_CLOSED
    except OSError as error:
        if error.errno not in _FULL:
            raise
        print(f"gptme-reliability: cannot write: {error.strerror}", file=sys.stderr)
        _write_no_more()
        return WRONG_INPUT


def _write_no_more() -> None:
    """What is left to write is lost; the interpreter must not try once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gptme-reliability",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_check(commands)
    add_audit(commands)
    add_lint(commands)
    _add_demo(commands)
    add_doctor(commands)
    add_cards(commands)
    add_eval(commands)
    add_report(commands)
    add_proxy(commands)
    add_probe(commands)
    add_gate(commands)
    return parser


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check",
        description=_CHECK_DESCRIPTION,
        epilog=_CHECK_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("--tools", metavar="FILE", help="the tools that were on offer")
    check.add_argument("--jsonl", action="store_true", help="read rows, print a verdict a line")
    check.add_argument(
        "--finish-reason", metavar="WORD", help="the server's finish_reason: stop, length, ..."
    )
    check.add_argument(
        "--model", metavar="NAME", help="the model that answered; no verdict depends on it"
    )
    check.set_defaults(run=_check, error=check.error)


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser(
        "demo",
        description="Runs the real gptme in a throw-away home against a model that misbehaves in "
        "20 and more ways, without and with the plugin, and shows what really ran. Takes up "
        "to three minutes. Your gptme, its config and the network stay untouched.",
        epilog="Exit code 1: something ran with the plugin that was not meant; "
        "2: the demo could not run, or a run with the plugin could not be judged.",
    )
    demo.add_argument("--only", metavar="TEXT", help="only kinds whose name contains TEXT")
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from gptme_reliability.evals.demo import demo

    return demo(only=arguments.only or "")


def _check(arguments: argparse.Namespace) -> int:
    if not arguments.jsonl and not arguments.tools:
        arguments.error("--tools FILE is needed: which tools were on offer?")
    if arguments.jsonl and arguments.finish_reason:
        arguments.error("--finish-reason belongs to a single answer; with --jsonl it is in the row")
    tools = _read_tools(arguments.tools) if arguments.tools else None
    if sys.stdin.isatty():
        print("reading from the terminal; end with Ctrl-D", file=sys.stderr)
    if arguments.jsonl:
        return _check_rows(sys.stdin.buffer, tools, arguments.model)
    from gptme_reliability.types import ModelOutput

    text = _decode(sys.stdin.buffer.read())
    output = ModelOutput(text=text, finish_reason=arguments.finish_reason, model=arguments.model)
    _print(_judge(output, tools or [], ()))
    return OK


def _check_rows(
    lines: Iterable[bytes], tools: Sequence[ToolDefinition] | None, model: str | None
) -> int:
    from gptme_reliability.rows import parse_row

    failed = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row_id: Any = None
        try:
            row = parse_row(_decode(line, number), number)
            row_id = row.get("id")
            answer = {"id": row_id, **_check_row(row, tools, model)}
            _print(answer)
        except ReliabilityError as error:
            failed = True
            _print_error(row_id, str(error))
        except BrokenPipeError:
            raise
        except Exception as error:  # a fault of ours in one row must not cost the other rows
            failed = True
            _print_error(row_id, f"internal error: {type(error).__name__}: {error}")
    return ROW_FAILED if failed else OK


def _check_row(
    row: Mapping[str, Any], tools: Sequence[ToolDefinition] | None, model: str | None
) -> dict[str, Any]:
    from gptme_reliability.rows import read_messages, read_output, read_tools

    output = read_output(row, model)
    if "tools" in row:
        tools = read_tools(row["tools"], "'tools'")
    if tools is None:
        raise InputError("the row needs 'tools', a list of OpenAI tool objects")
    return _judge(output, tools, read_messages(row))


def _judge(
    output: ModelOutput, tools: Sequence[ToolDefinition], messages: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    from gptme_reliability.pipeline import check

    return _as_json(check(output, tools, messages=messages))


def _as_json(verdict: Verdict) -> dict[str, Any]:
    from gptme_reliability.types import Reject, Retry

    violations = verdict.violations if isinstance(verdict, Retry | Reject) else ()
    answer: dict[str, Any] = {
        "verdict": type(verdict).__name__.lower(),
        "calls": [{"name": call.name, "arguments": call.arguments} for call in verdict.calls],
        "refused": [_fields(refused) for refused in verdict.refused],
        "text": verdict.text,
        "repairs": [_fields(repair) for repair in verdict.repairs],
        "violations": [_fields(violation) for violation in violations],
        "feedback": verdict.feedback if isinstance(verdict, Retry) else None,
    }
    if isinstance(verdict, Reject):
        answer["reason"] = verdict.reason
    return answer


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _print(answer: Mapping[str, Any]) -> None:
    """Print one line of JSON, ASCII only, so that no terminal and no surrogate can break it."""
    try:
        line = json.dumps(answer, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"the answer holds a value that JSON cannot express: {error}") from None
    print(line, flush=True)


def _print_error(row_id: Any, message: str) -> None:
    try:
        _print({"id": row_id, "error": message})
    except InputError:  # the id itself is no JSON
        _print({"id": None, "error": message})


def _decode(data: bytes, line: int | None = None) -> str:
    """Bytes as text; what is no UTF-8 becomes U+FFFD, and that is said."""
    try:
        return data.decode("utf-8-sig" if line in (None, 1) else "utf-8")
    except UnicodeDecodeError as error:
        where = f"line {line}, byte {error.start}" if line else f"byte {error.start}"
        print(f"gptme-reliability: input is no UTF-8 at {where}; replaced", file=sys.stderr)
        return data.decode("utf-8", errors="replace")


def _read_tools(path: str) -> list[ToolDefinition]:
    from gptme_reliability.rows import read_json, read_tools

    return read_tools(read_json(path), path)


if __name__ == "__main__":
    sys.exit(main())
