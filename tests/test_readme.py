"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gptme_reliability.evals.tasks.modes import ARMS
from gptme_reliability.evals.tasks.scenario import read_scenarios

README = Path(__file__).parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The contents of all fences of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line as an installed user would."""
    return subprocess.run(
        [sys.executable, "-m", "gptme_reliability.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("code", blocks("python"))
def test_library_example(code: str) -> None:
    """The library example runs as it stands."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_command_line_example(tmp_path: Path) -> None:
    """The shell example gives the verdict that it promises."""
    (example,) = blocks("console")
    tools = re.search(r"^\[\{.*?\}\]$", example, re.MULTILINE | re.DOTALL)
    answer = re.search(r"echo '(.*)' \| gptme-reliability", example)
    assert tools and answer
    (tmp_path / "tools.json").write_text(tools[0])
    result = run("check", "--tools", str(tmp_path / "tools.json"), stdin=answer[1] + "\n")
    verdict = json.loads(result.stdout)
    assert verdict["verdict"] == "accept"
    assert verdict["calls"] == [{"name": "shell", "arguments": {"command": "ls"}}]
    assert result.stdout == example.splitlines(keepends=True)[-1]


@pytest.mark.parametrize("command", ["check", "proxy"])
def test_help_block(command: str) -> None:
    """The help in the README is the help of the program, whatever the line breaks."""
    start = f"usage: gptme-reliability {command} "
    (shown,) = (block for block in blocks("text") if block.startswith(start))
    assert shown.split() == run(command, "--help").stdout.split()


def test_what_is_said_of_the_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are as many as it says, and they speak of the models in its examples."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    listed = run("cards", "list").stdout.splitlines()[1:]
    families = {line.split("\t")[0] for line in listed}
    assert f"{len(listed)} cards of {len(families)} families" in TEXT
    for model in re.findall(r"gptme-reliability cards (?:show|explain) (?!my-)([^ `\n]+)", TEXT):
        assert run("cards", "show", model).returncode == 0


def test_lint_example(tmp_path: Path) -> None:
    """The tools in the README get the findings that it shows."""
    (tools,) = blocks("json")
    (shown,) = (block for block in blocks("text") if not block.startswith(("usage:", "ok ")))
    (tmp_path / "tools.json").write_text(tools)
    assert run("lint", str(tmp_path / "tools.json")).stdout == shown


def test_doctor_example() -> None:
    """The checks in the README are those of the program, in its order."""
    (shown,) = (block for block in blocks("text") if block.startswith("ok "))
    made = run("doctor", "--model", "local/qwen3:8b", "--endpoint", "http://127.0.0.1:9/v1").stdout
    lines = re.compile(r"^(?:ok|warn|fail) +(\w+):", re.MULTILINE)
    names = lines.findall(made)
    assert [name for name in names if name in lines.findall(shown)] == lines.findall(shown)


def test_proxy_settings(tmp_path: Path) -> None:
    """The proxy's settings in the README are settings."""
    from gptme_reliability.surfaces.proxy.options import ModelSettings

    (shown,) = (block for block in blocks("toml") if block.startswith("[reliability]"))
    (tmp_path / "proxy.toml").write_text(shown)
    found = ModelSettings(str(tmp_path / "proxy.toml")).of("qwen2.5:7b")
    assert (found.values["respond"], found.facts.size_b) == (True, 7)


def test_tasks_of_ones_own(tmp_path: Path) -> None:
    """The tasks in the README are tasks."""
    (shown,) = blocks("jsonl")
    (tmp_path / "tasks.jsonl").write_text(shown)
    assert len(read_scenarios(tmp_path / "tasks.jsonl")) == len(shown.splitlines())


def test_every_arm_is_named() -> None:
    """The README tells of each way to compare."""
    assert [arm for arm in ARMS if f"`{arm}`" not in TEXT] == []


def test_two_commands() -> None:
    """One command runs the demo, one passes the tests; both set everything up."""
    commands = [block.strip() for block in blocks("sh") if block.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert commands[0].endswith("gptme-reliability demo")
    assert commands[1].endswith("pytest -q")


def test_ci_finds_the_command_of_the_readme() -> None:
    """It installs and tests exactly as the README says."""
    ci = (README.parent / ".ci" / "run").read_text(encoding="utf-8")
    (find,) = re.findall(r"\$\((sed -n .+ README\.md)\)", ci)
    found = subprocess.run(["bash", "-c", find], cwd=README.parent, capture_output=True, text=True)
    assert found.stdout.startswith("python3 -m venv .venv && ")
    assert found.stdout.rstrip().endswith(".venv/bin/python -m pytest -q")
    assert found.stdout.count("\n") == 1
