"""Calls of all of gptme's tools in its text formats: what can be checked is, all else stays."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest
from cli_talk import talk, text_of
from gptme.logmanager import LogManager
from gptme.message import Message
from gptme.tools import get_available_tools, set_tool_format, set_tools
from gptme.tools.base import ToolSpec, ToolUse
from plugin_world import own_world

from gptme_reliability.evals.gptme_run import COMPLETE
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.in_text import check_in_text
from gptme_reliability.surfaces.gptme.text_format import LAYOUTS, Chat, chat_of
from gptme_reliability.types import Accept, ModelOutput, Retry, Verdict

__all__ = ["own_world"]

CASES = Path(__file__).parent / "cases" / "other_tools.jsonl"
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
FORMS: tuple[Any, ...] = ("markdown", "xml")
CELLS = [(form, row) for form in FORMS for row in ROWS if row.get("form", form) == form]
_SPEAKER = re.compile(r"^(?:> )?(User|Assistant|System): ?", re.MULTILINE)


@pytest.fixture(scope="module")
def available() -> list[ToolSpec]:
    """Every tool of gptme that can be called, whether or not its program is installed."""
    return [tool for tool in get_available_tools(include_mcp=False) if tool.execute is not None]


@pytest.fixture(autouse=True)
def tools(
    own_world: Any, available: list[ToolSpec], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    set_tools(available)
    log = SimpleNamespace(messages=[Message("user", "go on")])
    manager = SimpleNamespace(log=log, logdir="/logs/one")
    monkeypatch.setattr(LogManager, "get_current_log", staticmethod(lambda: manager))
    yield
    set_tools([])


def chat(form: Any) -> Chat:
    set_tool_format(form)
    found = chat_of({"messages": [{"role": "user", "content": "go on"}]})
    assert found is not None
    return found


def judged(form: Any, text: str) -> Verdict:
    found = chat(form)
    return check_in_text(ModelOutput(text, finish_reason="stop"), found.tools, found.format)


def written(form: Any, row: Mapping[str, Any]) -> str:
    if form == "markdown":
        return f"```{row['tag']}\n{row['body']}\n```"
    name, _, line = row["tag"].partition(" ")
    attribute = f" args={quoteattr(line)}" if line else ""
    return f"<tool-use>\n<{name}{attribute}>\n{escape(row['body'])}\n</{name}>\n</tool-use>"


@pytest.mark.parametrize(("form", "row"), CELLS, ids=[f"{f}-{row['id']}" for f, row in CELLS])
def test_row(form: Any, row: Mapping[str, Any]) -> None:
    text = written(form, row)
    verdict = judged(form, text)
    if "asks_for" in row:
        assert isinstance(verdict, Retry) and not verdict.calls
        assert row["asks_for"] in verdict.feedback
        return
    assert isinstance(verdict, Accept), verdict
    assert [call.name for call in verdict.calls] == [row["tag"].split()[0]]
    if row.get("untouched"):
        assert verdict.text == text and verdict.repairs == ()
    else:
        assert dict(verdict.calls[0].arguments) == row["runs"] and verdict.text != text


def test_the_table_names_tools_that_gptme_has(available: list[ToolSpec]) -> None:
    """A tool that was renamed would no longer be checked."""
    assert set(LAYOUTS) <= {spec.name for spec in available}


@pytest.mark.parametrize("form", FORMS)
def test_the_examples_that_gptme_tells_its_models_are_untouched(
    form: Any, available: list[ToolSpec]
) -> None:
    """Turns of gptme's own prompt whose calls are in the format keep every byte."""
    seen: set[str] = set()
    for spec in available:
        parts = _SPEAKER.split(spec.get_examples(form))
        for speaker, turn in zip(parts[1::2], parts[2::2], strict=True):
            said = turn.partition("\n#")[0].strip()
            uses = [use for use in ToolUse.iter_from_content(said, form) if use.is_runnable]
            if speaker == "Assistant" and uses:
                verdict = judged(form, said)
                assert isinstance(verdict, Accept), (spec.name, verdict)
                assert (verdict.text, len(verdict.calls)) == (said, len(uses))
                seen |= {use.tool for use in uses}
    assert len(seen) >= 14


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
def test_gptme_runs_what_it_would_have_passed_over(tmp_path: Path) -> None:
    """Words on the line of a tool that reads its body only, and a body with nothing in it."""
    answers = iter(["```mcp list\n```", "```elicit\n\n```"])
    told: list[str] = []

    def model(body: Mapping[str, Any]) -> Mapping[str, Any]:
        told.append(text_of(body["messages"][-1]))
        text = next(answers, None)
        return COMPLETE["markdown"] if text is None else {"text": text}

    run = talk(
        tmp_path, Launcher(warm=True), model, "markdown", tools=("mcp", "elicit", "complete")
    )
    assert run.exit_code == 0, run.stderr
    assert run.said("assistant") == ["```mcp\nlist\n```", COMPLETE["markdown"]["text"]]
    assert "No command provided" not in told[1] and "MCP" in told[1]
    assert "its body is empty" in told[2]
