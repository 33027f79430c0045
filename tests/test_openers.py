"""Openers are found wherever they may stand, and nothing else is."""

from __future__ import annotations

import pytest

from gptme_reliability.dialects.markers import MARKERS
from gptme_reliability.dialects.openers import OPENERS
from gptme_reliability.dialects.table import REASONING, REASONING_ENDS

TAGS = [*(opening for opening, _ in REASONING), *REASONING_ENDS]
TOKENS = [marker.token for marker in MARKERS if marker.role in ("open", "head")]
PROSE = "The hall is long and dark: nobody (I think) has been here, said he, for 3.5 years.\n" * 3


@pytest.mark.parametrize("written", [*TAGS, *TOKENS])
@pytest.mark.parametrize("before", ["", "So ", "So\n"])
def test_each_token_opens_in_any_case(written: str, before: str) -> None:
    for spelled in (written, written.upper(), written.lower()):
        match = OPENERS.search(before + spelled, len(before))
        assert match is not None, spelled
        assert match.start() == len(before)


@pytest.mark.parametrize(
    ("text", "kind", "start"),
    [
        ("a\n@look(c1): {", "host", 2),
        ("a\r```look\n", "fence", 2),
        ("</think>look\n{", "reasoning", 0),
        ("a</THINK>~~~\n", "reasoning", 1),
        ("a\n `look (", "ticked", 2),
        ("a\n call:", "line", 2),
        ("a\nlook\n {", "named", 2),
        ("a\nlook (", "python", 2),
        ("a\rlook (", None, None),
        ("a ```look\n", None, None),
        ("a look (", None, None),
        ('a {"name":', "object", 2),
        ('a [{"name":', "objects", 2),
        ("a [look (", "calls", 2),
        ("a ['look', {", "quoted", 2),
    ],
)
def test_where_they_may_stand(text: str, kind: str | None, start: int | None) -> None:
    match = OPENERS.search(text)
    assert (match and match.lastgroup, match and match.start()) == (kind, start)


@pytest.mark.parametrize("tag", ["</think>", "</thinking>", "[/THINK]"])
def test_a_line_begins_behind_the_end_of_reasoning(tag: str) -> None:
    match = OPENERS.search(f"{tag}look\n{{", len(tag))
    assert match is not None
    assert match.lastgroup == "named"


def test_prose_holds_none() -> None:
    assert OPENERS.search(PROSE) is None
