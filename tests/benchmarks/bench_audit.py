"""How long ``gptme-reliability audit`` takes and how much memory it needs.

Run ``python tests/benchmarks/bench_audit.py [--messages 100000] [--per-log 500]``.  It makes
conversations in all three formats, most answers of which are right and the rest those of
``tests/cases/audit.jsonl``, and prints the seconds and the most memory that the one process took.
The exit code is 1 where its processor time, which no other process can lengthen, is more than a
minute for 100,000 messages, or its memory more than 300 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CASES = Path(__file__).parent.parent / "cases" / "audit.jsonl"
FORMATS = ("tool", "markdown", "xml")
TOOLS = ["shell", "ipython", "save", "append", "patch", "read", "complete"]
MOST_SECONDS, MOST_MEGABYTES, AT_MESSAGES = 60.0, 300.0, 100_000
FAULTY = 0.1
"""The share of what stands in a log that comes from the table."""

PROSE = (
    "The function reads the file, splits it into lines and keeps those that match. "
    "It returns an empty list where nothing does, which the caller takes for an error. "
)
CODE = "```python\ndef lines(path):\n    return [x for x in open(path) if x.strip()]\n```\n"
OUTPUT = "```stdout\n" + "src/module.py:12: warning: unused variable 'value'\n" * 40 + "```"


def call(form: str, number: int) -> dict[str, Any]:
    """An answer that looks for something."""
    command = f"grep -rn 'value_{number}' src | head -{number % 50 + 1}"
    lead = "I will look for it.\n" if number % 2 else ""
    texts = {
        "tool": f'{lead}@shell(call_{number}): {{"command": "{command}"}}',
        "markdown": f"{lead}\n```shell\n{command}\n```",
        "xml": f"{lead}\n<tool-use>\n<shell>\n{command}\n</shell>\n</tool-use>",
    }
    return {"role": "assistant", "content": texts[form]}


def result(form: str, number: int) -> dict[str, Any]:
    """What came of it."""
    message: dict[str, Any] = {"role": "system", "content": f"Ran command: `grep`\n\n{OUTPUT}"}
    if form == "tool":
        message |= {"call_id": f"call_{number}", "metadata": {"tool": "shell"}}
    return message


def conversation(form: str, least: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    """At least so many messages."""
    faulty = [row["log"] for row in map(json.loads, CASES.open()) if row["format"] == form]
    count = 0
    while count < least:
        if rng.random() < FAULTY:
            block = rng.choice(faulty)
        else:
            block = [{"role": "user", "content": "Where is this value set, and why?"}]
            for _ in range(rng.randrange(1, 6)):
                number = rng.randrange(10**6)
                block += [call(form, number), result(form, number)]
            text = PROSE * rng.randrange(1, 5) + (CODE if rng.random() < 0.3 else "")
            block.append({"role": "assistant", "content": text + "\n" + PROSE})
        count += len(block)
        yield from block


def write_logs(root: Path, messages: int, per_log: int) -> int:
    """Write conversations; gives the number of their messages."""
    rng = random.Random(7)
    written = index = 0
    while written < messages:
        form = FORMATS[index % len(FORMATS)]
        home = root / f"conversation-{index}"
        home.mkdir()
        table = f'model = "local/m{index % 4}"\ntool_format = "{form}"\ntools = {json.dumps(TOOLS)}'
        (home / "config.toml").write_text(f"[chat]\n{table}\n", encoding="utf-8")
        with (home / "conversation.jsonl").open("w", encoding="utf-8") as file:
            for message in conversation(form, min(per_log, messages - written), rng):
                file.write(json.dumps(message) + "\n")
                written += 1
        index += 1
    return written


def main() -> int:
    """Make the logs, read them, print both figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=AT_MESSAGES)
    parser.add_argument("--per-log", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        written = write_logs(Path(root), arguments.messages, arguments.per_log)
        size = sum(path.stat().st_size for path in Path(root).rglob("*.jsonl")) / 1e6
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "gptme_reliability.cli", "audit", "--json", root],
            capture_output=True,
            check=True,
        )
        seconds = time.monotonic() - started
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    megabytes = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    failures = json.loads(done.stdout)["failures"]["total"]
    print(f"{written} messages, {size:.0f} MB, {failures} failures, {os.cpu_count()} cores")
    print(f"{seconds:.1f} s ({usage.ru_utime:.1f} s of processor time), {megabytes:.0f} MB")
    allowed = MOST_SECONDS * max(written / AT_MESSAGES, 1)
    return int(usage.ru_utime + usage.ru_stime > allowed or megabytes > MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
