"""The command ``lint``: its options, its help, and how findings are printed."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gptme_reliability.lint import Finding

OK: Final = 0
FOUND: Final = 1

_DESCRIPTION: Final = """\
Finds what makes tool definitions hard for small models, or refused by servers:

  error    a server refuses the definition, or it contradicts itself
  warning  small models get it wrong, or a server ignores part of it
  hint     it could be clearer
"""

_EPILOG: Final = """\
tools.json is a list of OpenAI tool objects, or an object with such a list under "tools".

On a terminal the findings are a table, in a pipe a line each:

  PATH: SEVERITY RULE: MESSAGE

With --json they are JSON objects: rule, severity, path, tool, message. The last line then
holds "tools", each with "name" and "tokens", their sum "tokens", and the numbers of "errors",
"warnings" and "hints". Tokens are estimated: characters of the compact JSON divided by 4.

examples:
  gptme-reliability lint tools.json
  gptme-reliability lint tools.json --json | jq -r 'select(.severity == "error") | .path'

exit codes:
  0    nothing found, or hints only
  1    at least one error or warning
  2    the file or an option is wrong; one line on standard error says what
  130  interrupted
"""

_STYLES: Final = {"error": "red", "warning": "yellow", "hint": "dim"}
_DEAREST: Final = 3


def add_lint(commands: Any) -> None:
    """Add ``lint`` to the command line."""
    command = commands.add_parser(
        "lint",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", metavar="tools.json", help="the tools")
    command.add_argument("--json", action="store_true", help="print JSON, a finding a line")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from gptme_reliability.lint import lint
    from gptme_reliability.rows import read_json, tool_entries

    tools = tool_entries(read_json(arguments.file), arguments.file)
    findings = lint(tools)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What stands in tool definitions need not fit the terminal's encoding.
        sys.stdout.reconfigure(errors="backslashreplace")
    if arguments.json:
        _print_json(tools, findings)
    else:
        if sys.stdout.isatty():
            _print_table(findings)
        else:
            _print_lines(findings)
        print(_summary(tools, findings))
    return FOUND if any(finding.severity != "hint" for finding in findings) else OK


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    found = Counter(finding.severity for finding in findings)
    return {"errors": found["error"], "warnings": found["warning"], "hints": found["hint"]}


def _costs(tools: Sequence[Any]) -> list[tuple[str | None, int]]:
    from gptme_reliability.lint import tokens
    from gptme_reliability.lint.walk import read_tools

    return [(tool.name, tokens(tool.entry)) for tool in read_tools(tools)]


def _print_json(tools: Sequence[Any], findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(json.dumps(asdict(finding)))
    costs = _costs(tools)
    figures = {
        "tools": [{"name": name, "tokens": tokens} for name, tokens in costs],
        "tokens": sum(tokens for _, tokens in costs),
        **_counts(findings),
    }
    print(json.dumps(figures))


def _print_lines(findings: Sequence[Finding]) -> None:
    for finding in findings:
        print(_visible(f"{finding.path}: {finding.severity} {finding.rule}: {finding.message}"))


def _print_table(findings: Sequence[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not findings:
        return
    table = Table("tool", "severity", "rule", "finding", box=box.SIMPLE, pad_edge=False)
    for finding in findings:
        place = finding.path.partition("]")[2].lstrip(".") or finding.path
        table.add_row(
            Text(_visible(finding.tool or "")),
            Text(finding.severity, style=_STYLES[finding.severity]),
            Text(finding.rule),
            Text.assemble((_visible(place), "bold"), "\n", _visible(finding.message)),
        )
    Console(highlight=False).print(table)


def _summary(tools: Sequence[Any], findings: Sequence[Finding]) -> str:
    from gptme_reliability.lint.rules import counted

    costs = _costs(tools)
    faults = ", ".join(counted(n, kind.removesuffix("s")) for kind, n in _counts(findings).items())
    total = counted(sum(tokens for _, tokens in costs), "token")
    line = f"{counted(len(tools), 'tool')}, about {total} (estimate: characters / 4); {faults}"
    named = [(name, tokens) for name, tokens in costs if name]
    dearest = sorted(named, key=lambda cost: -cost[1])[:_DEAREST]
    most = ", ".join(f"{name} {tokens:,}" for name, tokens in dearest)
    return _visible(f"{line}; most tokens: {most}" if most else line)


def _visible(text: str) -> str:
    """Text on one line, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text)
