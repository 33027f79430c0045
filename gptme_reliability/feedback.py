"""Violations → words for the model that is to write its call again.

Small models need four things to mend a call: which one is meant, what was wrong where, what
would have been right, and how a right one looks.  Everything else is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.examples import dialect_of, spelled
from gptme_reliability.excerpt import MARK, around
from gptme_reliability.types import (
    Attempted,
    Call,
    Language,
    Policy,
    RefusedCall,
    ToolDefinition,
    Violation,
)
from gptme_reliability.words import fault, say

DOUBTS: Final = frozenset({"unclear", "echo", "fence", "intent", "unfinished_reasoning", "no_tool"})
"""Violations that doubt whether a call was meant at all, rather than what it says."""
# What an example of a call would only make a model call that should not.
_WITHOUT_EXAMPLE: Final = frozenset({"empty", "loop", "no_tool", "echo"})
_LONGEST_WRITTEN: Final = 80
_LONGEST_NAME: Final = 64
_SHORTEST_FAULT: Final = 180
# How it ends where nothing but faults of one rule was found.
_CLOSINGS: Final[Mapping[str, str]] = {
    "empty": "close_empty",
    "no_tool": "close_no_tool",
    "echo": "close_echo",
    "unclear": "close_unclear",
    "loop": "close_loop",
}
_PARAMETER: Final = re.compile(r"\$\.(\w{1,60})")


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much is said: that many faults, characters of what was written, allowed names and
    examples."""

    faults: int
    written: int
    allowed: int
    examples: int
    closing: bool = True


_FULL: Final = _Detail(12, _LONGEST_WRITTEN, 24, 12)
_DETAILS: Final = (
    _FULL,
    _Detail(8, 60, 12, 4),
    _Detail(4, 40, 8, 2),
    _Detail(2, 30, 6, 1),
    _Detail(1, 24, 4, 1),
    _Detail(1, 0, 3, 1, closing=False),
    _Detail(1, 0, 0, 1, closing=False),
)
"""What is tried in turn until the text is short enough."""


def render(
    violations: Sequence[Violation],
    tools: Sequence[ToolDefinition],
    policy: Policy = Policy(),
    refused: Sequence[RefusedCall] = (),
    attempted: Sequence[Attempted] = (),
    *,
    dialect: str | None = None,
) -> str:
    """All violations of an answer as one text for the model, of ``policy.feedback_chars`` at most.

    Examples hold what was right in the calls ``attempted``, where one call of a tool is in
    question.  They are in ``dialect``, else in the one that the ``refused`` calls were written
    in.  A smaller cap first shortens what was written and what is allowed; a fault and an example
    stay to the last, and an example is whole or not there.
    """
    renderer = _Renderer(violations, tools, policy, dialect or dialect_of(refused), attempted)
    text = renderer.text()
    # A lone surrogate would break the request that carries the text.
    return text.encode("utf-8", "replace").decode()


