"""How much guessing stands behind a reading of a call, and how much of it may run.

A reading costs the sum of what its repairs and its place in the answer cost.  One guess is
ordinary; a stack of them is a call that nobody wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from gptme_reliability.dialects.shapes import Span
from gptme_reliability.enforce import Judged
from gptme_reliability.feedback import shorten
from gptme_reliability.types import (
    Policy,
    RefusedCall,
    Repair,
    RepairKind,
    ToolDefinition,
    Violation,
)

Weighed: TypeAlias = Literal["run", "ask", "text"]

# What a rule costs by its class, however often it struck: who writes single quotes writes
# them everywhere.
_HABITS: Final[Mapping[RepairKind, int]] = {
    "lossless": 0,
    "inferred": 1,
    "lossy": 3,
    "presentation": 0,
}
# Rules that guess which word was meant, or leave something out, cost this at every place.
_GUESSES: Final[Mapping[str, int]] = {
    "tool_alias": 4,
    "tool_name_edit": 4,
    "tool_name_segment": 1,
    "parameter_alias": 2,
    "parameter_edit": 3,
    "envelope_key": 1,
    "extra_argument": 2,
    "enum_spelling": 1,
    "positional": 1,
    "schema_default": 1,
    # That a call was written more than once takes nothing from what it says.
    "duplicate_call": 0,
}
_UNMARKED: Final = 1
_UNCLOSED: Final = 1
_UNFINISHED_REASONING: Final = 2
# So far above what may run, a call without a marker is not even asked about.
_FAR_ABOVE: Final = 6
_LONGEST_READING: Final = 300


def cost_of_repairs(repairs: Iterable[Repair]) -> int:
    """What these repairs of one call cost together."""
    total = 0
    habits: set[str] = set()
    for repair in repairs:
        if repair.rule in _GUESSES:
            total += _GUESSES[repair.rule]
        elif repair.rule not in habits:
            habits.add(repair.rule)
            total += _HABITS[repair.kind]
    return total


def cost_of_place(span: Span) -> int:
    """What it costs that a call in text stands as it does."""
    total = 0 if span.marked or span.dialect == "gptme" else _UNMARKED
    total += 0 if span.closed else _UNCLOSED
    return total + (_UNFINISHED_REASONING if span.thinking else 0)


def most_cost(tool: ToolDefinition, policy: Policy) -> int:
    """What a call of this tool may cost at most to run."""
    return policy.max_cost_reading if tool.read_only is True else policy.max_cost_writing


def weigh(item: Judged, tools: Sequence[ToolDefinition], policy: Policy, place: int) -> Weighed:
    """Whether a call that may run otherwise is sure enough for what its tool does.

    ``place`` is the cost of its place.  What needed no repair is never doubted here.
    """
    guessed = cost_of_repairs(item.repairs)
    if item.call is None or guessed == 0:
        return "run"
    name = item.call.name
    most = next((most_cost(tool, policy) for tool in tools if tool.name == name), 0)
    above = guessed + place - most
    if above <= 0:
        return "run"
    return "ask" if above <= _FAR_ABOVE else "text"


def doubted(item: Judged, index: int, written: str = "") -> Judged:
    """The call as one to be asked about: the model is shown how it was read."""
    call = item.call
    if call is None:
        return item
    rules = ", ".join(dict.fromkeys(r.rule for r in item.repairs if r.kind != "lossless"))
    # Never spelled as a call: what the model is shown must not run when it is repeated.
    reading = f"{call.name} with {shorten(call.arguments, _LONGEST_READING)}"
    message = f"too much of it had to be guessed ({rules}); did you mean {reading}?"
    violation = Violation("guessed", "$", message, tool=call.name, call=index)
    refused = RefusedCall(
        call.name, f"too much of it had to be guessed ({rules})", written, call.id, call.dialect
    )
    return Judged(None, (violation,), refused=refused)
