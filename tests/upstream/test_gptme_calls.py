"""Native calls that gptme drops, runs empty, answers badly or dies of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from defects import reproduced
from gptme.llm import llm_openai
from gptme.message import Message
from gptme.tools.complete import _turn_fingerprint
from gptme_world import END, call, calls_in, converse, files, world
from openai import APIStatusError

from gptme_reliability.evals.scenarios import Answer

__all__ = ["world"]
pytestmark = pytest.mark.upstream

WRITES = {"command": "echo ran > marker"}
RAN = {"marker": "ran\n"}
CUT = '{"command": "echo ran > marker'
NO_COMMAND = "Ran allowlisted command: ``\n\nNo output\n"


def said(*calls: Any) -> Answer:
    return {"calls": list(calls)}


def test_a_right_call_runs(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """What the tests beside this one rest on: the call runs, and the model goes on."""
    talk = converse(monkeypatch, said(call("shell", WRITES)))
    assert files(world) == RAN
    assert len(talk.requests) == 2 and talk.log[-1].content == END["text"]


@pytest.mark.parametrize("name", ["functions.shell", "bash", "Shell"])
def test_an_unknown_tool_ends_the_run(
    name: str, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """The model would have to be asked again for its answer, with the names it may call."""
    talk = converse(monkeypatch, said(call(name, WRITES)))
    with reproduced("unknown-tool-ends-the-run"):
        assert len(talk.requests) == 1
    with reproduced("unknown-tool-no-names"):
        (told,) = talk.results
        assert told.startswith(f"Tool '{name}' is not available") and "save" not in told


DROPPED = [
    ("string without its end", call("shell", CUT)),
    ("object without its end", call("shell", '{"command": "echo ran > marker"')),
    ("an array", call("shell", [WRITES])),
    ("JSON in JSON", call("shell", json.dumps(json.dumps(WRITES)))),
    ("nothing", call("shell", "")),
    ("a bare command", call("shell", "echo ran > marker")),
    ("an id with other characters", call("shell", WRITES, "call|1=")),
    ("an empty id", call("shell", WRITES, "")),
]


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("sent", [c for _, c in DROPPED], ids=[name for name, _ in DROPPED])
def test_a_call_is_dropped_without_a_word(
    sent: dict[str, Any], streamed: bool, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """Nothing runs, nobody is told, and the next request shows the model its call as text."""
    talk = converse(monkeypatch, said(sent), streamed=streamed)
    with reproduced("unreadable-call-dropped"):
        assert files(world) == {} and talk.results == [] and len(talk.requests) == 1
        assert talk.log[-1].content.lstrip().startswith("@shell(")


BESIDE: Sequence[tuple[str, Answer, dict[str, str]]] = [
    ("behind a good one", said(call("shell", WRITES, "a"), call("shell", CUT, "b")), RAN),
    ("before a good one", said(call("shell", CUT, "b"), call("shell", WRITES, "a")), {}),
]


@pytest.mark.parametrize(
    ("answer", "left"), [row[1:] for row in BESIDE], ids=[r[0] for r in BESIDE]
)
def test_a_broken_call_beside_a_good_one(
    answer: Answer, left: dict[str, str], monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """The broken one is never spoken of, and takes a good one behind it along."""
    talk = converse(monkeypatch, answer, streamed=False)
    with reproduced("broken-call-takes-others-along"):
        assert files(world) == left and len(talk.results) == len(left)


@pytest.mark.parametrize(
    "arguments", [{}, {"cmd": "echo ran > marker"}, {"Command": "ls"}, {"arguments": WRITES}]
)
def test_an_empty_command_reports_success(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """A call without its required argument runs nothing, and the model is told that it ran."""
    talk = converse(monkeypatch, said(call("shell", arguments)))
    with reproduced("missing-argument-runs"):
        assert talk.results == [NO_COMMAND] and files(world) == {}


@pytest.mark.parametrize("value", [["echo", "ran"], {"text": "ls"}, None, 5])
def test_a_value_of_the_wrong_type_is_told_as_an_error_of_python(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model learns of an attribute of a class, not which argument is wrong."""
    talk = converse(monkeypatch, said(call("shell", {"command": value})))
    with reproduced("wrong-type-reaches-the-tool"):
        assert "object has no attribute 'strip'" in talk.results[0]
        assert "command" not in talk.results[0]


