"""``report``: the figures of results, and a page that needs nothing but itself."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gptme_reliability.cli import main
from gptme_reliability.evals.tasks.figures import cells_of, pairs_of
from gptme_reliability.evals.tasks.page import page
from gptme_reliability.evals.tasks.play import OUTCOMES, Outcome, Played
from gptme_reliability.evals.tasks.results import Result, Setup, as_line, read_results
from gptme_reliability.evals.tasks.style import STYLE
from gptme_reliability.evals.tasks.summary import summary
from gptme_reliability.evals.tasks.svg import css_class

SETUP = Setup("<b>tiny</b> & co", "llama.cpp", {"temperature": 0.7}, 1, "0.1.0")
BASE = Played("done", "", (), 1, 2, 3, 100, 20, 0, 0, 0, 1.5)


def result(
    scenario: str, arm: str, outcome: Outcome = "done", repeat: int = 0, mode: str = "native"
) -> Result:
    wrong = ("x: y",) if outcome == "wrong" else ()
    played = replace(BASE, outcome=outcome, wrong=wrong)
    return Result(SETUP, scenario, "steps", "abc", mode, arm, repeat, played)


RESULTS = [
    *(result(f"s{n}", "bare", "wrong" if n < 6 else "done") for n in range(10)),
    *(result(f"s{n}", "guarded", "refused" if n == 9 else "done") for n in range(10)),
    *(result(f"s{n}", "no-repair", "no call" if n < 3 else "done") for n in range(10)),
    *(result(f"s{n}", "guarded", mode="native+force") for n in range(4)),
]


def test_cells() -> None:
    """Shares, intervals over scenarios, means for a task."""
    bare, guarded, *_ = cells_of(RESULTS)
    assert (bare.place.arm, bare.runs, bare.scenarios) == ("bare", 10, 10)
    assert (bare.strays, bare.executed) == (6, 10)
    assert (bare.done.value, bare.wrong.value, guarded.wrong.value) == (0.4, 0.6, 0.0)
    assert bare.done.low < 0.4 < bare.done.high
    assert (bare.requests, bare.tokens, bare.seconds) == (3, 120, 1.5)
    assert bare.outcomes == Counter(wrong=6, done=4) and bare.categories == {"steps": 0.4}


def test_repeats_are_no_further_scenarios() -> None:
    """They make a share finer and the interval no narrower."""
    once = [result(f"s{n}", "bare", "done" if n % 2 else "no call") for n in range(10)]
    thrice = [replace(one, repeat=repeat) for one in once for repeat in range(3)]
    (one,), (three,) = cells_of(once), cells_of(thrice)
    assert three.runs == 30 and three.done == one.done


def test_tokens_that_nobody_counted() -> None:
    """A sum that lacks something is none."""
    uncounted = replace(RESULTS[0], played=replace(BASE, uncounted=1))
    (cell,) = cells_of([uncounted, RESULTS[1]])
    assert cell.tokens is None


def test_pairs() -> None:
    """The guard against the host of the same shape, a switched-off stage against the guard."""
    found = {(p.second.mode, p.second.arm, p.first.arm): p for p in pairs_of(RESULTS)}
    assert found.keys() == {
        ("native", "guarded", "bare"),
        ("native", "no-repair", "guarded"),
        ("native+force", "guarded", "bare"),
    }
    pair = found["native", "guarded", "bare"]
    assert (pair.scenarios, pair.better, pair.worse) == (10, 6, 1)
    assert pair.p == pytest.approx(2 * (1 + 7) / 128)
    assert (pair.less_wrong, pair.more_wrong) == (6, 0) and pair.p_wrong == 2 / 64
    assert found["native+force", "guarded", "bare"].scenarios == 4
    assert (found["native", "no-repair", "guarded"].worse) == 3


def test_other_settings_are_other_places() -> None:
    """Neither are they added up nor compared."""
    hot = replace(SETUP, params={"temperature": 1.3})
    other = [replace(one, setup=hot) for one in RESULTS if one.arm == "guarded"]
    cold = [one for one in RESULTS if one.arm == "bare"]
    assert len(cells_of([*cold, *other])) == 3 and pairs_of([*cold, *other]) == []


def alone(arm: str, outcomes: Mapping[Outcome, int]) -> list[Result]:
    """Scenarios that end so in an arm, in this order."""
    ends = [outcome for outcome, count in outcomes.items() for _ in range(count)]
    return [result(f"s{n}", arm, outcome) for n, outcome in enumerate(ends)]


EARNED: list[tuple[str, Mapping[Outcome, int], str]] = [
    (
        "no-repair",
        {"no call": 8, "done": 12},
        "repairing earned 40.0% of tasks done [+5.0%, +63.9%] (better in 8, worse in 0 of 20, "
        "p = 0.00781); earned nothing of tasks without a wrong execution [-16.8%, +16.8%] (better "
        "in 0, worse in 0 of 20, p = 1)",
    ),
    (
        "no-resolve",
        {"no call": 3, "done": 17},
        "resolving names earned nothing of tasks done [-15.7%, +37.9%] (better in 3, worse in 0 "
        "of 20, p = 0.25); earned nothing of",
    ),
    (
        "no-echo",
        {"wrong": 8, "done": 12},
        "doubting echoes earned 40.0% of tasks done [+5.0%, +63.9%] (better in 8, worse in 0 of "
        "20, p = 0.00781); earned 40.0% of tasks without a wrong execution [",
    ),
    (
        "no-loops",
        {"done": 20},
        "stopping loops earned nothing: all 20 scenarios came out the same [-16.8%, +16.8%]",
    ),
]


@pytest.mark.parametrize(("arm", "outcomes", "sentence"), EARNED)
def test_what_a_stage_earned(arm: str, outcomes: Mapping[Outcome, int], sentence: str) -> None:
    """In words, with its interval; nothing where the test shows none."""
    results = [*alone("guarded", {"done": 20}), *alone(arm, outcomes)]
    lines = list(summary(results))
    assert any(f"native {arm}: {sentence}" in line for line in lines), lines
    assert f"{arm}: {sentence}" in Reader(page(results)).text


def test_what_a_stage_cost() -> None:
    """Where tasks are done more often without it."""
    results = [*alone("guarded", {"wrong": 8, "done": 12}), *alone("no-asking", {"done": 20})]
    (line,) = (line for line in summary(results) if "no-asking: " in line)
    assert "asking again cost 40.0% of tasks done [-63.9%, -5.0%]" in line
    assert "cost 40.0% of tasks without a wrong execution" in line


def test_stages_that_nobody_switched_off() -> None:
    """Nothing is said of them."""
    assert not any("earned" in line for line in summary(alone("guarded", {"done": 3})))


class Reader(HTMLParser):
    """Keeps a page's tags, and insists that each is closed."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page() -> None:
    """Well-formed, with its plots, without anything from elsewhere; names are only text."""
    written = page(RESULTS)
    read = Reader(written)
    assert "<b>tiny</b> & co" in read.text and read.tags["b"] == 5
    assert read.tags["svg"] > 8 and read.tags["rect"] > 20
    assert not read.tags.keys() & {"script", "link", "img", "iframe", "object", "base", "form"}
    names = {name for name, _ in read.attributes}
    assert not names & {"src", "href", "style", "xlink:href"}
    assert not {name for name in names if name.startswith("on")}
    assert not re.search(r"url\(|@import|https?:", written)
    assert "prefers-color-scheme:dark" in written
    headings = re.findall(r"<h2>(.*?)</h2>", written)
    assert headings[:4] == [
        "Tasks done",
        "Wrong executions",
        "The same scenarios compared",
        "Each stage switched off",
    ]


