"""What README and design note name is there: links, files, tests, commands, options, settings."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import gptme
import pytest
import settings_table
from documents import DOCUMENTS, ROOT, anchors, commands, fences, lines, section, spans, text

import gptme_reliability
from gptme_reliability.cards import load_cards
from gptme_reliability.cli import _parser
from gptme_reliability.contract import Broken, contract
from gptme_reliability.data import data_dir
from gptme_reliability.identity import identify
from gptme_reliability.surfaces.keys import KEYS
from gptme_reliability.surfaces.schema import FACT_KEYS, ModelSection, checked

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CARDS: Final = load_cards([data_dir("sampling_cards")])
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTED: Final = "0.35.1"
GPTME: Final = Path(gptme.__file__).parent
PLACES: Final = (
    ROOT,
    ROOT / "gptme_reliability",
    ROOT / "gptme_reliability" / "surfaces",
    ROOT / "gptme_reliability" / "evals",
    ROOT / "gptme_reliability" / "dialects",
    ROOT / "tests" / "benchmarks",
    GPTME,
)
"""Where a file that is named may lie."""
THEIRS: Final = frozenset(
    (
        *("answers.jsonl", "answer.txt", "tools.json", "verdicts.jsonl", "report.html"),
        *("config.toml", "config.yaml", "gptme.toml", "opencode.json"),
        *("generation_config.json", "ShishirPatil/gorilla", "vercel/ai"),
    )
)
"""Files of readers and of other programs, and where those lie."""
FOREIGN: Final = frozenset(
    (
        *("AsyncOpenAI", "ModelRetry", "NativeOutput", "toolChoice"),
        *("SO_REUSEPORT", "call_0", "SOURCE_DATE_EPOCH"),
    )
)
"""Names of other programs."""
_FILE: Final = re.compile(r"[\w./-]+\.(?:py|jsonl|json|toml|md|yaml|txt|html)")
_DIRECTORY: Final = re.compile(r"(?:\w+/)+|\w+(?:/\w+)+")
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_TEST: Final = re.compile(r"(?:(tests/[\w/]+\.py)::)?(test_\w+)")
_MEMBER: Final = re.compile(r"`([\w/]+\.py)`, `(\w+(?:\.\w+)?)`")
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

each_document = pytest.mark.parametrize("document", DOCUMENTS)


# -- settings -------------------------------------------------------------------------------


def test_the_table_of_settings_is_made_from_the_models() -> None:
    """It holds every key, its default and its meaning, and nothing else, and there is one."""
    shown = settings_table.TABLE.findall(text("README.md"))
    assert shown == [settings_table.table()], "run `python tests/settings_table.py --write`"


def test_the_table_names_every_key_that_is_taken() -> None:
    """What can be set is in it, and what is in it can be set."""
    named = {key.removeprefix("models.*.") for key, _, _ in settings_table.rows()}
    assert named == {*KEYS, *FACT_KEYS}
    sections = ModelSection.model_fields.keys() - {"policy"}
    assert {key for key in named if "." not in key} == sections


def test_every_fact_is_in_the_example() -> None:
    """The example of a model's own section sets every fact, and each is taken."""
    (block,) = (b for b in fences("README.md", "toml") if "family =" in b and "thinks =" in b)
    settings = tomllib.loads(block)["plugin"]["reliability"]
    (facts,) = settings["models"].values()
    assert facts.keys() == FACT_KEYS


def _settings() -> Iterator[tuple[str, dict[str, Any]]]:
    for document in DOCUMENTS:
        for block in fences(document, "toml"):
            data = tomllib.loads(block)
            found = data.get("plugin", data).get("reliability")
            if found is not None:
                yield block, found


@pytest.mark.parametrize("settings", [found for _, found in _settings()])
def test_settings_that_are_shown_are_taken(settings: dict[str, Any]) -> None:
    """Every block of settings fits the schema."""
    checked(settings, "README.md", "plugin.reliability")


