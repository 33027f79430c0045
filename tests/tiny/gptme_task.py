"""What gptme is asked to do in the tiny model's world, and the steps that are right.

A step is one call, what gptme answers to it, and how the model repeats that.  The same seed makes
the same errands, on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from gptme_reliability.types import Call, ToolDefinition
from tiny.tools import CHATS, ENDINGS, FOLDERS, FOREIGN, NO_TOOL, WORDS

_KINDS: Final = {"one": 58, "two": 14, "chat": 10, "foreign": 8, "missing": 10}
"""What a request is, in percent: for one step, for two, small talk, for what no tool ever does,
for a tool that is not on offer."""
_LEAD: Final = ("", "", "", "please ", "can you ", "hey, ")
_STRANGE: Final = tuple(ask for ask in FOREIGN if "delete" not in ask and "folder" not in ask)

_STRING: Final = {"type": "string"}
_FILE: Final = {"path": _STRING, "content": _STRING}
_PARAMETERS: Final[Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]]] = {
    "append": (_FILE, ("path", "content")),
    "complete": ({}, ()),
    "save": (_FILE, ("path", "content")),
    "shell": ({"command": _STRING, "background": {"type": "boolean"}}, ("command",)),
}
TOOLS: Final = {
    name: ToolDefinition(
        name,
        {
            "type": "object",
            "properties": properties,
            "required": list(required),
            "additionalProperties": False,
        },
    )
    for name, (properties, required) in _PARAMETERS.items()
}
"""gptme's own tools that are used here, in its order and without their descriptions
(gptme 0.35.1)."""

ALL: Final = ("append", "save", "shell")
_OFFERED: Final = (
    *[ALL] * 5,
    *[("save", "shell")] * 4,
    ("append", "save"),
    ("save",),
    ("shell",),
)


@dataclass(frozen=True, slots=True)
class Step:
    """``result`` is what gptme answers to the call, ``said`` what the model then makes of it."""

    ask: str
    call: Call
    result: str
    said: str


@dataclass(frozen=True, slots=True)
class Errand:
    """``steps`` are right for ``request``; without any, ``answer`` is."""

    request: str
    offered: tuple[str, ...]
    steps: tuple[Step, ...]
    answer: str

    @property
    def tools(self) -> tuple[ToolDefinition, ...]:
        """What is on offer: gptme itself adds the tool that ends a run."""
        return tuple(TOOLS[name] for name in sorted((*self.offered, "complete")))


def make(random: Random, offered: tuple[str, ...] = ()) -> Errand:
    """One errand, with these tools on offer or with any."""
    offered = offered or random.choice(_OFFERED)
    kind = random.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
    missing = [name for name in ALL if name not in offered]
    if kind == "chat":
        request, answer = random.choice(CHATS)
        return Errand(_asked(request, random), offered, (), answer)
    if kind == "missing" and missing:
        return Errand(_asked(_step(missing, random).ask, random), offered, (), NO_TOOL)
    if kind in ("foreign", "missing"):
        request = random.choice(_STRANGE).format(words=_words(random), city=_words(random))
        return Errand(_asked(request, random), offered, (), NO_TOOL)
    steps = tuple(_step(offered, random) for _ in range(2 if kind == "two" else 1))
    request = " and ".join(step.ask for step in steps)
    return Errand(_asked(request, random), offered, steps, f"Result: {steps[-1].said}")


def errands(count: int, seed: int, offered: tuple[str, ...] = ()) -> list[Errand]:
    """That many errands."""
    random = Random(seed)
    return [make(random, offered) for _ in range(count)]


def _asked(request: str, random: Random) -> str:
    return random.choice(_LEAD) + request + random.choice(("", "", ".", "?", "!"))


def _step(offered: Sequence[str], random: Random) -> Step:
    return random.choice(_STEPS[random.choice(offered)])(random)


# --- values -------------------------------------------------------------------------------


def _words(random: Random, most: int = 3) -> str:
    return " ".join(random.choice(WORDS) for _ in range(random.randint(1, most)))


def _name(random: Random) -> str:
    return f"{random.choice(WORDS)}.{random.choice(ENDINGS)}"


def _path(random: Random) -> str:
    return f"{random.choice(FOLDERS)}/{_name(random)}" if random.random() < 0.4 else _name(random)


# --- what gptme's tools are asked for, and say --------------------------------------------


def _save(random: Random) -> Step:
    path, words = _path(random), _words(random, 6)
    ask = random.choice(
        (
            "make a file {path} that says {words}",
            "write {words} to {path}",
            "save {words} in {path}",
            "create {path} with the text {words}",
        )
    )
    said = f"Saved to {path}{random.choice(('', '', ' (overwritten)'))}"
    return _filed("save", ask, path, words, said)


def _append(random: Random) -> Step:
    path, words = _path(random), _words(random, 6)
    ask = random.choice(("add {words} to {path}", "append {words} to {path}"))
    return _filed("append", ask, path, words, f"Appended to {path}")


def _filed(tool: str, ask: str, path: str, words: str, said: str) -> Step:
    call = Call(tool, {"path": path, "content": words})
    return Step(ask.format(path=path, words=words), call, said, said)


def _list(random: Random) -> Step:
    folder = random.choice((*FOLDERS, random.choice(WORDS)))
    ask = random.choice(("list what is in {}", "what is in the folder {}", "list the folder {}"))
    names = sorted(_name(random) for _ in range(random.randint(0, 3)))
    error = f"ls: cannot access '{folder}': No such file or directory"
    return _ran(ask.format(folder), f"ls {folder}", names, random, error, 2)


def _show(random: Random) -> Step:
    path = _path(random)
    ask = random.choice(("show {}", "show me the file {}", "what does {} say", "print {}"))
    lines = [_words(random, 5) for _ in range(random.choice((1, 1, 1, 2)))]
    error = f"cat: {path}: No such file or directory"
    return _ran(ask.format(path), f"cat {path}", lines, random, error, 1)


def _count(random: Random) -> Step:
    path = _path(random)
    ask = random.choice(("how many lines has {}", "count the lines of {}"))
    lines = [f"{random.randint(0, 120)} {path}"]
    error = f"wc: {path}: No such file or directory"
    return _ran(ask.format(path), f"wc -l {path}", lines, random, error, 1)


def _silent(random: Random) -> Step:
    one, other = _path(random), _path(random)
    ask, command = random.choice(
        (
            (f"make a folder {(words := _words(random, 1))}", f"mkdir {words}"),
            (f"copy {one} to {other}", f"cp {one} {other}"),
            (f"rename {one} to {other}", f"mv {one} {other}"),
        )
    )
    return Step(ask, Call("shell", {"command": command}), _output("Ran command", command), "done")


def _ran(
    ask: str, command: str, lines: Sequence[str], random: Random, error: str, code: int
) -> Step:
    lead, call = "Ran allowlisted command", Call("shell", {"command": command})
    if random.random() < 0.1:
        result = _output(lead, command, error) + f"\nReturn code: {code}\n"
        return Step(ask, call, result, error)
    return Step(ask, call, _output(lead, command, *lines), " ".join(lines) or "done")


def _output(lead: str, command: str, *lines: str) -> str:
    """As gptme's shell tool reports what a command printed (gptme 0.35.1)."""
    head = f"{lead}: `{command}`\n\n"
    if not lines:
        return f"{head}No output\n"
    if len(lines) == 1:
        return f"{head}`{lines[0]}`\n\n"
    text = "\n".join(lines)
    return f"{head}```stdout\n{text}\n```\n\n"


_STEPS: Final[Mapping[str, tuple[Callable[[Random], Step], ...]]] = {
    "append": (_append,),
    "save": (_save,),
    "shell": (_list, _list, _show, _show, _count, _silent),
}
