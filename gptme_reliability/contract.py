"""What a model is to be sampled with, why, and when that must not be guessed.

For each value the first that speaks wins: the user, the served model itself, the model's card.
Where nobody says with which temperature a model runs, there is no contract but a reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from math import isclose
from typing import Any, Final, cast, get_args

from gptme_reliability import contract_words as words
from gptme_reliability.backends import (
    TEMPLATE_ARGUMENTS,
    Backend,
    Declared,
    NotApplied,
    canonical,
    for_backend,
    spellings,
)
from gptme_reliability.cards.card import Ambiguous, Card, CardMode, Match, Preset, Value
from gptme_reliability.cards.matching import find
from gptme_reliability.cards.reading import BOUNDS
from gptme_reliability.contract_values import Broken, Chosen, Contract, Notice, Unknown, Wire
from gptme_reliability.identity import Identity, quantised
from gptme_reliability.types import ModelFacts

__all__ = ["Broken", "Chosen", "Contract", "Notice", "Wire", "contract", "facts_of", "on_wire"]

_TEMPERATURE: Final = "temperature"
_FEW_BITS: Final = 4.0
_WHOLE: Final = 16.0
_JUST_BELOW: Final = 0.95
_THINKS: Final = "enable_thinking"
_NEVER_ZERO: Final = ("top_p", "repetition_penalty")


def contract(
    identity: Identity,
    cards: Sequence[Card],
    *,
    given: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    declared: Declared | None = None,
    mode: str | None = None,
    tools: bool = False,
    unknown: Unknown = "refuse",
) -> Contract | Broken:
    """The contract of a model, or the reason why there is none.

    ``given`` is what the user set, as a request's body has it: parameters that are no sampling
    values are passed over, so is what is None.  ``overrides`` is the config of the model:
    ``{"sampling": {…}, "mode": …, "quant": …}``.  ``mode`` ("thinking", "instruct", "base") wins
    over the config's; without either the model's name counts, then ``enable_thinking`` of the
    user's template arguments.  ``tools`` says whether tools are on offer.
    """
    given, overrides, declared = given or {}, overrides or {}, declared or Declared()
    try:
        said = _said(given, overrides)
        wanted = _mode(mode, given, overrides, identity)
    except _Fault as fault:
        return Broken("config", fault.args[0])
    if label := overrides.get("quant"):
        identity = quantised(identity, label)
    served = _sound(declared.values)
    found = find(identity, cards, wanted)
    if isinstance(found, Ambiguous):
        if found.about == "mode":
            return Broken("mode", words.several_modes(identity, found.cards))
        return Broken("cards", words.contradicting_cards(identity, found.cards))
    said_at_all = _TEMPERATURE in said or _TEMPERATURE in served
    bound = said_at_all or (found is not None and not found.card.silent)
    if not bound and unknown == "refuse":
        return _undescribed(identity, cards, found, wanted, declared)
    presets = _presets(found, identity, tools)
    limits = _limits(found, presets)
    broken = _out_of_range(said, limits, found)
    if broken is not None:
        return broken
    values = _values(said, served, declared.source, presets, found)
    if found is not None and found.card.forbid_greedy and (key := _greedy(values)):
        return Broken("greedy", words.greedy(identity, key, values[key], found, limits.get(key)))
    arguments = found.card.chat_template_kwargs if found else {}
    agreed = Contract(
        identity.name,
        values,
        {**arguments, **(given.get(TEMPLATE_ARGUMENTS) or {})},
        tuple(presets),
        facts_of(identity, found.card if found else None, wanted),
        found.card if found else None,
        found.url if found else None,
        found.others if found else (),
        served,
        bound,
    )
    return replace(agreed, notices=tuple(_notices(identity, agreed, declared, limits)))


def on_wire(agreed: Contract, backend: Backend, refused: Collection[str] = ()) -> Wire | Broken:
    """The contract as ``backend`` spells it.

    ``refused`` names parameters, as the cards call them, that this server was found to reject.
    A value that a backend ignores in requests and that the served model declares is in force.
    """
    wanted: dict[str, Any] = {name: chosen.value for name, chosen in agreed.values.items()}
    if agreed.chat_template_kwargs:
        wanted[TEMPLATE_ARGUMENTS] = dict(agreed.chat_template_kwargs)
    sent, lost = for_backend(wanted, backend, refused)
    missing = tuple(loss for loss in lost if not _in_force(loss, agreed.served))
    if agreed.card is not None:
        for loss in missing:
            if loss.parameter in agreed.card.required:
                return Broken(
                    "required", words.required(agreed.name, loss, agreed.card, agreed.url)
                )
    ours = dict.fromkeys((*BOUNDS, *wanted)) if agreed.bound else wanted
    names = [key for name in ours for key in spellings(name)]
    return Wire(sent, tuple(name for name in names if name not in sent), missing)


def _in_force(loss: NotApplied, served: Mapping[str, float]) -> bool:
    return loss.parameter in served and isclose(served[loss.parameter], loss.value)


def facts_of(identity: Identity, card: Card | None, mode: CardMode | None = None) -> ModelFacts:
    """What a model's name and its card say of it."""
    return ModelFacts(
        family=identity.family or (card.family if card else None),
        size_b=identity.size_b,
        quant=identity.quant,
        mode=(card.mode if card else None) or mode or identity.mode,
        native_tools=card.native_tools if card else None,
        # A card that says forcing helps says nothing of the server.
        tool_choice=False if card is not None and card.force is False else None,
        source=words.card_id(card) if card else None,
        temperature=_admitted(card.values.get(_TEMPERATURE)) if card else None,
        # A published one is that of the model's own template, of which servers take the tokens.
        dialect=card.dialect if card is not None and card.source.grade == "own" else None,
    )


