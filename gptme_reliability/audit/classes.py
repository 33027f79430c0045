"""The classes of failures, the stages that answer them, and how verdicts map to both.

The keys are ours.  The numbers are those of the categories in which published evidence on
small models is sorted: 1 leaked text, 2 unparsed dialect, 3 partial markup, 4 broken literals,
5 mixed notations, 6 encoded values, 7 no object, 8 truncation, 9 tool name, 10 parameter name,
11 missing or bad value, 12 duplicates, 13 no call, 15 loops, 16 reasoning, 18 and 23 what a server
does not do, 20 context, 21 assembly of a stream, 22 sampling, 24 right form and wrong content.
A log tells nothing of 14 (a call where talk was wanted), 17 and 19 (grammars and schemas):
these have no class here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gptme_reliability.types import Repair, Violation

Stage: TypeAlias = Literal[
    "detect",
    "repair",
    "resolve",
    "enforce",
    "re-ask",
    "force",
    "loops",
    "sampling",
    "server",
    "nobody",
]
"""What would have handled a failure: the last of the steps that it takes.

``detect`` finds a call in text, ``repair`` and ``resolve`` mend it, ``enforce`` keeps something
from running, ``re-ask`` tells the model, ``force`` makes it call or lets it talk by a tool,
``loops`` stops repetitions, ``sampling`` is a sampling card, ``server`` is what is done when the
server refuses.  ``nobody``: nothing in this package would have helped.
"""

STAGES: Final[Mapping[Stage, str]] = {
    "detect": "finds the call in the text",
    "repair": "mends how it is written",
    "resolve": "finds the tool or parameter that was meant",
    "enforce": "keeps it from running",
    "re-ask": "tells the model what is wrong",
    "force": "makes it call, or talk through a tool",
    "loops": "stops the repetition",
    "sampling": "samples as the publisher says",
    "server": "asks the server in another way",
    "nobody": "nothing here would have helped",
}


@dataclass(frozen=True, slots=True)
class Class:
    """A class of failures: its number in the published categories, and what it means."""

    number: str
    meaning: str


CLASSES: Final[Mapping[str, Class]] = {
    "leaked_call": Class("1, 2", "a call in a notation that the host does not read"),
    "partial_markup": Class("3", "the host's notation with a part missing or misplaced"),
    "bad_json": Class("4", "arguments that are no JSON"),
    "mixed_notation": Class("5", "one notation inside another"),
    "encoded_value": Class("6", "a value or all arguments as a string of JSON"),
    "not_object": Class("7", "arguments that are no object of the tool's parameters"),
    "cut_off": Class("8", "a call without its end"),
    "wrong_tool": Class("9", "a tool that was not on offer by this name"),
    "wrong_argument": Class("10", "a parameter by another name"),
    "missing_argument": Class("11", "a required argument is missing"),
    "bad_value": Class("11", "a value of another type or range"),
    "duplicate_call": Class("12", "the same call several times in one answer"),
    "no_call": Class("13", "talk where a call was announced or asked for"),
    "empty_answer": Class("13", "no text and no call"),
    "loop": Class("15", "the same call again and again, to no effect"),
    "shown_executed": Class("16", "an example, or reasoning, was run as a call"),
    "refused": Class("18, 23", "the server takes no request with tools"),
    "context_overflow": Class("20", "the conversation is too long for the model"),
    "unreadable": Class("2, 21", "the server could not read the call"),
    "call_id": Class("21", "a call with an id that the host cannot read"),
    "degenerate": Class("22", "the answer repeated itself without end"),
    "tool_error": Class("24", "a call of the right form that its tool refused"),
    "unclassified": Class("-", "the log says that it failed, not how"),
}

_OF_VIOLATIONS: Final[Mapping[str, str]] = {
    "cut_off": "cut_off",
    "unknown_tool": "wrong_tool",
    "no_tool": "wrong_tool",
    "missing_name": "wrong_tool",
    "required": "missing_argument",
    "missing": "missing_argument",
    "unknown_argument": "wrong_argument",
    "type": "bad_value",
    "enum": "bad_value",
    "syntax": "bad_json",
    "open_quote": "bad_json",
    "ambiguous": "bad_json",
    "duplicate_key": "bad_json",
    "too_deep": "bad_json",
    "envelope": "not_object",
    "not_an_object": "not_object",
    "positional": "not_object",
    "json_body": "mixed_notation",
    "fence_indent": "partial_markup",
    "fence_end": "partial_markup",
    "intent": "no_call",
    "empty": "empty_answer",
    "loop": "loop",
}

DOUBTS: Final = frozenset(
    {"unclear", "placeholder", "echo", "held", "unfinished_reasoning", "guessed", "policy", "fence"}
)
"""Violations that say no more than that something may have been meant as a call."""

_OF_REPAIRS: Final[Mapping[str, str]] = {
    "call_id": "call_id",
    "duplicate_call": "duplicate_call",
    "duplicate_object": "duplicate_call",
    "json_in_block": "mixed_notation",
    "fence_line": "not_object",
    "arguments_object": "not_object",
    "empty_arguments": "not_object",
    "nested_call": "not_object",
    "unwrap_arguments": "not_object",
    "list_of_one": "not_object",
    "positional": "not_object",
    "name_as_key": "not_object",
    "double_encoding": "encoded_value",
    "null_optional": "encoded_value",
    "enum_type": "encoded_value",
    "wrap_array": "encoded_value",
    "unwrap_array": "encoded_value",
    "split_list": "encoded_value",
    "envelope_key": "partial_markup",
    "missing_tag": "partial_markup",
    "closing_tag": "partial_markup",
    "section_tag": "partial_markup",
    "closing_fence": "partial_markup",
    "leaked_token": "partial_markup",
    "tool_schema": "not_object",
}
_PREFIXES: Final = (
    ("tool_", "wrong_tool"),
    ("parameter_", "wrong_argument"),
    ("string_to_", "encoded_value"),
    ("fence_", "partial_markup"),
)
_NO_FAULT: Final = frozenset({"defuse", "markup", "schema_default", "extra_argument", "fence"})
_RESOLVES: Final = frozenset({"wrong_tool", "wrong_argument"})


def class_of_violations(violations: Iterable[Violation]) -> str | None:
    """The class of the first fault that is more than a doubt; None where there is none."""
    for violation in violations:
        if violation.rule in DOUBTS:
            continue
        return _OF_VIOLATIONS.get(violation.rule, "bad_value")
    return None


def class_of_repair(rule: str) -> str | None:
    """What a repair mended; None for what was no fault of the model's."""
    if rule in _NO_FAULT:
        return None
    if found := _OF_REPAIRS.get(rule):
        return found
    return next((name for prefix, name in _PREFIXES if rule.startswith(prefix)), "bad_json")


def class_of_repairs(repairs: Iterable[Repair]) -> str | None:
    """What the first repair mended that tells more than another spelling."""
    found = [name for repair in repairs if (name := class_of_repair(repair.rule))]
    return next((name for name in found if name != "bad_json"), found[0] if found else None)


def stage_of_repairs(repairs: Iterable[Repair]) -> Stage:
    """The last step that a call took which can run now."""
    found = {name for repair in repairs if (name := class_of_repair(repair.rule))}
    if found & _RESOLVES:
        return "resolve"
    if found - {"duplicate_call"}:
        return "repair"
    return "enforce" if found else "detect"


def stage_of_class(name: str) -> Stage:
    """What answers a fault that cannot be mended."""
    return _STAGES_OF_CLASSES.get(name, "re-ask")


_STAGES_OF_CLASSES: Final[Mapping[str, Stage]] = {
    "cut_off": "enforce",
    "shown_executed": "enforce",
    "duplicate_call": "enforce",
    "no_call": "force",
    "loop": "loops",
    "refused": "server",
    "unreadable": "server",
    "context_overflow": "nobody",
    "degenerate": "sampling",
    "tool_error": "nobody",
    "unclassified": "nobody",
    "call_id": "repair",
}
