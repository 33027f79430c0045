"""The rules of ``lint``: what each is about, how grave it is, and what it says.

``error``: a server refuses the definition, or it contradicts itself.
``warning``: small models get it wrong, or a server ignores part of it.
``hint``: it could be clearer.

Pure data, and the finding that a rule makes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "hint"]

MOST_TOOLS: Final = 20
"""More are a burden: OpenAI's guide to function calling advises fewer than 20 at a time."""
MOST_PARAMETERS: Final = 16
"""Parameters of one object; with 48 optional ones calls come out mangled (llama.cpp#28522)."""
DEEPEST: Final = 3
"""Levels of objects and arrays within one parameter's value."""
MOST_REPEATS: Final = 2_000
"""llama.cpp refuses a grammar that repeats a rule more often (llama-grammar.cpp)."""
MOST_TOKENS_TOOL: Final = 1_000
"""Estimated tokens of one tool."""
MOST_TOKENS: Final = 2_048
"""Estimated tokens of all tools: half of the 4,096 that Ollama's context has by default."""
CHARS_PER_TOKEN: Final = 4
"""Characters of compact JSON in a token: an estimate, good to a third or so in English."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that may be wrong with tool definitions; ``message`` is a format string."""

    severity: Severity
    message: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one definition.

    ``path`` leads there from the list of tools, such as
    ``$.tools[2].parameters.properties.timeout``; the envelope ``function`` is no part of it.
    ``tool`` is the name of the tool, None where it has none or all of them are meant.
    """

    rule: str
    severity: Severity
    path: str
    message: str
    tool: str | None = None


RULES: Final[Mapping[str, Rule]] = {
    # --- what servers refuse, and what contradicts itself
    "not_a_tool": Rule("error", "{why}; servers answer 400 or 500 to it"),
    "bad_name": Rule(
        "error",
        "the name {name} is refused by OpenAI and Anthropic: 1 to 64 of A-Z a-z 0-9 _ - may be",
    ),
    "duplicate_name": Rule("error", "{name} is already the name of tool {other}"),
    "top_not_object": Rule("error", "parameters must be a schema of type object, {why}"),
    "malformed": Rule("error", "{keyword} must be {wanted}, not {given}"),
    "unknown_type": Rule("error", "{given} is no type of JSON schema; {remedy}"),
    "broken_ref": Rule("error", "$ref {ref} leads nowhere within these parameters"),
    "no_items": Rule("error", "an array without 'items': OpenAI refuses it, models guess"),
    "required_undefined": Rule("error", "'required' lists {name}, which is no property"),
    "strict_schema": Rule("error", "'strict' is set, so OpenAI refuses it: {why}"),
    "contradiction": Rule("error", "'{keyword}' is {value}, {why}"),
    # --- what small models get wrong, and what servers ignore
    "no_description": Rule("warning", "the tool has no description{also}"),
    "empty_description": Rule("warning", "the description is {text}, which says nothing"),
    "missing_type": Rule("warning", "no type, so models and servers guess one"),
    "wrong_type": Rule("warning", "declared as a string but described as {meant}"),
    "no_required": Rule(
        "warning", "no 'required': nobody can tell which of {names} may be left out; [] if all may"
    ),
    "open_object": Rule("warning", "an object without properties: models have to guess the keys"),
    "no_unit": Rule("warning", "a number without a unit; try {name}, or describe it"),
    "no_format": Rule("warning", "{what} without a format; say it, as in {example}"),
    "enum_in_words": Rule("warning", "the description lists its values; make {values} an enum"),
    "mixed_enum": Rule("warning", "an enum of several types, which some chat templates refuse"),
    "bad_parameter_name": Rule(
        "warning", "the name {name} is easily misquoted, and refused by Anthropic's API"
    ),
    "similar_tools": Rule("warning", "{name} is easily taken for {other}"),
    "same_description": Rule("warning", "described word for word like {other}"),
    "similar_parameters": Rule("warning", "{name} is easily taken for {other}"),
    "refused_keyword": Rule("warning", "'{keyword}' is refused by OpenAI in strict mode"),
    "huge_bound": Rule(
        "warning", "'{keyword}' of {value}: grammars repeat no more than {most} times"
    ),
    "too_deep": Rule("warning", "nested {depth} levels deep; models lose track beyond {most}"),
    "many_parameters": Rule("warning", "{count} parameters; models lose track beyond {most}"),
    "many_tools": Rule("warning", "{count} tools; small models pick wrongly beyond {most}"),
    "costly_tools": Rule(
        "warning",
        "about {count} tokens (estimate: characters / 4), {most} being half a small context",
    ),
    # --- what could be clearer
    "undescribed": Rule("hint", "no description of {names}"),
    "vague_description": Rule("hint", "the description {text} says no more than the name"),
    "vague_parameter": Rule("hint", "the description {text} says no more than the name"),
    "no_path_form": Rule("hint", "say whether it is absolute or relative, and to what"),
    "json_in_string": Rule("hint", "JSON within a string needs double escapes; declare its type"),
    "negative_boolean": Rule("hint", "a boolean that says no: 'false' then means yes"),
    "reserved_name": Rule("hint", "{name} is {why}, so some models or templates trip over it"),
    "uneven_keyword": Rule("hint", "'{keyword}' {fate}"),
    "costly_tool": Rule("hint", "about {count} tokens (estimate: characters / 4)"),
}
"""All rules by id."""

_LONGEST: Final = 60


def found(rule: str, path: str, tool: str | None, **words: Any) -> Finding:
    """The finding of a rule at a place; ``words`` fill its message."""
    return Finding(rule, RULES[rule].severity, path, RULES[rule].message.format_map(words), tool)


def shown(value: Any) -> str:
    """A value on one line, shortened: text in quotes, containers by what they are."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, default=str)
    line = "".join(c if c.isprintable() else " " for c in text[: _LONGEST + 1])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def counted(number: int, noun: str) -> str:
    """How many there are: "1 tool", "2 tools"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: list[str], most: int = 3) -> str:
    """Some names on one line."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + rest
