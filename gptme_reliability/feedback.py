"""Violations → words for the model, the channel they go on, and lines for the user.

Small models need three things to mend a call: which one is meant, what was wrong where, and
what a right one looks like.  Everything else is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gptme_reliability.resolve import required
from gptme_reliability.types import (
    Accept,
    Call,
    ModelOutput,
    Reject,
    Retry,
    ToolDefinition,
    Violation,
)

LONGEST: Final = 2_000
"""Characters of a feedback text; small contexts must not drown in it."""
DOUBTS: Final = frozenset({"unclear", "echo", "fence", "intent", "unfinished_reasoning"})
"""Violations that doubt whether a call was meant at all, rather than what it says."""
HELD: Final = "held back, since another call of this answer was faulty"
"""Why a good call waits for a faulty one."""
_LONGEST_WRITTEN: Final = 80
_MOST_NAMES: Final = 24
_MOST_FAULTS: Final = 12


def render(violations: Sequence[Violation], tools: Sequence[ToolDefinition]) -> str:
    """All violations of an answer as one text for the model."""
    faults = list(dict.fromkeys(describe(violation) for violation in violations))
    lines = ["These faults were found:" if len(faults) > 1 else "This fault was found:"]
    lines += [f"- {fault}" for fault in faults[:_MOST_FAULTS]]
    if len(faults) > _MOST_FAULTS:
        lines.append(f"- and {len(faults) - _MOST_FAULTS} more")
    by_name = {tool.name: tool for tool in tools}
    shown: set[str] = set()
    for violation in violations:
        tool = by_name.get(violation.tool or "")
        if tool is not None and tool.name not in shown:
            shown.add(tool.name)
            lines.append(f"A correct call of {tool.name} has arguments like {example(tool)}")
    lines.append(_closing(violations))
    text = "\n".join(lines)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _closing(violations: Sequence[Violation]) -> str:
    if all(violation.rule == "empty" for violation in violations):
        return "Answer in text, or call a tool."
    if doubts_only(violations):
        return "If you mean it, write it again as a proper tool call; if not, answer in text."
    if any(violation.rule == "guessed" for violation in violations):
        return "If you meant just that, write the call again with these names and values."
    return "Call the tool again with the fault corrected."


def doubts_only(violations: Sequence[Violation]) -> bool:
    """Whether nothing is wrong but that it is not clear whether a call was meant."""
    return {violation.rule for violation in violations} - {"held"} <= DOUBTS


def describe(violation: Violation) -> str:
    """One violation in one line: tool, path, fault, what was written, what is allowed."""
    where = violation.tool or ("answer" if violation.rule == "empty" else "tool call")
    if violation.path not in ("", "$"):
        where += f" {violation.path}"
    line = f"{where}: {violation.message}"
    if violation.written is not None:
        line += f" (written: {shorten(violation.written)})"
    allowed = violation.allowed
    if isinstance(allowed, list | tuple) and allowed:
        names = [str(name) for name in allowed[:_MOST_NAMES]]
        rest = "" if len(allowed) <= _MOST_NAMES else ", …"
        line += f"; allowed: {', '.join(names)}{rest}"
    elif allowed is not None and violation.rule in ("missing", "type"):
        line += f"; expected: {allowed}"
    return line


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


def example(tool: ToolDefinition) -> str:
    """The shortest right arguments of a tool, built from its schema, as JSON."""
    properties = tool.parameters.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    wanted = required(tool) or tuple(properties)[:1]
    value = {name: _sample(properties.get(name), 3) for name in wanted}
    return json.dumps(value, ensure_ascii=False)


def _sample(schema: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth <= 0:
        return "…"
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    enum = schema.get("enum")
    if isinstance(enum, list) and enum:
        return enum[0]
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), None)
    if kind == "object":
        names = schema.get("required")
        members = schema.get("properties", {})
        return (
            {n: _sample(members.get(n), depth - 1) for n in names}
            if isinstance(names, list)
            else {}
        )
    if kind == "array":
        return [_sample(schema.get("items"), depth - 1)]
    return {"integer": 1, "number": 1.5, "boolean": True, "null": None}.get(str(kind), "…")


def messages(output: ModelOutput, verdict: Retry) -> tuple[dict[str, Any], ...]:
    """What is added to the conversation to ask again.

    A faulty call whose id is known is answered on the tool channel, everything else by a user
    message.  What could not be parsed is never replayed raw.
    """
    replayed = _replayable(output, verdict)
    text = (output.text or "").strip()
    if replayed:
        assistant: dict[str, Any] = {"role": "assistant", "content": text or None}
        assistant["tool_calls"] = [call for call, _ in replayed]
        answers = [
            {"role": "tool", "tool_call_id": call["id"], "content": answer}
            for call, answer in replayed
        ]
        return (assistant, *answers)
    said = text if text and not verdict.refused else _stand_in(verdict)
    return (
        {"role": "assistant", "content": said},
        {"role": "user", "content": verdict.feedback},
    )


def _stand_in(verdict: Retry) -> str:
    if all(violation.rule == "empty" for violation in verdict.violations):
        return "(empty answer)"
    names = [refused.name for refused in verdict.refused if refused.name]
    return (
        f"(a tool call that could not be run: {', '.join(names)})"
        if names
        else "(a tool call that could not be run)"
    )


def _replayable(output: ModelOutput, verdict: Retry) -> list[tuple[dict[str, Any], str]]:
    """The native calls of a failed answer with the answer to each; all can be shown, or none."""
    if not output.tool_calls:
        return []
    replayed: list[tuple[dict[str, Any], str]] = []
    seen: set[str] = set()
    for raw in output.tool_calls:
        call = _sane(raw)
        if call is None or call["id"] in seen:
            return []
        seen.add(call["id"])
        faults = [r for r in verdict.refused if r.id == call["id"]]
        faulty = any(refused.reason != HELD for refused in faults)
        answer = verdict.feedback if faulty else "Not run: another call of this answer was faulty."
        replayed.append((call, answer))
    return replayed


def _sane(raw: Any) -> dict[str, Any] | None:
    """A native call as it may stand in a conversation, or None if it may not."""
    function = raw.get("function") if isinstance(raw, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(raw.get("id"), str) or not raw["id"]:
        return None
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name or not isinstance(arguments, str):
        return None
    try:
        if not isinstance(json.loads(arguments), dict):
            return None
    except (ValueError, RecursionError):
        return None
    return {
        "id": raw["id"],
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def pending(verdict: Retry) -> str:
    """What the model is told about refused calls together with the results of the others."""
    return f"Another call of the same answer was not run. {verdict.feedback}"


def final_text(verdict: Accept | Reject) -> str:
    """The text the host gets: the answer's own, and for a Reject one inert line per refusal."""
    if isinstance(verdict, Accept):
        return verdict.text
    lines = refusal_lines(verdict)
    return "\n\n".join(part for part in (verdict.text.rstrip(), "\n".join(lines)) if part)


def refusal_lines(verdict: Reject) -> list[str]:
    """One line for each call that was not run, of a form that no parser takes for a call."""
    lines = [
        f"(not run: {inert(refused.name or 'a tool call')} - {inert(refused.reason)})"
        for refused in verdict.refused
    ]
    return lines or [f"(not run: {inert(verdict.reason)})"]


def inert(text: str) -> str:
    """Text without the characters that calls are made of, on one line, shortened."""
    table = str.maketrans(
        {"{": "(", "}": ")", "<": "(", ">": ")", "`": "'", "@": "at ", "[": "(", "]": ")"}
    )
    return shorten(text, 200).translate(table)


def call_json(call: Call) -> str:
    """A call's arguments as compact JSON text; lone surrogates are escaped."""
    text = json.dumps(call.arguments, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(call.arguments)
    return text
