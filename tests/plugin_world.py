"""gptme's real objects, each test's own, and reports to give to the plugin."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from gptme.config import Config, get_config, set_config
from gptme.config.models import UserConfig
from gptme.hooks.registry import HookRegistry, set_registry
from gptme.llm import llm_openai
from gptme.message import Message
from gptme.tools import set_tool_format
from gptme.tools.base import Parameter, ToolSpec

from gptme_reliability.exchange import Attempt, Outcome
from gptme_reliability.surfaces.gptme import notices, seams
from gptme_reliability.surfaces.host import Report, Settings
from gptme_reliability.types import Accept, Call, ModelOutput, Reject, Repair, Retry, Violation

MODEL = "local/test-model"
BREAK = "GPTME_BREAK_ON_TOOLUSE"
CALL = Call("shell", {"command": "ls"}, id="c1")
REPAIRS = (
    Repair("types", "$.lines", "5", 5, "lossless", call=0),
    Repair("name", "$.name", "Shell", "shell", "inferred", call=0),
)
DEFUSED = Repair("defuse", "$.text[0]", "```shell", "```text shell", "presentation")
RETRY = Retry("…", (Violation("missing", "$.command", "'command' is missing"),))


def _nothing(
    code: str | None, args: list[str] | None, kwargs: dict[str, str] | None
) -> Generator[Message, None, None]:
    yield from ()


MCP: Final = ToolSpec(
    name="store.put",
    desc="Keep a number.",
    block_types=["store.put"],
    execute=_nothing,
    parameters=[
        Parameter(name="key", type="string", required=True),
        Parameter(name="number", type="integer", required=True),
    ],
    is_mcp=True,
)
"""A tool of an MCP server, as gptme makes it."""


@pytest.fixture(autouse=True)
def own_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Config]:
    """A config, clients, hooks and state directory that belong to one test."""
    before = get_config()
    for name in [*os.environ]:
        if "RELIABILITY" in name or name == BREAK:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.setattr(llm_openai, "clients", {})
    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(seams, "_off", [])
    config = Config(user=UserConfig(plugin={"reliability": {"enabled": True}}))
    set_config(config)
    set_registry(HookRegistry())
    set_tool_format("tool")
    yield config
    set_config(before)


def report(
    verdict: Accept | Reject | None = None, *, asked: int = 0, mode: Any = "on", **rest: Any
) -> Report:
    outcome = None
    if verdict is not None:
        output = ModelOutput(text="secret text", finish_reason="stop")
        attempts = [Attempt(output, RETRY)] * asked + [Attempt(output, verdict)]
        outcome = Outcome(verdict, tuple(attempts))
    return Report(settings=Settings(MODEL, mode), outcome=outcome, **rest)
