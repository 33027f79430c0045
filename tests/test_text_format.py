"""Which of gptme's requests are turns of a chat in markdown or xml, and what may be called."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from gptme.logmanager import LogManager
from gptme.message import Message
from gptme.prompts import prompt_tools
from gptme.tools import get_tools, init_tools, set_tool_format, set_tools
from plugin_world import MCP, own_world

from gptme_reliability.in_text import check_in_text
from gptme_reliability.surfaces.gptme.host import host, in_words
from gptme_reliability.surfaces.gptme.in_text import settle
from gptme_reliability.surfaces.gptme.text_format import Chat, chat_of
from gptme_reliability.surfaces.host import Piece
from gptme_reliability.types import Accept, HostFormat, ModelOutput, Policy, Retry, Verdict

__all__ = ["own_world"]

FORMS = ("markdown", "xml")


@pytest.fixture(autouse=True)
def tools() -> Iterator[None]:
    names = ["shell", "save", "read", "ipython", "complete"]
    set_tools([*copy_context().run(init_tools, names), MCP])
    yield
    set_tools([])


def body(form: Any, *said: tuple[str, str], tools: bool = True) -> dict[str, Any]:
    told = "".join(message.content for message in prompt_tools(get_tools(), form))
    system = f"You are gptme.\n\n{told if tools else ''}"
    messages = [("system", system), *(said or (("user", "look around"),))]
    return {
        "model": "qwen3",
        "messages": [{"role": role, "content": content} for role, content in messages],
    }


def chat(form: Any) -> Chat:
    set_tool_format(form)
    found = chat_of(body(form))
    assert found is not None
    return found


def logged(monkeypatch: pytest.MonkeyPatch, *said: str) -> None:
    log = SimpleNamespace(messages=[Message("user", text) for text in said])
    manager = SimpleNamespace(log=log, logdir="/logs/one")
    monkeypatch.setattr(LogManager, "get_current_log", staticmethod(lambda: manager))


# --- which requests -------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_turn_offers_what_gptme_has_loaded(form: Any) -> None:
    found = chat(form)
    assert found.format.form == form
    names = {tool.name for tool in found.tools}
    assert names == {"shell", "save", "read", "ipython", "complete", "store.put"}
    assert found.format.blocks["py"] == "ipython"
    assert found.format.layouts["store.put"] == "json"
    assert "read" not in found.format.layouts


@pytest.mark.parametrize("form", FORMS)
def test_settings_for_a_turn_ask_in_words_only(form: Any) -> None:
    set_tool_format(form)
    found = host.settings("local", body(form))
    assert found is not None and found.format is not None
    assert found.policy.rungs == ("re_ask", "resample")
    assert (found.policy.respond, found.policy.force) == (False, False)
    assert in_words(Policy(rungs=("prompt",))).rungs == ()


@pytest.mark.parametrize("form", FORMS)
def test_what_gptme_asks_beside_the_chat_is_none(
    form: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tool_format(form)
    assert chat_of(body(form, tools=False)) is None
    logged(monkeypatch, "hello", "look around")
    assert chat_of(body(form, ("user", "look around"))) is not None
    assert chat_of(body(form, ("user", "look around"), ("system", "It is late."))) is not None
    assert chat_of(body(form, ("user", "hello"), ("user", "Summarise this."))) is None
    set_tools([])
    assert chat_of(body(form, ("user", "look around"))) is None


def test_native_format_is_none_of_these() -> None:
    set_tool_format("tool")
    assert chat_of(body("markdown")) is None


# --- MCP tools ------------------------------------------------------------------------------

PUT = {"key": "a", "number": 5}
WRITTEN = '{"key": "a", "number": 5}'


def checked(found: Chat, text: str) -> Verdict:
    return check_in_text(
        ModelOutput(text=text, finish_reason="stop"), found.tools, found.format, Policy()
    )


@pytest.mark.parametrize(
    ("form", "text", "kept"),
    [
        ("markdown", f"```store.put\n{WRITTEN}\n```", True),
        ("markdown", '```store.put\n{"key": "a", "number": "5"}\n```', False),
        ("markdown", "```store.put\n{'key': 'a', 'number': 5}\n```", False),
        ("markdown", f'```store.put\n{{"name": "store.put", "arguments": {WRITTEN}}}\n```', False),
        ("markdown", f'{{"name": "store.put", "arguments": {WRITTEN}}}', False),
        ("xml", f"<tool-use>\n<store.put>\n{WRITTEN}\n</store.put>\n</tool-use>", True),
        ("xml", f'{{"name": "store.put", "arguments": {WRITTEN}}}', False),
    ],
)
def test_an_mcp_tool_takes_one_object(form: Any, text: str, kept: bool) -> None:
    found = chat(form)
    verdict = checked(found, text)
    assert isinstance(verdict, Accept), verdict
    assert [(call.name, call.arguments) for call in verdict.calls] == [("store.put", PUT)]
    assert (verdict.text == text) is kept
    assert isinstance(checked(found, verdict.text), Accept)
    assert settle(None, verdict.text, verdict.written, found.format, streamed=True)[1:] == (
        verdict.text,
        (),
    )


@pytest.mark.parametrize("inside", ['{"key": "a"}', '{"key": "a", "number": ', "a 5"])
def test_an_mcp_call_that_is_not_right_is_asked_about(inside: str) -> None:
    verdict = checked(chat("markdown"), f"```store.put\n{inside}\n```")
    assert isinstance(verdict, Retry) and "store.put" in verdict.feedback


# --- the last look --------------------------------------------------------------------------

SHELL = "```shell\nls\n```"
SECTION = "<tool-use>\n<shell>\nls\n</shell>\n</tool-use>"


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_that_would_run_is_made_inert(streamed: bool) -> None:
    form = chat("markdown").format
    reasoning, text, repairs = settle(
        "</think>\n" + SHELL, f"So:\n\n{SHELL}", (SHELL,), form, streamed=streamed
    )
    assert reasoning == "</think>\n" + SHELL.replace("```", "\\```")
    assert text == f"So:\n\n{SHELL}" and [repair.path for repair in repairs] == ["$.reasoning"]


def test_reasoning_that_is_no_xml_does_not_cost_the_call() -> None:
    form = replace(chat("xml").format, strict=True)
    reasoning, text, _ = settle("a < b && c", SECTION, (SECTION,), form, streamed=True)
    assert (reasoning, text) == ("a &lt; b &amp;&amp; c", SECTION)


def test_a_call_that_gptme_would_not_read_is_told_and_not_run() -> None:
    form = chat("markdown").format
    shown: list[Piece] = [("text", "````md\n")]
    _, text, repairs = settle(None, SHELL, (SHELL,), form, streamed=True, shown=shown)
    assert text.startswith("(not run: ") and "```" not in text and repairs


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    "text", ["```js\nf()\n```", "So:\n\n```append a.md\nred\n```\n\nDone.", "red\n```", "```sh"]
)
def test_an_answer_without_calls_is_untouched(text: str, streamed: bool) -> None:
    """Blocks that gptme does not run stay as the model wrote them."""
    form = HostFormat("markdown", {"shell": "shell"})
    assert settle(None, text, (), form, streamed=streamed) == (None, text, ())


def test_nothing_beside_the_calls_runs() -> None:
    form = HostFormat("markdown", {"shell": "shell"})
    _, text, repairs = settle(None, f"{SHELL}\n\n{SHELL}", (SHELL,), form, streamed=False)
    assert "\n```shell" not in f"\n{text}" and repairs
