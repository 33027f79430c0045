"""gptme itself, in this process and without the plugin, with a scripted model at the other end."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from gptme.config import Config, get_config, set_config
from gptme.config.models import UserConfig
from gptme.hooks.registry import HookRegistry, set_registry
from gptme.llm import llm_openai
from gptme.llm.models import get_model, resolution
from gptme.logmanager import LogManager
from gptme.message import Message
from gptme.tools import init_tools, set_tool_format, set_tools
from gptme.tools.base import ToolFormat, ToolSpec, ToolUse
from gptme.tools.shell import _shell_var
from gptme.util import tokens

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.scenarios import Answer

# ``gptme.chat`` names the function, the module of that name is behind it.
chat: Final[Any] = importlib.import_module("gptme.chat")

MODEL: Final = "local/scripted"
TOOLS: Final = ["shell", "save", "ipython", "todo", "complete"]
END: Final[Answer] = {"text": "That is all."}


@dataclass(frozen=True, slots=True)
class Talk:
    """What gptme wrote into its log behind the user's words, and the requests it sent."""

    log: Sequence[Message]
    requests: Sequence[dict[str, Any]]

    @property
    def results(self) -> list[str]:
        """What gptme said of tools."""
        return [message.content for message in self.log if message.role == "system"]


@cache
def some_tools() -> list[ToolSpec]:
    """A few of gptme's tools, made once."""
    before = get_config()
    set_config(Config(user=UserConfig()))
    try:
        found: list[ToolSpec] = copy_context().run(init_tools, TOOLS)
    finally:
        set_config(before)
    return found


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A home, a workspace, a config and hooks that belong to one test; the workspace."""
    home, before = tmp_path / "home-of-one", get_config()
    workspace = home / "work"
    workspace.mkdir(parents=True)
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OPENAI_API_KEY", "scripted")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(llm_openai, "clients", {})
    monkeypatch.setattr(chat, "_start_auto_naming_thread", lambda *_: None)
    monkeypatch.setattr(tokens, "_TIKTOKEN_TIMEOUT", 0)
    model: ContextVar[Any] = ContextVar("default_model")
    model.set(get_model(MODEL))
    monkeypatch.setattr(resolution, "_default_model_var", model)
    set_config(Config(user=UserConfig()))
    set_registry(HookRegistry())
    set_tools(some_tools())
    set_tool_format("tool")
    yield workspace
    set_tools([])
    set_config(before)


def converse(
    monkeypatch: pytest.MonkeyPatch,
    *answers: Answer,
    form: ToolFormat = "tool",
    streamed: bool = True,
    seen: list[dict[str, Any]] | None = None,
) -> Talk:
    """Let gptme answer a user until it stops; raises what gptme raises.

    Behind its last answer the scripted model says that this is all.  ``seen`` gets the requests,
    for where nothing is returned.
    """
    left, requests = list(answers), [] if seen is None else seen

    def answer(body: Any) -> Answer:
        requests.append(body)
        return left.pop(0) if left else END

    with FaultyServer(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        llm_openai.clients.clear()
        llm_openai.init("local", get_config())
        log = copy_context().run(_turn, form, streamed)
        return Talk(log, requests)


def _turn(form: ToolFormat, streamed: bool) -> Sequence[Message]:
    set_tool_format(form)
    manager = LogManager(
        [Message("user", "Please do the task.")], logdir=Path("..", "log"), lock=False
    )
    try:
        chat._process_message_conversation(manager, streamed, form, MODEL)
    finally:
        shell: Any = _shell_var.get()
        if shell is not None:
            shell.close()
    return manager.log.messages[1:]


def call(name: str, arguments: Any, call_id: Any = "call-1") -> dict[str, Any]:
    """A native call; arguments that are no text are written as JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call_id, "name": name, "arguments": text}


def calls_in(text: str, form: ToolFormat = "tool") -> list[ToolUse]:
    """What gptme would run of a text."""
    return [use for use in ToolUse.iter_from_content(text, form) if use.is_runnable]


def files(workspace: Path) -> dict[str, str]:
    """Everything in the workspace."""
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(workspace.rglob("*"))
        if path.is_file()
    }
