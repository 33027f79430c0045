"""``audit`` against the real gptme: what it logs without the plugin, and its own tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pytest
from audit_logs import found, read
from scenario_tables import CASES, DEFECTS

from gptme_reliability.audit.setting import gptme_tools
from gptme_reliability.evals.gptme_run import ToolFormat, run_gptme
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import read_scenarios

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

SCENARIOS: Final = {
    "tool": DEFECTS,
    "markdown": read_scenarios(CASES / "markdown.jsonl"),
    "xml": read_scenarios(CASES / "xml.jsonl"),
}
RUNS: Final[tuple[tuple[ToolFormat, str, bool, list[list[str]]], ...]] = (
    ("tool", "valid/shell", True, []),
    ("tool", "tool/alias-bash", False, [["wrong_tool", "resolve", "shell"]]),
    ("tool", "parameter/near-miss", True, [["wrong_argument", "resolve", "shell"]]),
    ("tool", "hermes/closed", True, [["leaked_call", "detect", "shell"]]),
    ("markdown", "valid/shell", True, []),
    ("markdown", "fence/tildes", False, [["partial_markup", "repair", "shell"]]),
    ("xml", "valid/shell", True, []),
    ("xml", "name/python", False, [["wrong_tool", "resolve", "ipython"]]),
)
_TOOLS: Final = """
import json
from gptme.llm.utils import parameters2dict
from gptme.tools import get_available_tools
print(json.dumps([
    [(spec.block_types or [spec.name])[0], list(spec.block_types or ()), bool(spec.execute),
     parameters2dict(spec.parameters)]
    for spec in get_available_tools(include_mcp=False)
]))
"""


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    """Starts gptme, and leaves none behind."""
    launcher = Launcher(warm=True)
    yield launcher
    launcher.kill()


@pytest.mark.parametrize(("form", "name", "streamed", "failures"), RUNS)
def test_what_gptme_logs(
    form: ToolFormat, name: str, streamed: bool, failures: list[list[str]], launcher: Launcher
) -> None:
    """The rows of the table are what gptme still writes."""
    scenario = next(one for one in SCENARIOS[form] if one.id == name)
    run = run_gptme(scenario, streamed=streamed, plugin=False, launcher=launcher, tool_format=form)
    assert run.messages, run.stderr
    assert found(read(run.messages, form)) == failures, run.messages


@pytest.mark.skipif(not version("gptme").startswith("0.35."), reason="the table is of gptme 0.35")
def test_gptmes_own_tools(tmp_path: Path) -> None:
    """The table has gptme's tools: their blocks, and the names and types of their arguments."""
    done = subprocess.run(
        [sys.executable, "-c", _TOOLS],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    known = gptme_tools()
    for name, blocks, runs, parameters in json.loads(done.stdout.splitlines()[-1]):
        assert (known[name].tool is not None) == runs, name
        tool = known[name].tool
        if tool is not None:
            assert known[name].blocks == tuple(blocks), name
            assert tool.parameters["required"] == parameters["required"], name
            assert _types(tool.parameters) == _types(parameters), name


def _types(parameters: Any) -> dict[str, str]:
    """The types of a tool's arguments; gptme writes choices as those of Python."""
    types = {name: value["type"] for name, value in parameters["properties"].items()}
    return {name: "string" if kind.startswith("Literal") else kind for name, kind in types.items()}
