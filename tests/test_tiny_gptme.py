"""The tiny model's errands for gptme can be done, and what came of one is told rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tiny.conversations import spans
from tiny.gptme_runs import Run
from tiny.gptme_talk import MARKDOWN, asked, rows, stepped
from tiny.gptme_task import Errand, Step, errands

from gptme_reliability import Accept, ModelOutput, check
from gptme_reliability.in_text import check_in_text
from gptme_reliability.types import Call

ERRANDS = errands(200, 3)
TWO = Errand("do two things", ("save",), (Step("", Call("save", {}), "", ""),) * 2, "")
BEFORE = {"a.txt": "red"}
AFTER = {"a.txt": "red", "b.txt": "blue"}


def test_the_same_seed_makes_the_same_errands() -> None:
    assert errands(50, 3) == errands(50, 3) != errands(50, 4)


@pytest.mark.parametrize("native", [True, False], ids=["native", "markdown"])
def test_right_steps_are_accepted_as_they_are(native: bool) -> None:
    for errand in ERRANDS:
        request = asked(errand, native=native)
        for step in errand.steps:
            message = stepped(request, step, 0)[0]
            output = ModelOutput(message["content"], message.get("tool_calls", ()))
            if native:
                verdict = check(output, errand.tools)
            else:
                verdict = check_in_text(output, errand.tools, MARKDOWN)
            assert isinstance(verdict, Accept) and not verdict.repairs, (errand, verdict)
            assert verdict.text == (message["content"] or "")
            assert [call.arguments for call in verdict.calls] == [step.call.arguments]


def test_what_is_not_learned_are_answers_that_failed() -> None:
    """A row teaches every answer but those, and some rows have one."""
    chosen = list(rows(200, 3))
    assert any(row.failed for row in chosen)
    for row in chosen:
        answers = row.text.count("<|im_start|>assistant\n")
        assert len(list(spans(row))) == answers - row.failed > 0


def ran(*what: str, files: Mapping[str, str] = AFTER, **rest: Any) -> Run:
    wanted: Sequence[str] = ("Saved to b.txt", "ls")
    usual = {"exit_code": 0, "said": "", "wanted": wanted, "given": BEFORE, "stderr": ""}
    return Run(
        **{"errand": TWO, "ran": what, "files": files, "right_files": AFTER, **usual, **rest}
    )


@pytest.mark.parametrize(
    ("run", "right", "wrong", "silent"),
    [
        (ran("Saved to b.txt", "ls"), True, False, False),
        (ran("Saved to b.txt", "ls", exit_code=1), False, False, False),
        (ran("Saved to b.txt"), False, False, False),
        (ran("Saved to b.txt", "ls", "ls"), False, True, False),
        (ran("rm a.txt", files={}), False, True, False),
        (ran("Saved to b.txt", "ls", files={**AFTER, "b.txt": "blu"}), False, True, False),
        (ran(files=BEFORE), False, False, True),
        (ran(files=BEFORE, exit_code=1), False, False, False),
        (ran(files=BEFORE, said="(not run: save - …)"), False, False, False),
        (ran(files=BEFORE, wanted=(), right_files=BEFORE), True, False, False),
    ],
)
def test_what_came_of_a_run(run: Run, right: bool, wrong: bool, silent: bool) -> None:
    assert (run.right, run.wrong, run.silent) == (right, wrong, silent)