def test_each_recipe_works() -> None:
    """A recipe switches the plugin on for its model, which is then not refused."""
    recipes = re.split(r"^\*\*", section("README.md", "Recipes"), flags=re.MULTILINE)[1:-1]
    assert len(recipes) == 6
    for recipe in recipes:
        (block,) = re.findall(r"```toml\n(.*?)```", recipe, re.DOTALL)
        (model,) = re.findall(r"-m (local/\S+)", recipe)
        (glob, found), *others = tomllib.loads(block)["plugin"]["reliability"]["models"].items()
        assert found["enabled"] and not others
        assert re.fullmatch(glob.replace("*", ".*"), model), model
        agreed = contract(
            identify(model), CARDS, tools=True, unknown=found.get("unknown", "refuse")
        )
        assert not isinstance(agreed, Broken), model


@each_document
def test_the_number_of_cards(document: str) -> None:
    """It is right wherever it stands."""
    assert set(re.findall(r"(\d+) cards", text(document))) == {str(len(CARDS))}


def test_messages_that_are_quoted_are_said() -> None:
    """Who looks for a line that the table of symptoms quotes finds it."""
    sources = (ROOT / "gptme_reliability").rglob("*.py")
    said = re.sub(r'"\s*f?"', "", "".join(path.read_text(encoding="utf-8") for path in sources))
    table = re.sub(r"`[^`]*`", "", section("README.md", "Troubleshooting by symptom"))
    quoted = re.findall(r'"([^"]+)"', table)
    assert len(quoted) > 5
    for words in quoted:
        parts = map(re.escape, re.split(r"\b[NM]\b|…", words))
        assert re.search(".{1,60}?".join(parts), said), words


# -- files, links, tests --------------------------------------------------------------------


@each_document
def test_links_lead_somewhere(document: str) -> None:
    """A relative link names a file, and what stands behind ``#`` a heading of it."""
    for target in _LINK.findall(text(document)):
        if not re.match(r"\w+:", target):
            path, _, anchor = target.partition("#")
            page = DOCUMENTS[document].parent / path if path else DOCUMENTS[document]
            assert page.exists(), target
            assert not anchor or anchor in anchors(page), target


@each_document
def test_files_that_are_named_are_there(document: str) -> None:
    """In backticks, in commands and behind ``+++``."""
    if "design-note" in document and version("gptme") != NOTED:
        pytest.skip(f"the note speaks of the modules of gptme {NOTED}")
    for named in sorted(_files(document)):
        assert any((place / named).exists() for place in PLACES), named


def _files(document: str) -> Iterator[str]:
    for span in spans(document):
        for word in span.partition("::")[0].split():
            if (_FILE.fullmatch(word) or _DIRECTORY.fullmatch(word)) and word not in THEIRS:
                yield word
    for arguments in commands(document, "python"):
        yield from (word for word in arguments if word.startswith("tests/"))
    for block in fences(document, "diff"):
        yield from re.findall(r"^\+\+\+ (.+)$", block, re.MULTILINE)


def test_no_foreign_file_is_excused_without_need() -> None:
    """The list of others' files holds what is named, no more."""
    everything = "".join(map(text, DOCUMENTS))
    assert [name for name in sorted(THEIRS) if name not in everything] == []


# -- names in code --------------------------------------------------------------------------

_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\.\w+|\.\*)*(?:\(.*\))?")
_SPEAKING: Final = re.compile(r"_|\.|\(|[a-z][A-Z]")
"""What tells a name in code from a word: ``ls`` is a word."""


@cache
def vocabulary() -> frozenset[str]:
    """Every word that our code and data or gptme's code is written with."""
    places = (ROOT / "gptme_reliability", ROOT / "sampling_cards", GPTME)
    files = [f for place in places for kind in ("*.py", "*.toml") for f in place.rglob(kind)]
    words = {w for f in files for w in re.findall(r"\w+", f.read_text(encoding="utf-8"))}
    return frozenset(words | {f"GPTME_RELIABILITY_{key.upper()}" for key in KEYS})