@pytest.mark.parametrize(
    ("written", "runs"),
    [
        ('{"command": "rm -r build" && ls}', "rm -r build"),
        ('{"command": "echo a", "command": "echo b"}', "echo b"),
        ('{"command": rm -r build, then: stop}', "rm -r build"),
    ],
)
def test_broken_json_is_guessed_at_in_silence(written: str, runs: str) -> None:
    """``json_repair`` always finds something; what it changed or dropped nobody learns."""
    with reproduced("json-guessed-in-silence"):
        (use,) = calls_in(f"@shell(call-1): {written}")
        assert use.kwargs is not None and use.kwargs["command"] == runs


def test_stuck_detection_takes_different_calls_for_one() -> None:
    """Native calls have neither args nor content, which is all that is compared."""
    texts = ('@shell(a): {"command": "ls"}', '@shell(b): {"command": "rm -r build"}')
    assert [len(calls_in(text)) for text in texts] == [1, 1]
    first, second = (_turn_fingerprint(Message("assistant", text)) for text in texts)
    assert first is not None
    with reproduced("stuck-detection-blind"):
        assert first == second


DEADLY: Sequence[tuple[str, str, Answer, bool, type[BaseException], str | None]] = [
    ("call-without-id-crashes", "no id", said(call("shell", WRITES, None)), False,
     AttributeError, "'strip'"),
    ("arguments-as-object-crash", "arguments as an object",
     said({"name": "shell", "arguments": WRITES}), True, AssertionError, None),
    ("empty-answer-ends-the-run", "an empty answer", {"text": ""}, True, Exception, "any output"),
    ("empty-answer-ends-the-run", "an empty answer, whole", {"text": ""}, False,
     ValueError, "empty response"),
    ("empty-answer-ends-the-run", "no choices", {"choices": []}, False, ValueError, "choices"),
    ("empty-answer-ends-the-run", "the older function_call",
     {"message": {"function_call": {"name": "shell", "arguments": "{}"}}}, False,
     ValueError, "empty response"),
    ("refused-tools-end-the-run", "no tools here",
     {"status": 400, "error": {"error": {"message": "this model does not support tools"}}},
     True, APIStatusError, "support tools"),
    ("markup-crashes", "a closing tag of markup", {"text": "Done. [/THINK]"}, False,
     Exception, "closing tag"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("defect", "answer", "streamed", "kind", "words"),
    [(row[0], *row[2:]) for row in DEADLY],
    ids=[row[1] for row in DEADLY],
)
def test_an_answer_kills_the_turn(
    defect: str,
    answer: Answer,
    streamed: bool,
    kind: type[BaseException],
    words: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The exception leaves the step, and with it ``gptme -n``."""
    with reproduced(defect), pytest.raises(kind, match=words):
        converse(monkeypatch, answer, streamed=streamed)


def test_an_error_about_the_models_words_is_sent_again_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A greedy model writes the same again: eleven times, with five minutes of waiting between."""
    answer: Answer = {"status": 500, "error": "failed to parse tool call"}
    seen: list[dict[str, Any]] = []
    waits: list[float] = []
    monkeypatch.setattr(llm_openai, "backoff_wait", lambda delay, _: waits.append(delay))
    with pytest.raises(APIStatusError):
        converse(monkeypatch, *[answer] * 20, seen=seen)
    with reproduced("parse-error-repeated"):
        assert len(seen) == 11 and all(body == seen[0] for body in seen)
        assert sum(waits) > 300
