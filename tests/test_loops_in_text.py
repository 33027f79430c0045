"""Calls out of place where calls stand in the text: they lead nowhere, or come too early.

Results are messages of the host there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import test_order as orders
from cli_talk import talk, text_of
from hypothesis import given, settings
from hypothesis import strategies as st
from test_loops import CASES as NATIVE_CASES
from test_loops import messages

from gptme_reliability import Accept, ModelOutput, Policy, Reject, Retry, ToolDefinition
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.evals.gptme_run import COMPLETE, ToolFormat
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.host_writing import write_call
from gptme_reliability.in_text import check_in_text
from gptme_reliability.types import Call, HostFormat, Layout, ModelRequest

HERE = Path(__file__).parent
ROWS = [
    json.loads(line)
    for line in (HERE / "cases/loops_in_text.jsonl").read_text("utf-8").splitlines()
]


def _writable(case: Mapping[str, Any]) -> bool:
    """Whether all calls of a row can be blocks: those of a tool, with an object."""
    calls = [one for one in case["made"] if not isinstance(one, str)]
    known = all(name in orders.TAKES for name, *_ in (*calls, *case.get("calls", ())))
    return all(isinstance(one[1], dict) for one in calls) and ("order" not in case or known)


WRITABLE = [case for case in NATIVE_CASES if _writable(case)]
ORDERS = [case for case in orders.CASES if _writable(case)]
FORMS: tuple[Any, ...] = ("markdown", "xml")


def _tool(name: str, *arguments: str) -> ToolDefinition:
    properties = {argument: {"type": "string"} for argument in arguments}
    schema = {"type": "object", "properties": properties, "required": [*arguments]}
    return ToolDefinition(name, schema)


TOOLS = (
    _tool("shell", "command"),
    _tool("save", "path", "content"),
    _tool("read", "path"),
    _tool("chats"),
)
LAYOUTS: dict[str, Layout] = {"shell": "positional", "save": "positional"}
USER: dict[str, Any] = {"role": "user", "content": "go on"}


def host(form: Any) -> HostFormat:
    return HostFormat(form, {tool.name: tool.name for tool in TOOLS}, LAYOUTS)


def conversation(said: list[Any]) -> list[dict[str, Any]]:
    """A list is what the model said, a text what the host said; else the role is given."""
    messages = [{"role": "system", "content": "You are gptme."}, USER]
    for entry in said:
        if isinstance(entry, dict):
            messages += [{"role": role, "content": content} for role, content in entry.items()]
        elif isinstance(entry, list):
            messages.append({"role": "assistant", "content": entry[0]})
        else:
            messages.append({"role": "system", "content": entry})
    return messages


def written(made: list[Any], offered: Offered) -> list[Any]:
    """Calls and results as they stand in texts."""
    said: list[Any] = []
    for one in made:
        if isinstance(one, str):
            said.append({"user": one})
            continue
        said.append([write_call(Call(*one[:2]), offered)])
        said += [{"system": one[2]}] if one[2] is not None else []
    return said


def judged(verdict: Any, fault: str | None) -> None:
    if fault is None:
        assert isinstance(verdict, Accept) and len(verdict.calls) == 1, verdict
        return
    assert isinstance(verdict, Retry) and not verdict.calls, verdict
    (violation,) = verdict.violations
    assert violation.rule == "loop" and fault in violation.message
    assert "Do something else" in verdict.feedback


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_row(row: Mapping[str, Any]) -> None:
    output = ModelOutput(row["answer"], finish_reason="stop")
    form = host(row.get("form", "markdown"))
    verdict = check_in_text(output, TOOLS, form, messages=conversation(row["said"]))
    judged(verdict, row["fault"])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", WRITABLE, ids=lambda case: case["id"])
def test_what_holds_for_native_calls_holds_here(case: Mapping[str, Any], form: Any) -> None:
    """The same conversations with the calls written in the text."""
    calls = [Call(*one[:2]) for one in (*case["made"], case["call"]) if not isinstance(one, str)]
    reading = case.get("read_only", ())
    names = {call.name: call.name for call in calls}
    tools = [ToolDefinition(name, read_only=name in reading or None) for name in names]
    offered = Offered(tools, HostFormat(form, names, dict.fromkeys(names, "json")))
    said = written(case["made"], offered)
    output = ModelOutput(write_call(calls[-1], offered), finish_reason="stop")
    policy = Policy(loops=case.get("loops", 3))
    judged(check_in_text(output, tools, offered.host, policy, conversation(said)), case["fault"])


def test_a_loop_is_asked_about_once_and_then_refused() -> None:
    """The second time the call does not run, and the text says so."""
    row = ROWS[0]
    request = ModelRequest(tuple(conversation(row["said"])), TOOLS, host=host("markdown"))
    asked: list[ModelRequest] = []

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return ModelOutput(row["answer"], finish_reason="stop")

    outcome = drive(exchange(request, Policy(retries=5, rungs=("re_ask",))), send)
    assert len(asked) == 2
    assert isinstance(outcome.verdict, Reject) and not outcome.verdict.calls


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ORDERS, ids=lambda case: case["id"])
def test_an_order_holds_here(case: Mapping[str, Any], form: Any) -> None:
    """Calls that come before what they need, or too late, do not run."""
    calls = [Call(*one) for one in case["calls"]]
    tools = orders.offered(read_only=tuple(case.get("read_only", ())))
    names = {tool.name: tool.name for tool in tools}
    offered = Offered(tools, HostFormat(form, names, dict.fromkeys(names, "json")))
    output = ModelOutput(
        "\n\n".join(write_call(call, offered) for call in calls), finish_reason="stop"
    )
    policy = Policy(order=orders.order_of(case["order"]))
    said = written(case["made"], offered)
    verdict = check_in_text(output, tools, offered.host, policy, conversation(said))
    stand = [(calls[at].name, calls[at].arguments) for at in case["stand"]]
    assert [(call.name, dict(call.arguments)) for call in verdict.calls] == stand
    violations = [] if isinstance(verdict, Accept) else verdict.violations
    assert [f"{one.tool}: {one.message}" for one in violations] == case["said"]


@settings(deadline=None)
@given(st.lists(messages, max_size=12), st.sampled_from(FORMS))
def test_no_conversation_raises(conversation: list[dict[str, Any]], form: Any) -> None:
    """Whatever a host has stored, the call gets its verdict."""
    offered = Offered(TOOLS, host(form))
    text = write_call(Call("shell", {"command": "ls"}), offered)
    past = [{"role": "assistant", "content": text}, *conversation]
    output = ModelOutput(text, finish_reason="stop")
    judged(check_in_text(output, TOOLS, offered.host, messages=past), None)


# --- the real gptme --------------------------------------------------------------------------


class _Looping:
    """A model that lists the same files, whatever it is told, until it is told to stop."""

    def __init__(self, form: ToolFormat, changes: bool) -> None:
        self._form = form
        self._changes = changes
        self.turns = 0
        self.told: list[str] = []

    def __call__(self, body: Mapping[str, Any]) -> Answer:
        last = text_of(body["messages"][-1])
        if "Do something else" in last:
            self.told.append(last)
            return COMPLETE[self._form]
        self.turns += 1
        if self.turns > 7:
            return COMPLETE[self._form]
        # With changes every other call writes something before the list is asked for again.
        other = self._changes and self.turns % 2 == 0
        return {"text": self._call(f"echo {self.turns} > file{self.turns}" if other else "ls")}

    def _call(self, command: str) -> str:
        if self._form == "markdown":
            return f"```shell\n{command}\n```"
        return f"<tool-use>\n<shell>\n{command}\n</shell>\n</tool-use>".replace("> f", "&gt; f")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
@pytest.mark.parametrize(("form", "changes"), [("markdown", False), ("xml", True)])
def test_gptme_is_kept_from_going_on(form: ToolFormat, changes: bool, tmp_path: Path) -> None:
    """The fourth call in a row is asked about; a list after each change is not."""
    (tmp_path / "home").mkdir()
    model = _Looping(form, changes)
    run = talk(tmp_path, Launcher(warm=True), model, form)
    assert run.exit_code == 0, run.stderr
    if changes:
        assert model.told == [] and sorted(run.files) == ["file2", "file4", "file6"]
    else:
        assert model.turns == 4 and "made 3 times in a row" in model.told[0]
