"""``cards check`` and ``cards new``: the user's own cards."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gptme_reliability import contract_words as words
from gptme_reliability.cards import Card, Match, find, load_cards
from gptme_reliability.cards.checking import check_cards
from gptme_reliability.commands.printing import visible
from gptme_reliability.data import data_dir, user_cards_dir
from gptme_reliability.errors import InputError
from gptme_reliability.identity import LONGEST_NAME, Identity, identify

_FAULTS: Final = 1
_LONGEST_FILE: Final = 80
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")

_WILD: Final = re.compile(r"([*?\[])")

_SKELETON: Final = """\
# Sampling values for {model}.
# Read from its name: {parsed}.
{others}
[source]
grade = 'own'
kind = 'own'

[[models]]
{match}
# As long as this line stands, the model is refused. Put values in its place.
silent = true
# values = {{ temperature = 0.7, top_p = 0.8, top_k = 20 }}
#   also known: min_p, presence_penalty, frequency_penalty, repetition_penalty

# mode = 'thinking'                  # or 'instruct': write an entry for each mode it has
# chat_template_kwargs = {{ enable_thinking = true }}
# forbid_greedy = true               # refuse temperature 0
# required = ['top_k']               # refuse servers that do not apply it
# native_tools = true                # its own template knows tools
# notes = 'where the values come from'
"""


def check_own(files: Sequence[Path]) -> int:
    """Print every fault of these files, of all own cards without any; 1 if there are faults."""
    directory = user_cards_dir()
    checked = list(files) or sorted(directory.glob("*.toml"))
    problems = check_cards(checked)
    for problem in problems:
        print(visible(problem))
    if problems:
        return _FAULTS
    if not checked:
        print(f"no cards in {directory}")
    else:
        print(f"{len(checked)} file{'s' if len(checked) > 1 else ''} checked, no faults")
    return 0


def begin_card(model: str, output: str | None) -> int:
    """Write a card for a model to fill in.

    Raises:
        InputError: the name is none, or the file exists or cannot be written.
    """
    if not model.strip() or len(model) > LONGEST_NAME or not model.isprintable():
        raise InputError(f"a model's name is one line of at most {LONGEST_NAME} characters")
    text = skeleton(identify(model), load_cards([data_dir("sampling_cards")]))
    if output == "-":
        sys.stdout.write(text)
        return 0
    path = Path(output) if output else user_cards_dir() / f"{_file_name(model)}.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            raise InputError(f"{path} exists; edit it, or name another file with -o") from None
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    print(path)
    print("fill in its values, then run: gptme-reliability cards check", file=sys.stderr)
    return 0


def skeleton(identity: Identity, cards: Sequence[Card]) -> str:
    """The text of a card for a model: a right card, which leaves the choice to the user."""
    return _SKELETON.format(
        model=identity.name,
        parsed=words.parsed(identity),
        others="".join(f"# {line}\n" for line in _others(identity, cards)),
        match=_match(identity),
    )


def _match(identity: Identity) -> str:
    """What makes the card match this model: what its name says, else the name itself."""
    if identity.family and identity.variant:
        lines = [
            f"family = {_quoted(identity.family)}",
            f"variants = [{_quoted(identity.variant)}]",
        ]
    else:
        last = identity.name.rsplit("/", 1)[-1] or identity.name
        literal = _WILD.sub(r"[\1]", last)
        lines = [f"names = [{_quoted(literal)}]"]
    # A card that names no mode speaks of tuned models only.
    return "\n".join([*lines, "mode = 'base'"] if identity.mode == "base" else lines)


def _others(identity: Identity, cards: Sequence[Card]) -> list[str]:
    """What the shipped cards say of the model."""
    found = find(identity, cards)
    matching = (found.card, *found.others) if isinstance(found, Match) else ()
    return [
        f"Known: {words.points(card.values)} ({words.authority(card, card.url(identity.variant))})"
        for card in matching
        if card.values
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if "'" in text else f"'{text}'"


def _file_name(model: str) -> str:
    last = model.strip().rstrip("/").rsplit("/", 1)[-1]
    return _UNSAFE.sub("-", last).strip("-.")[:_LONGEST_FILE] or "model"
