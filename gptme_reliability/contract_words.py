"""The sentences of the sampling contract: why there is none, and what to know when there is one.

Each is one paragraph without a line break, whatever a model is called.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.cards.card import Card, Match, Value
from gptme_reliability.cards.matching import modes_of, nearest
from gptme_reliability.identity import Identity

if TYPE_CHECKING:
    from gptme_reliability.backends import Declared, NotApplied
    from gptme_reliability.contract_values import Chosen

USER: Final = "set by you"
CONFIG: Final = "set in your config for this model"
_LONGEST: Final = 120
_THINKS: Final = re.compile(r"thinks = (?:true|false) \((\w+)\)")

LOW_BITS_SOURCE: Final = (
    "https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/quantize.cpp"
)


def card_id(card: Card) -> str:
    """The file of a card without its ending, and the mode it speaks of, if it names one."""
    return f"{card.source.path.stem} ({card.mode})" if card.mode else card.source.path.stem


def parsed(identity: Identity) -> str:
    """What the reading of a model's name gave, in words."""
    size = f"{identity.size_b:g}B" if identity.size_b is not None else None
    active = f"{identity.active_b:g}B active" if identity.active_b is not None else None
    known = {
        "family": identity.family or "unknown",
        "variant": identity.variant,
        "size": ", ".join(part for part in (size, active) if part) or "unknown",
        "mode": identity.mode,
        "quantisation": identity.quant,
    }
    return ", ".join(f"{key} {_shown(value)}" for key, value in known.items() if value)


def unknown_model(
    identity: Identity, cards: Sequence[Card], mode: str | None, declared: Declared
) -> str:
    """No card, and nobody said a temperature."""
    modes = modes_of(identity, cards) if mode else ()
    where = f" in mode {mode}; its cards are for {' and '.join(modes)}" if modes else ""
    near = nearest(identity, cards)
    return _paragraph(
        f"No sampling card describes the model {_name(identity)}{where}.",
        "Its values are not guessed.",
        f"Read from its name: {parsed(identity)}.",
        f"Nearest cards: {', '.join(near) or 'none'}.",
        _declares(declared),
        f"Three ways out: describe it with `gptme-reliability cards new {_argument(identity)}`;"
        f" set at least temperature under {_section(identity)};"
        f' or set unknown = "warn" to send what the host sends.',
    )


def in_python(message: str, identity: Identity) -> str:
    """The same for who calls a function, and has no section of a config to mend."""
    message = message.replace(
        f"set at least temperature under {_section(identity)}",
        'give at least given={"temperature": …}',
    )
    message = message.replace(
        'set unknown = "warn" to send what the host sends', 'give unknown="warn" to get no values'
    )
    message = message.replace(f" under {_section(identity, '')}", "")
    return _THINKS.sub(r'mode="\1"', message)


def silent_vendor(identity: Identity, found: Match, declared: Declared) -> str:
    """There is a card, and it says that the vendor recommends nothing."""
    card = found.card
    others = "; ".join(
        f"{card_id(other)} ({authority(other, other.url(identity.variant))})"
        f" has {points(other.values)}"
        for other in found.others
        if other.values
    )
    begun = f"write a card of your own with `gptme-reliability cards new {_argument(identity)}`"
    reason = f"The vendor of {_name(identity)} recommends no sampling values"
    if card.source.grade == "own":
        reason = f"Your card for {_name(identity)} has no sampling values"
        begun = f"put values into {_text(str(card.source.path))}"
    return _paragraph(
        f"{reason} ({authority(card, found.url)}), so the choice is yours.",
        f"Read from its name: {parsed(identity)}.",
        card.notes,
        f"Others' choices, not the vendor's: {others}." if others else "",
        _declares(declared),
        f"Three ways out: set at least temperature under {_section(identity)};"
        f' {begun}; or set unknown = "warn" to send what the host sends.',
    )


def several_modes(identity: Identity, cards: Sequence[Card]) -> str:
    """The model runs in several modes, and nothing says in which."""
    known = "; ".join(
        f"{card.mode}: {points(card.values)} ({authority(card, card.url(identity.variant))})"
        for card in cards
        if card.mode
    )
    modes = list(dict.fromkeys(card.mode for card in cards if card.mode))
    choice = " or ".join(f"thinks = {str(mode == 'thinking').lower()} ({mode})" for mode in modes)
    return _paragraph(
        f"{_name(identity)} is sampled differently in each of its modes,"
        f" and nothing says which one is wanted: {known}.",
        f"Read from its name: {parsed(identity)}.",
        f"Set {choice} under {_section(identity, '')}.",
    )


def contradicting_cards(identity: Identity, cards: Sequence[Card]) -> str:
    """Equally specific cards of the same rank disagree."""
    known = "; ".join(f"{card.source.path}: {points(card.values)}" for card in cards)
    return _paragraph(
        f"Two sampling cards match {_name(identity)} equally well and disagree ({known}).",
        f"Read from its name: {parsed(identity)}.",
        "Make one more specific or remove it: `gptme-reliability cards check` finds such pairs.",
    )


def out_of_range(name: str, chosen: Chosen, limit: Value, found: Match) -> str:
    """The user chose what the card rules out."""
    return _paragraph(
        f"{name} {chosen.value:g} ({chosen.source}) is outside what the model's source admits:"
        f" {bounds(limit)} ({authority(found.card, found.url)}).",
        f"Leave it out to send {limit.point:g}, choose one inside,"
        " or write a card of your own with `gptme-reliability cards new`, which wins.",
    )


