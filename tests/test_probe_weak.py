"""Probes of servers whose models fail now and then, and when samples are enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import pytest
from probe_world import (
    GOOD,
    LEAK,
    Ways,
    answer,
    drive,
    only,
    values,
)

from gptme_reliability.probe.finding import Finding, settle
from gptme_reliability.probe.sample import Heard

TALK: Final = "I cannot look that up."


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (only(1, says=TALK, text="weather"), "yes"),
        (only(1, 2, says=TALK, text="weather"), "yes"),
        (only(1, 2, 3, says=TALK, text="weather"), "unclear"),
        (only(1, says=LEAK, text="weather"), "unclear"),
        (only(1, 2, says=LEAK, text="weather"), "unclear"),
        (only(1, 2, 3, says=LEAK, text="weather"), "leaked"),
        (only(1, 2, 3, says="", text="weather"), "unclear"),
    ],
)
def test_a_weak_model_is_asked_again(
    model: Callable[[Mapping[str, Any]], str | None], found: str
) -> None:
    """What fails only now and then is not held against the server."""
    probed, _ = drive(Ways(model=model))
    assert probed.found["native_tools"].value == found


@pytest.mark.parametrize(
    ("seeds", "found"),
    [((1,), "unclear"), ((2,), "unclear"), ((1, 2), "no"), ((1, 3), "no"), ((2, 3), "no")],
)
def test_two_disproofs_stand_against_one_that_may_be_chance(
    seeds: tuple[int, ...], found: str
) -> None:
    def model(body: Mapping[str, Any]) -> str | None:
        ignores = body.get("tool_choice") == "required" and body["seed"] in seeds
        return "Hello!" if ignores else None

    probed, _ = drive(Ways(model=model))
    assert probed.found["tool_choice_required"].value == found


def test_a_model_that_always_calls_proves_nothing_about_forcing() -> None:
    """Its server may ignore ``required`` all the same."""
    ways = Ways(required="no")
    probed, _ = drive(replace(ways, down=lambda body: _always(ways, body)))
    assert probed.found["talks"].value == "no"
    assert probed.found["tool_choice_required"].value == "unclear"


def _always(ways: Ways, body: Mapping[str, Any]) -> Heard | None:
    """What the server answers to a question about the weather."""
    if not body.get("tools"):
        return None
    messages = [{"role": "user", "content": "weather"}]
    return answer(ways, {**body, "messages": messages})


def test_an_answer_that_was_cut_off_gets_more_room() -> None:
    """Models that think at length need it; only the next sample has it."""
    thinking = " ".join(["so"] * 300)

    def model(body: Mapping[str, Any]) -> str | None:
        short = body.get("tools") and body["max_tokens"] < 300
        return thinking if short else None

    probed, _ = drive(Ways(model=model))
    assert values(probed) == GOOD


# --- settling -----------------------------------------------------------------------------

YES, NO, DOUBT = Finding("yes"), Finding("no"), Finding("unclear", "why")
LEAKED: Final = Finding("leaked")
SURE: Final = frozenset({"yes"})


@pytest.mark.parametrize(
    ("samples", "sure", "value"),
    [
        ((), SURE, None),
        ((YES,), SURE, "yes"),
        ((YES,), frozenset(), None),
        ((NO,), SURE, None),
        ((NO, NO), SURE, "no"),
        ((NO, DOUBT), SURE, None),
        ((NO, DOUBT, NO), SURE, "no"),
        ((NO, DOUBT, DOUBT), SURE, "unclear"),
        ((NO, YES), SURE, None),
        ((NO, YES, YES), SURE, "unclear"),
        ((NO, YES, NO), SURE, "no"),
        ((DOUBT, DOUBT), SURE, None),
        ((DOUBT, DOUBT, DOUBT), SURE, "unclear"),
        ((DOUBT, DOUBT, YES), SURE, "yes"),
        ((YES, DOUBT, DOUBT), frozenset(), "unclear"),
        ((YES, NO, NO), frozenset(), "no"),
        ((LEAKED, LEAKED), SURE, None),
        ((LEAKED, LEAKED, YES), SURE, "unclear"),
        ((LEAKED, LEAKED, LEAKED), SURE, "leaked"),
    ],
)
def test_settling(samples: tuple[Finding, ...], sure: frozenset[str], value: str | None) -> None:
    settled = settle(samples, sure, 3 if LEAKED in samples else 2)
    assert (settled and settled.value) == value