def _admitted(value: Value | None) -> tuple[float, float] | None:
    """The published range; None where there is only a point."""
    if value is None or (value.low, value.high, value.below) == (None, None, None):
        return None
    highest = BOUNDS[_TEMPERATURE][1] if value.high is None else value.high
    if value.below is not None:
        highest = min(highest, value.below * _JUST_BELOW)
    return value.low or 0.0, highest


class _Fault(Exception):
    """A setting that is none, in words."""


def _said(given: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Chosen]:
    """What the user said, for this request before what stands in the config."""
    said: dict[str, Chosen] = {}
    for key, value in given.items():
        name = canonical(key)
        if name in BOUNDS and value is not None:
            said[name] = Chosen(_number(name, value, words.USER), "user", words.USER)
    table = overrides.get("sampling") or {}
    if not isinstance(table, Mapping):
        raise _Fault(words.no_table(table))
    for key, value in table.items():
        name = canonical(key)
        if name not in BOUNDS:
            raise _Fault(words.unknown_value(key, tuple(BOUNDS)))
        said.setdefault(name, Chosen(_number(name, value, words.CONFIG), "config", words.CONFIG))
    return said


def _number(name: str, value: Any, where: str) -> float:
    low, high = BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Fault(words.no_number(name, value, where))
    if name == "top_k":
        # Some servers call "all tokens" -1, others 0.
        value = 0 if value == -1 else value
        if value != value or value % 1:
            raise _Fault(words.no_number(name, value, where))
    if not low <= value <= high or (value == 0 and name in _NEVER_ZERO):
        raise _Fault(words.out_of_bounds(name, value, where, low, high))
    return int(value) if name == "top_k" else float(value)


def _sound(values: Mapping[str, float]) -> dict[str, float]:
    """What a served model declares, without numbers that no sampler takes."""
    sound: dict[str, float] = {}
    for name, value in values.items():
        try:
            sound[name] = _number(name, value, "")
        except _Fault:
            continue
    return sound


