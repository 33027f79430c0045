"""Sampling cards: what ships is sourced and sound, and a model gets the card that is its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import gptme_reliability
from gptme_reliability.cards import Ambiguous, Card, Match, find, load_cards, modes_of, nearest
from gptme_reliability.cards.card import GRADES, KINDS
from gptme_reliability.cards.checking import SCHEMA_FILE, check_cards, overlaps, schema_problems
from gptme_reliability.cards.reading import BOUNDS, parse, read_cards
from gptme_reliability.data import data_dir
from gptme_reliability.dialects.encode import ENCODERS
from gptme_reliability.dialects.table import REASONING
from gptme_reliability.errors import CardError
from gptme_reliability.identity import Identity, Mode, identify

CASES = Path(__file__).parent / "cases"
DIRECTORY = data_dir("sampling_cards")
FILES = sorted(DIRECTORY.glob("*.toml"))
CARDS = load_cards([DIRECTORY])
# One line for each page and grade of evidence in the published facts that the cards rest on.
FACTS = {tuple(line.split()) for line in (CASES / "card_urls.txt").read_text().splitlines()}
MATCHES: list[dict[str, Any]] = [
    json.loads(line) for line in (CASES / "card_matches.jsonl").read_text().splitlines()
]
BROKEN: list[dict[str, Any]] = [
    json.loads(line) for line in (CASES / "card_broken.jsonl").read_text().splitlines()
]


def identity(family: str, variant: str | None = None, mode: Mode | None = None) -> Identity:
    return Identity(variant or family, family, variant, mode=mode)


def card_of(found: Match | Ambiguous | None) -> Card:
    assert isinstance(found, Match), found
    return found.card


# What ships.


def test_every_shipped_card_is_right() -> None:
    """By the published schema, by the reader, and against each other."""
    assert len(FILES) >= 80
    assert check_cards(FILES) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_value_has_a_source(path: Path) -> None:
    """A page that the facts know, a grade that they give it, and the day they were gathered."""
    pages = {url for url, _ in FACTS}
    for card in read_cards(path.read_text(encoding="utf-8"), path):
        source = card.source
        assert source.checked == date(2026, 11, 21)
        assert source.read_at
        assert source.grade in ("read", "quoted")
        assert set(source.urls.values()) <= pages
        assert card.variants, "a shipped card speaks of the models whose pages it names"
        for variant in card.variants:
            url = card.url(variant)
            assert url in pages
            assert source.grade == "quoted" or (url, "read") in FACTS
        presets = [preset.values for preset in card.presets.values()]
        for value in [v for values in (card.values, *presets) for v in values.values()]:
            assert value.chosen_by in ("vendor", "us")


def test_every_page_of_the_facts_is_in_a_card() -> None:
    urls = {url for card in CARDS for url in card.source.urls.values()}
    assert urls == {url for url, _ in FACTS}


def test_the_example_of_the_format_is_a_card(tmp_path: Path) -> None:
    readme = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    (tmp_path / "example.toml").write_text(readme.split("```toml\n")[1].split("```")[0])
    assert check_cards([tmp_path / "example.toml"]) == []


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))


def test_every_file_begins_with_a_word_for_people() -> None:
    for path in FILES:
        assert path.read_text(encoding="utf-8").startswith("# "), path


def test_reasoning_tags_are_those_that_the_decoder_knows() -> None:
    assert {card.reasoning for card in CARDS if card.reasoning} <= set(REASONING)


def test_dialects_are_those_that_the_decoder_is_tested_with() -> None:
    known = {path.stem for path in (CASES / "families").glob("*.jsonl")} | set(ENCODERS)
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    assert set(schema["$defs"]["model"]["properties"]["dialect"]["enum"]) <= known
    assert {card.dialect for card in CARDS if card.dialect} <= known


def test_schema_and_reader_know_the_same_words() -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["$defs"]
    source = schema["source"]["properties"]
    assert set(source["grade"]["enum"]) == set(GRADES)
    assert source["kind"]["enum"] == list(KINDS)
    assert list(schema["values"]["properties"]) == list(BOUNDS)


# Which card a model gets.


@pytest.mark.parametrize("row", MATCHES, ids=lambda row: f"{row['name']}-{row['mode']}")
def test_the_right_card(row: dict[str, Any]) -> None:
    """Rows were written from the published facts: a spelling, the model, and its settings."""
    model = identify(row["name"])
    assert (model.family, model.variant) == (row["family"], row["variant"])
    found = find(model, CARDS, row["mode"])
    assert isinstance(found, Match)
    card = found.card
    assert (found.url, card.source.grade) == (row["url"], row["grade"])
    assert card.silent is row.get("silent", False)
    values = dict(card.values)
    if "preset" in row:
        values.update(card.presets[row["preset"]].values)
    wanted = dict(row.get("values", {}))
    if "below" in row:
        temperature = values["temperature"]
        assert temperature.below == row["below"]
        assert temperature.admits(temperature.point)
        wanted["temperature"] = temperature.point
    assert {name: value.point for name, value in values.items()} == wanted


def test_the_rows_cover_the_families() -> None:
    assert len({row["family"] for row in MATCHES}) >= 55
    assert len({row["variant"] for row in MATCHES}) >= 120


GREEDY_FORBIDDEN = ("Qwen3", "Qwen3.5", "Qwen3.6", "Qwen3.8", "QwQ", "Muse Glimmer")


def test_greedy_is_forbidden_where_the_vendor_forbids_it() -> None:
    assert {c.family for c in CARDS if c.forbid_greedy} == set(GREEDY_FORBIDDEN)
    for card in CARDS:
        assert card.forbid_greedy is (card.family in GREEDY_FORBIDDEN and card.mode != "instruct")


def test_a_model_runs_in_its_default_mode_unless_told_otherwise() -> None:
    model = identity("Qwen3", "Qwen3-8B")
    assert card_of(find(model, CARDS)).values["temperature"].point == 0.6
    instruct = card_of(find(model, CARDS, "instruct"))
    assert instruct.values["temperature"].point == 0.7
    assert instruct.chat_template_kwargs == {"enable_thinking": False}
    named = identity("Qwen3", "Qwen3-8B", "instruct")
    assert card_of(find(named, CARDS)) == instruct
    assert card_of(find(named, CARDS, "thinking")).forbid_greedy


def test_without_a_default_the_mode_has_to_be_said() -> None:
    model = identity("EXAONE 4", "EXAONE-4.0-32B")
    found = find(model, CARDS)
    assert isinstance(found, Ambiguous)
    assert found.about == "mode"
    assert modes_of(model, CARDS) == ("instruct", "thinking")


@pytest.mark.parametrize(
    ("model", "mode"),
    [
        (identity("Qwen3", "Qwen3-235B-A22B"), None),
        (identity("Qwen3"), None),
        (identity("OLMo 3", "Olmo-3-7B-Instruct"), None),
        (identity("Hermes 3", "Hermes-3-Llama-3.1-8B"), None),
        (identity("QwQ", "QwQ-32B"), "instruct"),
        (identity("Qwen2.5", "Qwen2.5-7B-Instruct"), "base"),
        (identity("Qwen2.5", "Qwen2.5-7B-Instruct", "base"), None),
        (Identity("something-7b"), None),
        (Identity(""), None),
    ],
)
def test_no_card_speaks_of_others(model: Identity, mode: Mode | None) -> None:
    assert find(model, CARDS, mode) is None


@pytest.mark.parametrize(
    ("family", "variant", "grades", "kinds"),
    [
        ("Llama 3.1", "Llama-3.1-8B-Instruct", "read quoted", "vendor_code third_party"),
        ("Ministral 3", "Ministral-3-8B-Instruct-2512", "read quoted", "vendor_card third_party"),
        ("Devstral", "Devstral-Small-2505", "quoted quoted", "quotation vendor_product"),
        ("Phi-4", "phi-4", "quoted quoted", "quotation third_party"),
        ("MiniMax-M2", "MiniMax-M2", "read quoted", "vendor_repo vendor_product"),
    ],
)
def test_sources_that_disagree_are_ranked(
    family: str, variant: str, grades: str, kinds: str
) -> None:
    found = find(identity(family, variant), CARDS)
    assert isinstance(found, Match)
    ranked = [found.card.source, *(card.source for card in found.others)]
    assert [source.grade for source in ranked] == grades.split()
    assert [source.kind for source in ranked] == kinds.split()


def test_read_outranks_quoted_whatever_the_kind() -> None:
    (card,) = own("family = 'Qwen3'\nvalues = { temperature = 0.4 }")
    sources = [
        replace(card.source, grade=grade, kind=kind)
        for grade in ("read", "quoted")
        for kind in KINDS[1:]
    ]
    ranked = sorted(reversed(sources), key=lambda source: source.rank)
    assert ranked == sources
    weakest_read, best_quoted = sources[len(KINDS) - 2], sources[len(KINDS) - 1]
    cards = [replace(card, source=source) for source in (best_quoted, weakest_read)]
    assert card_of(find(identity("Qwen3"), cards)).source == weakest_read


def test_the_ranking_is_written_down() -> None:
    readme = (DIRECTORY / "README.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")]
    assert rows == list(KINDS)


# Cards of one's own.

OWN = "[source]\ngrade = 'own'\nkind = 'own'\n"


def own(models: str, place: int = 0) -> tuple[Card, ...]:
    return read_cards(f"{OWN}\n[[models]]\n{models}\n", Path("own.toml"), place)


def shipped() -> list[Card]:
    return [replace(card, source=replace(card.source, place=1)) for card in CARDS]


def test_a_card_of_ones_own_wins_even_where_it_says_less(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        f"{OWN}\n[[models]]\nfamily = 'Qwen3'\nvalues = {{ temperature = 0.4 }}\n"
    )
    cards = load_cards([tmp_path, DIRECTORY])
    found = find(identity("Qwen3", "Qwen3-8B"), cards)
    assert isinstance(found, Match)
    assert {name: v.point for name, v in found.card.values.items()} == {"temperature": 0.4}
    assert found.url is None
    assert found.others[0].source.kind == "vendor_repo"


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("my-model-7b", True),
        ("local/My-Model-7B-Q4_K_M", True),
        ("myprovider/team/my-model-7b", True),
        ("not-my-model-7b", False),
        ("my-model-7b/other", False),
    ],
)
def test_a_name_matches_whole_or_behind_its_last_slash(name: str, matches: bool) -> None:
    cards = own("names = ['My-Model-7b*']\nvalues = { temperature = 0.4 }")
    if name.endswith("/other"):
        cards = own("names = ['my-model-7b']\nvalues = { temperature = 0.4 }")
    assert (find(Identity(name), cards) is not None) is matches


def test_the_closer_description_wins() -> None:
    rules = {
        "family = 'Qwen3'": 0.1,
        "family = 'Qwen3'\nsizes = { min = 0, max = 100 }": 0.2,
        "family = 'Qwen3'\nsizes = { min = 7, max = 14 }": 0.3,
        "family = 'Qwen3'\nvariants = ['Qwen3-8B']": 0.4,
        "names = ['qwen3-8b-mine']": 0.5,
    }
    cards = [
        card
        for rule, temperature in rules.items()
        for card in own(f"{rule}\nvalues = {{ temperature = {temperature} }}")
    ]
    models = {
        Identity("qwen3", "Qwen3"): 0.1,
        Identity("qwen3:32b", "Qwen3", size_b=32): 0.2,
        Identity("qwen3:14b", "Qwen3", size_b=14): 0.3,
        Identity("qwen3:8b", "Qwen3", "Qwen3-8B", size_b=8): 0.4,
        Identity("x/Qwen3-8B-mine", "Qwen3", "Qwen3-8B", size_b=8): 0.5,
    }
    for model, temperature in models.items():
        for order in (cards, cards[::-1]):
            assert card_of(find(model, order)).values["temperature"].point == temperature


def test_what_is_said_of_the_mode_wins_over_what_is_said_of_any() -> None:
    cards = [
        *own("family = 'Qwen3'\nvalues = { temperature = 0.1 }"),
        *own("family = 'Qwen3'\nmode = 'thinking'\nvalues = { temperature = 0.2 }"),
    ]
    for mode, temperature in {"thinking": 0.2, "instruct": 0.1, None: 0.1}.items():
        found = card_of(find(identity("Qwen3"), cards, mode))  # type: ignore[arg-type]
        assert found.values["temperature"].point == temperature


def test_equal_cards_that_disagree_are_ambiguous() -> None:
    cards = [
        *own("family = 'Qwen3'\nvalues = { temperature = 0.1 }"),
        *own("family = 'Qwen3'\nvalues = { temperature = 0.2 }"),
    ]
    found = find(identity("Qwen3", "Qwen3-8B"), cards)
    assert isinstance(found, Ambiguous)
    assert (found.about, len(found.cards)) == ("values", 2)
    assert isinstance(find(identity("Qwen3"), [cards[0], cards[0]]), Match)


@pytest.mark.parametrize(
    ("left", "right", "overlapping"),
    [
        ("family = 'Qwen3'", "family = 'Qwen3'", True),
        ("family = 'Qwen3'", "family = 'QwQ'", False),
        ("family = 'Qwen3'", "family = 'Qwen3'\nmode = 'thinking'", False),
        ("family = 'Qwen3'", "family = 'Qwen3'\nvariants = ['Qwen3-8B']", False),
        (
            "family = 'Qwen3'\nvariants = ['Qwen3-8B', 'Qwen3-4B']",
            "family = 'Qwen3'\nvariants = ['Qwen3-8B']",
            True,
        ),
        (
            "family = 'Qwen3'\nvariants = ['Qwen3-4B']",
            "family = 'Qwen3'\nvariants = ['Qwen3-8B']",
            False,
        ),
        (
            "family = 'Qwen3'\nsizes = { min = 1, max = 8 }",
            "family = 'Qwen3'\nsizes = { min = 7, max = 14 }",
            True,
        ),
        (
            "family = 'Qwen3'\nsizes = { min = 1, max = 4 }",
            "family = 'Qwen3'\nsizes = { min = 7, max = 10 }",
            False,
        ),
        ("names = ['my-*']", "names = ['other', 'My-model']", True),
        ("names = ['my-model']", "names = ['my-other']", False),
    ],
)
def test_overlaps_are_found(left: str, right: str, overlapping: bool, tmp_path: Path) -> None:
    for name, rule, temperature in (("a", left, 0.1), ("b", right, 0.2)):
        text = f"{OWN}\n[[models]]\n{rule}\nvalues = {{ temperature = {temperature} }}\n"
        (tmp_path / f"{name}.toml").write_text(text)
    problems = check_cards(sorted(tmp_path.iterdir()))
    assert len(problems) == overlapping
    for problem in problems:
        assert "a.toml" in problem and "b.toml" in problem and "\n" not in problem


def test_cards_that_agree_do_not_overlap() -> None:
    cards = own("family = 'Qwen3'\nvalues = { temperature = 0.1 }")
    assert overlaps([*cards, *cards]) == []


# Near names.


@pytest.mark.parametrize(
    ("model", "first"),
    [
        (Identity("qwen4:8b"), "Qwen3"),
        (Identity("local/gemma-5-27b-it-Q4_K_M.gguf"), "Gemma 4"),
        (Identity("mistral-small-5:24b"), "Mistral Small"),
        (Identity("x/Qwen3-235B-A22B", "Qwen3", "Qwen3-235B-A22B", 235), "Qwen3-32B"),
        (Identity("qwen2.5:72b", "Qwen2.5", None, 72), "Qwen2.5-32B-Instruct"),
    ],
)
def test_the_nearest_names(model: Identity, first: str) -> None:
    names = nearest(model, CARDS)
    assert first in names
    assert len(names) <= 3


@pytest.mark.parametrize("name", ["", "/", "zzz", "x" * 5000])
def test_what_is_near_nothing_has_no_near_names(name: str) -> None:
    assert nearest(Identity(name), CARDS) == []


# Reading.


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: row["id"])
def test_a_broken_card_gives_one_clear_line(row: dict[str, Any], tmp_path: Path) -> None:
    """It names the file, the place and the way out; ``check`` finds the card wrong too."""
    path = tmp_path / "broken.toml"
    path.write_text(row["text"], encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_cards([tmp_path])
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in row["says"]:
        assert word in message
    assert check_cards([path])[0] == message
    by_schema = row.get("schema", True)
    if by_schema is not None:
        assert bool(schema_problems(parse(row["text"], path), "broken.toml")) is by_schema


def test_check_names_every_place_once(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    path.write_text(
        "[source]\ngrade = 'own'\nkind = 'own'\n\n[[models]]\nfamily = 'F'\n"
        "values = { temperature = 3, top_p = 3 }\nnative_tools = 1\n"
    )
    first, second, third = check_cards([path])
    assert "models[0].native_tools: must be true or false" in first
    assert "models[0].values.temperature: 3 is greater" in second
    assert "models[0].values.top_p: 3 is greater" in third


def test_there_are_enough_broken_cards() -> None:
    assert len({row["text"] for row in BROKEN}) == len(BROKEN) >= 25


def test_a_card_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9\n")
    with pytest.raises(CardError, match=r"latin\.toml: cannot be read"):
        load_cards([tmp_path])
    assert len(check_cards([tmp_path / "latin.toml", tmp_path / "missing.toml"])) == 2


def test_no_directory_holds_no_cards(tmp_path: Path) -> None:
    assert load_cards([tmp_path / "nowhere"]) == ()


def test_reading_for_one_family_gives_all_its_cards_and_passes_over_the_rest(
    tmp_path: Path,
) -> None:
    for family in {card.family for card in CARDS}:
        of_family = load_cards([DIRECTORY], family)
        wanted = [card for card in CARDS if card.family == family]
        assert [card for card in of_family if card.family == family] == wanted
        paths = {card.source.path for card in wanted}
        assert {card.source.path for card in of_family} == paths
    (tmp_path / "a.toml").write_text("family = 'Gemma 3'\nbroken")
    assert load_cards([tmp_path], "Qwen3") == ()
    for text in ('family = "Qwen3"', "names = ['x']", 'family = "Qw\\u0065n3"'):
        (tmp_path / "a.toml").write_text(f"{text}\nbroken")
        with pytest.raises(CardError):
            load_cards([tmp_path], "Qwen3")


def test_a_range_admits_its_bounds_but_not_what_it_is_below() -> None:
    (card,) = own("family = 'Qwen3'\nvalues.temperature = { point = 0.5, min = 0.2, below = 0.6 }")
    value = card.values["temperature"]
    assert [value.admits(n) for n in (0.1, 0.2, 0.5, 0.6)] == [False, True, True, False]


def test_importing_reads_no_card() -> None:
    """Neither the package nor the module of the cards opens a file of them before it is asked."""
    code = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
import gptme_reliability, gptme_reliability.cards
assert not [name for name in opened if name.endswith((".toml", "schema.json"))], opened
assert "jsonschema" not in sys.modules
from gptme_reliability.data import data_dir
gptme_reliability.cards.load_cards([data_dir("sampling_cards")], "Qwen3")
assert [name for name in opened if name.endswith(".toml")]
assert "jsonschema" not in sys.modules
"""
    package = Path(gptme_reliability.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=package)
    assert done.returncode == 0, done.stderr