def greedy(identity: Identity, name: str, chosen: Chosen, found: Match, limit: Value | None) -> str:
    """Greedy decoding where it is forbidden."""
    instead = f" to send {limit.point:g}" if limit else ""
    way_out = f"Leave {name} out{instead}, or set a value that is not greedy"
    if chosen.origin == "served":
        better = f", such as {limit.point:g}" if limit else ""
        way_out = f"Change it there, or set a {name} yourself that is not greedy{better}"
    return _paragraph(
        f"{name} {chosen.value:g} ({chosen.source}) is greedy decoding, which the source of"
        f" {_name(identity)} forbids ({authority(found.card, found.url)}).",
        f"{way_out}; a card of your own (`gptme-reliability cards new`) wins.",
    )


def required(name: str, loss: NotApplied, card: Card, url: str | None) -> str:
    """The server does not apply what the card calls indispensable."""
    return _paragraph(
        f"{loss.parameter} {_shown(loss.value)} is indispensable for {_text(name)}"
        f" ({authority(card, url)}), and it would not be applied: {loss.why}.",
        f"To set it there: {loss.how}." if loss.how else "Serve the model with another program.",
    )


def nobody_checked(identity: Identity) -> str:
    """There is a contract without a card."""
    return (
        f"no sampling card describes {_name(identity)} ({parsed(identity)}):"
        " its values were checked against nothing"
    )


def left_alone(identity: Identity, found: Match | None) -> str:
    """Nobody described the model, and the user allowed that."""
    why = "its vendor recommends nothing" if found else "no sampling card describes it"
    return (
        f'{_name(identity)} ({parsed(identity)}): {why}, and unknown = "warn" is set,'
        " so the sampling values stay as the host sends them"
    )


def quoted(found: Match) -> str:
    """The card was seen only as somebody else tells it."""
    page = f"; the original: {found.url}" if found.url else ""
    return (
        f"the sampling values of card {card_id(found.card)} were seen only as others quote them"
        f" ({found.card.source.read_at}){page}"
    )


def low_bits(identity: Identity) -> str:
    """Little is left of the weights."""
    return (
        f"{_shown(identity.quant)} keeps about {identity.bits:g} bits of a weight, and below"
        " about 4 the loss grows steeply: llama.cpp lists a perplexity of Llama 3 8B that rises by"
        " 0.18 at Q4_K_M, 0.66 at Q3_K_M, 1.63 at Q3_K_S and 3.52 at Q2_K"
        f" ({LOW_BITS_SOURCE})"
    )


def served_differs(
    differing: Mapping[str, float], limits: Mapping[str, Value], declared: Declared, found: Match
) -> str:
    """The served model declares something else than its card."""
    each = ", ".join(f"{k} {v:g} (card: {limits[k].point:g})" for k, v in differing.items())
    return (
        f"{declared.source} declares {each}; what the served model declares counts before"
        f" card {card_id(found.card)}"
    )


def other_source(other: Card, identity: Identity, found: Match) -> str:
    """A source of less authority says something else."""
    says = "no recommendation" if other.silent else points(other.values)
    return (
        f"{card_id(other)} says otherwise, and ranks below {card_id(found.card)}:"
        f" {says} ({authority(other, other.url(identity.variant))})"
    )


def no_table(value: Any) -> str:
    """``sampling`` is no table."""
    return f"sampling = {_shown(value)} must be a table, such as {{ temperature = 0.7 }}"


def unknown_value(key: Any, known: Sequence[str]) -> str:
    """``sampling`` holds something that is no sampling value."""
    return f"sampling has an unknown value {_shown(key)}; known are {', '.join(known)}"


def no_number(name: str, value: Any, where: str) -> str:
    """A value is no number, or no whole one."""
    kind = "a whole number" if name == "top_k" else "a number"
    return f"{name} {_shown(value)} ({where}) must be {kind}"


def out_of_bounds(name: str, value: float, where: str, low: float, high: float) -> str:
    """No sampler takes this number."""
    return f"{name} {_shown(value)} ({where}) makes no sense; give a number from {low} to {high}"


def no_mode(mode: Any, known: Sequence[str]) -> str:
    """A mode that does not exist."""
    return f"mode {_shown(mode)} is unknown; use {' or '.join(map(repr, known))}"


def no_arguments(value: Any) -> str:
    """Template arguments that are no table."""
    return f"chat_template_kwargs {_shown(value)} must be an object"


def bounds(value: Value) -> str:
    """A published range, in words."""
    parts = (
        ("at least", value.low),
        ("at most", value.high),
        ("below", value.below),
    )
    return " and ".join(f"{word} {number:g}" for word, number in parts if number is not None)


def points(values: Mapping[str, Value]) -> str:
    """The points of sampling values, in words."""
    return ", ".join(f"{k} {v.point:g}" for k, v in values.items()) or "no recommendation"


def authority(card: Card, url: str | None) -> str:
    """What a card rests on: grade, kind and page."""
    return ", ".join(part for part in (card.source.grade, card.source.kind, url) if part)


def _declares(declared: Declared) -> str:
    if declared.values:
        listed = ", ".join(f"{key} {value:g}" for key, value in declared.values.items())
        return f"The server declares {listed}, and no temperature ({declared.source})."
    return f"{declared.note}." if declared.note else ""


def _section(identity: Identity, table: str = ".sampling") -> str:
    return f"[plugin.reliability.models.{_name(identity)}{table}]"


def _argument(identity: Identity) -> str:
    return shlex.quote(_text(identity.name))


def _name(identity: Identity) -> str:
    return json.dumps(_text(identity.name), ensure_ascii=False)


def _shown(value: Any) -> str:
    return _text(value) if isinstance(value, str) else _text(repr(value))


def _text(text: str) -> str:
    """A text of somebody else's on one line, shortened."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _paragraph(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
