"""The releases of gptme that are supported, each in an environment of its own.

``python -m pytest -m matrix`` makes the environments, once, below ``~/.cache/gptme-reliability``
(or ``$GPTME_RELIABILITY_ENVS``), and runs the same sessions in all of them.  ``-m matrix -k 0.33``
runs one release.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scenario_tables import CASES, DEFECTS, MUST_NOT_EXECUTE

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment, run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Scenario, read_scenarios
from gptme_reliability.surfaces.gptme.seams import TESTED

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = Path(
    os.environ.get("GPTME_RELIABILITY_ENVS") or Path.home() / ".cache" / "gptme-reliability"
)
ROWS = {("tool", row.id): row for row in (*DEFECTS, *MUST_NOT_EXECUTE)} | {
    (form, row.id): row
    for form in ("markdown", "xml")
    for row in read_scenarios(CASES / f"{form}.jsonl")
}
SESSIONS = (
    ("tool", "valid/shell", False),
    ("tool", "hermes/closed", False),
    ("tool", "argument/missing-command", True),
    ("tool", "docs/shell-fence", True),
    ("markdown", "save/no-path", True),
    ("markdown", "native/truncated", False),
    ("xml", "save/no-path", True),
)
"""Format, row and whether it is streamed: one for each seam that an answer goes through."""


@cache
def python_of(release: str) -> str:
    """The interpreter of an environment with this release of gptme and the package as it is."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + str(ROOT).encode())
    version = ".".join(map(str, sys.version_info[:2]))
    home = ENVIRONMENTS / f"gptme-{release}-py{version}-{wanted.hexdigest()[:12]}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", f"gptme=={release}", "-e", str(ROOT)]
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            reason = f"gptme {release} cannot be installed: {done.stderr.strip()[-300:]}"
            # Where every release must pass, a release that was left out has not passed.
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        (home / "complete").touch()
    return str(python)


@pytest.fixture(params=TESTED)
def python(request: pytest.FixtureRequest) -> str:
    """The interpreter of each release in turn."""
    return python_of(request.param)


@pytest.fixture
def launcher(python: str) -> Iterator[Launcher]:
    """Starts this release, and leaves none behind."""
    launcher = Launcher(python=python)
    yield launcher
    launcher.kill()


@pytest.mark.parametrize(
    ("form", "row", "streamed"),
    [(form, ROWS[form, name], streamed) for form, name, streamed in SESSIONS],
    ids=[f"{form}-{name}" for form, name, _ in SESSIONS],
)
def test_session(form: Any, row: Scenario, streamed: bool, launcher: Launcher) -> None:
    """gptme does what the row says, and nothing else."""
    run = run_gptme(row, streamed=streamed, plugin=True, launcher=launcher, tool_format=form)
    assert not run.faults, f"{run.outcome}: {run.faults}\n{run.told}\n{run.stderr[-2000:]}"


def test_several_calls_of_one_streamed_answer_run(launcher: Launcher) -> None:
    """gptme by itself drops all but the first; the hooks keep it from that."""
    calls = [
        {"id": f"c{n}", "name": "shell", "arguments": f'{{"command": "echo {n} >> out"}}'}
        for n in range(3)
    ]
    row = Scenario(
        id="several",
        kind="valid",
        prompt="count",
        first={"calls": calls},
        expect="executes",
        files={"out": "0\n1\n2\n"},
    )
    run = run_gptme(row, streamed=True, plugin=True, launcher=launcher)
    assert not run.faults, f"{run.outcome}: {run.faults}\n{run.stderr[-2000:]}"


_COMMANDS = ("/reliability", "-", "/impersonate ```save\nhello\n```", "-", "/exit")


def test_the_command_and_the_veto(launcher: Launcher, tmp_path: Path) -> None:
    """The command says that the seams hold; a call that no answer brought is held to its schema."""
    home, work = tmp_path / "home", tmp_path / "work"
    (home / ".config" / "gptme").mkdir(parents=True)
    config = '[plugins]\nenabled = ["reliability"]\n[plugin.reliability]\nenabled = true\n'
    (home / ".config" / "gptme" / "config.toml").write_text(config, encoding="utf-8")
    work.mkdir()
    out, err = tmp_path / "out", tmp_path / "err"
    arguments = ["-n", "--tool-format", "tool", "-m", "local/scripted", "-t", "save,complete"]
    with FaultyServer(lambda body: {"text": "ok"}) as server:
        handle = launcher.start(
            [*arguments, "--system", "short", "--no-workspace", "-w", str(work), *_COMMANDS],
            cwd=work,
            env=environment(home, server.url),
            out=out,
            err=err,
        )
        assert handle is not None
        code = handle.wait(60)
    said, errors = out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")
    assert code == 0, errors
    assert "ok: all OpenAI-compatible clients are wrapped" in said, said
    assert "reliability: not run: save: required argument 'path' is missing" in errors, errors
    assert list(work.iterdir()) == []


def test_the_doctor(python: str, tmp_path: Path) -> None:
    """``gptme-reliability doctor`` finds nothing wrong, and gptme's own doctor neither."""
    (tmp_path / ".config" / "gptme").mkdir(parents=True)
    config = '[plugins]\nenabled = ["reliability"]\n[plugin.reliability]\nenabled = true\n'
    (tmp_path / ".config" / "gptme" / "config.toml").write_text(config, encoding="utf-8")
    with FaultyServer(lambda body: {"text": "ok"}) as server:
        run = subprocess.run(
            [python, "-m", "gptme_reliability.cli", "doctor", "--model", "local/qwen3:8b"],
            env=environment(tmp_path, server.url),
            capture_output=True,
            text=True,
            timeout=120,
        )
    lines = run.stdout.splitlines()
    assert run.returncode == 0, run.stdout + run.stderr
    checks = ("gptme", "plugin", "loaded", "config", "enabled", "seams", "clients", "card")
    assert {f"ok    {check}" for check in checks} <= {line.split(":")[0] for line in lines}
