"""What a model is made to call must have been said: by it, or by anybody before."""

from __future__ import annotations

from typing import Any

import pytest
from laws import native

from gptme_reliability import ModelOutput, ToolDefinition
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.grounding import ungrounded
from gptme_reliability.types import Accept, Call, ModelFacts, ModelRequest, Policy, Reject

BOOK = ToolDefinition(
    name="book",
    description="Books a table.",
    parameters={
        "type": "object",
        "properties": {
            "restaurant": {"type": "string"},
            "people": {"type": "integer"},
            "when": {"type": "string", "enum": ["noon", "evening"]},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["restaurant"],
    },
)
SAID = {"role": "user", "content": "A table at the Jolly Badger for 4."}
REQUEST = ModelRequest((SAID,), (BOOK,))


def tried(arguments: Any) -> ModelOutput:
    return ModelOutput(tool_calls=[native("reserve", arguments)])


@pytest.mark.parametrize(
    ("arguments", "written", "unsaid"),
    [
        ({"restaurant": "Jolly Badger"}, {}, []),
        ({"restaurant": "the jolly badger, please"}, {}, []),
        ({"restaurant": "lily"}, {}, ["$.restaurant"]),
        ({"restaurant": "lily"}, {"place": "Lily"}, []),
        ({"restaurant": "lily pond gardens"}, {"place": "Lily"}, ["$.restaurant"]),
        ({"restaurant": "Jolly Badger", "people": 113}, {}, []),
        ({"restaurant": "Jolly Badger", "when": "evening"}, {}, []),
        ({"restaurant": "Jolly Badger", "notes": ["table", "violin"]}, {}, ["$.notes[1]"]),
        ({"restaurant": ""}, {}, []),
        ({"restaurant": "."}, {}, []),
        ({"restaurant": "one\ntwo"}, {"text": "one\ntwo"}, []),
        ({"restaurant": "北京"}, {}, ["$.restaurant"]),
    ],
)
def test_values(arguments: dict[str, Any], written: Any, unsaid: list[str]) -> None:
    """Words count, not how they are written; numbers may be worked out."""
    found = ungrounded([Call("book", arguments)], REQUEST, [tried(written)])
    assert [violation.path for violation in found] == unsaid


def test_another_value_was_asked_for() -> None:
    call = Call("book", {"restaurant": "lily", "notes": ["violin"]})
    found = ungrounded([call], REQUEST, [tried({})], ["$.restaurant", "$"])
    assert [violation.path for violation in found] == ["$.notes[0]"]


def test_a_path_that_only_begins_alike_is_another() -> None:
    found = ungrounded([Call("book", {"restaurants": "lily"})], REQUEST, [], ["$.restaurant"])
    assert [violation.path for violation in found] == ["$.restaurants"]


def test_below_a_path_that_was_at_fault() -> None:
    call = Call("book", {"notes": ["violin", {"by": "cello"}]})
    assert ungrounded([call], REQUEST, [], ["$.notes"]) == ()


def test_nothing_that_a_model_wrote_raises() -> None:
    deep: Any = "lily"
    for _ in range(100_000):
        deep = [deep]
    broken = ModelOutput(tool_calls=[{"function": {"name": "book", "arguments": deep}}])
    odd = ModelOutput(tool_calls=[{("a", "b"): 1}])
    found = ungrounded([Call("book", {"restaurant": "lily"})], REQUEST, [broken, odd])
    assert [violation.path for violation in found] == ["$.restaurant"]
    while isinstance(deep, list):  # piece by piece: freed at once, it would overflow the stack
        deep = deep.pop()


def outcome(last: str, first: ModelOutput) -> Any:
    """What comes of it when the model is held to a schema and then says this."""
    answers = [first, ModelOutput(last), ModelOutput("I cannot do that.")]
    policy = Policy(retries=1, rungs=("structure",), backoff=0)
    ended = drive(exchange(REQUEST, policy, ModelFacts()), lambda _: answers.pop(0))
    return ended.verdict


@pytest.mark.parametrize(
    ("restaurant", "runs"), [("Jolly Badger", True), ("lily", False), ("Badger", True)]
)
def test_a_model_that_tried_and_is_held_to_a_schema(restaurant: str, runs: bool) -> None:
    held = f'{{"name": "book", "arguments": {{"restaurant": "{restaurant}"}}}}'
    verdict = outcome(held, tried({"place": "Jolly Badger"}))
    assert isinstance(verdict, Accept if runs else Reject)
    assert [call.arguments for call in verdict.calls] == [{"restaurant": restaurant}] * runs
    if isinstance(verdict, Reject):
        assert [refused.name for refused in verdict.refused] == ["book"]
        assert "nobody said" in verdict.reason


def test_what_was_refused_beside_it_stays_refused() -> None:
    """A call with a fault of its own and one that nobody asked for: neither runs, both are told."""
    beside = [native("book", {"restaurant": "lily"}), native("book", {"people": "many"})]
    answers = [tried({"place": "Jolly Badger"}), ModelOutput(tool_calls=beside)]
    policy = Policy(retries=1, rungs=("force",), backoff=0)
    ended = drive(exchange(REQUEST, policy, ModelFacts()), lambda _: answers.pop(0))
    assert isinstance(ended.verdict, Reject) and ended.verdict.calls == ()
    assert len(ended.verdict.refused) == 2
    assert {"missing", "unsaid"} <= {violation.rule for violation in ended.verdict.violations}
