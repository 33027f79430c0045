"""Which model a name means, in whatever spelling a user, a server or a file gives it.

A name is read against a table of families.
What the table does not say stays unknown: a word that nobody knows makes it another model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from gptme_reliability.model_names.facets import Facets, active_of, read_facets, total_of
from gptme_reliability.model_names.family import Family
from gptme_reliability.model_names.index import Entry, Model, find
from gptme_reliability.model_names.quants import take_quant
from gptme_reliability.model_names.spelling import spell

Mode = Literal["thinking", "instruct", "base"]
LONGEST_NAME: Final = 512


@dataclass(frozen=True, slots=True)
class Identity:
    """What a model's name says about it; unknown is None.

    ``name``: as it was given.
    ``family``: the release line, "Qwen2.5-Coder", in the words of the sampling cards.
    ``variant``: the published model of that family that the name singles out.
    ``size_b``: total parameters in billions, as its maker names them (Gemma's E2B is 2).
    ``active_b``: parameters active per token in billions, for mixtures of experts.
    ``mode``: "thinking" (always reasons), "instruct" (does not), "base" (no chat tuning);
    None where the name does not say, or the model does both.
    ``quant``: "Q4_K_M", "IQ2_XS", "AWQ", "GPTQ-Int4", "FP8", "MXFP4", "4bit".
    ``bits``: approximate bits per weight of that quantisation.
    """

    name: str
    family: str | None = None
    variant: str | None = None
    size_b: float | None = None
    active_b: float | None = None
    mode: Mode | None = None
    quant: str | None = None
    bits: float | None = None


def identify(name: str) -> Identity:
    """Read a name; never raises. A name longer than 512 characters says nothing.

    A name of an unknown family keeps its sizes and its quantisation, if it spells them.
    """
    spelling = spell(name) if len(name) <= LONGEST_NAME else None
    if spelling is None:
        return Identity(name)
    found = find(spelling)
    if found is None:
        said = read_facets(spelling.words)
        return Identity(
            name,
            size_b=total_of(said.size),
            active_b=active_of(said.active),
            quant=spelling.quant,
            bits=spelling.bits,
        )
    entry, said = found
    chat = _means_chat(entry.family, spelling.tagged)
    model = next((m for m in entry.models if _is_meant(m, said, entry.family, chat)), None)
    size_b, active_b = _figures(said, model, entry)
    return Identity(
        name,
        family=entry.family.name,
        variant=model.release.variant if model else None,
        size_b=size_b,
        active_b=active_b,
        mode=_mode(said, model, entry, chat),
        quant=spelling.quant,
        bits=spelling.bits,
    )


def quantised(identity: Identity, label: str) -> Identity:
    """The same model with its weights quantised as somebody says; ``bits`` of an unknown label
    are unknown."""
    _, known, bits = take_quant(label.lower())
    return replace(identity, quant=known or label, bits=bits)


def _means_chat(family: Family, tagged: bool) -> bool:
    """Whether the name means the chat model although it does not say "instruct"."""
    return family.plain == "chat" or (family.plain == "tag" and tagged)


def _is_meant(model: Model, said: Facets, family: Family, chat: bool) -> bool:
    return not said.vague and any(
        said.words == own.words
        and _same_size(said, own, model)
        and _same_mode(said, own, family, chat)
        for own in model.spellings
    )


def _same_size(said: Facets, own: Facets, model: Model) -> bool:
    if said.active and active_of(said.active) != model.active_b:
        return False
    if said.size == own.size:
        return True
    if said.size is None or own.size is not None:
        return False
    return total_of(said.size) == model.size_b


def _same_mode(said: Facets, own: Facets, family: Family, chat: bool) -> bool:
    if said.mode == own.mode:
        return True
    if own.mode == "chat":
        return chat if said.mode is None else said.mode == "instruct"
    if own.mode is None:
        thinks = family.hybrid or bool(family.thinks)
        return said.mode in ("chat", "instruct") or (said.mode == "thinking" and thinks)
    return False


def _figures(said: Facets, model: Model | None, entry: Entry) -> tuple[float | None, float | None]:
    """Total and active parameters in billions, from the model or from all of its namesakes."""
    namesakes = (model,) if model else tuple(m for m in entry.models if _is_namesake(m, said))
    figures = {(namesake.size_b, namesake.active_b) for namesake in namesakes}
    if len(figures) == 1:
        return figures.pop()
    return total_of(said.size), active_of(said.active)


def _is_namesake(model: Model, said: Facets) -> bool:
    """The same model but for its mode: a base, or one trained further."""
    return any(
        own.size == said.size and (own.size is not None or own.words == said.words)
        for own in model.spellings
    )


def _mode(said: Facets, model: Model | None, entry: Entry, chat: bool) -> Mode | None:
    family, mode = entry.family, said.mode
    if mode is None and model:
        mode = model.spellings[0].mode
    elif mode is None and chat and any(m.spellings[0].mode == "chat" for m in entry.models):
        mode = "chat"
    if mode != "base" and family.thinks is not None:
        return "thinking" if family.thinks else "instruct"
    if mode == "chat":
        return None if family.hybrid else "instruct"
    return mode
