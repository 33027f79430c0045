"""Cases of the task: a request, the tools on offer, and the calls that are right.

The same seed makes the same cases, on every machine.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from gptme_reliability.types import Call, ToolDefinition
from tiny.tools import (
    CHATS,
    CITIES,
    ENDINGS,
    FOLDERS,
    FOREIGN,
    NO_TOOL,
    TOOLS,
    WORDS,
    Parameter,
    Tool,
)

_KINDS: Final = {"one": 50, "two": 16, "chat": 8, "foreign": 14, "missing": 12}
"""What a request is, in percent: for one tool, for two, small talk, for what no tool ever does,
for a tool that exists but is not on offer."""
_LEAD: Final = ("", "", "", "please ", "can you ", "hey, ")


@dataclass(frozen=True, slots=True)
class Offered:
    """A tool under the names that it has in one conversation."""

    tool: Tool
    name: str
    names: Mapping[str, str]

    @property
    def definition(self) -> ToolDefinition:
        """As it goes over the wire."""
        schema = {
            "type": "object",
            "properties": {self.names[p.key]: _schema(p) for p in self.tool.parameters},
            "required": [self.names[p.key] for p in self.tool.parameters if not p.extra],
        }
        return ToolDefinition(self.name, schema)


@dataclass(frozen=True, slots=True)
class Case:
    """``calls`` are right for ``request``; without any, ``answer`` is."""

    request: str
    offered: tuple[Offered, ...]
    calls: tuple[Call, ...]
    answer: str = ""

    @property
    def tools(self) -> tuple[ToolDefinition, ...]:
        """What is on offer."""
        return tuple(one.definition for one in self.offered)


def make(random: Random, offered: tuple[Offered, ...] = ()) -> Case:
    """One case, with these tools on offer or with any."""
    offered = offered or _named(random.sample(TOOLS, random.choice((2, 2, 3, 3, 4, 5))), random)
    tools = [one.tool for one in offered]
    kind = random.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
    if kind == "chat":
        request, answer = random.choice(CHATS)
        return Case(_said(request, random), offered, (), answer)
    if kind == "foreign":
        words, city = random.choice(WORDS), random.choice(CITIES)
        request = random.choice(FOREIGN).format(words=words, city=city)
        return Case(_said(request, random), offered, (), NO_TOOL)
    if kind == "missing":
        missing = random.choice([tool for tool in TOOLS if tool not in tools])
        request, _ = _wanted(_named([missing], random)[0], random)
        return Case(_said(request, random), offered, (), NO_TOOL)
    asked = [_wanted(one, random) for one in random.sample(offered, 2 if kind == "two" else 1)]
    request = " and ".join(request for request, _ in asked)
    return Case(_said(request, random), offered, tuple(call for _, call in asked))


def cases(count: int, seed: int) -> list[Case]:
    """That many cases."""
    random = Random(seed)
    return [make(random) for _ in range(count)]


def _named(tools: Sequence[Tool], random: Random) -> tuple[Offered, ...]:
    """The tools under names of which no two are the same."""
    offered: list[Offered] = []
    for tool in tools:
        free = [name for name in tool.names if name not in {one.name for one in offered}]
        names: dict[str, str] = {}
        for parameter in tool.parameters:
            left = [name for name in parameter.names if name not in names.values()]
            names[parameter.key] = random.choice(left)
        offered.append(Offered(tool, random.choice(free), names))
    return tuple(offered)


def _wanted(offered: Offered, random: Random) -> tuple[str, Call]:
    """A request, and the call that it wants."""
    request, arguments = random.choice(offered.tool.asks), dict[str, Any]()
    said: dict[str, str] = {}
    for parameter in offered.tool.parameters:
        if parameter.extra and random.random() < 0.5:
            continue
        request += parameter.extra or ""
        said[parameter.key], value = _value(parameter, random)
        arguments[offered.names[parameter.key]] = value
    return request.format(**said), Call(offered.name, arguments)


def _said(request: str, random: Random) -> str:
    request = random.choice(_LEAD) + request
    if random.random() < 0.3:
        request = request[0].upper() + request[1:]
    return request + random.choice(("", "", ".", "?", "!"))


def _value(parameter: Parameter, random: Random) -> tuple[str, Any]:
    """A value as it is said, and as it stands in a call."""
    match parameter.kind:
        case "boolean":
            value = random.random() < 0.5
            return parameter.choices[value], value
        case "integer":
            number = random.randint(1, 12 if random.random() < 0.5 else 120)
            return str(number), number
        case "number":
            amount = random.randint(2, 199) / 2
            return f"{amount:g}", int(amount) if amount.is_integer() else amount
        case "enum":
            chosen = random.choice(parameter.choices)
        case "city":
            chosen = random.choice(CITIES)
        case "path":
            folder, ending = random.choice(FOLDERS), random.choice(ENDINGS)
            chosen = f"{folder}/{random.choice(WORDS)}.{ending}"
        case "words":
            chosen = " ".join(random.choice(WORDS) for _ in range(random.choice((1, 2, 2, 3))))
    return chosen, chosen


def _schema(parameter: Parameter) -> dict[str, Any]:
    if parameter.kind == "enum":
        return {"type": "string", "enum": list(parameter.choices)}
    kind = parameter.kind if parameter.kind in ("integer", "number", "boolean") else "string"
    return {"type": kind}


def drill(random: Random) -> tuple[str, str]:
    """A request to copy, and the answer: what copying is learned from."""
    words = [_word(random) for _ in range(random.randint(1, 6))]
    shape = random.randrange(4)
    if shape == 0:
        return "repeat: " + " ".join(words), " ".join(words)
    keys = {random.choice(_NAMES): word for word in words[:4]}
    pairs = ", ".join(f"{key}={word}" for key, word in keys.items())
    values = {key: int(word) if word.isdigit() else word for key, word in keys.items()}
    if shape == 1:
        return f"as json: {pairs}", json.dumps(values)
    name = random.choice(_TOOL_NAMES)
    call = json.dumps({"name": name, "arguments": values})
    return f"call {name} with {pairs}", f"<tool_call>\n{call}\n</tool_call>"


def _word(random: Random) -> str:
    kind = random.random()
    if kind < 0.15:
        return str(random.randint(1, 120))
    if kind < 0.3:
        return "".join(random.choices(string.ascii_lowercase, k=random.randint(2, 7)))
    return random.choice(CITIES if kind < 0.4 else WORDS)


_NAMES: Final = tuple(sorted({n for tool in TOOLS for p in tool.parameters for n in p.names}))
_TOOL_NAMES: Final = tuple(sorted({name for tool in TOOLS for name in tool.names}))
