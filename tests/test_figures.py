"""Every figure in README and design note is one of ``figures.toml``, and what can be counted is."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from documents import DOCUMENTS, ROOT, text
from figures import Measured, figures, measured, prose
from test_docs import CARDS, functions, parsed
from test_gptme_cli import JOBS
from test_intent import measured_endings
from weak_models import BEHAVIOURS

from gptme_reliability.evals.tasks.scenario import shipped_scenarios
from gptme_reliability.probe.canaries import CHEAP_CONTEXT
from gptme_reliability.surfaces.gptme.seams import TESTED
from gptme_reliability.types import RUNGS

MEASURED: Final = measured()
FAMILIES: Final = len([*(ROOT / "tests/cases/families").glob("*.jsonl")]) - 1
"""One file holds rows written by hand for several."""
COUNTED: Final = (
    ("text dialects of # model families", FAMILIES),
    ("# families write calls in text", FAMILIES),
    ("| # families, whatever the model |", FAMILIES),
    ("| # cards, in plugin, proxy and library |", len(CARDS)),
    ("on # tasks with simulated tools", len(shipped_scenarios())),
    ("on # scripted weak models", len(BEHAVIOURS)),
    ("tried up to # tokens", CHEAP_CONTEXT),
    ("declared context is # tokens or less", CHEAP_CONTEXT),
)
"""Words with ``#`` where a number stands, and the number."""

NOTE: Final = text("docs/design-note.md")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_figure_has_its_source(document: str) -> None:
    """A number that was measured stands within words that the file holds."""
    shown = prose(document)
    known = {
        (found.start(), found.end())
        for section in MEASURED
        for said in section.says
        for found in re.finditer(re.escape(said), shown)
    }
    strangers = [
        shown[shown.rfind("\n", 0, figure.start()) + 1 : figure.end()]
        for figure in figures(document)
        if not any(start <= figure.start() and figure.end() <= end for start, end in known)
    ]
    assert strangers == [], "say in tests/figures.toml where these come from"


@pytest.mark.parametrize("section", MEASURED, ids=lambda section: section.name)
def test_every_source_is_used_and_can_be_followed(section: Measured) -> None:
    """Its words stand in a document; the command or the test that it names is there."""
    shown = "".join(map(text, DOCUMENTS))
    assert [said for said in section.says if said not in shown] == []
    assert section.how and re.fullmatch(r"\d{4}(-\d\d){0,2}", section.when)
    if section.origin == "command":
        program, *words = shlex.split(section.where)
        if program == "gptme-reliability":
            parsed(words)
        else:
            assert program == "python" and list(scripts(words))
    elif section.origin == "test":
        file, _, name = section.where.partition("::")
        assert name in functions(ROOT / file)


def scripts(words: list[str]) -> Iterator[Path]:
    """The files that a command of Python runs, all of them there."""
    for before, word in zip(["", *words], words, strict=False):
        path = None
        if word.startswith("tests/"):
            path = ROOT / word
        elif before == "-m" and "." in word:
            path = ROOT / "tests" / f"{word.replace('.', '/')}.py"
        if path is not None:
            assert path.exists(), word
            yield path


@pytest.mark.parametrize(("words", "count"), COUNTED)
def test_counted(words: str, count: int) -> None:
    """Wherever these words stand, the number in them is right."""
    before, after = map(re.escape, words.split("#"))
    shown = "".join(map(text, DOCUMENTS))
    assert set(re.findall(rf"{before}([\d,]+){after}", shown)) == {f"{count:,}"}


@pytest.mark.parametrize("form", ["markdown", "xml"])
def test_text_formats(form: str) -> None:
    """With the plugin every row comes out as it should, and all rows are counted."""
    ends = Counter(job.scenario.expect for job in JOBS if job.form == form)
    counts = (ends.total(), ends["executes"], ends["asks"], ends["text"], 0)
    assert f"| {form}, with the plugin | {' | '.join(map(str, counts))} |" in NOTE
    assert f"| {form}, gptme alone | {ends.total()} |" in NOTE


def test_endings() -> None:
    """What the note says of intentions is what comes out today."""
    for split, name in (("dev", "looked at while building"), ("held", "held back")):
        found = measured_endings(split)
        (wrong, finished), (right, intentions) = found[False], found[True]
        share = f"{right / intentions:.0%}".replace("%", " %")
        row = f"| {name} | {wrong} of {finished} | {right} of {intentions} ({share}) |"
        assert row in NOTE


def test_rungs() -> None:
    """What each rung adds is what the table of behaviours says, to which their runs are held."""
    for count in range(len(RUNGS) + 1):
        right = sum(behaviour.helped(RUNGS[:count]) for behaviour in BEHAVIOURS)
        name = ("none", "`re_ask`", *(f"+ `{rung}`" for rung in RUNGS[1:]))[count]
        share = f"{right / len(BEHAVIOURS):.0%}".replace("%", " %")
        assert f"| {name} | {right} ({share}) | {len(BEHAVIOURS)} |" in NOTE


def test_floors() -> None:
    """What recovery is held to is what is said of it, where nothing is left to chance."""
    floors = json.loads((ROOT / "tests/corpora_floors.json").read_text(encoding="utf-8"))
    right = floors["conformance-dev.jsonl.gz"]["*"]["right_at_least"]
    spurious = floors["bfcl-dev.jsonl.gz"]["text/*"]["spurious_at_most"]
    assert f"| {spurious} | {right} of 892 |" in NOTE


def test_releases() -> None:
    """The releases of gptme are those that the tests run against, in both documents."""
    assert f"| {', '.join(TESTED)} | the same sessions in each" in text("README.md")
    *others, last = TESTED
    for document in DOCUMENTS:
        assert f"gptme {', '.join(others)} and {last}" in text(document)
