"""Inputs for the fuzzer: outputs made of what calls are made of, and tools of every sort.

Seeds are the rows under ``tests/cases``; tokens are those of the decoder's own tables.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from gptme_reliability.dialects.markers import MARKERS
from gptme_reliability.dialects.table import CALL_FENCES, ENVELOPE_KEYS, LEAKED_TOKENS, REASONING

CASES: Final = Path(__file__).parent.parent / "cases"
LONGEST: Final = 30_000

TOOLS: Final[tuple[dict[str, Any], ...]] = (
    {
        "name": "shell",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}, "timeout": {"type": "integer"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    },
    {
        "name": "save",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    },
    {
        "name": "search.web",
        "parameters": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "minLength": 1},
                "limit": {"type": ["integer", "null"], "default": 5},
                "sites": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
                "filter": {"type": "object", "properties": {"lang": {"enum": ["en", "de"]}}},
            },
            "required": ["query"],
        },
    },
    {"name": "list_notes", "parameters": {"type": "object", "properties": {}}},
)

_SIGNS: Final[tuple[str, ...]] = (
    *"{}[]()<>\"'`,:=|\\/@#.-_ \n\t\r0",
    *("\n\n", "```", "~~~", '\\"', "\\n"),
)
_WORDS: Final = (
    *("I'll run it:\n", "For example: ", "Let me look.\n\n", "Do not run this: ", "done.", "name"),
    *("Action: shell\nAction Input: ", "Observation: ok\n", "Final Answer: ", "to=functions.shell"),
    *('{"name": "shell", "arguments": ', '{"command": "ls"}', "shell(command='ls')", "[ARGS]"),
    *("<arg_key>command</arg_key>", "<arg_value>ls</arg_value>", "<parameter=command>ls", "call:"),
    *("</parameter>", "</function>", '<parameter name="command">', "</invoke>", "null", "true"),
    *('<|"|>', "<escape>", "[Calling tool: shell(", ">>>shell\n", "@shell(call_1): {", "NaN"),
    *("timeout", "5", "'5'", "1e999", "-0", "0x1F", "1_000", "undefined", "...", "<command>"),
)
_STRANGE: Final = (
    *("\x00", "\ud800", "\udfff", "\u2028", "\ufeff", "\u202e", "\U0001f600", "İ", "ß", "ſ", "K"),
    *("\x0b", "\x1b[0m", "\x85", "\u3000", "e\u0301", "｜", "▁", "“", "’", "…", "\\u", "\\ud83d"),
    *("9" * 60, "9" * 5000, "1." + "3" * 400, "1e" + "9" * 30, "{" * 300, "[" * 300, '{"a":' * 250),
    *("(" * 300, "<a>" * 80, " " * 300, "\n" * 300, "\\" * 301, '"' * 301, "'" * 301, "`" * 100),
)


def _tokens() -> tuple[str, ...]:
    found = [marker.token for marker in MARKERS]
    found += [tag for pair in REASONING for tag in pair]
    found += [*LEAKED_TOKENS, *(f"```{tag}\n" for tag in sorted(CALL_FENCES)), *_WORDS, *_SIGNS]
    found += [f'"{key}": ' for key in sorted(ENVELOPE_KEYS)]
    return tuple(dict.fromkeys(found))


TOKENS: Final = _tokens()


@dataclass(frozen=True, slots=True)
class Seed:
    """An output that somebody wrote down; ``tools`` as a request has them."""

    raw: str
    tools: tuple[Any, ...]


def seeds() -> list[Seed]:
    """The outputs of all rows under ``tests/cases``."""
    found: list[Seed] = []
    for path in sorted(CASES.rglob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            raw = row.get("raw", row.get("text"))
            if isinstance(raw, str) and raw:
                tools = row.get("tools")
                found.append(Seed(raw, tuple(tools) if isinstance(tools, list) else TOOLS))
    return found


# --- mutations ----------------------------------------------------------------------------

Mutation: TypeAlias = Callable[[random.Random, str, list[Seed]], str]


def _range(rnd: random.Random, text: str, longest: int = 60) -> tuple[int, int]:
    start = rnd.randint(0, len(text))
    return start, min(len(text), start + rnd.randint(0, longest))


def _delete(rnd: random.Random, text: str, known: list[Seed]) -> str:
    start, end = _range(rnd, text)
    return text[:start] + text[end:]


def _duplicate(rnd: random.Random, text: str, known: list[Seed]) -> str:
    start, end = _range(rnd, text)
    return text[:end] + text[start:end] * rnd.choice((1, 1, 1, 2, 40)) + text[end:]


def _truncate(rnd: random.Random, text: str, known: list[Seed]) -> str:
    return text[: rnd.randint(0, len(text))]


def _behead(rnd: random.Random, text: str, known: list[Seed]) -> str:
    return text[rnd.randint(0, len(text)) :]


def _swap(rnd: random.Random, text: str, known: list[Seed]) -> str:
    a, b, c = sorted(rnd.randint(0, len(text)) for _ in range(3))
    return text[:a] + text[b:c] + text[a:b] + text[c:]


def _splice(rnd: random.Random, text: str, known: list[Seed]) -> str:
    other = rnd.choice(known).raw
    return text[: rnd.randint(0, len(text))] + other[rnd.randint(0, len(other)) :]


def _nest(rnd: random.Random, text: str, known: list[Seed]) -> str:
    at = rnd.randint(0, len(text))
    return text[:at] + rnd.choice(known).raw + text[at:]


def _insert(rnd: random.Random, text: str, known: list[Seed]) -> str:
    at = rnd.randint(0, len(text))
    return text[:at] + rnd.choice(TOKENS) + text[at:]


def _insert_strange(rnd: random.Random, text: str, known: list[Seed]) -> str:
    at = rnd.randint(0, len(text))
    return text[:at] + rnd.choice(_STRANGE) + text[at:]


def _replace_sign(rnd: random.Random, text: str, known: list[Seed]) -> str:
    at = [index for index, char in enumerate(text) if not char.isalnum() and char != " "]
    if not at:
        return text
    chosen = rnd.choice(at)
    return text[:chosen] + rnd.choice(_SIGNS) + text[chosen + 1 :]


def _change_case(rnd: random.Random, text: str, known: list[Seed]) -> str:
    start, end = _range(rnd, text)
    return text[:start] + text[start:end].swapcase() + text[end:]


def _escape(rnd: random.Random, text: str, known: list[Seed]) -> str:
    start, end = _range(rnd, text, 200)
    return f"{text[:start]}{json.dumps(text[start:end])[1:-1]}{text[end:]}"


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_delete, _delete, _duplicate, _truncate, _behead, _swap, _splice, _nest, _insert, _insert),
    *(_insert_strange, _replace_sign, _replace_sign, _change_case, _escape),
)


def output(rnd: random.Random, known: list[Seed]) -> tuple[str, tuple[Any, ...]]:
    """The text of an answer, and the tools that stood in the request."""
    kind = rnd.random()
    seed = rnd.choice(known)
    if kind < 0.06:
        count = rnd.randint(1, 4)
        unit = "".join(rnd.choice((*TOKENS, *_STRANGE)) for _ in range(count))
        size = rnd.choice((200, 2_000, LONGEST))
        return (unit * (size // len(unit) + 1))[:size], TOOLS
    if kind < 0.09:
        start, end = _range(rnd, seed.raw, 80)
        unit = seed.raw[start:end] or "{"
        return (unit * (LONGEST // len(unit)))[:LONGEST], seed.tools
    if kind < 0.25:
        return "".join(rnd.choice(TOKENS) for _ in range(rnd.randint(1, 25))), TOOLS
    text = seed.raw
    for _ in range(rnd.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        text = rnd.choice(_MUTATIONS)(rnd, text, known)[:LONGEST]
    return text, seed.tools


# --- tools --------------------------------------------------------------------------------

_NAMES: Final = ("a", "b", "command", "path", "", "$", "x.y", "ünï", "a b", "type", "properties")
_SCALARS: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    5,
    -1,
    1.5,
    "",
    "a",
    "5",
    "true",
    "null",
    [],
    {},
    ["a"],
)
_TYPES: Final[tuple[Any, ...]] = (
    *("string", "integer", "number", "boolean", "array", "object", "null"),
    *("str", "List[int]", "any", "", None, 7, ["string", "null"], ["integer", "string"], []),
)
_PATTERNS: Final = ("^a+$", "(a+)+$", "[", "(?i)x", "", "^(a|b|ab)*c$", "\\d{3}")


def schema(rnd: random.Random, depth: int = 3) -> Any:
    """A schema as nobody should write it, or as everybody does."""
    if rnd.random() < 0.05:
        return rnd.choice((True, False, None, "str", 3, [], {}))
    made: dict[str, Any] = {}
    if rnd.random() < 0.8:
        made["type"] = rnd.choice(_TYPES)
    for key, make in _KEYWORDS.items():
        if rnd.random() < 0.13:
            made[key] = make(rnd, depth - 1)
    return made


def _inner(rnd: random.Random, depth: int) -> Any:
    return schema(rnd, depth) if depth > 0 else {"type": "string"}


def _several(rnd: random.Random, depth: int) -> Any:
    return [_inner(rnd, depth) for _ in range(rnd.randint(0, 3))]


def _named(rnd: random.Random, depth: int) -> Any:
    return {rnd.choice(_NAMES): _inner(rnd, depth) for _ in range(rnd.randint(0, 3))}


def _scalar(rnd: random.Random, depth: int) -> Any:
    return rnd.choice(_SCALARS)


def _scalars(rnd: random.Random, depth: int) -> Any:
    return [rnd.choice(_SCALARS) for _ in range(rnd.randint(0, 3))]


def _names(rnd: random.Random, depth: int) -> Any:
    return [rnd.choice(_NAMES) for _ in range(rnd.randint(0, 3))]


def _reference(rnd: random.Random, depth: int) -> Any:
    return rnd.choice(("#", "#/properties/a", "#/$defs/b", "#/nowhere", "http://x/y", "#a", 5))


def _pattern(rnd: random.Random, depth: int) -> Any:
    return rnd.choice(_PATTERNS)


def _patterns(rnd: random.Random, depth: int) -> Any:
    return {rnd.choice(_PATTERNS): _inner(rnd, depth)}


_KEYWORDS: Final[dict[str, Callable[[random.Random, int], Any]]] = {
    **dict.fromkeys(("properties", "$defs", "dependentSchemas"), _named),
    **dict.fromkeys(("items", "additionalProperties", "not", "if", "then", "contains"), _inner),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _several),
    **dict.fromkeys(("default", "const", "minimum", "maxLength", "multipleOf"), _scalar),
    **dict.fromkeys(("nullable",), _scalar),
    **dict.fromkeys(("enum", "examples"), _scalars),
    **dict.fromkeys(("required",), _names),
    **dict.fromkeys(("$ref",), _reference),
    **dict.fromkeys(("pattern",), _pattern),
    **dict.fromkeys(("patternProperties",), _patterns),
}


def strange_tools(rnd: random.Random, tools: tuple[Any, ...]) -> tuple[Any, ...]:
    """Some of these tools with other schemas, in another order, twice or not at all."""
    made: list[Any] = []
    for tool in rnd.sample(tools, len(tools)):
        function = dict(tool.get("function", tool))
        chance = rnd.random()
        if chance < 0.15:
            continue
        if chance < 0.5:
            own = function.get("parameters")
            properties = dict(own.get("properties") or {}) if isinstance(own, dict) else {}
            for name in rnd.sample(sorted(properties), min(2, len(properties))):
                properties[name] = schema(rnd)
            besides = schema(rnd)
            besides = besides if isinstance(besides, dict) else {}
            function["parameters"] = {**besides, "type": "object", "properties": properties}
        elif chance < 0.6:
            function["parameters"] = schema(rnd)
        elif chance < 0.7:
            function["annotations"] = {"readOnlyHint": rnd.choice((True, False, None, "yes"))}
        made += [function] * (2 if chance > 0.95 else 1)
    return tuple(made)
