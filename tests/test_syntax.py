"""Reading values: the table of slips, and the laws that hold for all text."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptme_reliability.repair import scanner, strings
from gptme_reliability.repair.lenient import lenient_value
from gptme_reliability.repair.reading import RepairLog, same
from gptme_reliability.repair.scanner import scan_value
from gptme_reliability.repair.syntax import Fault, Reading, read_arguments, read_value

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "syntax.jsonl").read_text("utf-8").splitlines()
]
KINDS = {"lossless", "inferred"}

TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"', "'", "it's", 'say "hi"', "a, b", '", "b": "c', "{", "}]", "\\", "\\n", "#//", "é", ""]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXT, VALUES, min_size=1, max_size=4)
PIECES = (
    *"{}[]()\"'\u201c\u201d,:=\\/#*\n u`",
    *("{{", "}}", '"a"', ': "b"', ": 1", ", ", '\\"', "\\u12", '"""', "// x\n", "/*", "f'"),
    *("true", "None", "word", "12", "\ud800", "\x00"),
)
MESSY = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    """Each slip is read as the table says, by the rules that it names."""
    if case.get("reader") == "arguments":
        result = read_arguments(case["text"])
    else:
        result = read_value(case["text"], case.get("start", 0), stop=case.get("stop", ""))
    if "fault" in case:
        assert isinstance(result, Fault), result
        assert result.rule == case["fault"]
        assert result.message
        return
    assert isinstance(result, Reading), result
    assert same(result.value, case["value"])
    assert {repair.rule for repair in result.repairs} == set(case["repairs"])
    assert {repair.kind for repair in result.repairs} <= KINDS
    assert result.missing_closers == case.get("missing_closers", 0)
    assert result.end == case.get("end", result.end)


def test_paths_and_classes() -> None:
    """A repair says where it was made and what it does to the meaning."""
    result = read_value("{'a': [True, 5, {\"odd key\": x y,}]}")
    assert isinstance(result, Reading)
    assert [(r.rule, r.path, r.kind) for r in result.repairs] == [
        ("single_quotes", "$", "lossless"),
        ("python_literal", "$.a[0]", "lossless"),
        ("unquoted_string", '$.a[2]["odd key"]', "inferred"),
        ("trailing_comma", "$.a[2]", "lossless"),
    ]


@settings(deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_valid_json_is_untouched(value: Any, ascii_only: bool, indent: int | None) -> None:
    """What json.dumps writes comes back the same, without repairs."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    result = read_value(text)
    assert isinstance(result, Reading)
    assert same(result.value, value)
    assert (result.repairs, result.missing_closers, result.end) == ((), 0, len(text))


@settings(deadline=None)
@given(VALUES)
def test_the_tolerant_reader_agrees(value: Any) -> None:
    """The tolerant reader alone reads valid JSON as the standard does, without repairs."""
    result = scan_value(json.dumps(value), 0, "")
    assert isinstance(result, Reading)
    assert same(result.value, value)
    assert result.repairs == ()


@settings(deadline=None)
@given(VALUES)
def test_python_spelling(value: Any) -> None:
    """Python's repr of a value is the same value; every repair it needs is lossless."""
    result = read_value(repr(value))
    if isinstance(result, Fault):
        # repr writes escapes that JSON lacks, and may leave a string where two readings are.
        assert result.rule == "ambiguous"
    elif "\\" not in repr(value):
        assert same(result.value, value)
        assert {repair.kind for repair in result.repairs} <= {"lossless"}


@settings(max_examples=300, deadline=None)
@given(MESSY | st.text())
def test_nothing_raises(text: str) -> None:
    """Any text gives a reading or a fault; a reading written as JSON needs no repair."""
    for result in (read_value(text), read_value(text, stop=")"), read_arguments(text)):
        assert result.end <= len(text)
        if isinstance(result, Fault):
            assert result.message
            continue
        assert result.start <= result.end
        again = read_value(json.dumps(result.value))
        assert isinstance(again, Reading)
        assert same(again.value, result.value)
        assert again.repairs == ()


@settings(max_examples=300, deadline=None)
@given(MESSY | st.text())
def test_what_is_changed_is_recorded(text: str) -> None:
    """A reading without repairs is valid JSON."""
    result = read_value(text)
    if isinstance(result, Reading) and not result.repairs:
        written = text[result.start : result.end]
        assert same(json.loads(written), result.value)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for member in value.values() for leaf in leaves(member)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@settings(max_examples=60, deadline=None)
@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]))
def test_prefixes_are_cut_off(value: Any, ascii_only: bool, indent: int | None) -> None:
    """A text that was cut is never read with a shortened value."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    complete = leaves(value)
    for length in range(len(text)):
        result = read_value(text[:length])
        if isinstance(result, Fault):
            assert result.rule == "cut_off", (text[:length], result)
            continue
        assert result.missing_closers > 0
        found = leaves(result.value)
        assert len(found) <= len(complete)
        assert all(same(leaf, other) for leaf, other in zip(found, complete, strict=False))


HOSTILE = {
    "open braces": "{",
    "open brackets": "[",
    "keyed braces": '{"a":',
    "doubled braces": "{{",
    "quotes": '"',
    "odd strings": '{"a": "5" x", ',
    "strings in lists": '["5" x", 5], ',
    "strings with comments": '"a", // ',
    "strings that hold JSON": '"{"a": 1, ',
    "keys": '{"a" ',
    "members": '"a": 1, ',
    "literals": "True, ",
    "backslashes": "\\",
    "escaped quotes": '\\"',
    "spaces": " ",
    "comments": "/**/",
    "commas": ",",
    "words": "a ",
    "apostrophes": "'a' b ",
    "triple quotes": '""" "" ',
}


