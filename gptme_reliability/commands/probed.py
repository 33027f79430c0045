"""``probe``: probes, shows, compares and writes the card."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gptme_reliability.backends import Backend
from gptme_reliability.commands.printing import print_json, print_pairs, print_table, visible
from gptme_reliability.errors import CardError
from gptme_reliability.probe.card import CapabilityCard, as_table, changes
from gptme_reliability.probe.fields import FIELDS, is_bad
from gptme_reliability.probe.finding import UNCLEAR, Finding
from gptme_reliability.probe.run import at_most
from gptme_reliability.surfaces.capabilities import card_path, load_card, save_card
from gptme_reliability.surfaces.probing import probe_server

_FAILED: Final = 1
_KEY: Final = "GPTME_RELIABILITY_UPSTREAM_KEY"
_NOWHERE: Final = "-"


def run(
    url: str, model: str | None, out: str | None, *, compare: bool, as_json: bool, seconds: float
) -> int:
    """Probe a server and print what was found; 1 where a check that matters failed.

    Raises:
        InputError: it cannot be probed, or the card cannot be written.
    """
    key = os.environ.get(_KEY) or None
    card, probed = probe_server(url, model, key=key, seconds=seconds, started=_say_most)
    path = card_path(url, card.model) if out in (None, _NOWHERE) else Path(str(out))
    last = _last(path) if compare else None
    if out != _NOWHERE:
        save_card(card, path)
    changed = changes(last, card) if last is not None else None
    if as_json:
        _print_json(card, changed, last)
    else:
        print_pairs(_summary(card, probed.requests, probed.written))
        print_table(("check", "found", "why"), _rows(card))
        _print_changes(changed, last, compare)
        print_pairs([("card", "" if out == _NOWHERE else str(path))])
    return _FAILED if card.failed() else 0


def _say_most(model: str, backend: Backend) -> None:
    requests, tokens = at_most(backend)
    text = (
        f"probing {model} on {backend}: at most {requests} requests and {tokens} tokens of answers"
    )
    print(visible(text), file=sys.stderr)


def _last(path: Path) -> CapabilityCard | None:
    try:
        return load_card(path)
    except CardError as error:
        print(f"gptme-reliability: {error}", file=sys.stderr)
        return None


def _summary(card: CapabilityCard, requests: int, written: int) -> list[tuple[str, str]]:
    size = card.context
    declared = f"{size.serving} tokens, says {size.source}" if size.serving else "not declared"
    trained = f"; the model was made for {size.trained}" if size.trained else ""
    return [
        ("server", f"{card.endpoint}, {card.backend}"),
        ("model", card.model),
        ("runs", card.runs or ""),
        ("context", declared + trained),
        ("cost", f"{requests} requests, {written} tokens of answers counted"),
    ]


def _rows(card: CapabilityCard) -> list[tuple[str, str, str]]:
    rows = [
        (FIELDS[name].asks, _mark(name, found), found.note) for name, found in card.found.items()
    ]
    return [*rows, *((f"sampling: {name}", how, "") for name, how in card.sampling.items())]


def _mark(name: str, found: Finding) -> str:
    return f"{found.value} (!)" if is_bad(name, found.value) else found.value


def _print_changes(
    changed: Sequence[tuple[str, str, str]] | None, last: CapabilityCard | None, asked: bool
) -> None:
    if last is None or changed is None:
        if asked:
            print("no earlier card to compare with")
        return
    date = last.probed.date().isoformat()
    if not changed:
        print(f"nothing changed since {date}")
    for name, before, after in changed:
        # What is only doubtful now is no news about the server.
        doubt = " (not sure this time)" if after == UNCLEAR else ""
        print(visible(f"changed since {date}: {name}: {before} -> {after}{doubt}"))


def _print_json(
    card: CapabilityCard,
    changed: Sequence[tuple[str, str, str]] | None,
    last: CapabilityCard | None,
) -> None:
    table = {**as_table(card), "failed": list(card.failed())}
    if changed is not None and last is not None:
        table["since"] = last.probed.isoformat(timespec="seconds")
        table["changed"] = {name: {"before": b, "after": a} for name, b, a in changed}
    print_json(table)