def _mode(
    mode: str | None, given: Mapping[str, Any], overrides: Mapping[str, Any], identity: Identity
) -> CardMode | None:
    """The mode that the user wants; None leaves it to the name."""
    wanted = mode or overrides.get("mode")
    arguments = given.get(TEMPLATE_ARGUMENTS)
    if arguments is not None and not isinstance(arguments, Mapping):
        raise _Fault(words.no_arguments(arguments))
    if wanted is not None and wanted not in get_args(CardMode):
        raise _Fault(words.no_mode(wanted, get_args(CardMode)))
    thinks = arguments.get(_THINKS) if arguments else None
    # The template of a model that has one mode only does not heed the argument.
    if wanted is None and identity.mode is None and isinstance(thinks, bool):
        return "thinking" if thinks else "instruct"
    return cast("CardMode | None", wanted)


def _undescribed(
    identity: Identity,
    cards: Sequence[Card],
    found: Match | None,
    mode: CardMode | None,
    declared: Declared,
) -> Broken:
    if found is not None:
        return Broken("silent", words.silent_vendor(identity, found, declared))
    return Broken("unknown", words.unknown_model(identity, cards, mode, declared))


def _presets(found: Match | None, identity: Identity, tools: bool) -> dict[str, Preset]:
    """The presets that hold here; one that nobody recommends never does."""
    if found is None:
        return {}
    quantised = identity.bits is not None and identity.bits < _WHOLE
    holds = {"quantised": quantised, "tool_calling": tools}
    return {
        name: preset
        for name, preset in found.card.presets.items()
        if holds.get(name) and preset.basis == "published"
    }


def _limits(found: Match | None, presets: Mapping[str, Preset]) -> dict[str, Value]:
    """What the card says on each value, its presets laid over it."""
    limits = dict(found.card.values) if found else {}
    for preset in presets.values():
        limits.update(preset.values)
    return limits


def _out_of_range(
    said: Mapping[str, Chosen], limits: Mapping[str, Value], found: Match | None
) -> Broken | None:
    for name, chosen in said.items():
        if found is not None and name in limits and not limits[name].admits(chosen.value):
            return Broken("range", words.out_of_range(name, chosen, limits[name], found))
    return None


def _values(
    said: Mapping[str, Chosen],
    served: Mapping[str, float],
    source: str,
    presets: Mapping[str, Preset],
    found: Match | None,
) -> dict[str, Chosen]:
    """Each value from the first that speaks, in the order of the sampling cards."""
    values: dict[str, Chosen] = {}
    if found is not None:
        card, url = found.card, found.url
        grade, name = card.source.grade, words.card_id(card)
        for key, value in card.values.items():
            values[key] = Chosen(value.point, "card", f"card {name}", grade, url)
        for label, preset in presets.items():
            for key, value in preset.values.items():
                source_words = f"card {name}, preset {label}"
                values[key] = Chosen(value.point, "preset", source_words, grade, url)
    for key, number in served.items():
        values[key] = Chosen(number, "served", source)
    values.update(said)
    return {key: values[key] for key in BOUNDS if key in values}


def _greedy(values: Mapping[str, Chosen]) -> str | None:
    """The value that lets only the likeliest token be drawn."""
    if _TEMPERATURE in values and values[_TEMPERATURE].value <= 0:
        return _TEMPERATURE
    return "top_k" if "top_k" in values and values["top_k"].value == 1 else None


def _notices(
    identity: Identity, agreed: Contract, declared: Declared, limits: Mapping[str, Value]
) -> Iterable[Notice]:
    card = agreed.card
    found = Match(card, agreed.url, agreed.others) if card is not None else None
    if not agreed.bound:
        yield Notice("unknown", words.left_alone(identity, found))
    elif found is None:
        yield Notice("unknown", words.nobody_checked(identity))
    elif any(chosen.grade == "quoted" for chosen in agreed.values.values()):
        yield Notice("quoted", words.quoted(found))
    if identity.bits is not None and identity.bits < _FEW_BITS:
        yield Notice("low_bits", words.low_bits(identity))
    if found is None or not agreed.bound:
        return
    differing = {
        name: number
        for name, number in agreed.served.items()
        if name in limits and not isclose(limits[name].point, number)
    }
    if differing:
        yield Notice("conflict", words.served_differs(differing, limits, declared, found))
    for other in found.others:
        if other.mode in (None, found.card.mode) and other.values != found.card.values:
            yield Notice("conflict", words.other_source(other, identity, found))
