"""Which tool or parameter was meant.

Each step must leave exactly one answer; ambiguous means unchanged.  Steps go from spelling
(the same name written otherwise) to meaning (another word for it), and the record says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from gptme_reliability.aliases import (
    KNOWN_COMMANDS,
    OTHER_PLACES,
    PARAMETER_ALIASES,
    RESTRICTING,
    TOOL_ALIASES,
)
from gptme_reliability.distance import fold, within_one_edit
from gptme_reliability.types import RepairKind, ToolDefinition

_PREFIXES: Final = (
    "functions.",
    "function.",
    "functions:",
    "tools.",
    "tool.",
    "default_api.",
    "default_api:",
    "api.",
)
_LONG_ALIASES: Final = {
    tool: frozenset(a for a, target in TOOL_ALIASES.items() if target == tool and len(a) > 3)
    for tool in TOOL_ALIASES.values()
}
_WORDS: Final = re.compile(r"[a-z0-9]+")
_NO_LETTERS: Final = re.compile(r"[\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SEGMENTS: Final = re.compile(r"__|[./:]")
_SHORTEST_FOR_EDIT: Final = 6
_SHORTEST_PARAMETER_FOR_EDIT: Final = 4
_SHORTEST_WORD_FOR_EDIT: Final = 4


@dataclass(frozen=True, slots=True)
class Resolved:
    """A name that was understood: what it stands for, by which rule, and how sure that is."""

    name: str
    rule: str
    kind: RepairKind


def callable_names(tools: Iterable[ToolDefinition]) -> frozenset[str]:
    """The names under which a bare Python call may be one: the offered ones and their aliases."""
    return _with_aliases(frozenset(tool.name for tool in tools))


@lru_cache(maxsize=64)
def _with_aliases(offered: frozenset[str]) -> frozenset[str]:
    return offered.union(*(_LONG_ALIASES[name] for name in offered if name in _LONG_ALIASES))


def resolve_tool(
    name: str, arguments: Any, tools: Sequence[ToolDefinition], *, aliases: bool = True
) -> Resolved | None:
    """The offered tool that ``name`` stands for; None when none or more than one does.

    A name that is offered as it stands is not looked at: there is nothing to resolve.
    """
    offered = {tool.name: tool for tool in tools}
    stripped = name.strip().strip("\"'`")
    for candidate, rule, kind in _spellings(stripped):
        if rule == "tool_name_segment" and _elsewhere(stripped, offered):
            continue
        if candidate in offered:
            return Resolved(candidate, rule, kind)
        same = [known for known in offered if _same_words(known, candidate)]
        if len(same) > 1:
            return None  # a tie here is not broken by a bolder step
        if same:
            return Resolved(same[0], "tool_name_case" if rule == "tool_name" else rule, kind)
    segments = [known for known in offered if _last_segment(known) == stripped]
    if len(segments) > 1:
        return None
    if segments:
        return Resolved(segments[0], "tool_name_segment", "inferred")
    if aliases:
        target = offered.get(TOOL_ALIASES.get(stripped.lower(), ""))
        if target is not None and _fits(target, arguments, through_aliases=True):
            return Resolved(target.name, "tool_alias", "inferred")
    return _near_miss(stripped, arguments, offered)


def resembles(name: str, tools: Iterable[ToolDefinition]) -> bool:
    """Whether a name is an offered tool's in some spelling, or an alias or a letter away."""
    offered = {tool.name for tool in tools}
    spelled = {fold(candidate) for candidate, _, _ in _spellings(name.strip())}
    if any(fold(known) in spelled for known in offered):
        return True
    if TOOL_ALIASES.get(name.lower()) in offered:
        return True
    return len(name) >= 4 and any(within_one_edit(k.lower(), name.lower()) for k in offered)


def _spellings(name: str) -> list[tuple[str, str, RepairKind]]:
    """The name itself and what is left of it without habits of models, mildest first."""
    found: list[tuple[str, str, RepairKind]] = [(name, "tool_name", "lossless")]
    bare = name
    for prefix in _PREFIXES:
        if bare.lower().startswith(prefix):
            bare = bare[len(prefix) :]
            found.append((bare, "tool_name_prefix", "lossless"))
            break
    head, colon, index = bare.rpartition(":")
    if colon and index.isdigit():
        bare = head
        found.append((bare, "tool_name_index", "lossless"))
    half = _half(bare)
    if half:
        found.append((half, "tool_name_doubled", "inferred"))
    last = _last_segment(bare)
    if last != bare:
        found.append((last, "tool_name_segment", "inferred"))
    return found


def _elsewhere(name: str, offered: Iterable[str]) -> bool:
    """Whether what stands before the last segment is a tool too, or names another machine."""
    *spaces, _ = _SEGMENTS.split(name)
    known = {fold(tool) for tool in offered}
    return any(fold(space) in known or fold(space) in OTHER_PLACES for space in spaces)


