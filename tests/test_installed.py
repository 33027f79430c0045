"""The wheel in environments of its own, with the tree that it was built from gone.

``python -m pytest -m matrix tests/test_installed.py`` makes an environment for each Python that
is supported and found, and for the oldest and the newest supported gptme, and removes them again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from distributions import ROOT, build, unpack

import gptme_reliability
from gptme_reliability.data import data_dir
from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.surfaces.gptme.seams import TESTED

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

PYTHONS: Final = ("3.10", "3.11", "3.12", "3.13")
RELEASES: Final = (TESTED[0], TESTED[-1])
EXTRAS: Final = ("", "[proxy]")
CONFIG: Final = '[plugins]\nenabled = ["reliability"]\n[plugin.reliability]\nenabled = true\n'
TOOLS: Final = """\
[{"type": "function", "function": {"name": "shell", "parameters": {"type": "object",
  "properties": {"command": {"type": "string"}}, "required": ["command"]}}}]"""
CUT: Final = '<tool_call>{"name": "Shell", "arguments": {"command": "ls"'
LESSONS: Final = (
    "from gptme_reliability.data import data_dir; print(*sorted("
    "str(p.relative_to(data_dir('lessons'))) for p in data_dir('lessons').rglob('*.md')))"
)
ALL_LESSONS: Final = " ".join(
    sorted(str(p.relative_to(data_dir("lessons"))) for p in data_dir("lessons").rglob("*.md"))
)
COMMANDS: Final = (
    ("gptme-reliability --version", "", 0, re.escape(gptme_reliability.__version__)),
    (
        "gptme-reliability check --tools tools.json",
        CUT,
        0,
        r'"verdict": "accept", "calls": \[\{"name": "shell", "arguments": \{"command": "ls"',
    ),
    ("gptme-reliability lint tools.json", "", 1, "1 tool, about"),
    ("gptme-reliability cards show qwen3:8b", "", 0, "Qwen3"),
    (
        "gptme-reliability cards explain local/qwen3:8b --endpoint {url}",
        "",
        0,
        r"temperature\t0\.6\tcard qwen3",
    ),
    ("gptme-reliability proxy --help", "", 0, "usage: gptme-reliability proxy"),
    (
        "gptme-reliability proxy --upstream {url}",
        "",
        2,
        r"pip install 'gptme-reliability\[proxy\]'",
    ),
    (
        "gptme-reliability eval run --endpoint {url} --model m --only chat --arms guarded",
        "",
        0,
        r"native +guarded +\d+ +100%",
    ),
    ("""gptme-reliability demo --only "'bash'" """, "", 0, "with the plugin: 1 of 1 right"),
    (
        "gptme-reliability doctor --model local/qwen3:8b",
        "",
        0,
        r"(?s)ok    plugin: .*ok    loaded: .*ok    seams: .*ok    card: ",
    ),
    (
        "gptme -n --tool-format tool -m local/scripted --no-workspace /reliability - /exit",
        "",
        0,
        "ok: all OpenAI-compatible clients are wrapped",
    ),
    (f'python -c "{LESSONS}"', "", 0, rf"^{re.escape(ALL_LESSONS)}\n"),
)
"""What is called, its standard input, its exit code and what it says; ``{url}`` is a server."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, and a directory outside of any tree to work in."""

    home: Path

    def run(
        self, *command: str, stdin: str = "", url: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, which knows of no other one and of no tree."""
        program, *arguments = command
        env = environment(self.home, url)
        env.pop("PYTHONPATH", None)
        env["PATH"] = f"{self.home / 'bin'}:/usr/bin:/bin"
        return subprocess.run(
            [str(self.home / "bin" / program), *arguments],
            cwd=self.home,
            env=env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def install(self, *what: str) -> None:
        """Install with this environment's pip, as its user has set it up."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [str(self.home / "bin" / "python"), "-m", "pip", "install", "-q", *what]
        done = subprocess.run(command, env=env, cwd=self.home, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    def installed(self) -> set[str]:
        """Every distribution with its version, this package aside."""
        lines = self.run("python", "-m", "pip", "freeze").stdout.splitlines()
        return {line for line in lines if not line.startswith("gptme-reliability")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel; the tree that it was built from is removed."""
    place = tmp_path_factory.mktemp("dist")
    source, _ = build(ROOT, place / "of-the-tree")
    tree = unpack(source, place)
    _, wheel = build(tree, place / "of-the-sources")
    shutil.rmtree(tree)
    return wheel


def interpreter(version: str) -> str | None:
    """A Python of this version that can make environments: this one, pyenv's, or on the path."""
    here = [sys.executable] if sys.version_info[:2] == _numbers(version) else []
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    found = [*here, *map(str, pyenv), shutil.which(f"python{version}") or ""]
    code = f"import sys, ensurepip; assert sys.version_info[:2] == {_numbers(version)}"
    for python in filter(None, found):
        if subprocess.run([python, "-c", code], capture_output=True).returncode == 0:
            return python
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@contextmanager
def new_environment(python: str) -> Iterator[Environment]:
    """An environment that nothing is installed in, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="gptme-reliability-") as place:
        home = Path(place).resolve()
        subprocess.run([python, "-m", "venv", str(home)], check=True)
        yield Environment(home)


@pytest.fixture(scope="module", params=PYTHONS)
def installed(request: pytest.FixtureRequest, wheel: Path) -> Iterator[Environment]:
    """The wheel and what it needs, on each Python in turn, switched on in gptme's config."""
    python = interpreter(request.param)
    if python is None:
        pytest.skip(f"no Python {request.param} in ~/.pyenv/versions or on the path")
    with new_environment(python) as made:
        made.install(str(wheel))
        config = made.home / ".config" / "gptme" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(CONFIG, encoding="utf-8")
        (made.home / "tools.json").write_text(TOOLS, encoding="utf-8")
        yield made


@pytest.mark.parametrize(
    ("command", "stdin", "code", "says"),
    COMMANDS,
    ids=[" ".join(c[0].split()[:3]) for c in COMMANDS],
)
def test_an_installed_command(
    installed: Environment, command: str, stdin: str, code: int, says: str
) -> None:
    """It works without the tree."""
    with FaultyServer(lambda body: {"text": "ok"}) as server:
        words = shlex.split(command.replace("{url}", server.url))
        done = installed.run(*words, stdin=stdin, url=server.url)
    assert done.returncode == code, done.stdout + done.stderr
    assert re.search(says, done.stdout + done.stderr), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_everything_lies_in_the_environment(installed: Environment) -> None:
    """The package is not the tree's, and no file of it names the tree."""
    said = installed.run("python", "-c", "import gptme_reliability as g; print(g.__file__)")
    package = Path(said.stdout.strip()).parent
    assert package.is_relative_to(installed.home)
    tree = str(ROOT).encode()
    assert not [p for p in package.rglob("*") if p.is_file() and tree in p.read_bytes()]


@pytest.mark.parametrize("release", RELEASES)
def test_gptme_keeps_what_it_needs(wheel: Path, release: str) -> None:
    """Beside a gptme that is there, no version changes, with the proxy neither."""
    with new_environment(sys.executable) as made:
        made.install(f"gptme=={release}")
        before = made.installed()
        assert f"gptme=={release}" in before
        for extra in EXTRAS:
            made.install(f"{wheel}{extra}")
            assert before <= made.installed(), extra
        proxy = made.run("python", "-c", "import gptme_reliability.surfaces.proxy.server")
        assert proxy.returncode == 0, proxy.stderr
        check = made.run("python", "-m", "pip", "check")
        assert check.returncode == 0, check.stdout
