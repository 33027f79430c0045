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
ENDINGS = [
    json.loads(line) for line in (CASES / "endings.jsonl").read_text(encoding="utf-8").splitlines()
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
    "unit",
    [
        "I will ",
        "please call ",
        "use `",
        "我将",
        "a: b\n",
        "tool tool ",
        "ok so ",
        "我将用",
        "the so ",
    ],
)
def test_long_answers_cost_little(unit: str) -> None:
    """Only the end of an answer is looked at."""
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    check(ModelOutput(text), GPTME_TOOLS)
    assert time.process_time() - started < 2


def measured_endings(split: str) -> dict[bool, tuple[int, int]]:
    """How many endings of a split are asked about, of how many: by whether they intend a step."""
    asked = {True: 0, False: 0}
    for row in (rows := [row for row in ENDINGS if row["split"] == split]):
        output = ModelOutput(row["raw"], finish_reason="stop")
        verdict = check(output, GPTME_TOOLS, messages=row.get("messages", ()))
        assert verdict.calls == () and verdict.text == row["raw"], row["id"]
        asked[row["intends"]] += isinstance(verdict, Retry)
    return {kind: (asked[kind], sum(row["intends"] is kind for row in rows)) for kind in asked}


@pytest.mark.parametrize(("split", "recall"), [("dev", 0.96), ("held", 0.88)])
def test_endings(split: str, recall: float) -> None:
    """Of finished answers at most one in a hundred is asked about, however it sounds.

    The rows of ``held`` were written before anything was measured on them; what they showed was
    mended by kind, never by row.
    """
    found = measured_endings(split)
    (wrong, finished), (right, intentions) = found[False], found[True]
    figures = (
        f"{split}: {wrong} of {finished} finished answers asked about, "
        f"{right} of {intentions} intentions found"
    )
    assert wrong <= finished / 100, figures
    assert right >= recall * intentions, figures


def test_endings_are_many_and_in_two_languages() -> None:
    """The figures mean something."""
    assert len(ENDINGS) == len({row["id"] for row in ENDINGS}) > 480
    assert sum(row["language"] == "zh" for row in ENDINGS) > len(ENDINGS) / 3
    assert all(sum(row["split"] == split for row in ENDINGS) >= 240 for split in ("dev", "held"))


def test_a_step_without_a_tool_is_named_as_such() -> None:
    """The model is told that nothing ran, in its language, and no tool is put into its mouth."""
    text = "Let me check the directory first."
    verdict = check(ModelOutput(text, finish_reason="stop"), GPTME_TOOLS)
    assert isinstance(verdict, Retry)
    (violation,) = verdict.violations
    assert (violation.rule, violation.tool) == ("intent", None)
    assert "announces a step and makes no call" in verdict.feedback
    assert check(ModelOutput(text), ()) == Accept(text=text)
