"""How each family of models writes its calls, one small writer per spelling.

A ``Family`` row says what stands around the calls, a writer what one call looks like.  The
spellings follow the published chat templates of the named models.  ``make_families.py`` turns
them into test rows; nothing here knows what is expected of a row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Arguments: TypeAlias = Mapping[str, Any]
NamedCall: TypeAlias = tuple[str, Arguments]
Writer: TypeAlias = Callable[[str, Arguments, int], str]
Style: TypeAlias = Literal["json", "text", "python", "literal"]


@dataclass(frozen=True, slots=True)
class Family:
    """One spelling: the calls with ``sep`` between, inside ``head`` and ``tail``.

    ``id`` is the dialect, ``variant`` its spelling when there are several.  ``style`` says how
    values are written.  ``closes`` are endings that a model may leave out although every value
    is complete, ``ends`` is the closing marker with which a complete answer ends, if any.
    ``marked`` is False where the words alone do not make a call explicit.  ``mention`` is what
    prose about the family would name.  ``lead`` and ``answer`` are templates for prose before a
    call and for an answer without one; ``think`` delimits reasoning, ``orphan`` says that its
    opening may stand in the prompt, ``own_markers`` that a value may hold the family's markers.
    """

    id: str
    one: Writer
    head: str = ""
    sep: str = "\n"
    tail: str = ""
    style: Style = "json"
    variant: str = ""
    closes: tuple[str, ...] = ()
    ends: str = ""
    many: bool = True
    marked: bool = True
    mention: str = ""
    lead: str = "{text}\n\n{call}"
    answer: str = "{text}"
    think: tuple[str, str] = ("<think>", "</think>")
    orphan: bool = True
    own_markers: bool = True

    @property
    def label(self) -> str:
        """The prefix of its rows' ids."""
        return f"{self.id}.{self.variant}" if self.variant else self.id

    def write(self, *calls: NamedCall) -> str:
        """An answer that makes these calls and nothing else."""
        written = (self.one(name, args, index) for index, (name, args) in enumerate(calls))
        return self.head + self.sep.join(written) + self.tail


def dump(value: Any) -> str:
    """JSON as models write it: readable letters, a space after colon and comma."""
    return json.dumps(value, ensure_ascii=False)


def plain_text(value: Any) -> str:
    """A value between tags: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else dump(value)


def python_literal(value: Any, quote: str = '"') -> str:
    """A Python literal with the given quotes around strings."""
    if isinstance(value, str):
        return dump(value) if quote == '"' else repr(value)
    if isinstance(value, Mapping):
        members = (
            f"{python_literal(key, quote)}: {python_literal(member, quote)}"
            for key, member in value.items()
        )
        return "{" + ", ".join(members) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(python_literal(item, quote) for item in value) + "]"
    return repr(value)


def gemma_literal(value: Any, quote: str) -> str:
    """A value in the notation of the Gemma templates: bare keys, a token as quotation mark."""
    if isinstance(value, str):
        return f"{quote}{value}{quote}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{gemma_literal(v, quote)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(gemma_literal(item, quote) for item in value) + "]"
    return dump(value)


# --- writers ------------------------------------------------------------------------------


def json_object(
    before: str = "", after: str = "", name_key: str = "name", args_key: str = "arguments"
) -> Writer:
    """``before{"name": N, "arguments": {…}}after``."""
    return lambda name, args, index: before + dump({name_key: name, args_key: args}) + after


def named_json(template: str, after: str = "") -> Writer:
    """The name inside ``template`` (``%n``; ``%i`` is the call's index), then the arguments."""

    def write(name: str, args: Arguments, index: int) -> str:
        return template.replace("%n", name).replace("%i", str(index)) + dump(args) + after

    return write


def tagged(opening: str, parameter: str, closing: str) -> Writer:
    """Text between tags; ``%n`` stands for the name, ``%k`` and ``%v`` for key and value."""

    def write(name: str, args: Arguments, index: int) -> str:
        body = "".join(
            parameter.replace("%k", key).replace("%v", plain_text(value))
            for key, value in args.items()
        )
        return opening.replace("%n", name) + body + closing.replace("%n", name)

    return write


def python_call(quote: str = '"', after: str = "") -> Writer:
    """``f(a=1, b="x")``."""

    def write(name: str, args: Arguments, index: int) -> str:
        listed = ", ".join(f"{k}={python_literal(v, quote)}" for k, v in args.items())
        return f"{name}({listed}){after}"

    return write


def gemma_call(before: str, quote: str, after: str) -> Writer:
    """``call:N{k:v,…}`` between markers."""
    return lambda name, args, index: f"{before}call:{name}{gemma_literal(args, quote)}{after}"


def mistral_array(name: str, args: Arguments, index: int) -> str:
    return dump({"name": name, "arguments": args, "id": f"aB3dE6gH{index}"})


def apertus(name: str, args: Arguments, index: int) -> str:
    return dump({name: args})


def command_r7b(name: str, args: Arguments, index: int) -> str:
    return "    " + dump({"tool_call_id": str(index), "tool_name": name, "parameters": args})


def command_r(name: str, args: Arguments, index: int) -> str:
    written = json.dumps({"tool_name": name, "parameters": args}, ensure_ascii=False, indent=4)
    return "\n".join("    " + line for line in written.splitlines())


def python_dict(name: str, args: Arguments, index: int) -> str:
    return python_literal({"name": name, "arguments": args}, "'")


def legacy_call(name: str, args: Arguments, index: int) -> str:
    return dump({"type": "function", "function": {"name": name, "arguments": dump(args)}})


def dsml(name: str, args: Arguments, index: int) -> str:
    lines = [f'<｜DSML｜invoke name="{name}">']
    for key, value in args.items():
        flag = "true" if isinstance(value, str) else "false"
        opening = f'<｜DSML｜parameter name="{key}" string="{flag}">'
        lines.append(f"{opening}{plain_text(value)}</｜DSML｜parameter>")
    return "\n".join([*lines, "</｜DSML｜invoke>"])


M3: Final = "]<]minimax[>["


def _m3_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(f"{M3}<{k}>{_m3_value(v)}{M3}</{k}>" for k, v in value.items())
    if isinstance(value, list):
        return "".join(f"{M3}<item>{_m3_value(item)}{M3}</item>" for item in value)
    return plain_text(value)


def minimax_m3(name: str, args: Arguments, index: int) -> str:
    return f'{M3}<invoke name="{name}">{_m3_value(args)}{M3}</invoke>\n'


_K3_TYPES: Final = {str: "string", bool: "boolean", int: "number", float: "number", list: "array"}


def kimi_k3(name: str, args: Arguments, index: int) -> str:
    parts = [f'<|open|>call tool="{name}" index="{index + 1}"<|sep|>']
    for key, value in args.items():
        kind = "null" if value is None else _K3_TYPES.get(type(value), "object")
        parts.append(f'<|open|>argument key="{key}" type="{kind}"<|sep|>{plain_text(value)}')
        parts.append("<|close|>argument<|sep|>")
    return "".join([*parts, "<|close|>call<|sep|>"])