@each_document
def test_names_in_code_are_there(document: str) -> None:
    """Each is written somewhere in our code or gptme's, part by part; the rest is others'."""
    if "design-note" in document and version("gptme") != NOTED:
        pytest.skip(f"the note speaks of the names of gptme {NOTED}")
    for span in spans(document):
        if _NAME.fullmatch(span) and _SPEAKING.search(span) and not _FILE.fullmatch(span):
            parts = re.findall(r"\w+", span.partition("(")[0])
            known = _TEST.fullmatch(span) or {*parts} <= vocabulary() | FOREIGN
            assert known, f"{document}: {span}"


@each_document
def test_modules_hold_what_is_named_of_them(document: str) -> None:
    """``module.name`` of ours is there, as a module or in one."""
    for span in spans(document):
        if re.fullmatch(r"gptme_reliability(\.\w+)+", span):
            assert find_spec(span) or hasattr(gptme_reliability, span.rpartition(".")[2]), span


def test_no_foreign_name_is_excused_without_need() -> None:
    """The list of others' names holds what is named, and nothing that our code knows."""
    everything = "".join(map(text, DOCUMENTS))
    assert [name for name in sorted(FOREIGN) if name not in everything] == []
    assert not FOREIGN & vocabulary()


@cache
def functions(path: Path) -> frozenset[str]:
    """The names of all functions and classes in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@each_document
def test_tests_that_are_named_are_there(document: str) -> None:
    """A test without a file stands among the laws."""
    for span in spans(document):
        named = _TEST.fullmatch(span)
        if named:
            assert named[2] in functions(ROOT / (named[1] or "tests/test_laws.py")), span


def test_every_law_names_its_tests() -> None:
    """Eleven laws, each with a test that exists; every test of a law is named."""
    rows = re.findall(
        r"^\| (\d+)\. .*\|$", section("docs/design-note.md", "The laws"), re.MULTILINE
    )
    assert [int(number) for number in rows] == list(range(1, 12))
    laws = section("docs/design-note.md", "The laws")
    for line in laws.splitlines():
        if re.match(r"\| \d+\. ", line):
            assert _TEST.search(line), line
    named = set(re.findall(r"`(test_law_\w+)`", laws))
    assert named == {name for name in functions(ROOT / "tests/test_laws.py") if "law" in name}


def test_every_decision_has_its_date_and_its_alternative() -> None:
    """What was decided without an alternative was no decision."""
    decisions = re.split(r"^### ", section("docs/design-note.md", "Decisions"), flags=re.MULTILINE)
    assert len(decisions) > 30
    for decision in decisions[1:]:
        heading = decision.partition("\n")[0]
        assert re.search(r" \(\d{4}-\d\d\)$", heading), heading
        assert len(re.findall(r"^\*Instead of\* \S", decision, re.MULTILINE)) == 1, heading


@pytest.mark.skipif(version("gptme") != NOTED, reason=f"the note speaks of gptme {NOTED}")
def test_what_is_said_of_gptmes_modules_is_there() -> None:
    """A function that is named behind a module stands in it."""
    named = _MEMBER.findall(section("docs/design-note.md", "What goes upstream"))
    assert len(named) > 10
    for module, member in named:
        *_, name = member.split(".")
        path = GPTME / module
        known = functions(path) | set(re.findall(r"^(\w+)\s*=", path.read_text(), re.MULTILINE))
        assert name in known, f"{module}: {member}"


# -- commands -------------------------------------------------------------------------------


@cache
def options_of(*command: str) -> frozenset[str]:
    """The options that our own program says it takes; empty where there is no such command."""
    made = subprocess.run(
        [sys.executable, "-m", "gptme_reliability.cli", *command, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return frozenset(_OPTION.findall(made.stdout)) if made.returncode == 0 else frozenset()


NESTED: Final = frozenset({"cards", "eval"})


def _ours() -> list[tuple[str, ...]]:
    shown = {tuple(words) for d in DOCUMENTS for words in commands(d, "gptme-reliability") if words}
    return sorted(words for words in shown if not words[0].startswith("-"))


def parsed(words: Sequence[str]) -> None:
    """Fail unless the program takes this command line."""
    try:
        _parser().parse_args(words)
    except SystemExit as stop:
        raise AssertionError(f"gptme-reliability {' '.join(words)}") from stop


@pytest.mark.parametrize("words", _ours(), ids=" ".join)
def test_our_commands_are_there(words: tuple[str, ...]) -> None:
    """Each line is one that the program takes; a name alone is one of its commands."""
    if len(words) == (2 if words[0] in NESTED else 1):
        assert options_of(*words), f"no such command: {' '.join(words)}"
    else:
        parsed(words)


def test_the_container_starts_the_proxy() -> None:
    """What the image runs and what is given to it make one command line."""
    (image,) = fences("README.md", "dockerfile")
    entry = re.search(r"^ENTRYPOINT (.+)$", image, re.MULTILINE)
    (given,) = (line for line in lines("README.md") if line.startswith("docker run"))
    assert entry
    program, *words = json.loads(entry[1])
    assert program == "gptme-reliability"
    parsed([*words, *given.partition(" IMAGE ")[2].split()])


@each_document
def test_commands_of_python_are_there(document: str) -> None:
    """Tests are selected by marks that there are; scripts are files, which are looked at above."""
    marks = {mark.partition(":")[0] for mark in PROJECT["tool"]["pytest"]["ini_options"]["markers"]}
    for words in commands(document, "python"):
        if words[:2] == ["-m", "pytest"] and "-m" in words[2:]:
            assert words[words.index("-m", 2) + 1] in marks, words


def test_every_command_is_shown() -> None:
    """The README shows each command of the program."""
    made = subprocess.run(
        [sys.executable, "-m", "gptme_reliability.cli", "--help"], capture_output=True, text=True
    )
    listed = made.stdout.partition("commands:\n")[2].partition("\n\n")[0]
    names = {line.split()[0] for line in listed.splitlines()}
    assert names <= {words[0] for words in _ours()}


def test_gptmes_options_and_tools_are_there() -> None:
    """What the README gives gptme, gptme takes."""
    from gptme.cli.main import main

    known = {option for parameter in main.params for option in parameter.opts}
    tools = {path.stem for path in (GPTME / "tools").glob("*.py")}
    shown = [words for words in commands("README.md", "gptme") if words]
    assert len(shown) > 5
    for words in shown:
        for at, word in enumerate(words):
            assert not word.startswith("-") or word in known, word
            if word == "-t":
                assert set(words[at + 1].split(",")) <= tools


def test_the_ci_gate(tmp_path: Path) -> None:
    """It lets good answers pass and stops at a bad one."""
    (gate,) = (b for b in fences("README.md", "sh") if "--jsonl" in b and "lint" in b)
    tool = {
        "name": "save_note",
        "description": "Saves a note under a title.",
        "parameters": {
            "type": "object",
            "properties": {"title": {"type": "string", "description": "The note's title."}},
            "required": ["title"],
        },
    }
    (tmp_path / "tools.json").write_text(json.dumps([{"type": "function", "function": tool}]))
    call = '<tool_call>{"name": "save_note", "arguments": {"title": "%s</tool_call>'
    program = f"{sys.executable} -m gptme_reliability.cli"
    script = "set -e\n" + gate.replace("gptme-reliability", program)
    for raw, code in ((call % 'a"}}', 0), (call % "cut", 1)):
        (tmp_path / "answers.jsonl").write_text(json.dumps({"id": 1, "raw": raw}) + "\n")
        # A shell that negates a pipeline does not stop at it, so that the last line decides.
        made = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
        assert made.returncode == code, made.stdout + made.stderr
