"""What the README says of adding a card, a dialect, a repair rule and a case, done in a copy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from documents import ROOT, fences, section

HEADING: Final = "How to add a card, a dialect, a repair rule, a case"
LONGEST: Final = 10

# What the tests of these rows assert, in one process in place of three of pytest's.
_JUDGE: Final = """
import json
import ratchet, test_arguments, test_recovery
from pathlib import Path

def last(name):
    return json.loads((Path("tests/cases") / name).read_text("utf-8").splitlines()[-1])

made = {}
for name, test in (
    ("arguments.jsonl", test_arguments.test_case),
    ("recovery.jsonl", test_recovery.test_row),
):
    try:
        test(last(name))
        made[name] = "passes"
    except AssertionError:
        made[name] = "fails"
made["families/handwritten.jsonl"] = ratchet.judge(last("families/handwritten.jsonl"))[0]
print(json.dumps(made))
"""


def diffs() -> dict[str, list[str]]:
    """The changes that the README shows: a file, and the lines of its change."""
    found: dict[str, list[str]] = {}
    for block in fences("README.md", "diff"):
        for part in re.split(r"^\+\+\+ ", block, flags=re.MULTILINE)[1:]:
            name, _, lines = part.partition("\n")
            found[name] = lines.splitlines()
    return found


def apply(lines: list[str], file: Path) -> None:
    """Put new lines behind the one that stands before them, or at the end."""
    before = [line[1:] for line in lines if line.startswith(" ")]
    added = "".join(f"{line[1:]}\n" for line in lines if line.startswith("+"))
    text = file.read_text(encoding="utf-8")
    anchor = "".join(f"{line}\n" for line in before)
    if anchor:
        assert text.count(anchor) == 1, f"{file.name}: {anchor}"
        text = text.replace(anchor, anchor + added)
    else:
        assert text.endswith("\n")
        text += added
    file.write_text(text, encoding="utf-8")


def judge(copy: Path) -> dict[str, str]:
    """What becomes of the last row of each file of cases in the copy."""
    paths = os.pathsep.join((str(copy), str(copy / "tests")))
    made = subprocess.run(
        [sys.executable, "-c", _JUDGE],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr
    verdicts: dict[str, str] = json.loads(made.stdout)
    return verdicts


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its tests."""
    unwanted = shutil.ignore_patterns("__pycache__", "benchmarks", "*.html")
    for name in ("gptme_reliability", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
    return tmp_path


def test_a_dialect_a_rule_and_a_case(copy: Path) -> None:
    """The rows alone fail where a change is needed; with the changes all of them pass."""
    changes = diffs()
    rows = [name for name in changes if name.endswith(".jsonl")]
    for name in rows:
        apply(changes[name], copy / name)
    assert judge(copy) == {
        "families/handwritten.jsonl": "fails",
        "arguments.jsonl": "fails",
        "recovery.jsonl": "passes",
    }
    for name in changes.keys() - set(rows):
        apply(changes[name], copy / name)
    assert set(judge(copy).values()) == {"passes"}


def test_a_card(tmp_path: Path) -> None:
    """Begun, filled in, checked and shown, with the commands as they stand there."""
    (block,) = re.findall(r"```sh\n(.*?)```", section("README.md", HEADING), re.DOTALL)
    begin, *then = [line.partition("#")[0].split()[1:] for line in block.splitlines()]

    def run(words: list[str]) -> str:
        made = subprocess.run(
            [sys.executable, "-m", "gptme_reliability.cli", *words],
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert made.returncode == 0, made.stderr
        return made.stdout

    card = Path(run(begin).strip())
    text = card.read_text(encoding="utf-8")
    assert text.count("\nsilent = true\n") == 1
    values = "\nvalues = { temperature = 0.7, top_p = 0.8 }\n"
    card.write_text(text.replace("\nsilent = true\n", values), encoding="utf-8")
    checked, shown = (run(words) for words in then)
    assert "no faults" in checked
    assert re.search(r"^temperature: +0\.7$", shown, re.MULTILINE)


def test_each_is_short() -> None:
    """A way of adding something that takes a page is one that nobody goes."""
    parts = re.split(r"^\*\*", section("README.md", HEADING), flags=re.MULTILINE)[1:]
    assert len(parts) == 4
    for part in parts:
        lines = [line for line in part.splitlines() if line and not line.startswith("```")]
        assert len(lines) <= LONGEST, part