class _Renderer:
    def __init__(
        self,
        violations: Sequence[Violation],
        tools: Sequence[ToolDefinition],
        policy: Policy,
        dialect: str | None,
        attempted: Sequence[Attempted],
    ) -> None:
        self._violations = violations
        self._attempted = attempted
        self._limit = max(policy.feedback_chars, 0)
        self._language: Language = policy.language
        self._only_tool = len(tools) == 1
        self._examples = self._spelled_examples(tools, dialect)

    def text(self) -> str:
        """The most detailed text that is short enough."""
        for detail in _DETAILS:
            text = "\n".join(self._lines(detail))
            if len(text) <= self._limit:
                return text
        return self._shortest()

    def _lines(self, detail: _Detail) -> list[str]:
        faults = self._faults(detail)
        lines = [self._say("many_faults" if len(faults) > 1 else "one_fault")]
        lines += [f"- {one}" for one in faults[: detail.faults]]
        if len(faults) > detail.faults:
            lines.append("- " + self._say("more", count=len(faults) - detail.faults))
        lines += self._examples[: detail.examples]
        return [*lines, self._closing()] if detail.closing else lines

    def _shortest(self) -> str:
        """One fault, cut to what room there is, and an example if it leaves enough of it."""
        one = next(iter(self._faults(_DETAILS[-1])), "")
        least = min(len(one), _SHORTEST_FAULT)
        shown = next((e for e in self._examples if len(e) + least < self._limit), "")
        room = self._limit - len(shown) - (1 if shown else 0)
        said = one if len(one) <= room else one[: max(room - 1, 0)] + "…"[:room]
        return f"{said}\n{shown}" if shown else said

    def _faults(self, detail: _Detail) -> list[str]:
        return list(dict.fromkeys(self._fault(v, detail) for v in self._violations))

    def _fault(self, violation: Violation, detail: _Detail) -> str:
        """One violation in one line: tool, path, fault, what was written, what is allowed."""
        what = fault(violation.message, self._language, violation.rule)
        if violation.written is not None and detail.written:
            what += self._say("written", written=self._written(violation.written, detail.written))
        what += self._right(violation, detail)
        return self._say("fault", where=self._where(violation), what=what)

    def _where(self, violation: Violation) -> str:
        where = "answer" if violation.rule in ("empty", "no_tool") else "call"
        place = shorten(violation.tool, _LONGEST_NAME) if violation.tool else self._say(where)
        path = violation.path
        return place if path in ("", "$") else f"{place} {shorten(path, _LONGEST_WRITTEN)}"

    def _right(self, violation: Violation, detail: _Detail) -> str:
        """What would have been right, as far as the violation knows."""
        allowed = violation.allowed
        if isinstance(allowed, list | tuple):
            names = [shorten(name, _LONGEST_NAME) for name in allowed[: detail.allowed]]
            if not names:
                return ""
            rest = ", …" if len(allowed) > len(names) else ""
            key = "allowed" if violation.tool else "offered"
            return self._say(key, names=", ".join(names) + rest)
        if allowed is not None and violation.rule in ("missing", "type"):
            return self._say("expected", kind=shorten(allowed))
        return ""

    def _written(self, written: Any, limit: int) -> str:
        """What was written; where it has a mark, what stands around that."""
        if not isinstance(written, str) or MARK not in written:
            return shorten(written, limit)
        before, _, behind = written.partition(MARK)
        marked = around(before + behind, len(before), (limit - len(MARK)) // 2)
        return shorten(marked, limit).replace(MARK, self._say("here"))

    def _spelled_examples(self, tools: Sequence[ToolDefinition], dialect: str | None) -> list[str]:
        """An example for each tool in question, with the parameters in question."""
        by_name = {tool.name: tool for tool in tools}
        named: dict[str, list[str]] = {}
        for violation in self._violations:
            asked = violation.tool
            if violation.rule == "order":
                asked = violation.allowed  # the call that is missing
            elif len(tools) == 1 and violation.rule != "unknown_tool":
                asked = tools[0].name  # no other can have been meant
            if asked in by_name and violation.rule not in _WITHOUT_EXAMPLE:
                parameter = _PARAMETER.match(violation.path)
                names = named.setdefault(asked, [])
                names += [parameter[1]] if parameter else []
        return [self._example(by_name[name], dialect, names) for name, names in named.items()]

    def _example(self, tool: ToolDefinition, dialect: str | None, names: Sequence[str]) -> str:
        shown, is_call = spelled(tool, dialect, names, self._written_for(tool))
        key = "example_call" if is_call else "example_arguments"
        separator = "\n" if is_call else " "
        return f"{self._say(key, tool=tool.name)}{separator}{shown}"

    def _written_for(self, tool: ToolDefinition) -> Mapping[str, Any] | None:
        """What was written for a tool, if that was in one faulty call only."""
        told = {one.call for one in self._violations if one.tool == tool.name}
        faulty = [
            one.arguments
            for one in self._attempted
            if one.name == tool.name and one.call in told and one.arguments
        ]
        return faulty[0] if len(faulty) == 1 else None

    def _closing(self) -> str:
        rules = {violation.rule for violation in self._violations}
        rules -= {"held"}
        if len(rules) == 1 and (closing := _CLOSINGS.get(*rules)):
            return self._say(closing)
        if rules == {"unknown_tool"} and self._only_tool:
            # Who names another one mostly wants what there is not.
            return self._say("close_only_tool")
        if doubts_only(self._violations):
            return self._say("close_doubt")
        if rules == {"order"}:
            return self._say("close_order" if self._examples else "close_loop")
        return self._say("close_guess" if "guessed" in rules else "close")

    def _say(self, key: str, **values: object) -> str:
        return say(key, self._language, **values)


def doubts_only(violations: Sequence[Violation]) -> bool:
    """Whether nothing is wrong but that it is not clear whether a call was meant."""
    return {violation.rule for violation in violations} - {"held"} <= DOUBTS


def shorten(value: Any, limit: int = _LONGEST_WRITTEN) -> str:
    """A value on one line, cut to ``limit`` characters."""
    if isinstance(value, str):
        text = value[: limit * 2]
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=repr)[: limit * 2]
        except (ValueError, RecursionError):
            text = type(value).__name__
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def call_json(call: Call) -> str:
    """A call's arguments as compact JSON text; lone surrogates are escaped."""
    text = json.dumps(call.arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(call.arguments)
    return text
