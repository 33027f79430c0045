"""The capability cards of this user: where they lie, and what they say of a model."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gptme_reliability.data import capability_cards_dir
from gptme_reliability.errors import CardError, InputError
from gptme_reliability.probe.card import CapabilityCard, facts, read_card, write_card
from gptme_reliability.surfaces.endpoint import root_of
from gptme_reliability.surfaces.served import Served
from gptme_reliability.types import ModelFacts

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME: Final = 80
_SAME: Final = {"localhost": "127.0.0.1"}
_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a probe found of a model on a server; ``notice`` is what the user should know."""

    facts: ModelFacts = field(default_factory=ModelFacts)
    card: CapabilityCard | None = None
    notice: str = ""


def measured(endpoint: str, model: str, served: Served | None = None) -> Measured:
    """What the card of this server and model says; nothing where there is none.

    ``served`` is what the server just said of itself: a card of another program or another
    model behind the same name is older than that, and not used.
    """
    path = card_path(endpoint, model)
    try:
        card = load_card(path)
    except CardError as error:
        return Measured(notice=str(error))
    if card is None or (place(card.endpoint), card.model) != (place(endpoint), model):
        return Measured()
    changed = _changed(card, served or Served())
    if changed:
        date = card.probed.date().isoformat()
        again = f"gptme-reliability probe {endpoint.rstrip('/')} --model {model}"
        return Measured(notice=f"the probe of {date} is not used: {changed}; again: {again}")
    return Measured(facts(card), card)


def _changed(card: CapabilityCard, served: Served) -> str:
    """What is no longer as the card has it, in words."""
    if served.backend not in ("unknown", card.backend):
        return f"{card.backend} served then, {served.backend} serves now"
    if served.name and card.runs and served.name != card.runs:
        return f"the server ran {card.runs} then and runs {served.name} now"
    return ""


def card_path(endpoint: str, model: str) -> Path:
    """Where the card of a server and model lies; it need not exist."""
    where = place(endpoint)
    name = _UNSAFE.sub("-", f"{where.partition('://')[2]}-{model}").strip("-.")[:_LONGEST_NAME]
    digest = hashlib.sha256(f"{where}\n{model}".encode(errors="replace")).hexdigest()[:8]
    return capability_cards_dir() / f"{name}-{digest}.toml"


def place(endpoint: str) -> str:
    """A server's address, the same for every spelling of it."""
    parts = urlsplit(root_of(endpoint))
    host = parts.hostname or ""
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return f"{parts.scheme}://{_SAME.get(host, host)}:{port}{parts.path.rstrip('/')}"


def load_card(path: Path) -> CapabilityCard | None:
    """The card in a file; None where there is no file.

    Raises:
        CardError: it is none, or cannot be read.
    """
    try:
        stat = path.stat()
        return _load(path, stat.st_mtime_ns, stat.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror}") from None


@lru_cache(maxsize=64)
def _load(path: Path, _changed_ns: int, _size: int) -> CapabilityCard:
    return read_card(path.read_bytes().decode(errors="replace"), str(path))


def save_card(card: CapabilityCard, path: Path) -> None:
    """Write a card.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write_card(card), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
