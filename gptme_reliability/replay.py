"""The conversation in which a model is asked again, and what it is told without being asked.

Strict servers must take every one of them: roles alternate, each call is answered once, ids are
unique and arguments are JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NoReturn, TypeAlias

from gptme_reliability.adapters.openai_history import append_text, known_ids
from gptme_reliability.adapters.openai_ids import new_id
from gptme_reliability.feedback import DOUBTS, render, shorten
from gptme_reliability.types import (
    Accept,
    ModelOutput,
    ModelRequest,
    Policy,
    Reject,
    Retry,
    ToolDefinition,
    Violation,
)
from gptme_reliability.words import fault, say

Message: TypeAlias = Mapping[str, Any]

# What a strict server takes as the name of a function.
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNREADABLE: Final = frozenset(
    {"syntax", "ambiguous", "duplicate_key", "too_deep", "number_too_long", "envelope"}
)
# Text with such a fault is no example to go on from.
_NOT_REPLAYED: Final = DOUBTS | _UNREADABLE | {"cut_off", "missing_name", "placeholder", "guessed"}
_LONGEST_REPLAYED: Final = 4_000
_SMALLEST_SHARE: Final = 300


def asked_again(
    request: ModelRequest,
    asked: ModelRequest,
    output: ModelOutput,
    verdict: Retry,
    policy: Policy = Policy(),
) -> ModelRequest:
    """The request that asks for a failed answer again.

    ``request`` is the first one, ``asked`` the one that was answered.  A faulty native call is
    answered on the tool channel, everything else by a user message.  What could not be parsed
    is never replayed raw; with ``policy.failed == "rewind"`` no failed answer is.
    """
    if policy.failed == "rewind":
        return replace(request, messages=_rewound(request, verdict, policy, "left_out"))
    native = () if asked.host else _native(asked, output, verdict, policy)
    added = native or _in_words(output, verdict, policy)
    return replace(asked, messages=(*asked.messages, *added))


def asked_differently(
    request: ModelRequest, verdict: Retry, policy: Policy = Policy()
) -> ModelRequest:
    """The request for when ``asked_again`` brought the same failure once more.

    The failed answers are out of sight, whatever the policy says: a model goes on as it began.
    """
    return replace(request, messages=_rewound(request, verdict, policy, "same_again"))


# --- left out -----------------------------------------------------------------------------


def _rewound(
    request: ModelRequest, verdict: Retry, policy: Policy, lead: str
) -> tuple[Message, ...]:
    """The feedback as the end of the user's message, or as one of its own behind results."""
    messages, text = request.messages, _about_left_out(request, verdict, policy, lead)
    *earlier, last = messages or ({},)
    if last.get("role") == "user":
        return (*earlier, {**last, "content": append_text(last.get("content"), text)})
    said = {"role": "user", "content": text}
    if last.get("role") != "tool":
        return (*messages, said)
    return (*messages, {"role": "assistant", "content": _stand_in(verdict, policy)}, said)


def _about_left_out(request: ModelRequest, verdict: Retry, policy: Policy, key: str) -> str:
    """The feedback on an answer that the model does not see any more."""
    lead = say(key, policy.language) + "\n"
    room = policy.feedback_chars - len(lead)
    if room < _SMALLEST_SHARE:
        return verdict.feedback
    shorter = replace(policy, feedback_chars=room)
    return lead + render(
        verdict.violations, request.tools, shorter, verdict.refused, verdict.attempted
    )


# --- kept ---------------------------------------------------------------------------------


def _in_words(output: ModelOutput, verdict: Retry, policy: Policy) -> tuple[Message, ...]:
    text = (output.text or "").strip()
    readable = not any(v.rule in _NOT_REPLAYED for v in verdict.violations)
    attempted = bool(verdict.refused or output.tool_calls)
    shown = not attempted or (readable and not output.tool_calls and len(text) <= _LONGEST_REPLAYED)
    said = text if text and shown else _stand_in(verdict, policy)
    return (
        {"role": "assistant", "content": said},
        {"role": "user", "content": verdict.feedback},
    )


