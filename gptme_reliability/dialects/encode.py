"""How calls are written in a dialect, the other way round from ``decode``.

One law: what is written here is read back as exactly the same calls, without a repair.  JSON
carries every value.  Dialects of bare text do not: their values are typed by the tool's schema,
and some texts end a value early.  So everything written is read back, and refused if it differs.
Sources: the chat templates of the named families.
"""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from gptme_reliability.dialects import host_formats
from gptme_reliability.dialects.decode import decode
from gptme_reliability.dialects.markers import CLOSING, FILLING, OPENING
from gptme_reliability.dialects.shapes import RawCall, Span
from gptme_reliability.dialects.table import LEAKED_TOKENS, REASONING
from gptme_reliability.errors import EncodingError
from gptme_reliability.repair.reading import child_path, same
from gptme_reliability.repair.typed import type_values
from gptme_reliability.types import Call, ToolDefinition

__all__ = ["ENCODERS", "EncodingError", "encode"]

_Writer: TypeAlias = Callable[[Sequence[Call]], str]
_TextWriter: TypeAlias = Callable[[Sequence[Call], Sequence[ToolDefinition]], str]
_Reader: TypeAlias = Callable[[str, Sequence[ToolDefinition]], tuple[Span, ...]]

_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,120}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,120}")
_HALF: Final = re.compile(r"[\ud800-\udfff]")


def encode(calls: Sequence[Call], dialect: str, tools: Sequence[ToolDefinition] = ()) -> str:
    """Write the calls as a model of this family would.

    ``tools`` define the called tools; only the dialects of bare text need them, whose values
    are what the tool's schema says.

    Raises:
        EncodingError: the dialect is unknown, a tool that it needs is, a name is none that a
            dialect can carry, an argument is no JSON value, or one would be read as another.
    """
    if dialect not in ENCODERS:
        known = ", ".join(sorted(ENCODERS))
        raise EncodingError(f"no encoder for dialect {dialect!r}; known are: {known}")
    for call in calls:
        if not _NAME.fullmatch(call.name):
            raise EncodingError(f"the tool name {call.name!r} cannot be written as a call")
        _refuse_no_json(call.arguments, "$")
    if not calls:
        return ""
    if dialect in _TEXT_WRITERS:
        tools = [_definition(call, tools, dialect) for call in calls]
        _refuse_half_characters(calls)
        written = _TEXT_WRITERS[dialect](calls, tools)
    else:
        written = _WRITERS[dialect](calls)
    _refuse_other_reading(written, calls, tools, dialect)
    return written


def _definition(call: Call, tools: Sequence[ToolDefinition], dialect: str) -> ToolDefinition:
    for tool in tools:
        if tool.name == call.name:
            return tool
    raise EncodingError(f"{call.name}: {dialect} can only be written with the tool's definition")


def _refuse_half_characters(calls: Sequence[Call]) -> None:
    """Bare text has no escape for what no encoding can carry."""
    for call in calls:
        for key, value in call.arguments.items():
            if _HALF.search(json.dumps(value, ensure_ascii=False)):
                raise EncodingError(f"{call.name}: {child_path('$', key)} holds half a character")


def _refuse_other_reading(
    written: str, calls: Sequence[Call], tools: Sequence[ToolDefinition], dialect: str
) -> None:
    """Read back what was written; name the arguments that come out otherwise."""
    reader = _READERS.get(dialect)
    spans = reader(written, tools) if reader else decode(written, [call.name for call in calls])
    found = [raw for span in spans for raw in span.calls]
    for call, raw in zip_longest(calls, found):
        if call is None:
            raise EncodingError(f"{calls[-1].name}: it would be read as several calls in {dialect}")
        got = _read_arguments(raw, tools) if raw and raw.name == call.name else None
        if got is None or not same(got, call.arguments):
            paths = [
                child_path("$", key)
                for key, value in call.arguments.items()
                if got is None or key not in got or not same(got[key], value)
            ]
            what = ", ".join(paths) or "the call"
            raise EncodingError(f"{call.name}: {what} would be read otherwise in {dialect}")


def _read_arguments(raw: RawCall, tools: Sequence[ToolDefinition]) -> Mapping[str, Any] | None:
    """The arguments as ``check`` reads them; none where that takes a repair."""
    values, repairs = raw.arguments, raw.repairs
    if raw.flaw is None and raw.untyped:
        tool = next((tool for tool in tools if tool.name == raw.name), ToolDefinition(""))
        values, typed = type_values(values, tool.parameters, {})
        repairs += typed
    return values if isinstance(values, Mapping) and not repairs and not raw.flaw else None


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
    """JSON on one line, in whose strings no marker stands: other readers look for them first."""
    text = json.dumps(dict(value) if isinstance(value, Mapping) else value, ensure_ascii=False)
    return _STRING.sub(lambda match: _escaped(match[0]), text)


_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKENS: Final = "|".join(
    [
        *(OPENING, CLOSING.pattern, FILLING.pattern, r"</?(?:function|parameter)\b"),
        *(re.escape(token) for pair in REASONING for token in pair),
        *(re.escape(token) for token in LEAKED_TOKENS),
    ]
)
# An escape as it stands, half a character, or the sign with which a token begins.
_MARKING: Final = re.compile(rf"\\.|{_HALF.pattern}|(?=(?:{_TOKENS}))[^\w\s\\\"]", re.IGNORECASE)


def _escaped(literal: str) -> str:
    return _MARKING.sub(
        lambda found: found[0] if found[0][0] == "\\" else f"\\u{ord(found[0]):04x}", literal
    )


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


def _qwen3_coder(calls: Sequence[Call], tools: Sequence[ToolDefinition]) -> str:
    return "\n".join(map(_qwen3_coder_call, calls))


def _qwen3_coder_call(call: Call) -> str:
    values = "".join(
        f"<parameter={key}>\n{value if isinstance(value, str) else _json(value)}\n</parameter>\n"
        for key, value in call.arguments.items()
    )
    return f"<tool_call>\n<function={call.name}>\n{values}</function>\n</tool_call>"


_WRITERS: Final[Mapping[str, _Writer]] = {
    "hermes": _hermes,
    "mistral": _mistral,
    "mistral_array": _mistral_array,
    "llama3_json": _llama3_json,
    "plain_json": _plain_json,
    "pythonic": _pythonic,
    "gptme": _gptme,
}
# Bare text: what it means depends on the tool's schema.
_TEXT_WRITERS: Final[Mapping[str, _TextWriter]] = {
    "qwen3_coder": _qwen3_coder,
    host_formats.MARKDOWN: host_formats.write_markdown,
    host_formats.XML: host_formats.write_xml,
}
_READERS: Final[Mapping[str, _Reader]] = {
    host_formats.MARKDOWN: host_formats.decode_markdown,
    host_formats.XML: host_formats.decode_xml,
}
HOST_DIALECTS: Final = frozenset(_READERS)
"""Those in which a host has calls written; no model has learnt them."""

ENCODERS: Final = (*_WRITERS, *_TEXT_WRITERS)
"""Every dialect that can be written."""
