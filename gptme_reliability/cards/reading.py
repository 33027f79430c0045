"""From a card file to cards: every fault is one line that names the file and the place in it.

The same rules stand in ``schema.json``, for editors and ``checking.py``; they are checked here by
hand because that costs a tenth, and every request may have to wait for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from math import inf
from pathlib import Path
from typing import Any, Final, TypeAlias

from gptme_reliability.cards.card import GRADES, KINDS, Card, Preset, Source, Value
from gptme_reliability.errors import CardError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Table: TypeAlias = Mapping[str, Any]
_Check: TypeAlias = Callable[[Any, str], Any]

BOUNDS: Final[Mapping[str, tuple[float, float]]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (0, 1000),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "repetition_penalty": (0, 2),
}
"""Every sampling value that a card may give, with the least and the greatest that make sense."""
_ABOVE_ZERO: Final = ("top_p", "repetition_penalty")


def load_cards(directories: Sequence[Path], family: str | None = None) -> tuple[Card, ...]:
    """The cards of all ``*.toml`` files; those of an earlier directory win.

    With ``family``, files that name neither it nor models by ``names`` are passed over unread.
    A directory that does not exist holds no cards.

    Raises:
        CardError: a file is no card, or cannot be read.
    """
    return tuple(
        card
        for place, directory in enumerate(directories)
        for path in sorted(directory.glob("*.toml"))
        for card in _cards_of(path, place, family)
    )


def _cards_of(path: Path, place: int, family: str | None) -> tuple[Card, ...]:
    text = read_text(path)
    if family is not None and not _may_name(text, family):
        return ()
    return read_cards(text, path, place)


def _may_name(text: str, family: str) -> bool:
    """Whether cards of this family may stand in a text; a backslash may spell any name."""
    return any(part in text for part in (f"'{family}'", f'"{family}"', "names", "\\"))


def read_text(path: Path) -> str:
    """The text of a card file.

    Raises:
        CardError: it cannot be read.
    """
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"{path}: cannot be read ({error}); make it readable UTF-8") from None


def parse(text: str, path: Path) -> dict[str, Any]:
    """The TOML table of a card file, whose name serves for messages only.

    Raises:
        CardError: the text is no TOML.
    """
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CardError(f"{path}: no TOML ({error}); mend the syntax") from None
    return table


def read_cards(text: str, path: Path, place: int = 0) -> tuple[Card, ...]:
    """The cards of one file, whose name serves for messages only.

    Raises:
        CardError: the text is no TOML, or no card.
    """
    try:
        return _file(parse(text, path), path, place)
    except _Fault as fault:
        raise CardError(f"{path}: {fault}") from None


class _Fault(Exception):
    """What is wrong, where, and what to do, without the file."""


def _file(table: _Table, path: Path, place: int) -> tuple[Card, ...]:
    _refuse_unknown(table, ("source", "urls", "models"), "")
    source = _source(_need(table, "source", _table, ""), table.get("urls", {}), path, place)
    models = _need(table, "models", _list, "")
    if not models:
        raise _Fault("'models' is empty; add a [[models]] entry")
    return tuple(_card(entry, source, f"models[{n}]") for n, entry in enumerate(models))


def _source(table: _Table, urls: Any, path: Path, place: int) -> Source:
    where = "source"
    _refuse_unknown(table, ("grade", "kind", "read_at", "checked"), where)
    grade = _need(table, "grade", _GRADE, where)
    kind = _need(table, "kind", _KIND, where)
    if (grade == "own") != (kind == "own"):
        raise _Fault(f"{where}: 'grade' and 'kind' must both be 'own' or neither; correct one")
    for page, url in _table(urls, "urls").items():
        if not (isinstance(url, str) and url.startswith("https://") and len(url) > 12):
            raise _Fault(f"urls.{page}: {url!r} is no https URL; give the page's address")
    published = grade != "own"
    return Source(
        path,
        grade,
        kind,
        read_at=_optional(table, "read_at", _words, where, published),
        urls=urls,
        checked=_optional(table, "checked", _day, where, published),
        place=place,
    )


def _card(entry: Any, source: Source, where: str) -> Card:
    fields = {
        key: _field(key, value, where)
        for key, value in _table(entry, where).items()
        if key not in ("values", "presets", "chosen_by")
    }
    chosen_by = entry.get("chosen_by")
    if chosen_by is not None:
        _CHOSEN(chosen_by, f"{where}.chosen_by")
    if fields.get("family") is not None and "*" not in source.urls:
        fields.setdefault("variants", tuple(source.urls))
    card = Card(
        source,
        values=_values(entry.get("values", {}), chosen_by, f"{where}.values"),
        presets=_presets(entry.get("presets", {}), chosen_by, f"{where}.presets"),
        **fields,
    )
    _check_rules(card, where)
    _check_values(card, where)
    return card


def _field(key: str, value: Any, where: str) -> Any:
    check = _FIELDS.get(key)
    if check is None:
        raise _Fault(f"{where}: unknown key {key!r}; known are {', '.join(_MODEL_KEYS)}")
    return check(value, f"{where}.{key}")


def _check_rules(card: Card, where: str) -> None:
    """What a match rule needs beside it."""
    if bool(card.names) == (card.family is not None):
        raise _Fault(f"{where}: needs either 'family' or 'names'; give one of them")
    if card.names and (card.variants or card.sizes):
        raise _Fault(f"{where}: 'names' stands alone; remove 'variants' and 'sizes'")
    if card.source.grade == "own":
        return
    for variant in card.variants or ("*",):
        if card.url(variant) is None:
            raise _Fault(f"{where}: no URL for {variant!r}; add it to [urls]")


def _check_values(card: Card, where: str) -> None:
    """What values and the words about them must agree on."""
    if card.silent == bool(card.values):
        raise _Fault(f"{where}: needs either 'values' or 'silent = true'; give one of them")
    for name in card.required:
        if name not in card.values:
            raise _Fault(f"{where}.required: {name!r} has no value; add it to 'values'")
    for values in (card.values, *(preset.values for preset in card.presets.values())):
        if card.forbid_greedy and _is_greedy(values):
            raise _Fault(f"{where}: greedy values, and 'forbid_greedy' is set; drop one of them")
        if card.source.grade != "own" and any(v.chosen_by is None for v in values.values()):
            raise _Fault(f"{where}: nobody chose the values; add chosen_by = 'vendor' or 'us'")


def _is_greedy(values: Mapping[str, Value]) -> bool:
    """Whether only the likeliest token can be drawn."""
    return any(
        name in values and values[name].point == point
        for name, point in (("temperature", 0), ("top_k", 1))
    )


def _presets(table: Any, chosen_by: Any, where: str) -> dict[str, Preset]:
    presets: dict[str, Preset] = {}
    for name, preset in _table(table, where).items():
        _PRESET(name, where)
        here = f"{where}.{name}"
        values = {key: value for key, value in _table(preset, here).items() if key != "basis"}
        if not values:
            raise _Fault(f"{here}: no values; add one or remove the preset")
        basis = _need(preset, "basis", _BASIS, here)
        presets[name] = Preset(_values(values, chosen_by, here), basis)
    return presets


def _values(table: Any, chosen_by: Any, where: str) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, value in _table(table, where).items():
        if name not in BOUNDS:
            raise _Fault(f"{where}: unknown value {name!r}; known are {', '.join(BOUNDS)}")
        here = f"{where}.{name}"
        if isinstance(value, Mapping):
            values[name] = _range(name, value, chosen_by, here)
        else:
            values[name] = Value(_number(name, value, here), chosen_by=chosen_by)
    return values


def _range(name: str, table: _Table, chosen_by: Any, where: str) -> Value:
    """A point, with the bounds that were published around it or who chose it."""
    _refuse_unknown(table, ("point", "min", "max", "below", "chosen_by"), where)
    numbers = {
        key: _number(name, table[key], f"{where}.{key}")
        for key in ("min", "max", "below")
        if key in table
    }
    if not numbers and "chosen_by" not in table:
        raise _Fault(f"{where}: neither bounds nor 'chosen_by'; write the number alone")
    value = Value(
        _need(table, "point", lambda point, here: _number(name, point, here), where),
        numbers.get("min"),
        numbers.get("max"),
        numbers.get("below"),
        _CHOSEN(table["chosen_by"], f"{where}.chosen_by") if "chosen_by" in table else chosen_by,
    )
    if not value.admits(value.point):
        raise _Fault(f"{where}: the point {value.point} lies outside the range; move one of them")
    return value


def _number(name: str, value: Any, where: str) -> float:
    low, high = BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int if name == "top_k" else int | float):
        kind = "a whole number" if name == "top_k" else "a number"
        raise _Fault(f"{where}: must be {kind}, not {value!r}; correct it")
    if not low <= value <= high or (value == 0 and name in _ABOVE_ZERO):
        least = f"above {low}," if name in _ABOVE_ZERO else f"from {low}"
        raise _Fault(f"{where}: {value!r} is out of range; give a number {least} up to {high}")
    return float(value) if name != "top_k" else value


def _table(value: Any, where: str) -> _Table:
    if not isinstance(value, dict):
        raise _Fault(f"{where}: must be a table, not {value!r}; write it as one")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _Fault(f"{where}: must be a list, not {value!r}; put it in brackets")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Fault(f"{where}: must be a text, not {value!r}; put it in quotes")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    texts = tuple(_text(item, where) for item in _list(value, where))
    if not texts:
        raise _Fault(f"{where}: is empty; fill or remove it")
    return texts


def _words(value: Any, where: str) -> str:
    """A text of several lines, as one."""
    return " ".join(_text(value, where).split())


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _Fault(f"{where}: must be true or false, not {value!r}; write one of them")
    return value


def _day(value: Any, where: str) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _Fault(f"{where}: must be a date like 2026-11-21, not {value!r}; no quotes")
    return value


def _sizes(value: Any, where: str) -> tuple[float, float]:
    table = _table(value, where)
    _refuse_unknown(table, ("min", "max"), where)
    low, high = _need(table, "min", _billions, where), _need(table, "max", _billions, where)
    if low > high:
        raise _Fault(f"{where}: 'min' is above 'max'; swap them")
    return low, high


def _billions(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < inf:
        raise _Fault(f"{where}: must be a number of billions, not {value!r}; correct it")
    return float(value)


def _tags(value: Any, where: str) -> tuple[str, str]:
    tags = _texts(value, where)
    if len(tags) != 2:
        raise _Fault(f"{where}: needs two tags, the opening and the closing; give both")
    return tags[0], tags[1]


def _one_of(*words: str) -> _Check:
    def check(value: Any, where: str) -> Any:
        if value not in words:
            raise _Fault(f"{where}: {value!r} is unknown; use {' or '.join(map(repr, words))}")
        return value

    return check


def _need(table: _Table, key: str, check: _Check, where: str) -> Any:
    path = f"{where}.{key}" if where else key
    if key not in table:
        raise _Fault(f"{where + ': ' if where else ''}{key!r} is missing; add it")
    return check(table[key], path)


def _optional(table: _Table, key: str, check: _Check, where: str, needed: bool) -> Any:
    return _need(table, key, check, where) if needed or key in table else None


def _refuse_unknown(table: _Table, known: Sequence[str], where: str) -> None:
    for key in table:
        if key not in known:
            place = f"{where}: " if where else ""
            raise _Fault(f"{place}unknown key {key!r}; known are {', '.join(known)}")


_GRADE: Final = _one_of(*GRADES)
_KIND: Final = _one_of(*KINDS)
_PRESET: Final = _one_of("tool_calling", "coding", "general", "quantised", "repetition")
_CHOSEN: Final = _one_of("vendor", "us")
_BASIS: Final = _one_of("published", "evaluation", "example")
_FIELDS: Final[Mapping[str, _Check]] = {
    "family": _text,
    "names": _texts,
    "variants": _texts,
    "sizes": _sizes,
    "mode": _one_of("thinking", "instruct", "base"),
    "default": _flag,
    "silent": _flag,
    "required": _texts,
    "forbid_greedy": _flag,
    "chat_template_kwargs": _table,
    "dialect": _text,
    "reasoning": _tags,
    "native_tools": _flag,
    "force": _flag,
    "notes": _words,
}
_MODEL_KEYS: Final = (*_FIELDS, "chosen_by", "values", "presets")
