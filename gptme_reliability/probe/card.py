"""Capability cards: what a probe found, as a file, as facts, and against an earlier one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, cast

from gptme_reliability.errors import CardError
from gptme_reliability.probe.context import Context
from gptme_reliability.probe.fields import FIELDS, STRUCTURED, is_bad
from gptme_reliability.probe.finding import UNCLEAR, Finding
from gptme_reliability.types import ModelFacts, Structured

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_VERSION: Final = 1
_BOOL: Final[Mapping[str, bool]] = {"yes": True, "no": False, "rejected": False}
# Calls that leak were at least prompted for in the model's own way; see ``facts``.
_NATIVE: Final[Mapping[str, bool]] = {"yes": True, "dropped": False, "rejected": False}


@dataclass(frozen=True, slots=True)
class CapabilityCard:
    """What a server at ``endpoint`` did for ``model`` at the time ``probed``.

    ``runs`` is what the server said it really runs, None where it did not tell.
    """

    endpoint: str
    model: str
    backend: str
    probed: datetime
    runs: str | None = None
    found: Mapping[str, Finding] = field(default_factory=dict)
    sampling: Mapping[str, str] = field(default_factory=dict)
    context: Context = field(default_factory=Context)

    def value(self, name: str) -> str:
        """What was found under a name."""
        return self.found[name].value if name in self.found else UNCLEAR

    def failed(self) -> tuple[str, ...]:
        """The fields that make the server unusable as it stands."""
        return tuple(name for name, each in self.found.items() if is_bad(name, each.value))


def facts(card: CapabilityCard) -> ModelFacts:
    """What a card says of a model, in the words of the ways of asking.

    Calls that leak into the text leave ``native_tools`` unknown: they are read there, and tools
    in the model's own prompt are worth more than tools in ours.
    """
    held, structured = card.value("response_format"), card.value("structured")
    other = structured if structured in STRUCTURED and structured != "response_format" else None
    enforced = held == "enforced" or other is not None
    return ModelFacts(
        native_tools=_NATIVE.get(card.value("native_tools")),
        tool_choice=_BOOL.get(card.value("tool_choice_required")),
        response_format=True if enforced else False if held != UNCLEAR else None,
        structured=cast("Structured | None", other),
        source="probe",
    )


def beneath(known: ModelFacts, measured: ModelFacts) -> ModelFacts:
    """What the model's name and sampling card say, and what was measured on its server.

    What either of them denies is denied: a model may be no good at what its server does.
    """
    return replace(
        known,
        native_tools=_both(known.native_tools, measured.native_tools),
        tool_choice=_both(known.tool_choice, measured.tool_choice),
        response_format=_both(known.response_format, measured.response_format),
        structured=known.structured or measured.structured,
        source=known.source or measured.source,
    )


def above(said: ModelFacts, known: ModelFacts) -> ModelFacts:
    """What somebody said, and where they said nothing, what is known."""
    values = {entry.name: getattr(said, entry.name) for entry in fields(said)}
    return replace(known, **{name: value for name, value in values.items() if value is not None})


def _both(one: bool | None, other: bool | None) -> bool | None:
    if one is None or other is None:
        return other if one is None else one
    return one and other


def changes(old: CapabilityCard, new: CapabilityCard) -> list[tuple[str, str, str]]:
    """What differs, as (name, before, after)."""
    before, after = dict(_words(old)), dict(_words(new))
    names = dict.fromkeys((*before, *after))
    pairs = [(name, before.get(name, "unknown"), after.get(name, "unknown")) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _words(card: CapabilityCard) -> Iterator[tuple[str, str]]:
    yield "backend", card.backend
    yield "runs", card.runs or "unknown"
    for name, found in card.found.items():
        yield name, found.value
    for name, how in card.sampling.items():
        yield f"sampling.{name}", how
    yield "context", str(card.context.serving or "unknown")


def as_table(card: CapabilityCard) -> dict[str, Any]:
    """A card as JSON and TOML have it; what is unknown is left out."""
    size = card.context
    context = {"serving": size.serving, "trained": size.trained, "source": size.source or None}
    table: dict[str, Any] = {
        "version": _VERSION,
        "endpoint": card.endpoint,
        "model": card.model,
        "runs": card.runs,
        "backend": card.backend,
        "probed": card.probed.isoformat(timespec="seconds"),
        "found": {name: found.value for name, found in card.found.items()},
        "notes": {name: found.note for name, found in card.found.items() if found.note},
        "sampling": dict(card.sampling),
        "context": {name: value for name, value in context.items() if value is not None},
    }
    return {name: value for name, value in table.items() if value is not None}


# --- files --------------------------------------------------------------------------------


def write_card(card: CapabilityCard) -> str:
    """The text of a card's file."""
    table = as_table(card)
    lines = [f"# What {_clean(card.endpoint)} was found to do. Probe again to renew it."]
    lines += [f"{name} = {_toml(v)}" for name, v in table.items() if not isinstance(v, dict)]
    for name, section in table.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in section.items()]
    return "\n".join([*lines, ""])


def _toml(value: str | int) -> str:
    return str(value) if isinstance(value, int) else json.dumps(_clean(value), ensure_ascii=False)


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def read_card(text: str, where: str) -> CapabilityCard:
    """Read a card; fields that are not known here are passed over.

    Raises:
        CardError: it is none; ``where`` names the file.
    """
    try:
        return _read(tomllib.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CardError(f"{where} is no capability card ({reason}); probe again") from None


def _read(table: Mapping[str, Any]) -> CapabilityCard:
    if table["version"] != _VERSION:
        raise ValueError(f"version {table['version']!r} is unknown")
    notes, size = table.get("notes", {}), table.get("context", {})
    probed = datetime.fromisoformat(_text(table["probed"]))
    if probed.tzinfo is None:
        raise ValueError("the time of the probe has no time zone")
    return CapabilityCard(
        endpoint=_text(table["endpoint"]),
        model=_text(table["model"]),
        backend=_text(table["backend"]),
        probed=probed,
        runs=_text(table["runs"]) if "runs" in table else None,
        found={
            name: Finding(_text(value), _text(notes.get(name, "")))
            for name, value in table["found"].items()
            if name in FIELDS
        },
        sampling={name: _text(value) for name, value in table.get("sampling", {}).items()},
        context=Context(size.get("serving"), size.get("trained"), _text(size.get("source", ""))),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} should be a text")
    return value
