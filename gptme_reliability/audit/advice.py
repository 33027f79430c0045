"""What to switch on for a model, told from what failed with it; lines for gptme's config.toml."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gptme_reliability.audit.classes import Stage
from gptme_reliability.audit.conversation import UNKNOWN
from gptme_reliability.audit.counting import Tally
from gptme_reliability.cards import Card, load_cards, modes_of
from gptme_reliability.cards.card import Match
from gptme_reliability.cards.matching import find
from gptme_reliability.data import card_dirs
from gptme_reliability.errors import ReliabilityError
from gptme_reliability.identity import identify
from gptme_reliability.lint.rules import counted

_FEWEST_TALKS: Final = 3
_SHARE_OF_TALKS: Final = 50
_BEYOND: Final[tuple[Stage, ...]] = ("nobody", "sampling")

SWITCHED_ON: Final = """\
[plugins]
enabled = ["reliability"]

[plugin.reliability]
enabled = true
"""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about one model.

    ``helped`` of its ``failures`` are of a kind that the plugin answers, ``asked`` of these by
    asking the model again.  ``why`` are sentences, ``config`` are
    lines for gptme's config.toml, empty where there is nothing to switch on.
    """

    model: str
    answers: int
    failures: int
    helped: int
    asked: int
    why: tuple[str, ...]
    config: str


def advise(tally: Tally) -> list[Advice]:
    """The advice for each model that answered or failed, those with most failures first."""
    models = dict.fromkeys([*tally.answers, *(key.model for key in tally.failures)])
    cards = _cards()
    found = [_for_model(model, tally, cards) for model in models]
    return sorted(found, key=lambda one: (-one.failures, one.model))


def _cards() -> Sequence[Card]:
    try:
        return load_cards(card_dirs())
    except (
        ReliabilityError,
        FileNotFoundError,
    ):  # a broken card of the user's: see ``cards check``
        return ()


def _for_model(model: str, tally: Tally, cards: Sequence[Card]) -> Advice:
    counts = tally.of_model(model)
    stages: Counter[Stage] = Counter()
    kinds: Counter[str] = Counter()
    for (stage, kind), count in counts.items():
        stages[stage] += count
        kinds[kind] += count
    failures = kinds.total()
    helped = failures - sum(stages[stage] for stage in _BEYOND)
    asked = stages["re-ask"] + stages["force"]
    keys = dict(_keys(kinds, tally.answers[model])) if helped else {}
    why = (*_reasons(failures, helped, asked, kinds), *_about_sampling(model, kinds, cards, helped))
    config = SWITCHED_ON + _section(model, keys) if helped else ""
    return Advice(model, tally.answers[model], failures, helped, asked, why, config)


def _keys(kinds: Mapping[str, int], answers: int) -> Iterator[tuple[str, str]]:
    talks = kinds.get("no_call", 0)
    if talks >= _FEWEST_TALKS and talks * _SHARE_OF_TALKS >= answers:
        yield "respond", "true"
    if kinds.get("refused", 0):
        yield "native_tools", "false"


def _section(model: str, keys: Mapping[str, str]) -> str:
    if not keys or model == UNKNOWN:
        return ""
    lines = [f"{key} = {value}" for key, value in keys.items()]
    return "\n".join(["", f"[plugin.reliability.models.{json.dumps(_glob(model))}]", *lines, ""])


def _glob(model: str) -> str:
    """A pattern that matches this name and no other."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in model)


def _reasons(failures: int, helped: int, asked: int, kinds: Mapping[str, int]) -> Iterator[str]:
    if not failures:
        yield "Nothing failed: nothing to switch on."
        return
    if helped:
        yield f"The plugin answers {helped} of {counted(failures, 'failure')}."
        if asked:
            yield f"{asked} of them by asking the model again: it must be able to do better."
    else:
        yield "Nothing in this package would have helped against these failures."
    for kind, sentence in _SENTENCES.items():
        if count := kinds.get(kind, 0):
            yield sentence.format(times=counted(count, "time"))


_SENTENCES: Final[Mapping[str, str]] = {
    "no_call": "It talked {times} where a call was due: the plugin asks again, then makes it call.",
    "refused": "Its server refused tools {times}: native_tools = false puts them in the prompt.",
    "cut_off": "A call was cut off {times}: look at the server's limit on tokens, too.",
    "context_overflow": "The conversation was too long {times}: give the server more context.",
    "tool_error": "A tool refused a well-formed call {times}: only the model can do better.",
    "shown_executed": "An example was run {times}: the plugin makes examples inert.",
}


def _about_sampling(
    model: str, kinds: Mapping[str, int], cards: Sequence[Card], helped: int
) -> Iterator[str]:
    if not kinds:
        return
    identity = identify(model.rpartition("/")[2])
    found = find(identity, cards)
    if isinstance(found, Match) or modes_of(identity, cards):
        where = "contracts = true, the default," if helped else "The plugin with contracts = true"
        yield f"There is a sampling card for {identity.family}: {where} sends what it says."
    elif kinds.get("degenerate", 0):
        yield "It repeated itself, and no sampling card speaks of it: ask its publisher's page."
