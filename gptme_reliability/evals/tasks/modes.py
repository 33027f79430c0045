"""Modes: in which shape a model is asked, and arms: what stands between it and the tools."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias, get_args

from gptme_reliability.errors import InputError
from gptme_reliability.types import RUNGS, Policy

Format: TypeAlias = Literal["native", "prompted", "markdown", "xml"]
"""Where calls are: in the API's field for them, in ``<tool_call>`` tags as the system prompt
asks for, in fenced blocks, in XML tags (the last two as gptme has them)."""

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
_IN_TEXT: Final = frozenset({"markdown", "xml"})
_WORDS_ONLY: Final = ("re_ask", "resample")
"""Where calls stand in the text no server can force them or hold them to a schema."""
_NATIVE_ONLY: Final = frozenset({"no-force", "no-prompt", "no-respond"})
"""Elsewhere there are no native calls to force, and the prompt is what the mode consists of."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One way of asking.

    ``force``: every answer must be a call, a tool for talking among them.  ``respond``: that
    tool is on offer and nothing is forced.  Both are done by the guard: without it they do not
    exist.
    """

    format: Format
    streamed: bool = False
    force: bool = False
    respond: bool = False

    @property
    def name(self) -> str:
        """The mode as it is written: ``native+stream``."""
        marks = [mark for mark, name in _MARKS.items() if getattr(self, name)]
        return "+".join((self.format, *marks))

    @property
    def bare(self) -> Mode:
        """The same for a host on its own."""
        return Mode(self.format, self.streamed)

    @property
    def in_text(self) -> bool:
        """Whether the host itself reads calls in the text."""
        return self.format in _IN_TEXT


_MARKS: Final[Mapping[str, str]] = {"stream": "streamed", "force": "force", "respond": "respond"}


def read_mode(text: str) -> Mode:
    """The mode that a name stands for.

    Raises:
        InputError: it stands for none.
    """
    form, *marks = text.strip().split("+")
    if form not in FORMATS or not set(marks) <= set(_MARKS):
        known = f"{', '.join(FORMATS)}, with {', '.join('+' + mark for mark in _MARKS)}"
        raise InputError(f"there is no mode {text!r}; known are {known}")
    mode = Mode(next(one for one in FORMATS if one == form), *(mark in marks for mark in _MARKS))
    if form != "native" and mode != mode.bare:
        raise InputError(f"mode {text!r}: only native calls can be forced, or one be for talking")
    return mode


BARE: Final = "bare"
STRICT: Final = "strict"
GUARDED: Final = "guarded"
HOSTS_OWN: Final = frozenset({BARE, STRICT})
"""Arms without this package: results do not depend on ``force`` and ``respond``."""

_Change: TypeAlias = Callable[[Policy], Policy]


def _without(rung: str) -> _Change:
    return lambda policy: replace(policy, rungs=tuple(r for r in policy.rungs if r != rung))


_SWITCHED_OFF: Final[Mapping[str, _Change]] = {
    "no-repair": lambda policy: replace(policy, allow=frozenset()),
    "no-inferred": lambda policy: replace(policy, allow=frozenset({"lossless"})),
    "no-resolve": lambda policy: replace(policy, resolve=False),
    "no-aliases": lambda policy: replace(policy, aliases=False),
    "no-asking": lambda policy: replace(policy, retries=0),
    "no-resample": _without("resample"),
    "no-force": _without("force"),
    "no-structure": _without("structure"),
    "no-prompt": _without("prompt"),
    "no-respond": lambda policy: replace(policy, respond=False),
    "no-loops": lambda policy: replace(policy, loops=0),
    "no-echo": lambda policy: replace(policy, echo_guard=False),
}
"""The guard with one stage switched off.

``no-repair`` executes only what is right as it stands, names included; ``no-inferred`` changes
spelling only; ``no-resolve`` takes names as they are written; ``no-aliases`` forgets other words
for tools and arguments; ``no-asking`` never asks a model again; ``no-loops`` and ``no-echo`` run
what only goes round in circles, and what only repeats a quotation.
"""

STAGES: Final[Mapping[str, str]] = {
    "no-repair": "repairing",
    "no-inferred": "inferring",
    "no-resolve": "resolving names",
    "no-aliases": "other words for names",
    "no-asking": "asking again",
    "no-resample": "drawing again",
    "no-force": "forcing a call",
    "no-structure": "holding to a schema",
    "no-prompt": "tools in the prompt",
    "no-respond": "the tool for talking",
    "no-loops": "stopping loops",
    "no-echo": "doubting echoes",
}
"""What each of these arms does without, in words."""

ABLATION: Final = tuple(_SWITCHED_OFF)
ARMS: Final = (BARE, STRICT, GUARDED, *ABLATION)


def read_arms(text: str) -> list[str]:
    """The arms in a list with commas; ``ablation`` stands for each stage switched off.

    Raises:
        InputError: one is none.
    """
    arms: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name != "ablation" and name not in ARMS:
            raise InputError(f"there is no arm {name!r}; known are {', '.join(ARMS)}, ablation")
        arms += ABLATION if name == "ablation" else (name,)
    return list(dict.fromkeys(arms))


def policy_of(arm: str, mode: Mode) -> Policy:
    """What the guard may do in an arm."""
    policy = Policy()
    if mode.in_text:
        rungs = tuple(rung for rung in RUNGS if rung in _WORDS_ONLY)
        policy = replace(policy, rungs=rungs, respond=False, force=False)
    else:
        policy = replace(policy, force=mode.force or None, respond=mode.respond or None)
    change = _SWITCHED_OFF.get(arm)
    return change(policy) if change else policy


def makes_sense(arm: str, mode: Mode) -> bool:
    """Whether an arm in a mode is another experiment than one that is run anyhow."""
    if arm in HOSTS_OWN:
        return mode == mode.bare
    if arm == GUARDED:
        return True
    if arm in _NATIVE_ONLY and mode.format != "native":
        return False
    if arm == "no-respond":
        return mode.respond
    return policy_of(arm, mode) != policy_of(GUARDED, mode)
