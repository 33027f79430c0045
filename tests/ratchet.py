"""The ratchet: what becomes of the rows of ``tests/cases/families``; better, never worse.

::

    python tests/ratchet.py            say what differs from tests/ratchet.tsv
    python tests/ratchet.py --write    record it, unless a row got worse

A row is one answer of a model, as ``make_families.py`` describes it; ``expect`` may be
``reject`` too, ``repairs`` are the rules that must have run, and without ``tools`` the answer
is offered those of gptme.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scenario_tables import CASES, GPTME_TOOLS

from gptme_reliability import Accept, Reject, Retry, check
from gptme_reliability.evals.recover_rows import Row
from gptme_reliability.evals.recover_streaming import watch
from gptme_reliability.rows import read_messages, read_output, read_tools
from gptme_reliability.types import Verdict

FAMILIES: Final = CASES / "families"
RATCHET: Final = Path(__file__).parent / "ratchet.tsv"

STATES: Final = ("unsafe", "fails", "passes")
"""From worst to best; ``unsafe``: a call runs that is not meant, or text is shown too early."""
PASSES: Final = STATES[-1]
KINDS: Final[dict[str, type[Verdict]]] = {
    "accept": Accept,
    "text": Accept,
    "retry": Retry,
    "reject": Reject,
}


def family_rows(folder: Path = FAMILIES) -> list[dict[str, Any]]:
    """All rows of a folder; none where there is no folder."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]


def judge(row: dict[str, Any]) -> tuple[str, str]:
    """The state of a row, whole and streamed, and what is wrong with it."""
    output = read_output(row)
    tools = read_tools(row["tools"], "tools") if "tools" in row else GPTME_TOOLS
    verdict = check(output, tools, messages=tuple(read_messages(row)))
    chunks = tuple(row.get("stream", ()))
    streamed = Row(0, row["id"], row["family"], output, tuple(tools), None, chunks=chunks)
    if early := watch(streamed, verdict, plain=False).early:
        return "unsafe", f"shown too early: {early}"
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in verdict.calls]
    if strays := _beside(calls, row["calls"]):
        return "unsafe", f"expected the calls {row['calls']}, ran {strays}"
    fault = _fault(row, output.text or "", verdict)
    # Spelled out, so that 5.0 is not taken for 5.
    if json.dumps(calls, sort_keys=True) != json.dumps(row["calls"], sort_keys=True):
        fault = f"expected the calls {row['calls']}, got {calls}"
    return ("fails", fault) if fault else (PASSES, "")


def _beside(calls: Sequence[Any], expected: Sequence[Any]) -> list[Any]:
    """The calls that none of the expected ones accounts for."""
    left = list(expected)
    strays = []
    for call in calls:
        if call in left:
            left.remove(call)
        else:
            strays.append(call)
    return strays


def _fault(row: dict[str, Any], text: str, verdict: Verdict) -> str:
    """What is wrong with the verdict, its calls aside."""
    may_ask = row.get("or_retry") and isinstance(verdict, Retry)
    if not may_ask and not isinstance(verdict, KINDS[row["expect"]]):
        return f"expected {row['expect']}, got {verdict}"
    if row["expect"] == "text" and verdict.text != text:
        return f"expected the whole text, got {verdict.text!r}"
    rules = {repair.rule for repair in verdict.repairs}
    if "repairs" in row and rules != set(row["repairs"]):
        return f"expected the repairs {row['repairs']}, got {sorted(rules)}"
    return ""


def recorded(path: Path = RATCHET) -> dict[str, str]:
    """The states of all rows when the ratchet was written last."""
    if not path.exists():
        return {}
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {row_id: state for row_id, state in lines}


def is_worse(now: str, before: str) -> bool:
    """Whether a row fell back; one that was never recorded is expected to pass."""
    return STATES.index(now) < STATES.index(before)


def main(arguments: Sequence[str]) -> int:
    """Compare, and record with ``--write``; 1 when a row got worse."""
    before = recorded()
    now = {row["id"]: judge(row)[0] for row in family_rows()}
    for row_id in sorted(before.keys() | now.keys()):
        was, state = before.get(row_id, "absent"), now.get(row_id, "absent")
        if was != state and (was, state) != ("absent", PASSES):
            print(f"{row_id}: {was} -> {state}")
    counts = Counter(now.values())
    print(", ".join(f"{counts[state]} {state}" for state in STATES))
    worse = [i for i, state in now.items() if i in before and is_worse(state, before[i])]
    if worse:
        print(f"{len(worse)} rows got worse, nothing was recorded: {' '.join(worse[:10])}")
        return 1
    if "--write" in arguments:
        lines = [f"{row_id}\t{now[row_id]}\n" for row_id in sorted(now)]
        RATCHET.write_text("".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
