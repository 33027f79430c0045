"""Several calls in one answer: which run now, which wait, which are one, and how many."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, TypeAlias

import pytest
from laws import COUNT, IPYTHON, SAVE, SHELL, native

from gptme_reliability import Accept, ModelOutput, Policy, Reject, Retry, Verdict, check
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.refusals import final_text
from gptme_reliability.sentences import HELD
from gptme_reliability.types import ModelRequest

NamedCall: TypeAlias = tuple[str, dict[str, Any]]

READING = replace(COUNT, read_only=True)
WRITING = tuple(replace(tool, read_only=False) for tool in (SHELL, SAVE, IPYTHON))
TOOLS = (*WRITING, READING)
LS: NamedCall = ("shell", {"command": "ls"})
RM = ("shell", {"command": "rm -rf build"})
COUNTED = ("count_lines", {"path": "a"})
BROKEN: NamedCall = ("shell", {})
BROKEN_READING: NamedCall = ("count_lines", {})
UNKNOWN = ("teleport", {"to": "x"})


def answer(*calls: NamedCall) -> ModelOutput:
    return ModelOutput(tool_calls=[native(n, a, f"c{i}") for i, (n, a) in enumerate(calls)])


def standing(verdict: Verdict) -> list[str | None]:
    return [call.id for call in verdict.calls]


@pytest.mark.parametrize(
    ("calls", "runs", "held"),
    [
        ((LS, BROKEN), ["c0"], []),
        ((BROKEN, RM), [], ["c1"]),
        ((UNKNOWN, RM), [], ["c1"]),
        ((LS, BROKEN, RM), ["c0"], ["c2"]),
        ((BROKEN, COUNTED), ["c1"], []),
        ((BROKEN, COUNTED, RM), ["c1"], ["c2"]),
        ((BROKEN, RM, COUNTED), [], ["c1", "c2"]),
        ((BROKEN_READING, RM), ["c1"], []),
        ((BROKEN_READING, BROKEN, RM), [], ["c2"]),
    ],
)
def test_what_stands_behind_a_faulty_call_waits(
    calls: tuple[NamedCall, ...], runs: list[str], held: list[str]
) -> None:
    """``cd`` that failed must not be followed by ``rm``; what only reads may run."""
    verdict = check(answer(*calls), TOOLS)
    assert isinstance(verdict, Retry)
    assert standing(verdict) == runs
    assert [refused.id for refused in verdict.refused if refused.reason == HELD] == held
    assert ("write what is still needed again" in verdict.feedback) == bool(held)


def test_the_model_is_told_to_write_the_waiting_ones_again() -> None:
    """Each native call of the failed answer gets its answer: the fault, or that it waited."""
    asked: list[ModelRequest] = []
    good = answer(("shell", {"command": "cd x"}), RM)

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return answer(BROKEN, RM) if len(asked) == 1 else good

    outcome = drive(exchange(ModelRequest(({"role": "user", "content": "go"},), TOOLS)), send)
    assert isinstance(outcome.verdict, Accept) and len(outcome.verdict.calls) == 2
    first, second = asked[1].messages[-2:]
    assert "command" in first["content"]
    assert second == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "Not run: another call of this answer was faulty.",
    }


def test_hold_names_what_waits() -> None:
    """With ``hold`` the calls before the faulty one wait as well."""
    verdict = check(answer(LS, BROKEN), TOOLS, Policy(partial="hold"))
    assert isinstance(verdict, Retry)
    assert standing(verdict) == []
    assert [(refused.id, refused.reason) for refused in verdict.refused] == [
        ("c1", "required argument 'command' is missing"),
        ("c0", HELD),
    ]


def test_repetitions_are_one_call_and_one_record() -> None:
    """The same call ten times runs once, and the record says how often it was written."""
    verdict = check(answer(*[LS] * 10, RM, LS), TOOLS)
    assert isinstance(verdict, Accept)
    assert standing(verdict) == ["c0", "c10"]
    (repair,) = verdict.repairs
    assert (repair.rule, repair.before, repair.after, repair.call) == ("duplicate_call", 11, 1, 0)


def test_repetitions_in_text() -> None:
    """A model that repeats its call until it runs out makes one call."""
    text = '<tool_call>{"name": "shell", "arguments": {"command": "ls"}}</tool_call>\n' * 300
    verdict = check(ModelOutput(text, finish_reason="stop"), TOOLS)
    assert isinstance(verdict, Accept)
    assert len(verdict.calls) == 1 and len(verdict.repairs) == 1 and verdict.refused == ()


def test_a_runaway_is_capped_with_one_line() -> None:
    """Hundreds of different calls: some run, and one line says how many do not."""
    verdict = check(answer(*[("shell", {"command": f"touch {i}"}) for i in range(900)]), TOOLS)
    assert isinstance(verdict, Accept)
    assert len(verdict.calls) == 64
    (refused,) = verdict.refused
    assert "836 more calls" in refused.reason


def test_a_runaway_of_faulty_calls_is_capped_too() -> None:
    """Hundreds of faulty calls do not become hundreds of lines for anybody."""
    outcome = drive(
        exchange(ModelRequest((), TOOLS), Policy(retries=0)),
        lambda _: answer(*[("shell", {"cmmnd": f"touch {i}"}) for i in range(900)]),
    )
    assert isinstance(outcome.verdict, Reject)
    assert len(outcome.verdict.refused) == 65
    assert "836 more calls" in final_text(outcome.verdict)
    retried = outcome.attempts[0].verdict
    assert isinstance(retried, Retry)
    assert len(retried.feedback.splitlines()) < 20
    assert retried.feedback.endswith("Call the tool again with the fault corrected.")


def test_a_runaway_behind_prose_is_capped_too() -> None:
    """Calls that come too late are counted with the others."""
    body = json.dumps({"name": "shell", "arguments": {"command": "ls"}})
    parts = [
        f"<tool_call>{body.replace('ls', f'ls {i}')}</tool_call>\nIt said:\n" for i in range(200)
    ]
    verdict = check(ModelOutput("".join(parts)), TOOLS)
    assert len(verdict.calls) + len(verdict.refused) <= 65


def test_the_model_hears_of_a_runaway_with_the_results() -> None:
    """What was left out is told together with the results of what ran."""
    output = answer(*[("shell", {"command": f"touch {i}"}) for i in range(70)])
    outcome = drive(exchange(ModelRequest((), TOOLS)), lambda _: output)
    assert outcome.pending is not None and "6 more calls" in outcome.pending


def test_thousands_of_calls_are_capped_and_counted() -> None:
    """However many calls an answer makes, the verdict stays short."""
    output = answer(*[("shell", {"command": f"touch {i}"}) for i in range(8000)])
    verdict = check(output, TOOLS)
    assert len(verdict.calls) == Policy().max_calls
    assert [refused.reason for refused in verdict.refused if "more calls" in refused.reason]
    assert len(verdict.refused) == 1


@pytest.mark.parametrize("form", ["%s\n%s", "<tool_call>%s</tool_call>\n<tool_call>%s", "[%s, %s"])
def test_a_cut_strikes_the_last_call_only(form: str) -> None:
    """Whole calls before the one at which the output was cut stand."""
    bodies = [json.dumps({"name": "shell", "arguments": {"command": c}}) for c in ("ls", "pwd")]
    verdict = check(ModelOutput(form % tuple(bodies), finish_reason="length"), TOOLS)
    assert isinstance(verdict, Retry)
    assert [call.arguments for call in verdict.calls] == [{"command": "ls"}]
