"""The tiny model's own task as scenarios for ``eval run``: one file for each kind of request.

``python -m tiny.scenarios DIR [--cases 80] [--seed 7001]``.  The same cases as ``measure.py``
has.  The tools only take down what they are called with, so that a call that is not exactly the
wanted one is a wrong execution.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tiny.task import Case, cases
from tiny.template import on_the_wire
from tiny.tools import NO_TOOL

SEED: Final = 7_001
"""Of cases that no training has seen."""


def kind_of(case: Case) -> str:
    """The kind of task that a case is counted with."""
    if case.calls:
        return "one" if len(case.calls) == 1 else "several"
    return "no-tool" if case.answer == NO_TOOL else "chat"


def scenario(case: Case, number: int) -> dict[str, Any]:
    """A case as a line of a file of scenarios."""
    kind = kind_of(case)
    row: dict[str, Any] = {
        "id": f"tiny/{kind}-{number:03}",
        "category": f"tiny {kind}",
        "user": case.request,
        "tools": [on_the_wire(tool) for tool in case.tools],
    }
    if not case.calls:
        return {**row, "quiet": True}
    wanted = [{"name": call.name, "arguments": dict(call.arguments)} for call in case.calls]
    return {**row, "calls": wanted}


def write(directory: Path, chosen: Sequence[Case]) -> Mapping[str, int]:
    """Write the files; returns how many scenarios each has, by its name."""
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for number, case in enumerate(chosen):
        rows[f"{kind_of(case)}.jsonl"].append(scenario(case, number))
    directory.mkdir(parents=True, exist_ok=True)
    for name, own in rows.items():
        lines = "".join(json.dumps(row) + "\n" for row in own)
        (directory / name).write_text(lines, encoding="utf-8")
    return {name: len(own) for name, own in sorted(rows.items())}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cases", type=int, default=80)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    for name, count in write(given.directory, cases(given.cases, given.seed)).items():
        print(f"{given.directory / name}: {count}")


if __name__ == "__main__":
    main()
