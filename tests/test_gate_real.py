"""``gate`` and ``eval run`` before a real llama.cpp server, with the tiny model and its own task.

How often the tiny model is right is its own affair: asserted is what its server does, and that
most of its task gets done.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

import pytest
from llama_server import INSTALLED, WHY_NOT, llama_server
from tiny import scenarios
from tiny.task import cases
from tiny.template import HERE, source

from gptme_reliability.cli import main
from gptme_reliability.evals.tasks.results import read_results
from gptme_reliability.evals.tasks.scenario import read_scenarios

CHOSEN: Final = cases(16, scenarios.SEED)
needs_server = pytest.mark.skipif(not INSTALLED, reason=WHY_NOT)


def test_the_tiny_models_task_as_scenarios(tmp_path: Path) -> None:
    """Each case once, with its tools, and its calls or none."""
    written = scenarios.write(tmp_path / "own", CHOSEN)
    found = read_scenarios(tmp_path / "own")
    assert Counter(f"{s.category.removeprefix('tiny ')}.jsonl" for s in found) == written
    by_request = {str(one.messages[0]["content"]): one for one in found}
    assert len(by_request) == len(found) == len(CHOSEN)
    for case in CHOSEN:
        one = by_request[case.request]
        assert [tool.name for tool in one.tools] == [tool.name for tool in case.tools]
        assert [(w.name, w.arguments) for w in one.calls] == [
            (call.name, call.arguments) for call in case.calls
        ]
        assert one.quiet is not bool(case.calls)


@pytest.mark.real_server
@needs_server
def test_a_gate_before_a_real_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It lets the server pass, and not the same one behind a template that drops the tools."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    scenarios.write(tmp_path / "own", CHOSEN)
    card, results = str(tmp_path / "card.toml"), str(tmp_path / "results.jsonl")
    tasks = ["--scenarios", str(tmp_path / "own"), "--param", "temperature=0"]
    tasks += ["--min-success", "0.5", "--max-wrong", "8", "--results", results]
    with llama_server(HERE / "steady.gguf", context=1024) as server:
        code = main(["gate", server.url, "--card", card, *tasks])
        out = capsys.readouterr().out
        assert code == 0, out
        assert "native+stream, as its card recommends" in out
    assert len(read_results(Path(results))) == len(CHOSEN)
    with llama_server(HERE / "steady.gguf", template=source("no_tools"), context=1024) as server:
        code = main(["gate", server.url, "--baseline", card, *tasks])
        out = capsys.readouterr().out
    assert code == 1, out
    assert "worse: calls arrive as calls: yes before, dropped now" in out
    assert "prompted+stream, as its card recommends" in out
    assert "tasks done" not in out


@pytest.mark.real_server
@needs_server
def test_an_evaluation_of_the_tiny_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its task is one for ``eval run`` and ``report``."""
    scenarios.write(tmp_path / "own", CHOSEN[:8])
    results = str(tmp_path / "results.jsonl")
    with llama_server(HERE / "steady.gguf", context=1024) as server:
        command = ["eval", "run", "--endpoint", server.url, "--model", "tiny"]
        command += ["--scenarios", str(tmp_path / "own"), "--temperature", "0"]
        assert main([*command, "--modes", "native,prompted", "--results", results]) == 0
    assert main(["report", results]) == 0
    assert "tiny native guarded against bare" in capsys.readouterr().out
    runs = read_results(Path(results))
    assert len(runs) == 4 * 8
    assert sum(run.done for run in runs if run.mode == "native") >= 8
