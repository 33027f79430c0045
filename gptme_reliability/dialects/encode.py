"""How calls are written in a dialect, the other way round from ``decode``.

JSON carries every value, so the law is simple: what is written here is read back as exactly the
same calls, without a repair.  Sources: the chat templates of the named families.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gptme_reliability.errors import InputError
from gptme_reliability.types import Call

Encoder: TypeAlias = Callable[[Sequence[Call]], str]

_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,120}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,120}")


class EncodingError(InputError):
    """A call cannot be written in this dialect so that it reads back the same."""


def encode(calls: Sequence[Call], dialect: str) -> str:
    """Write the calls as a model of this family would.

    Raises:
        EncodingError: the dialect is unknown, a name is none that a dialect can carry, or an
            argument is no JSON value.
    """
    encoder = ENCODERS.get(dialect)
    if encoder is None:
        known = ", ".join(sorted(ENCODERS))
        raise EncodingError(f"no encoder for dialect {dialect!r}; known are: {known}")
    for call in calls:
        if not _NAME.fullmatch(call.name):
            raise EncodingError(f"the tool name {call.name!r} cannot be written as a call")
        _refuse_no_json(call.arguments, "$")
    return encoder(calls) if calls else ""


def _refuse_no_json(value: Any, path: str) -> None:
    """Refuse what ``json.dumps`` would change or write as no JSON: 1 as a key, a tuple, NaN."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise EncodingError(f"{path}: the key {key!r} is no string")
            _refuse_no_json(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_no_json(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise EncodingError(f"{path}: {value!r} is no JSON number")
    elif not (value is None or isinstance(value, str | bool | int | float)):
        raise EncodingError(f"{path}: {value!r} is no JSON value")


def _json(value: Any) -> str:
    """JSON on one line, in which no marker of any dialect can stand: ``<`` and ``[`` in strings
    are escaped, as are all characters outside ASCII."""
    text = json.dumps(dict(value) if isinstance(value, Mapping) else value)
    return _STRING.sub(lambda match: _escaped(match[0]), text)


_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_MARKING: Final = re.compile(r"[<>\[\]`@|]")


def _escaped(literal: str) -> str:
    return _MARKING.sub(lambda match: f"\\u{ord(match[0]):04x}", literal)


def _named(call: Call, key: str = "arguments") -> str:
    return f'{{"name": {json.dumps(call.name)}, "{key}": {_json(call.arguments)}}}'


def _hermes(calls: Sequence[Call]) -> str:
    return "\n".join(f"<tool_call>\n{_named(call)}\n</tool_call>" for call in calls)


def _mistral(calls: Sequence[Call]) -> str:
    return "".join(f"[TOOL_CALLS]{call.name}[ARGS]{_json(call.arguments)}" for call in calls)


def _array(calls: Sequence[Call]) -> str:
    return "[" + ", ".join(_named(call) for call in calls) + "]"


def _mistral_array(calls: Sequence[Call]) -> str:
    return f"[TOOL_CALLS]{_array(calls)}"


def _llama3_json(calls: Sequence[Call]) -> str:
    return "; ".join(_named(call, "parameters") for call in calls)


def _plain_json(calls: Sequence[Call]) -> str:
    return _named(calls[0]) if len(calls) == 1 else _array(calls)


def _python(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_python, value)) + "]"
    if isinstance(value, str):
        # Python reads the two halves of an escaped emoji as two characters.
        return _escaped(json.dumps(value, ensure_ascii=False))
    return repr(value)


def _keyword_call(call: Call) -> str:
    for word in (*call.name.split("."), *call.arguments):
        if not word.isidentifier() or keyword.iskeyword(word):
            raise EncodingError(f"{call.name}: {word!r} cannot stand as a name in a Python call")
    values = (f"{key}={_python(value)}" for key, value in call.arguments.items())
    return f"{call.name}({', '.join(values)})"


def _pythonic(calls: Sequence[Call]) -> str:
    return "[" + ", ".join(map(_keyword_call, calls)) + "]"


def _gptme(calls: Sequence[Call]) -> str:
    """gptme's tool format; it reads a call only with an id."""
    for call in calls:
        if call.id is not None and not _ID.fullmatch(call.id):
            raise EncodingError(f"{call.name}: the call id {call.id!r} cannot be written")
    return "\n".join(
        f"@{call.name}({call.id or f'call-{index}'}): {_json(call.arguments)}"
        for index, call in enumerate(calls)
    )


ENCODERS: Final[Mapping[str, Encoder]] = {
    "hermes": _hermes,
    "mistral": _mistral,
    "mistral_array": _mistral_array,
    "llama3_json": _llama3_json,
    "plain_json": _plain_json,
    "pythonic": _pythonic,
    "gptme": _gptme,
}
"""Every dialect that can be written."""
