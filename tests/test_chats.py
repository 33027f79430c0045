"""Which requests are turns of a chat where the system prompt lists no tools."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_talk import talk
from gptme.logmanager import LogManager
from gptme.message import Message
from gptme.tools import init_tools, set_tool_format, set_tools
from gptme_home import PLUGIN_ON
from mode_runs import traced
from plugin_world import own_world

from gptme_reliability.evals.gptme_run import COMPLETE, ToolFormat
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.surfaces.gptme.text_format import chat_of

__all__ = ["own_world"]

CASES = Path(__file__).parent / "cases" / "chats.jsonl"
ROWS = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(autouse=True)
def tools(own_world: Any) -> Iterator[None]:
    set_tools(copy_context().run(init_tools, ["shell", "save"]))
    yield
    set_tools([])


@pytest.mark.parametrize("form", ["markdown", "xml"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_row(row: Mapping[str, Any], form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    set_tool_format(form)
    if row["log"] is not None:
        log = SimpleNamespace(messages=[Message(role, text) for role, text in row["log"]])
        manager = SimpleNamespace(log=log, logdir="/logs/one")
        monkeypatch.setattr(LogManager, "get_current_log", staticmethod(lambda: manager))
    messages = [{"role": role, "content": text} for role, text in row["request"]]
    found = chat_of({"model": "m", "messages": messages})
    assert (found is not None) is row["chat"]
    assert found is None or {tool.name for tool in found.tools} == {"shell", "save"}


# --- the real gptme --------------------------------------------------------------------------

BROKEN: Mapping[str, Answer] = {
    "markdown": {"text": "I do it.\n\n```shell\necho RUN >> marker"},
    "xml": {"text": "I do it.\n\n<shell>\necho RUN &gt;&gt; marker\n</shell>"},
}
PROMPT = "Please do the task that was given to you, and nothing else beside it."
OLD = [("system", "Be brief."), ("user", "hello"), ("assistant", "Hello.")]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
@pytest.mark.parametrize(("form", "told"), [("markdown", True), ("xml", False)])
def test_a_broken_call_is_mended_whatever_the_system_prompt_says(
    form: ToolFormat, told: bool, tmp_path: Path
) -> None:
    """With ``--system``, and in an old conversation that never listed a tool; no title is read."""
    answers = iter([BROKEN[form], COMPLETE[form]])
    system = ("--system", "Be brief.") if told else ("--name", "old")
    log = tmp_path / "home/.local/share/gptme/logs/old/conversation.jsonl"
    if not told:
        log.parent.mkdir(parents=True)
        lines = [{"role": r, "content": c, "timestamp": "2026-01-01T00:00:00"} for r, c in OLD]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    run = talk(
        tmp_path,
        Launcher(warm=True),
        lambda _: next(answers),
        form,
        system=system,
        config=PLUGIN_ON,
        prompt=PROMPT,
    )
    assert run.files == {"marker": "RUN\n"}, run.stderr
    assert len(traced(tmp_path / "home")) == len(run.turns) == 2
    assert ("## shell" in json.dumps(run.turns[0]["messages"][0])) is told
