"""Every scenario of the tables through ``check`` alone.

Replies that a surface has to read first (streams in pieces, HTTP errors, replies without
choices, old envelopes) go through the adapter that the surfaces use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from scenario_tables import DEFECTS, GPTME_TOOLS, MUST_NOT_EXECUTE, names

from gptme_reliability import Accept, ModelOutput, Reject, Retry, Verdict, check
from gptme_reliability.adapters.openai_response import read_response
from gptme_reliability.adapters.openai_stream import StreamReader
from gptme_reliability.adapters.server_errors import model_fault
from gptme_reliability.evals.faulty_server import chunks, whole
from gptme_reliability.evals.scenarios import Answer, Scenario

ANSWERED_AGAIN = [scenario for scenario in (*DEFECTS, *MUST_NOT_EXECUTE) if scenario.again]


def read_whole(answer: Answer) -> ModelOutput | None:
    """The answer as a surface reads it when it comes as one body."""
    if "status" in answer:
        return model_fault(answer["status"], json.dumps(answer["error"]).encode())
    return read_response(whole(answer))


def read_streamed(answer: Answer) -> ModelOutput | None:
    """The answer as a surface reads it when it comes as a stream."""
    if "status" in answer:
        return read_whole(answer)
    reader = StreamReader()
    for chunk in chunks(answer):
        reader.feed(chunk)
    return reader.output()


def judge(scenario: Scenario, streamed: bool) -> Verdict:
    """The verdict on the first answer."""
    output = (read_streamed if streamed else read_whole)(scenario.first)
    assert output is not None, "the adapter does not take this error for a fault of the model"
    messages = [{"role": "user", "content": scenario.prompt}]
    return check(output, GPTME_TOOLS, messages=messages)


def calls_of(verdict: Verdict) -> list[tuple[str, Mapping[str, Any]]]:
    """The calls that stand, as pairs."""
    return [(call.name, dict(call.arguments)) for call in verdict.calls]


def wanted(pairs: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """The calls of a row, as pairs."""
    return [(name, dict(arguments)) for name, arguments in pairs]


def both_ways(scenarios: list[Scenario]) -> list[Any]:
    """Every scenario whole and streamed, where it exists so."""
    return [
        pytest.param(scenario, streamed, id=f"{scenario.id}-{'streamed' if streamed else 'whole'}")
        for scenario in scenarios
        for streamed in (False, True)
        if streamed or not scenario.only_streamed
    ]


@pytest.mark.parametrize(("scenario", "streamed"), both_ways(DEFECTS))
def test_defect(scenario: Scenario, streamed: bool) -> None:
    """A fault ends as its row says: repaired at once, or asked about with the fault named."""
    verdict = judge(scenario, streamed)
    assert calls_of(verdict) == wanted(scenario.runs), verdict
    if scenario.expect == "asks":
        assert isinstance(verdict, Retry), verdict
        for fragment in scenario.asks_for:
            assert fragment in verdict.feedback
    else:
        assert isinstance(verdict, Accept), verdict


@pytest.mark.parametrize("scenario", ANSWERED_AGAIN, ids=names(ANSWERED_AGAIN))
def test_second_answer(scenario: Scenario) -> None:
    """What the model answers when asked again runs as it stands."""
    assert scenario.again is not None
    output = read_response(whole(scenario.again))
    verdict = check(output, GPTME_TOOLS)
    assert isinstance(verdict, Accept)
    assert not verdict.changed
    assert calls_of(verdict) == wanted(scenario.runs_again)


@pytest.mark.parametrize(("scenario", "streamed"), both_ways(MUST_NOT_EXECUTE))
def test_must_not_execute(scenario: Scenario, streamed: bool) -> None:
    """Quoting is not calling, and what cannot run is asked about."""
    verdict = judge(scenario, streamed)
    assert calls_of(verdict) == []
    if scenario.expect == "asks":
        assert isinstance(verdict, Retry), verdict
        assert all(fragment in verdict.feedback for fragment in scenario.asks_for)
    elif scenario.may_ask:
        assert isinstance(verdict, Accept | Retry | Reject)
    else:
        assert isinstance(verdict, Accept), verdict
    for fragment in scenario.says:
        assert fragment in verdict.text


def test_tables_are_large_enough() -> None:
    """The tables cover what they promise."""
    assert len(DEFECTS) >= 70
    assert len(MUST_NOT_EXECUTE) >= 200
    assert not set(names(DEFECTS)) & set(names(MUST_NOT_EXECUTE))
