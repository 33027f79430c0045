"""What is released holds what it must and nothing else, and is the same whoever builds it."""

from __future__ import annotations

import ast
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path
from typing import Any, Final

import pytest
from distributions import ROOT, build, unpack

import gptme_reliability

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE: Final = "gptme_reliability"
SHIPPED: Final = frozenset({".json", ".jsonl", ".md", ".py", ".toml", ".typed"})
ESSENTIAL: Final = (
    "py.typed",
    "audit/data/gptme_tools.jsonl",
    "cards/schema.json",
    "evals/data/demo.jsonl",
    "evals/fixtures/single.jsonl",
    "evals/fixtures/tools.json",
    "lessons/common/done.md",
    "model_names/__init__.py",
    "sampling_cards/qwen3-instruct.toml",
)
LEFT_BEHIND: Final = (
    "gptme_reliability/__pycache__/cli.cpython-311.pyc",
    "gptme_reliability/cli.py.orig",
    "gptme_reliability/.DS_Store",
    "lessons/__pycache__/x.pyc",
    "lessons/common/done.md~",
    "sampling_cards/.qwq.toml.swp",
    "sampling_cards/qwq.toml.rej",
    "tests/__pycache__/test_release.cpython-311.pyc",
    "tests/.pytest_cache/README.md",
    ".venv/lib/site.py",
    "build/lib/gptme_reliability/cli.py",
    "dist/old.whl",
)
"""What editors, interpreters, merges and builds leave in a tree."""

STANDARD: Final = sys.stdlib_module_names | {"tomllib"}
"""The standard library; before Python 3.11 ``tomli`` is required in place of its ``tomllib``."""

BROUGHT: Final = {
    "anthropic": "gptme",
    "openai": "gptme",
    "platformdirs": "gptme",
    "pydantic_core": "pydantic",
    "referencing": "jsonschema",
    "jsonschema_specifications": "jsonschema",
    "yarl": "aiohttp",
}
"""Modules that a declared requirement needs itself, and has in its own interface."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution and the wheel of this tree."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def metadata(made: tuple[Path, Path]) -> Message:
    """What the wheel says of itself."""
    return HeaderParser().parsestr(read(made[1], "METADATA"))


def read(wheel: Path, name: str) -> str:
    """A file of the wheel's own directory."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"{PACKAGE}-{gptme_reliability.__version__}.dist-info/{name}").decode()


def on_disk(directory: str) -> set[str]:
    """The files of a directory of the tree that are meant to be shipped."""
    found = (path.relative_to(ROOT) for path in (ROOT / directory).rglob("*"))
    return {path.as_posix() for path in found if path.suffix in SHIPPED}


# -- what is inside -------------------------------------------------------------------------


def test_the_wheel_holds_the_package_and_nothing_else(made: tuple[Path, Path]) -> None:
    """Modules, data, lessons and cards, the licence, and what installers need."""
    about = f"{PACKAGE}-{gptme_reliability.__version__}.dist-info"
    files = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    beside = {f"{PACKAGE}/{name}" for name in on_disk("lessons") | on_disk("sampling_cards")}
    with zipfile.ZipFile(made[1]) as archive:
        names = set(archive.namelist())
    assert names == on_disk(PACKAGE) | beside | {f"{about}/{name}" for name in files}
    assert {f"{PACKAGE}/{name}" for name in ESSENTIAL} <= names
    assert read(made[1], "licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")


