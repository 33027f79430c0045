"""The picture of the demo: it says what the demo says, and is safe and legible anywhere.

That it is the demo's own result is seen where the whole demo runs, in ``test_demo.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from xml.etree import ElementTree

import pytest
from demo_picture import COLOURS, PICTURE, Printed, picture
from documents import text

from gptme_reliability.evals.demo import _RIGHT, _WORDS, jobs
from gptme_reliability.evals.scenarios import demo_scenarios

SVG = "{http://www.w3.org/2000/svg}"
ARMS = (2, 3)
RIGHT = {_WORDS[outcome][0] for outcome in _RIGHT}


def lines() -> Iterator[list[str]]:
    """The texts of the picture, line by line."""
    found: dict[str, list[str]] = {}
    for drawn in ElementTree.fromstring(PICTURE.read_text("utf-8")).iter(f"{SVG}text"):
        found.setdefault(drawn.attrib["y"], []).append(drawn.text or "")
    return iter(found.values())


@cache
def shown() -> tuple[list[str], Printed, str]:
    """Its head, what it shows of the demo, and with which gptme."""
    head, *rows, (gptme, *totals) = lines()
    return head, Printed(tuple(map(tuple, rows)), tuple(totals)), gptme.removeprefix("gptme ")


def test_its_rows_are_those_of_the_demo() -> None:
    """Every kind, in order, sent as the demo sends it, with outcomes that the demo knows."""
    head, demo, _ = shown()
    assert head == ["what the model does", "gptme alone", "with the plugin"]
    plugged = [job for job in jobs(demo_scenarios()) if job.plugin]
    sent = [(job.scenario.kind, "streamed" if job.streamed else "whole") for job in plugged]
    assert [row[:2] for row in demo.rows] == sent
    known = {words for words, _ in _WORDS.values()}
    assert {row[arm] for row in demo.rows for arm in ARMS} <= known


@pytest.mark.parametrize("arm", ARMS)
def test_its_totals_are_the_sums_of_its_rows(arm: int) -> None:
    """With the plugin, everything is right."""
    _, demo, _ = shown()
    right = sum(row[arm] in RIGHT for row in demo.rows)
    assert demo.totals[arm - 2] == f"{right} of {len(demo.rows)} right"
    assert arm == 2 or right == len(demo.rows)


def test_it_is_drawn_by_the_script() -> None:
    """Nobody has painted in it."""
    _, demo, gptme = shown()
    assert PICTURE.read_text("utf-8") == picture(demo, gptme)


def test_it_holds_no_script_and_loads_nothing() -> None:
    """Shapes, texts and a style, and no address but the name of the format."""
    drawn = PICTURE.read_text("utf-8")
    elements = list(ElementTree.fromstring(drawn).iter())
    assert {e.tag.removeprefix(SVG) for e in elements} == {"svg", "title", "style", "rect", "text"}
    known = {"aria-label", "class", "height", "role", "rx", "viewBox", "width", "x", "y"}
    assert {name for element in elements for name in element.attrib} <= known
    assert drawn.count("://") == 1
    assert not re.search(r"url\(|@import|@font-face|<[!?]", drawn)


@pytest.mark.parametrize("night", [False, True], ids=["day", "night"])
@pytest.mark.parametrize("name", [name for name in COLOURS if name not in (".paper", ".stripe")])
def test_it_is_legible(name: str, night: bool) -> None:
    """Contrast of 4.5 to 1 on both grounds, as WCAG 2 asks of text (1.4.3)."""
    for ground in (".paper", ".stripe"):
        dark, light = sorted(_luminance(COLOURS[at][night]) for at in (name, ground))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, ground


def _luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def test_the_readme_shows_it() -> None:
    """And says the same to those who cannot see it."""
    (said,) = re.findall(r"^!\[(.+)\]\(docs/demo\.svg\)$", text("README.md"), re.MULTILINE)
    _, demo, gptme = shown()
    alone, plugged = (total.removesuffix(" right") for total in demo.totals)
    assert said == f"The demo, gptme {gptme}: {alone} right alone, {plugged} with the plugin."
