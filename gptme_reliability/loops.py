"""Whether a call that may run would only repeat what led nowhere.

Three shapes are told from the calls and results since the user last spoke: the same call with
the same result, the same call failing in the same way, and two calls and no other, in whatever
order, with the same results.  Anything done in between is no loop: a file may be read again
after each change.  A call whose results differ is no loop either; it may wait for something.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Any, Final

from gptme_reliability.enforce import Judged
from gptme_reliability.feedback import shorten
from gptme_reliability.nudges import is_nudge
from gptme_reliability.quotations import text_parts
from gptme_reliability.types import Call, Policy, RefusedCall, ToolDefinition, Violation

_MOST_MESSAGES: Final = 40
_HEAD: Final = 2_000
_LONGEST_ACKNOWLEDGEMENT: Final = 60
_WORD: Final = re.compile(r"\w{1,60}")
# A result of nothing but these says that something was done, not what came of it: pressing a
# key twice is no loop.
_ACKNOWLEDGEMENTS: Final = frozenset(
    {
        *("ok", "okay", "done", "success", "successful", "successfully", "true", "status"),
        *("result", "message", "completed", "executed", "performed", "action", "null", "none"),
    }
)
# How results begin, or what a line of them says, when a tool failed: gptme's tools, Python's
# tracebacks, shells.
_FAILED: Final = re.compile(
    r"^\s{0,8}(?:error|fatal|exception|failed|failure|permission denied|invalid)\b"
    r"|^\w{0,40}(?:Error|Exception)\b"
    r"|traceback \(most recent call"
    r"|\b(?:return|exit(?:ed with)?)(?: |_)?(?:code|status)?[ :=]{1,3}-?[1-9]"
    r"|command not found|no such file or directory",
    re.IGNORECASE | re.MULTILINE,
)
# Whoever waits in between may see something else the next time.
_WAITS: Final = re.compile(r"\b(?:sleep|wait|poll|watch)", re.IGNORECASE)
# What changes from failure to failure without making it another one.
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,16}|\d{1,20}")


def stop(
    judged: Sequence[Judged],
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[ToolDefinition],
    policy: Policy,
) -> list[Judged]:
    """The calls of an answer, those that would go on with a loop as ones to be asked about."""
    if not policy.loops or not messages or all(item.call is None for item in judged):
        return list(judged)
    reading = {tool.name for tool in tools if tool.read_only is True}
    made = _made(messages)
    stopped: list[Judged] = []
    for index, item in enumerate(judged):
        call = item.call
        fault = None
        if call is not None:
            fault = _loop(call, made, policy.loops, reads=call.name in reading)
        stopped.append(item if call is None or fault is None else _refused(call, index, fault))
    return stopped


@dataclass(slots=True)
class _Made:
    """A call of the conversation and what came of it."""

    name: str
    written: Any
    results: list[Any] = field(default_factory=list)


class _Known:
    """The same, as it is compared; nothing is read before it is needed."""

    def __init__(self, made: _Made) -> None:
        self.name = made.name
        self._made = made

    @cached_property
    def call(self) -> str | None:
        """Name and arguments; None where they cannot be read."""
        try:
            arguments = json.loads(self._made.written)
        except (ValueError, TypeError, RecursionError):
            return None
        return _identity(self.name, arguments)

    @cached_property
    def result(self) -> str | None:
        """All of the result; None where there is none."""
        results = self._made.results
        return None if not results else "\n".join(map(_as_text, results))

    @cached_property
    def failure(self) -> str | None:
        """The result of a call that failed, without what changes each time; else None."""
        if self.result is None or not _FAILED.search(self.result[:_HEAD] + self.result[-_HEAD:]):
            return None
        return _NUMBER.sub("0", self.result)

    @cached_property
    def informs(self) -> bool:
        """Whether the result says more than that something was done."""
        result = self.result or ""
        if len(result) > _LONGEST_ACKNOWLEDGEMENT:
            return True
        return not _ACKNOWLEDGEMENTS.issuperset(_WORD.findall(result.lower()))


def _made(messages: Sequence[Mapping[str, Any]]) -> list[_Known]:
    """The calls since the user last spoke, as far as one looks back, the latest first."""
    made: list[_Made] = []
    waiting: dict[str, _Made] = {}
    for message in messages[-_MOST_MESSAGES:]:
        role = message.get("role")
        if role == "user" and not is_nudge(message):
            made.clear()
            waiting.clear()
        elif role == "assistant":
            waiting.clear()
            for call_id, call in _calls(message):
                made.append(call)
                waiting[call_id] = call
        elif role == "tool" and (answered := waiting.get(str(message.get("tool_call_id")))):
            answered.results.append(message.get("content"))
    return [_Known(one) for one in reversed(made)]


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, _Made]]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            yield str(call.get("id")), _Made(function["name"], function.get("arguments"))


def _loop(call: Call, made: Sequence[_Known], least: int, *, reads: bool) -> str | None:
    """What is wrong with making this call now, if it goes on with a loop."""
    wanted = _identity(call.name, call.arguments)
    if wanted is None or _WAITS.search(wanted):
        return None
    run = list(takewhile(lambda one: one.name == call.name and one.call == wanted, made))
    if run and run[0].result is not None:
        same = _run(one.result == run[0].result for one in run)
        if same >= least and (reads or run[0].informs):
            return f"this call was made {same} times in a row with the same result"
        failed = _run(one.failure == run[0].failure for one in run) if run[0].failure else 0
        # A tool that only reads may be asked until its answer changes.
        if failed >= least and not reads:
            return f"this call failed {failed} times in a row in the same way"
    other = next((one for one in made if one.call != wanted), None)
    if other is None or not (reads or other.informs or any(one.informs for one in made[:2])):
        return None
    turns = _turns(wanted, other, made)
    if turns >= max(least, 2):
        return (
            f"this call and one of {other.name} took turns {turns} times, "
            "always with the same results"
        )
    return None


def _turns(wanted: str, other: _Known, made: Sequence[_Known]) -> int:
    """How often each of two calls was made, nothing else beside them, with the same results."""
    first: dict[str | None, _Known] = {other.call: other}
    times = {wanted: 0, other.call: 0}
    if other.call is None or _WAITS.search(other.call):
        return 0
    for one in made:
        if one.call not in times or one.result is None:
            break
        if one.result != first.setdefault(one.call, one).result:
            break
        times[one.call] += 1
    return min(times.values())


def _run(holds: Iterator[bool]) -> int:
    """How long something holds from the start on."""
    return sum(1 for _ in takewhile(bool, holds))


def _refused(call: Call, index: int, message: str) -> Judged:
    written = shorten(call.arguments)
    violation = Violation("loop", "$", message, written, tool=call.name, call=index)
    refused = RefusedCall(call.name, message, written, call.id, call.dialect)
    return Judged(None, (violation,), refused=refused)


def _identity(name: str, arguments: Any) -> str | None:
    try:
        return f"{name} {json.dumps(arguments, sort_keys=True)}"
    except (TypeError, ValueError, RecursionError):
        return None


def _as_text(content: Any) -> str:
    """A result for comparing: its text, or all of it where it holds anything else."""
    texts = text_parts(content)
    if isinstance(content, str) or (isinstance(content, list) and len(texts) == len(content)):
        return "\n".join(texts)
    return _identity("", content) or f"unreadable {id(content)}"