def test_the_sources_hold_what_builds_and_tests_them(made: tuple[Path, Path]) -> None:
    """The directories of the tree, and no file that is hidden but git's."""
    with tarfile.open(made[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {name.partition("/")[0] for name in names}
    files = {".gitignore", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert top == {"docs", PACKAGE, "lessons", "sampling_cards", "tests"} | files
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    for directory in (PACKAGE, "lessons", "sampling_cards", "tests"):
        assert on_disk(directory) <= names


def test_it_is_the_same_whoever_builds_it(made: tuple[Path, Path], tmp_path: Path) -> None:
    """From the sources as from the tree, byte by byte, whatever lies around there."""
    tree = unpack(made[0], tmp_path)
    for name in LEFT_BEHIND:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("left behind")
    for path in tree.rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            os.utime(path, (1e9, 1e9))
    again = build(tree, tmp_path / "dist")
    assert [path.name for path in again] == [path.name for path in made]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in made]


# -- what it says of itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("Name", ["gptme-reliability"]),
        ("Version", [gptme_reliability.__version__]),
        ("Requires-Python", [">=3.10"]),
        ("License-Expression", ["MIT"]),
        ("License-File", ["LICENSE"]),
        ("Provides-Extra", ["eval", "proxy", "test"]),
        ("Project-URL", ["gptme, https://gptme.org"]),
        ("Description-Content-Type", ["text/markdown"]),
    ],
)
def test_a_field(metadata: Message, field: str, values: list[str]) -> None:
    """What indexes and installers read."""
    assert sorted(metadata.get_all(field, [])) == values


def test_summary_classifiers_and_description(metadata: Message) -> None:
    """One line, every Python that is supported, typed; and the README as it stands."""
    (summary,) = metadata.get_all("Summary", [])
    assert 20 < len(summary) <= 120
    classifiers = metadata.get_all("Classifier", [])
    pythons = [name.rpartition(" ")[2] for name in classifiers if ":: 3." in name]
    assert pythons == ["3.10", "3.11", "3.12", "3.13"]
    assert "Typing :: Typed" in classifiers
    assert metadata.get_payload() == (ROOT / "README.md").read_text("utf-8")


def test_the_version_stands_in_one_place() -> None:
    """In ``__init__.py``: the project file takes it from there."""
    project = project_file()["project"]
    assert "version" not in project and project["dynamic"] == ["version"]
    quoted = re.compile(rf"""["']{re.escape(gptme_reliability.__version__)}["']""")
    files = [ROOT / "pyproject.toml", *(ROOT / PACKAGE).rglob("*.py")]
    found = [path.name for path in files if quoted.search(path.read_text("utf-8"))]
    assert found == ["__init__.py"]


def test_entry_points(made: tuple[Path, Path]) -> None:
    """The program, and the plugin by which gptme finds it."""
    lines = read(made[1], "entry_points.txt").split()
    assert lines[::4] == ["[console_scripts]", "[gptme.plugins]"]
    assert [lines[1], lines[5]] == ["gptme-reliability", "reliability"]
    program, plugin = (_object(lines[at]) for at in (3, 7))
    assert program is import_module("gptme_reliability.cli").main
    assert plugin.name == "reliability"


def _object(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)


# -- what it needs --------------------------------------------------------------------------


def project_file() -> dict[str, Any]:
    """The project file, read."""
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return read


def names_of(requirements: list[str]) -> set[str]:
    """The modules that are required; a distribution and its module have the same name here."""
    found = (re.match(r"[\w-]+", line) for line in requirements)
    return {name[0].replace("-", "_").lower() for name in found if name}


def imported(path: Path) -> Iterator[str]:
    """What a module imports, wherever in it, by the first part of its name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_what_is_imported_is_required() -> None:
    """Nothing is there by chance: each module is in the standard library, required, or brought."""
    project = project_file()["project"]
    always = names_of(project["dependencies"]) | {PACKAGE}
    extras = {name: names_of(lines) for name, lines in project["optional-dependencies"].items()}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        place = path.relative_to(ROOT / PACKAGE).as_posix()
        known = always | (extras["proxy"] if place.startswith("surfaces/proxy/") else set())
        known |= extras["eval"] if place.startswith("evals/") else set()
        foreign = set(imported(path)) - known - STANDARD
        assert {BROUGHT.get(name) for name in foreign} <= known, f"{place}: {foreign}"


@pytest.mark.parametrize(("module", "by"), BROUGHT.items())
def test_what_is_brought_is_brought(module: str, by: str) -> None:
    """The requirement that is named for it needs it itself."""
    assert module in names_of([line for line in requires(by) or [] if "extra ==" not in line])