def _half(name: str) -> str | None:
    """The name written twice, with or without a separator, back to once."""
    size = len(name)
    if size >= 4 and size % 2 == 0 and name[: size // 2] == name[size // 2 :]:
        return name[: size // 2]
    middle = size // 2
    if size >= 5 and size % 2 and name[middle] in "._-/: " and name[:middle] == name[middle + 1 :]:
        return name[:middle]
    return None


def _last_segment(name: str) -> str:
    return _SEGMENTS.split(name)[-1]


def _only(names: Iterable[str], matches: Callable[[str], bool]) -> str | None:
    found = [name for name in names if matches(name)]
    return found[0] if len(found) == 1 else None


def _same_words(known: str, written: str) -> bool:
    """Whether two names have the same words, or one of them has all words in one."""
    folded = fold(written)
    if not folded or fold(known) != folded:
        return False
    words, others = _split(known), _split(written)
    return words == others or min(len(words), len(others)) == 1


def _split(name: str) -> list[str]:
    return _NO_LETTERS.split(_CAMEL.sub("_", name).lower())


def _near_miss(name: str, arguments: Any, offered: Mapping[str, ToolDefinition]) -> Resolved | None:
    """One letter off, for long names only, when the arguments speak for that tool alone."""
    if len(name) < _SHORTEST_FOR_EDIT or name.lower() in KNOWN_COMMANDS:
        return None
    near = _only(offered, lambda known: within_one_edit(known.lower(), name.lower()))
    if near is not None and (fold(near) == fold(name) or _other_word(near, name)):
        return None  # no letter is off: the names differ in their words
    if near is None or not _fits(offered[near], arguments):
        return None
    others = [tool for known, tool in offered.items() if known != near]
    if any(_fits(tool, arguments) and required(tool) for tool in others):
        return None
    return Resolved(near, "tool_name_edit", "inferred")


def _other_word(known: str, written: str) -> bool:
    """Whether the names differ in a word so short that it is another one: get and set."""
    words, others = _split(known), _split(written)
    if len(words) != len(others):
        return False
    differing = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
    return any(max(map(len, pair)) < _SHORTEST_WORD_FOR_EDIT for pair in differing)


def _fits(tool: ToolDefinition, arguments: Any, *, through_aliases: bool = False) -> bool:
    """Whether these arguments are that tool's: all required ones there, none unknown."""
    if not isinstance(arguments, Mapping):
        return False
    known = properties(tool)
    given = set(arguments)
    if through_aliases:
        renamed = resolve_parameters(arguments, tool)
        given = {renamed[key].name if key in renamed else key for key in arguments}
    return set(required(tool)) <= given and given <= set(known)


def properties(tool: ToolDefinition) -> Mapping[str, Any]:
    """The declared parameters of a tool, by name."""
    found = tool.parameters.get("properties")
    return found if isinstance(found, Mapping) else {}


def members(tool: ToolDefinition) -> frozenset[str]:
    """The names that stand inside the objects, and the lists of objects, that a tool takes."""
    found: set[str] = set()
    for declared in properties(tool).values():
        inner = declared.get("items", declared) if isinstance(declared, Mapping) else None
        within = inner.get("properties") if isinstance(inner, Mapping) else None
        found.update(within if isinstance(within, Mapping) else ())
    return frozenset(found)


def required(tool: ToolDefinition) -> tuple[str, ...]:
    """The names of the parameters that a call must bring."""
    found = tool.parameters.get("required")
    return tuple(n for n in found if isinstance(n, str)) if isinstance(found, list) else ()


def resolve_parameters(arguments: Mapping[str, Any], tool: ToolDefinition) -> dict[str, Resolved]:
    """For each unknown argument the declared parameter it stands for, where only one does.

    Never two arguments for one parameter, never one that was also given by its own name.
    """
    declared = properties(tool)
    unknown = [key for key in arguments if key not in declared]
    free = [key for key in declared if key not in arguments]
    found: dict[str, Resolved] = {}
    for key in unknown:
        meant = _parameter(key, free)
        if meant is not None:
            found[key] = meant
    targets = [meant.name for meant in found.values()]
    return {key: meant for key, meant in found.items() if targets.count(meant.name) == 1}


def _parameter(key: str, free: Sequence[str]) -> Resolved | None:
    folded = fold(key)
    same = _only(free, lambda known: fold(known) == folded) if folded else None
    if same:
        return Resolved(same, "parameter_case", "lossless")
    if len(key) >= _SHORTEST_PARAMETER_FOR_EDIT:
        near = [known for known in free if within_one_edit(known.lower(), key.lower())]
        if len(near) == 1 and len(near[0]) >= _SHORTEST_PARAMETER_FOR_EDIT:
            return Resolved(near[0], "parameter_edit", "inferred")
        if near:
            return None
    alias = [known for known in free if folded in PARAMETER_ALIASES.get(fold(known), ())]
    return Resolved(alias[0], "parameter_alias", "inferred") if len(alias) == 1 else None


def near_declared(key: str, declared: Iterable[str]) -> str | None:
    """The declared name that an argument may have been meant for, if any looks like it."""
    folded = fold(key)
    for known in declared:
        other = fold(known)
        aliased = folded in PARAMETER_ALIASES.get(other, ()) or other in PARAMETER_ALIASES.get(
            folded, ()
        )
        contained = min(len(folded), len(other)) >= 3 and (folded in other or other in folded)
        if aliased or contained or within_one_edit(folded, other):
            return known
    return None


def restricts(key: str, value: Any) -> bool:
    """Whether an undeclared argument may limit or change what the call does.

    A call without it would do something else than what was asked for.
    """
    if isinstance(value, Mapping | list):
        return True
    words = set(_WORDS.findall(re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()))
    return bool(words & RESTRICTING)
