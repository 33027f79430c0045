"""Answers that announce a call in words: asked about once, never run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from laws import native
from scenario_tables import CASES, GPTME_TOOLS

from gptme_reliability import Accept, ModelOutput, Policy, Reject, Retry, check
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.types import ModelRequest

ROWS = [
    json.loads(line) for line in (CASES / "intents.jsonl").read_text(encoding="utf-8").splitlines()
]
WORDS = ModelOutput("I will use the shell tool to list the files.", finish_reason="stop")
CALL = ModelOutput(tool_calls=[native("shell", {"command": "ls"})])
REQUEST = ModelRequest(({"role": "user", "content": "List the files."},), tuple(GPTME_TOOLS))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_intent(row: Mapping[str, Any]) -> None:
    """An announcement is asked about; an answer is an answer, and neither ever runs."""
    output = ModelOutput(row["raw"], finish_reason=row.get("finish_reason", "stop"))
    verdict = check(output, GPTME_TOOLS, messages=row.get("messages", ()))
    assert verdict.calls == ()
    assert verdict.text == row["raw"]
    if not row["intends"]:
        assert isinstance(verdict, Accept), verdict
        return
    assert isinstance(verdict, Retry), verdict
    (violation,) = verdict.violations
    assert violation.rule == "intent"
    assert violation.tool in {tool.name for tool in GPTME_TOOLS}
    assert "proper tool call" in verdict.feedback


def test_the_call_that_comes_when_asked_runs() -> None:
    """One question, and the model makes the call."""
    answers = [WORDS, CALL]
    outcome = drive(exchange(REQUEST), lambda request: answers.pop(0))
    assert isinstance(outcome.verdict, Accept)
    assert [call.name for call in outcome.verdict.calls] == ["shell"]


def test_it_is_asked_once() -> None:
    """A model that goes on announcing gets no second question; its words reach the user."""
    asked: list[ModelRequest] = []

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return WORDS

    outcome = drive(exchange(REQUEST, Policy(retries=5, force=False)), send)
    assert len(asked) == 2
    assert isinstance(outcome.verdict, Reject)
    assert outcome.verdict.text == WORDS.text


def test_an_answer_in_text_after_the_question_is_right() -> None:
    """Asked whether a call was meant, the model may say that it was not."""
    answers = [WORDS, ModelOutput("There is nothing to list.")]
    outcome = drive(exchange(REQUEST), lambda request: answers.pop(0))
    assert outcome.verdict == Accept(text="There is nothing to list.")


def test_a_call_that_was_made_needs_no_announcement() -> None:
    """Words beside a native call are words."""
    verdict = check(ModelOutput(WORDS.text, tool_calls=CALL.tool_calls), GPTME_TOOLS)
    assert isinstance(verdict, Accept) and not verdict.changed


@pytest.mark.parametrize(
    "unit", ["I will ", "please call ", "use `", "我将", "a: b\n", "tool tool "]
)
def test_long_answers_cost_little(unit: str) -> None:
    """Only the end of an answer is looked at."""
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    check(ModelOutput(text), GPTME_TOOLS)
    assert time.process_time() - started < 2
