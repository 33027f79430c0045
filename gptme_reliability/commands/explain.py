"""``cards explain``: what would be sent for a model, and why each value."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from gptme_reliability import contract_words as words
from gptme_reliability.cards import load_cards
from gptme_reliability.cards.card import CardMode
from gptme_reliability.commands.printing import print_json, print_pairs, print_table, visible
from gptme_reliability.contract import Broken, Contract, Wire, contract, on_wire
from gptme_reliability.data import card_dirs, user_cards_dir
from gptme_reliability.errors import InputError
from gptme_reliability.identity import Identity
from gptme_reliability.surfaces.endpoint import ask_server
from gptme_reliability.surfaces.keys import layers
from gptme_reliability.surfaces.schema import checked
from gptme_reliability.surfaces.served import Served, meant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NO_CONTRACT: Final = 1
_TABLE: Final = "plugin.reliability"
_VARIABLES: Final = {"TEMPERATURE": "temperature", "TOP_P": "top_p"}
"""The environment variables that gptme itself reads."""
NOBODY: Final = Served()
"""A server that was not asked."""


def explain(model: str, endpoint: str | None, mode: CardMode | None, *, as_json: bool) -> int:
    """Print what would be sent, or why nothing would be; 1 for the latter.

    Raises:
        InputError: the server cannot be reached, an environment variable is no number, or
            gptme's config is no TOML.
        ConfigError: a setting in it is wrong.
        CardError: a card file is none.
    """
    served = ask_server(endpoint, model) if endpoint else NOBODY
    identity, agreed, wire = agree(model, served, mode)
    if as_json:
        print_json(_fields(model, identity, served, agreed, wire))
    else:
        _print(model, identity, served, agreed, wire)
    return _NO_CONTRACT if isinstance(wire, Broken) else 0


def agree(
    model: str, served: Served, mode: CardMode | None = None
) -> tuple[Identity, Contract | Broken, Wire | Broken]:
    """What a model's name says with what its server says, and what would be sent to it.

    Raises:
        InputError: an environment variable is no number, or gptme's config is no TOML.
        ConfigError: a setting in it is wrong.
        CardError: a card file is none.
    """
    cards = load_cards(card_dirs())
    said = said_of(model)
    identity = meant(model, served, cards)
    agreed = contract(
        identity,
        cards,
        given=_environment(os.environ),
        overrides={
            "sampling": said.get("sampling"),
            "mode": _mode(said.get("thinks")),
            "quant": said.get("quant"),
        },
        declared=served.declared,
        mode=mode,
        tools=True,
        unknown=said.get("unknown", "refuse"),
    )
    return (
        identity,
        agreed,
        agreed if isinstance(agreed, Broken) else on_wire(agreed, served.backend),
    )


def said_of(model: str) -> dict[str, Any]:
    """What the user's gptme config says of a model.

    Raises:
        InputError: it cannot be read, or is no TOML.
        ConfigError: a setting in it is wrong.
    """
    path = user_cards_dir().parents[1] / "config.toml"
    if not path.exists():
        return {}
    try:
        plugins = tomllib.loads(path.read_text(encoding="utf-8")).get("plugin", {})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not isinstance(plugins, Mapping):
        raise InputError(f"{path}: [plugin] must be a table")
    section = checked(plugins.get("reliability", {}), str(path), _TABLE)
    name = model if "/" in model else f"local/{model}"
    return {key: value for key, value, _ in layers(section, name, str(path), _TABLE)}


def _mode(thinks: bool | None) -> CardMode | None:
    return None if thinks is None else "thinking" if thinks else "instruct"


def _environment(env: Mapping[str, str]) -> dict[str, float]:
    """What the user set there."""
    given: dict[str, float] = {}
    for variable, name in _VARIABLES.items():
        text = env.get(variable, "").strip()
        try:
            given |= {name: float(text)} if text else {}
        except ValueError:
            raise InputError(f"environment variable {variable}={text} is no number") from None
    return given


def _print(
    model: str, identity: Identity, served: Served, agreed: Contract | Broken, wire: Wire | Broken
) -> None:
    runs = f"{identity.name}, says the server" if identity.name != model else ""
    card = f"{agreed.card_id or 'none'}" if isinstance(agreed, Contract) else ""
    page = agreed.url or "" if isinstance(agreed, Contract) else ""
    print_pairs(
        [
            ("model", model),
            ("runs", runs),
            ("read as", words.parsed(identity)),
            ("server", "not asked" if served is NOBODY else served.backend),
            ("declares", served.declared.note),
            ("card", f"{card}, {page}" if page else card),
        ]
    )
    if isinstance(agreed, Contract) and isinstance(wire, Wire):
        print()
        print_table(("sent", "value", "why"), _rows(agreed, wire))
        for loss in wire.not_applied:
            how = f"; {loss.how}" if loss.how else ""
            print(visible(f"not applied: {loss.parameter} {loss.value}: {loss.why}{how}"))
        for notice in agreed.notices:
            print(visible(f"note: {notice.text}"))
    elif isinstance(wire, Broken):
        print(f"\n{wire.message}")


def _rows(agreed: Contract, wire: Wire) -> list[tuple[str, str, str]]:
    lost = {loss.parameter for loss in wire.not_applied}
    rows = [
        (name, f"{chosen.value:g}", _why(chosen.source, chosen.grade, chosen.url))
        for name, chosen in agreed.values.items()
        if name not in lost
    ]
    if agreed.chat_template_kwargs and "chat_template_kwargs" not in lost:
        arguments = json.dumps(dict(agreed.chat_template_kwargs), default=str)
        rows.append(("chat_template_kwargs", arguments, f"mode {agreed.facts.mode}"))
    return rows


def _why(source: str, grade: str | None, url: str | None) -> str:
    details = ", ".join(part for part in (grade, url) if part)
    return f"{source} ({details})" if details else source


def _fields(
    model: str, identity: Identity, served: Served, agreed: Contract | Broken, wire: Wire | Broken
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "model": model,
        "runs": identity.name,
        "family": identity.family,
        "backend": served.backend,
        "declared": dict(served.declared.values),
    }
    if isinstance(wire, Broken):
        return {**fields, "broken": wire.kind, "message": wire.message}
    assert isinstance(agreed, Contract)
    return {
        **fields,
        "card": agreed.card_id,
        "sent": dict(wire.params),
        "why": {
            name: _why(chosen.source, chosen.grade, chosen.url)
            for name, chosen in agreed.values.items()
        },
        "not_applied": [
            {"parameter": n.parameter, "value": n.value, "why": n.why, "how": n.how}
            for n in wire.not_applied
        ],
        "notices": [{"kind": n.kind, "text": n.text} for n in agreed.notices],
    }