@pytest.mark.parametrize("start", ["", "{", '{"a": "', "{'a': '", '{"a": [', "f("])
@pytest.mark.parametrize("name", HOSTILE)
def test_growth_is_linear(name: str, start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the text costs at most about twice the steps, counted, whatever the text is."""
    steps = 0
    follow, skip = strings._follow, strings._skip
    notes = RepairLog.wants
    char = scanner._Scanner._skip

    def counted(function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal steps
            steps += 1
            return function(*args, **kwargs)

        return wrapper

    def counted_skip(place: strings.Place, at: int, comments: bool) -> int:
        nonlocal steps
        end = skip(place, at, comments)
        steps += end - at
        return end

    monkeypatch.setattr(strings, "_follow", counted(follow))
    monkeypatch.setattr(strings, "_skip", counted_skip)
    monkeypatch.setattr(RepairLog, "wants", counted(notes))
    monkeypatch.setattr(scanner._Scanner, "_skip", counted(char))
    spent = []
    for count in (500, 1000):
        steps = 0
        text = start + HOSTILE[name] * count
        read_value(text, 2 if start == "f(" else 0, stop=")" if start == "f(" else "")
        spent.append(steps)
    assert spent[1] <= 2.2 * spent[0] + 100
    assert spent[1] <= 20 * len(text) + 1000


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_large_hostile_text(unit: str) -> None:
    """A megabyte of anything is read or refused, without an exception."""
    text = '{"a": ' + unit * (1_000_000 // len(unit))
    for result in (read_value(text), read_arguments(text)):
        assert isinstance(result, Fault | Reading)


def test_large_strings() -> None:
    """Long strings are content like any other, valid or with slips around them."""
    long = "x" * 10_000_000
    assert read_value(json.dumps({"a": long})) == Reading({"a": long}, 0, len(long) + 9)
    result = read_value("{'a': '" + long + "',}")
    assert isinstance(result, Reading)
    assert result.value == {"a": long}
    assert all(len(str(repair.before)) < 100 for repair in result.repairs)


def test_far_into_a_long_text() -> None:
    """A value is read the same wherever it stands in a long text."""
    value = {"a": "y" * 20_000, "b": list(range(3000)), "c": {"d": "e"}}
    text = "." * 100_000 + json.dumps(value) + " and so on" * 10_000
    result = read_value(text, 100_000)
    assert isinstance(result, Reading)
    assert result.value == value
    assert text[result.start : result.end] == json.dumps(value)
    cut = read_value(text[:110_000], 100_000)
    assert isinstance(cut, Fault)
    assert cut.rule == "cut_off"


def test_many_repairs_are_counted() -> None:
    """Repairs beyond the first hundred of a rule are counted, not listed."""
    result = read_value("[" + "True, " * 5000 + "True]")
    assert isinstance(result, Reading)
    assert len(result.repairs) == 101
    assert result.repairs[-1].before == "4901 more places"


@pytest.mark.parametrize(
    "raw",
    [{1: 2}, {"a": {None: 1}}, {"a": [{(1, 2): 3}]}, {"a": math.nan}, {"a": b"x"}, {"a": {1, 2}}],
    ids=str,
)
def test_field_that_json_cannot_say(raw: Any) -> None:
    """A field that came as a value is refused where JSON could not have brought it."""
    result = read_arguments(raw)
    assert isinstance(result, Fault)
    assert result.rule == "syntax"


@settings(deadline=None)
@given(st.text("+.;&|,%-!?/:=*() \t", min_size=1, max_size=6), st.booleans(), st.booleans())
def test_strings_joined_by_signs(signs: str, before: bool, after: bool) -> None:
    """Two strings with only signs between them are never one string."""
    left, right = "x" + " " * before, " " * after + "y"
    for text in (
        f'{{"a": "{left}"{signs}"{right}"}}',
        f'["{left}"{signs}"{right}"]',
        f"{{'a': '{left}'{signs}'{right}'}}",
    ):
        result = read_value(text)
        if isinstance(result, Reading):
            assert not {"inner_quotes", "unquoted_string"} & {r.rule for r in result.repairs}


def test_many_values() -> None:
    """Valid JSON may hold any number of values; damaged text is given up on in time."""
    values = [1] * 200_000
    text = json.dumps(values)
    result = read_value(text)
    assert isinstance(result, Reading)
    assert result.value == values
    damaged = read_value(text.replace("]", ",]"))
    assert isinstance(damaged, Fault)
    assert damaged.rule == "syntax"


def test_depth_of_a_field() -> None:
    """An arguments field that came as a value is held to the same depth."""
    deep: Any = {}
    for _ in range(300):
        deep = {"a": deep}
    result = read_arguments(deep)
    assert isinstance(result, Fault)
    assert result.rule == "too_deep"


def test_lenient_reader() -> None:
    """The lenient reader guesses, says so, and never raises."""
    found = lenient_value('{"a": "x')
    assert found is not None
    assert found[0] == {"a": "x"}
    assert found[1].kind == "lossy"
    noise = random.Random(7)
    for text in ("", "no value", "[" * 100_000, "x" * 2_000_000, "{" * 499):
        lenient_value(text)
    for _ in range(200):
        lenient_value("".join(noise.choices('{}[]",:\\ab1\n', k=30)))


def test_infinite_numbers_are_refused() -> None:
    """No reading holds a number that JSON cannot write."""
    for text in ("1e999", "-1e999", "[1e999]", '{"a": Infinity}'):
        result = read_value(text)
        assert isinstance(result, Fault) or not math.isinf(result.value)


@pytest.mark.parametrize("window", [8, 24, 64, 4_096])
@pytest.mark.parametrize(
    "text",
    [
        # Behind a string that may go on stands a quote at which it may end, too.
        """{\\"a\\": word, \\"b\\": 'q''}} and {\\"a\\": \\"it's\\", \\"b\\": '//n'} and"""
        """ {\\"a\\": \\"it's\\", \\"b\\": 'q''} and {\\"a\\": None, \\"b\\": \\"//n\\",}""",
        """{\\"a\\": 1} and {\\"b\\": 2} and {\\"c\\": 3}""",
    ],
)
def test_an_escaped_value_reads_the_same_in_any_window(
    text: str, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of the text may show that there is another reading: no piece of it is enough."""
    whole = read_value(text)
    monkeypatch.setattr("gptme_reliability.repair.syntax._WINDOW", window)
    assert read_value(text) == whole