def _stand_in(verdict: Retry, policy: Policy) -> str:
    if all(violation.rule == "empty" for violation in verdict.violations):
        return say("nothing_said", policy.language)
    names = [shorten(refused.name) for refused in verdict.refused if refused.name]
    if not names:
        return say("stand_in", policy.language)
    return say("stand_in_named", policy.language, names=shorten(", ".join(names), 200))


def _native(
    asked: ModelRequest, output: ModelOutput, verdict: Retry, policy: Policy
) -> tuple[Message, ...]:
    """The failed calls and an answer to each; nothing where one of them cannot be shown."""
    if any(violation.rule in _UNREADABLE for violation in verdict.violations):
        return ()
    functions = [_sane_function(raw) for raw in output.tool_calls or ()]
    ids = _ids(output.tool_calls or (), asked.messages)
    calls: list[dict[str, Any]] = []
    for call_id, function in zip(ids, functions, strict=True):
        if function is None:
            return ()
        calls.append({"id": call_id, "type": "function", "function": function})
    if not calls:
        return ()
    told = _answers(len(calls), asked.tools, verdict, policy)
    answers = [
        {"role": "tool", "tool_call_id": call_id, "content": answer}
        for call_id, answer in zip(ids, told, strict=True)
    ]
    content = (output.text or "").strip() or None
    return ({"role": "assistant", "content": content, "tool_calls": calls}, *answers)


def _answers(
    count: int, tools: Sequence[ToolDefinition], verdict: Retry, policy: Policy
) -> list[str]:
    """What each call is told; those that are faulty share the room for feedback."""
    faults: dict[int, list[Violation]] = {}
    for violation in verdict.violations:
        # What is about no single call is said with the first that is faulty.
        index = next(iter(faults), 0) if violation.call is None else violation.call
        faults.setdefault(index, []).append(violation)
    told = [say("not_run", policy.language)] * count
    share = policy.feedback_chars // len(faults)
    for position, (index, own) in enumerate(faults.items()):
        if share >= _SMALLEST_SHARE:
            shorter = replace(policy, feedback_chars=share)
            told[index] = render(own, tools, shorter, (), verdict.attempted)
        else:
            told[index] = say("see_first", policy.language) if position else verdict.feedback
    return told


def _ids(raws: Sequence[Any], messages: Sequence[Message]) -> list[str]:
    """An id for each call that no other one of the conversation has: its own where possible."""
    taken = set(known_ids(messages))
    ids: list[str] = []
    for position, raw in enumerate(raws):
        given = raw.get("id") if isinstance(raw, Mapping) else None
        if not isinstance(given, str) or not given.strip() or given in taken:
            given = new_id(position, "", "", taken)
        taken.add(given)
        ids.append(given)
    return ids


def _sane_function(raw: Any) -> dict[str, Any] | None:
    """The function of a call as it may stand in a conversation, or None if it may not."""
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(function, Mapping):
        return None
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(arguments, str):
        return None
    try:
        arguments.encode()
        if not isinstance(json.loads(arguments, parse_constant=_no_constant), dict):
            return None
    except (ValueError, RecursionError):
        return None
    return {"name": name, "arguments": arguments}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# --- told together with results -----------------------------------------------------------


def pending(verdict: Retry, policy: Policy = Policy()) -> str:
    """What the model is told about refused calls together with the results of the others."""
    return say("partly", policy.language, feedback=verdict.feedback)


def late(verdict: Accept | Reject, policy: Policy = Policy()) -> str | None:
    """What it is told about calls that an accepted answer left out, None if there are none."""
    if not isinstance(verdict, Accept) or not (verdict.calls and verdict.refused):
        return None
    lines = [say("besides", policy.language)]
    for refused in verdict.refused:
        where = shorten(refused.name) if refused.name else say("call", policy.language)
        what = fault(refused.reason, policy.language)
        lines.append("- " + say("fault", policy.language, where=where, what=what))
    return "\n".join(lines)
