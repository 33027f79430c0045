"""Imports point down only, and the core stands alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gptme_reliability

PACKAGE = Path(gptme_reliability.__file__).parent
LAYERS = (
    (
        *("types", "errors", "distance", "aliases", "fitting"),
        *("schemas", "schema_keywords", "schema_values", "type_names"),
        *("identity", "model_names"),
    ),
    (
        *("validate", "resolve", "enforce", "feedback", "settle", "native", "dialects", "repair"),
        *(
            "confidence",
            "echo",
            "excerpt",
            "quotations",
            "intent",
            "no_call",
            "corrections",
            "grounding",
            "steps",
            "step_words",
            "loops",
            "order",
            "past_calls",
            "past_text",
            "nudges",
            "examples",
            "words",
            "sentences",
            "refusals",
            "lint",
            "host_writing",
            "given",
        ),
    ),
    ("pipeline", "in_text"),
    (
        *("exchange", "ladder", "budget", "prompt_size", "replay", "respond", "gate"),
        *("prompting", "prompted_messages", "prompt_dialects", "call_schemas"),
        *("adapters", "cards", "data"),
        *("backends", "contract", "contract_values", "contract_words"),
        "probe",
    ),
    ("surfaces", "cli", "commands", "evals", "rows", "lint_command", "audit"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FOREIGN = ("gptme", "openai", "anthropic", "httpx", "httpx2", "starlette", "aiohttp", "requests")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "data" not in path.parts)


def layer_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names.update({node.module} | {f"{node.module}.{a.name}" for a in node.names})
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """No module imports from a layer above its own."""
    own = layer_of(path)
    if own in ("__init__", "__main__"):
        return
    assert own in RANK, f"{own} has no layer yet"
    for name in imported(path):
        if name.startswith("gptme_reliability."):
            other = name.split(".")[1]
            if other in RANK:
                assert RANK[other] <= RANK[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_gptme_surface_imports_gptme(path: Path) -> None:
    """gptme is known in one place."""
    if "surfaces/gptme" in path.as_posix():
        return
    assert not [n for n in imported(path) if n == "gptme" or n.startswith("gptme.")]


def test_one_importer_of_json_repair() -> None:
    """The lenient reader is the only one that asks json_repair."""
    importers = [p.name for p in modules() if any(n.startswith("json_repair") for n in imported(p))]
    assert importers == ["lenient.py"]


def test_the_core_stands_alone() -> None:
    """With gptme, the SDKs, HTTP clients and web frameworks blocked, the core still works."""
    code = f"""
import sys
for name in {FOREIGN!r}:
    sys.modules[name] = None
from gptme_reliability import check, ModelOutput, ToolDefinition, Gate
import gptme_reliability.exchange, gptme_reliability.gate
schema = {{"type": "object", "properties": {{"command": {{"type": "string"}}}}}}
tool = ToolDefinition("shell", {{**schema, "required": ["command"], "additionalProperties": False}})
text = '<tool_call>{{"name": "Shell", "arguments": {{"cmd": "ls"}}}}</tool_call>'
verdict = check(ModelOutput(text), [tool])
assert [dict(c.arguments) for c in verdict.calls] == [{{"command": "ls"}}], verdict
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_core_loads_nothing_of_a_network() -> None:
    """Not even the standard library's, which is slow to load."""
    code = """
import sys
import gptme_reliability.pipeline, gptme_reliability.exchange, gptme_reliability.gate
loaded = {"asyncio", "email", "http", "socket", "ssl", "urllib.request"} & set(sys.modules)
assert not loaded, loaded
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_core_cards_and_fixtures_need_no_surface() -> None:
    """What could go into another package by itself: its own modules, the data, the scenarios."""
    code = f"""
import importlib, sys
for name in (*{FOREIGN!r}, "gptme_reliability.surfaces"):
    sys.modules[name] = None
for name in {sorted(_below_the_top())!r}:
    importlib.import_module(name)
from gptme_reliability.cards import load_cards
from gptme_reliability.data import data_dir
from gptme_reliability.evals.scenarios import demo_scenarios
from gptme_reliability.evals.tasks.scenario import shipped_scenarios
assert load_cards([data_dir("sampling_cards")])
assert demo_scenarios() and shipped_scenarios()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def _below_the_top() -> set[str]:
    """Every module of the layers under the surfaces."""
    names = set()
    for path in modules():
        if RANK.get(layer_of(path), len(LAYERS)) < len(LAYERS) - 1:
            relative = path.relative_to(PACKAGE.parent).with_suffix("")
            names.add(".".join(relative.parts).removesuffix(".__init__"))
    return names
