"""``cards list`` and ``cards show``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gptme_reliability import contract_words as words
from gptme_reliability.backends import Declared
from gptme_reliability.cards import Ambiguous, Card, Match, Value, find, load_cards, modes_of
from gptme_reliability.cards.card import CardMode
from gptme_reliability.commands.printing import print_json, print_pairs, print_table
from gptme_reliability.data import card_dirs
from gptme_reliability.identity import Identity, identify

_NO_CARD: Final = 1
_HEAD: Final = ("family", "variants", "mode", "values", "grade", "url")


def list_cards(*, as_json: bool) -> int:
    """Print every card.

    Raises:
        CardError: a card file is none.
    """
    cards = load_cards(card_dirs())
    if as_json:
        for card in cards:
            print_json(_fields(card))
    else:
        # A terminal is too narrow for every variant and its page.
        most = 1 if sys.stdout.isatty() else None
        print_table(_HEAD, [_row(card, most) for card in cards])
    return 0


def _row(card: Card, most: int | None) -> tuple[str, ...]:
    models = card.variants or card.names
    urls = [card.url(variant) or "" for variant in card.variants or ("*",)]
    more = f", {len(models) - most} more" if most and len(models) > most else ""
    return (
        card.family or "",
        ", ".join(models[:most]) + more or "all",
        card.mode or "any",
        _values(card),
        card.source.grade,
        " ".join(dict.fromkeys(urls[:most])),
    )


def _values(card: Card) -> str:
    if not card.silent:
        return words.points(card.values)
    return "none yet" if card.source.grade == "own" else "the vendor recommends none"


def _fields(card: Card) -> dict[str, Any]:
    return {
        "id": words.card_id(card),
        "file": str(card.source.path),
        "family": card.family,
        "names": card.names,
        "variants": card.variants,
        "sizes": card.sizes,
        "mode": card.mode,
        "default": card.default,
        "silent": card.silent,
        "values": {name: _numbers(value) for name, value in card.values.items()},
        "presets": {
            name: {"basis": preset.basis, "values": {k: v.point for k, v in preset.values.items()}}
            for name, preset in card.presets.items()
        },
        "required": card.required,
        "forbid_greedy": card.forbid_greedy,
        "chat_template_kwargs": card.chat_template_kwargs,
        "grade": card.source.grade,
        "kind": card.source.kind,
        "read_at": card.source.read_at,
        "checked": card.source.checked.isoformat() if card.source.checked else None,
        "urls": {variant: card.url(variant) for variant in card.variants or ("*",)},
    }


def _numbers(value: Value) -> dict[str, Any]:
    fields = ("point", "low", "high", "below", "chosen_by")
    return {name: got for name in fields if (got := getattr(value, name)) is not None}


def show_cards(model: str, mode: CardMode | None) -> int:
    """Print what a model's name says and every card that speaks of it; 1 where there is none.

    Raises:
        CardError: a card file is none.
    """
    cards = load_cards(card_dirs())
    identity = identify(model)
    print_pairs([("model", model), ("read as", words.parsed(identity))])
    found = _found(identity, cards, mode)
    if not found:
        print(f"\n{words.unknown_model(identity, cards, mode, Declared())}")
        return _NO_CARD
    for match in found:
        if isinstance(match, Ambiguous):
            print(f"\n{words.contradicting_cards(identity, match.cards)}")
        else:
            _print_match(match, identity)
    standing = find(identity, cards, mode)
    if isinstance(standing, Ambiguous) and standing.about == "mode":
        print(f"\n{words.several_modes(identity, standing.cards)}")
    return 0


def _found(
    identity: Identity, cards: Sequence[Card], mode: CardMode | None
) -> list[Match | Ambiguous]:
    """What the model gets in this mode, or in each mode that it runs in."""
    modes = (None,) if mode or identity.mode else (None, *modes_of(identity, cards))
    found: list[Match | Ambiguous] = []
    for each in modes:
        match = find(identity, cards, mode or each)
        if isinstance(match, Match) and any(match.card == seen for seen in _cards(found)):
            continue
        if match and not (isinstance(match, Ambiguous) and match.about == "mode"):
            found.append(match)
    return found


def _cards(found: Sequence[Match | Ambiguous]) -> list[Card]:
    return [match.card for match in found if isinstance(match, Match)]


def _print_match(match: Match, identity: Identity) -> None:
    card = match.card
    print()
    print_pairs(
        [
            ("card", f"{words.card_id(card)}, {card.source.path}"),
            ("mode", f"{card.mode or 'any'}{', the default' if card.default else ''}"),
            ("source", words.authority(card, match.url)),
            ("read at", card.source.read_at or ""),
            ("checked", card.source.checked.isoformat() if card.source.checked else ""),
        ]
    )
    if card.silent:
        print_pairs([("values", _values(card))])
    for name, value in card.values.items():
        print_pairs([(name, _described(value, name in card.required))])
    for name, preset in card.presets.items():
        print_pairs([("preset", f"{name} ({preset.basis}): {words.points(preset.values)}")])
    print_pairs(_facts(card))
    for other in match.others:
        if other.mode in (None, card.mode):
            verdict = "disagrees" if other.values != card.values else "agrees"
            url = other.url(identity.variant)
            line = f"{words.card_id(other)} {verdict}: {_values(other)}"
            print_pairs([("ranks below", f"{line} ({words.authority(other, url)})")])


def _described(value: Value, required: bool) -> str:
    chosen = {"vendor": "chosen by the vendor", "us": "chosen for the card", None: ""}
    parts = (
        f"{value.point:g}",
        words.bounds(value) and f"range: {words.bounds(value)}",
        chosen[value.chosen_by],
        "required" if required else "",
    )
    return ", ".join(part for part in parts if part)


def _facts(card: Card) -> list[tuple[str, str]]:
    return [
        ("greedy", "forbidden" if card.forbid_greedy else ""),
        ("template", _json(card.chat_template_kwargs)),
        ("dialect", card.dialect or ""),
        ("reasoning", " ... ".join(card.reasoning or ())),
        ("native tools", _yes(card.native_tools)),
        ("forcing", _yes(card.force)),
        ("notes", card.notes),
    ]


def _json(table: Mapping[str, Any]) -> str:
    return json.dumps(table, default=str) if table else ""


def _yes(flag: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[flag]