def test_bars_stay_in_their_place() -> None:
    """Nothing is drawn outside of the picture."""
    drawn = re.findall(
        r'<rect class="[^"]*" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', page(RESULTS)
    )
    assert len(drawn) > 20
    for begin, width in drawn:
        assert float(begin) >= 230 and float(begin) + float(width) <= 630.1


def test_every_kind_has_a_colour() -> None:
    """For light and for dark."""
    for kind in (*OUTCOMES, "bare", "strict", "guarded"):
        assert len(re.findall(rf"\.{css_class(kind)}\{{fill:", STYLE)) == 2


def write(path: Path, results: list[Result]) -> str:
    path.write_bytes(b"".join(map(as_line, results)))
    return str(path)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Text on standard output, the page in a file; several files are one report."""
    first = write(tmp_path / "a.jsonl", RESULTS[:10])
    second = write(tmp_path / "b.jsonl", RESULTS[10:])
    html = tmp_path / "report.html"
    assert main(["report", first, second, "--html", str(html)]) == 0
    out = capsys.readouterr().out
    assert "<b>tiny</b> & co (llama.cpp server, temperature 0.7, version 0.1.0)" in out
    assert re.search(
        r"native +bare +10 +40% \[17%, 69%\] +60% \[31%, 83%\] +6 of 10 +3\.00 +120", out
    )
    assert "native guarded against bare: better in 6, worse in 1 of 10, p = 0.125" in out
    assert "native bare: 6 wrong" in out
    assert html.read_text(encoding="utf-8") == page(RESULTS)
    assert read_results(Path(first)) == RESULTS[:10]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "json"}, "line 1: no result"),
        ({"arm": "naked"}, "line 1: no result"),
        ({"played": {**asdict(BASE), "outcome": "fine"}}, "line 1: no result"),
        ({"setup": {"model": "x"}}, "line 1: no result"),
        (None, "the same result stands there twice"),
    ],
)
def test_what_is_no_result(
    change: Mapping[str, Any] | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line says where."""
    row = json.loads(as_line(RESULTS[0]))
    rows = [row, row] if change is None else [{**row, **change}]
    path = tmp_path / "results.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert main(["report", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", write(tmp_path / "none.jsonl", [])]) == 2
    assert main(["report", str(tmp_path / "missing.jsonl")]) == 2
    out = write(tmp_path / "a.jsonl", RESULTS[:1])
    assert main(["report", out, "--html", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot write" in capsys.readouterr().err
