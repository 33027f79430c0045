"""The calls that a conversation holds since the user last spoke, and what came of each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

from gptme_reliability.nudges import is_nudge
from gptme_reliability.quotations import text_parts

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
# What changes from failure to failure without making it another one.
_NUMBER: Final = re.compile(r"0x[0-9a-fA-F]{1,16}|\d{1,20}")
_ENCODER: Final = json.JSONEncoder(sort_keys=True)


@dataclass(slots=True)
class Written:
    """A call as it stands in the conversation; ``arguments`` are JSON text, if they are right."""

    name: str
    arguments: Any
    results: list[Any] = field(default_factory=list)


class PastCall:
    """A call that was made, and what came of it; nothing is read before it is needed."""

    def __init__(self, written: Written) -> None:
        self.name = written.name
        self._written = written

    @cached_property
    def arguments(self) -> Mapping[str, Any]:
        """What the call was given, as far as it can be read."""
        given = self._read[0] if self._read else None
        return given if isinstance(given, Mapping) else {}

    @cached_property
    def call(self) -> str | None:
        """Name and arguments; None where they cannot be read."""
        return call_key(self.name, self._read[0]) if self._read else None

    @cached_property
    def _read(self) -> tuple[Any, ...]:
        """The arguments as a tuple of one; an empty one where they are no JSON."""
        try:
            return (json.loads(self._written.arguments),)
        except (ValueError, TypeError, RecursionError):
            return ()

    @cached_property
    def result(self) -> str | None:
        """All of the result; None where there is none."""
        results = self._written.results
        return None if not results else "\n".join(map(_as_text, results))

    @cached_property
    def failure(self) -> str | None:
        """The result of a call that failed, without what changes each time; else None."""
        if self.result is None or not _FAILED.search(self.result[:_HEAD] + self.result[-_HEAD:]):
            return None
        return _NUMBER.sub("0", self.result)

    @cached_property
    def begins_as_failure(self) -> bool:
        """Whether the first line of the result says that the call failed."""
        first, _, _ = (self.result or "")[:_HEAD].lstrip().partition("\n")
        return _FAILED.search(first) is not None

    @cached_property
    def informs(self) -> bool:
        """Whether the result says more than that something was done."""
        result = self.result or ""
        if len(result) > _LONGEST_ACKNOWLEDGEMENT:
            return True
        return not _ACKNOWLEDGEMENTS.issuperset(_WORD.findall(result.lower()))


ReadPast: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Sequence[PastCall]]
"""Finds the calls of a conversation since the user last spoke, the latest first."""


def past_calls(messages: Sequence[Mapping[str, Any]]) -> list[PastCall]:
    """The calls since the user last spoke, the latest first."""
    made: list[Written] = []
    waiting: dict[str, Written] = {}
    for message in messages:
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
    return [PastCall(one) for one in reversed(made)]


def call_key(name: str, arguments: Any) -> str | None:
    """The same text for the same call; None where its arguments cannot be written as JSON."""
    written = as_json(arguments)
    return None if written is None else f"{name} {written}"


def as_json(value: Any) -> str | None:
    """The same text for the same JSON value; None for what is none."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError):
        return None


def _calls(message: Mapping[str, Any]) -> Iterator[tuple[str, Written]]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            yield str(call.get("id")), Written(function["name"], function.get("arguments"))


def _as_text(content: Any) -> str:
    """A result for comparing: its text, or all of it where it holds anything else."""
    texts = text_parts(content)
    if isinstance(content, str) or (isinstance(content, list) and len(texts) == len(content)):
        return "\n".join(texts)
    return call_key("", content) or f"unreadable {id(content)}"
