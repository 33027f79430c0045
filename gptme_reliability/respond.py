"""``respond``: a synthetic tool by which a model that is to call tools can talk.

It is put on offer in what is sent and taken out of what comes back: the host never sees it, and
neither does its history.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain, count
from typing import Any, Final

from gptme_reliability.distance import fold
from gptme_reliability.types import (
    Accept,
    Call,
    Language,
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Policy,
    Reject,
    Repair,
    Retry,
    ToolDefinition,
    Verdict,
)
from gptme_reliability.words import say

SPOKEN: Final = "respond"
"""The rule of the repair that makes text of a call of the tool."""

_TEXT: Final = "text"
_NAMES: Final = ("respond", "respond_in_words", "say_to_user")
_SMALL_B: Final = 8.0
_BEGIN: Final = re.compile(r'\s{0,64}\{\s{0,64}"[A-Za-z_]{1,20}"\s{0,64}:\s{0,64}"')
_END: Final = re.compile(r'(?<!\\)"\s{0,64}\}?\s{0,64}\Z')
_QUOTE: Final = re.compile(r'\\.|"', re.DOTALL)
# At the end of what was cut off half an escape may stand.
_HALF_ESCAPE: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-fA-F]{0,3})?\Z")


def wanted(request: ModelRequest, policy: Policy, facts: ModelFacts) -> bool:
    """Whether the tool is on offer from the first request on.

    Unless the policy says so: for models that are known to be small.  Of another size, or of
    one that nobody knows, a model gets what the host offers and nothing else.
    """
    if not request.tools or not chooses_freely(request):
        return False
    if policy.respond is not None:
        return policy.respond
    return is_small(facts)


def is_small(facts: ModelFacts) -> bool:
    """Whether a model is known to be small."""
    return facts.size_b is not None and facts.size_b < _SMALL_B


def chooses_freely(request: ModelRequest) -> bool:
    """Whether the host leaves it to the model to call or to talk."""
    return request.params.get("tool_choice") in (None, "auto")


def voice(tools: Iterable[ToolDefinition], policy: Policy) -> ToolDefinition:
    """The tool, under a name that none of these has or could be taken for."""
    taken = {fold(tool.name) for tool in tools}
    names = chain(_NAMES, (f"{_NAMES[0]}_{number}" for number in count(2)))
    name = next(name for name in names if fold(name) not in taken)
    return _voice(name, policy.language)


@lru_cache(maxsize=16)
def _voice(name: str, language: Language) -> ToolDefinition:
    schema = {
        "type": "object",
        "properties": {
            _TEXT: {
                "type": "string",
                "minLength": 1,
                "description": say("respond_text", language),
            }
        },
        "required": [_TEXT],
        "additionalProperties": False,
    }
    return ToolDefinition(name, schema, say("respond", language), read_only=True)


def with_voice(request: ModelRequest, policy: Policy) -> tuple[ModelRequest, str]:
    """The request with the tool on offer, behind all others, and its name."""
    tool = voice(request.tools, policy)
    return replace(request, tools=(*request.tools, tool)), tool.name


def spoken(verdict: Verdict, output: ModelOutput, name: str) -> Verdict:
    """The verdict with what the model said through the tool ``name`` as its text.

    A call of it that is broken or cut off is text as far as it goes: text runs nothing, so
    there is nothing to be asked about.
    """
    verdict = _without_corrections_of(name, verdict)
    said = [call for call in verdict.calls if call.name == name]
    broken = [] if said else list(_broken(verdict, output, name))
    if not said and not broken:
        return _unnamed(name, verdict)
    texts = [str(call.arguments[_TEXT]) for call in said] + [text for _, text in broken]
    changes = [_repair(call.arguments, str(call.arguments[_TEXT])) for call in said]
    changes += [_repair(written, text) for written, text in broken]
    calls = tuple(call for call in verdict.calls if call.name != name)
    text = _joined(verdict.text, texts)
    repairs = (*verdict.repairs, *changes)
    if not broken:
        return _with(verdict, calls, text, repairs)
    return _without_faults_of(name, _with(verdict, calls, text, repairs))


def _without_corrections_of(name: str, verdict: Verdict) -> Verdict:
    """The verdict with nothing to correct in calls of this tool: they were words."""
    if not isinstance(verdict, Retry):
        return verdict
    attempted = tuple(one for one in verdict.attempted if one.name != name)
    return replace(verdict, attempted=attempted)


def _unnamed(name: str, verdict: Verdict) -> Verdict:
    """The verdict without this name in what was refused: nobody but the model knows the tool."""
    refused = tuple(replace(one, name=None) if one.name == name else one for one in verdict.refused)
    return replace(verdict, refused=refused)


def _with(
    verdict: Verdict, calls: tuple[Call, ...], text: str, repairs: tuple[Repair, ...]
) -> Verdict:
    return replace(verdict, calls=calls, text=text, repairs=repairs)


def _without_faults_of(name: str, verdict: Verdict) -> Verdict:
    """The verdict without what was wrong with calls of this tool."""
    refused = tuple(one for one in verdict.refused if one.name != name)
    if isinstance(verdict, Accept):
        return replace(verdict, refused=refused)
    violations = tuple(one for one in verdict.violations if one.tool != name)
    if violations:
        return replace(verdict, refused=refused, violations=violations)
    return Accept(verdict.calls, verdict.text, verdict.repairs, refused)


def _broken(verdict: Verdict, output: ModelOutput, name: str) -> Iterator[tuple[str, str]]:
    """Calls of the tool whose arguments could not be read: these, and their text."""
    if not isinstance(verdict, Retry | Reject):
        return
    for arguments in (*_native(output, name), *_cut_in_text(verdict, output, name)):
        text = _text_so_far(arguments)
        if text:
            yield arguments, text


def _native(output: ModelOutput, name: str) -> Iterator[str]:
    for raw in output.tool_calls or ():
        function = raw.get("function") if isinstance(raw, Mapping) else None
        if not isinstance(function, Mapping) or function.get("name") != name:
            continue
        if isinstance(arguments := function.get("arguments"), str):
            yield arguments


def _cut_in_text(verdict: Retry | Reject, output: ModelOutput, name: str) -> Iterator[str]:
    """What there is of the arguments of a call at the end of the text that was cut off."""
    if not any(one.rule == "cut_off" and one.tool == name for one in verdict.violations):
        return
    text = output.text or ""
    # The first place: what is said may hold the name too.
    named = text.find(f'"{name}"')
    begin = _BEGIN.search(text, named) if named >= 0 else None
    if begin is not None:
        yield text[begin.start() :]


def _text_so_far(arguments: str) -> str | None:
    """The only string of an object, as far as it was written; None where it is no such object."""
    begin = _BEGIN.match(arguments)
    if begin is None:
        return None
    written = _HALF_ESCAPE.sub(r"\1", _END.sub("", arguments[begin.end() :]))
    literal = _QUOTE.sub(lambda found: '\\"' if found[0] == '"' else found[0], written)
    try:
        text = str(json.loads(f'"{literal}"', strict=False))
    except ValueError:
        return None
    return text if text.strip() else None


def _joined(text: str, said: Sequence[str]) -> str:
    """The answer's own text and what was said, each once."""
    parts = [text.strip()] if text.strip() else []
    for one in said:
        if not any(one.strip() in part for part in parts):
            parts.append(one)
    return "\n\n".join(parts)


def _repair(written: Any, text: str) -> Repair:
    return Repair(SPOKEN, "$", written, text, "presentation")
