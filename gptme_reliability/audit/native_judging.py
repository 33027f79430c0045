"""Failures in gptme's native format: each stored call against its result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from gptme_reliability.audit import prose
from gptme_reliability.audit.classes import (
    class_of_repairs,
    class_of_violations,
    stage_of_class,
    stage_of_repairs,
)
from gptme_reliability.audit.failure import Case, Failure, Judged, Made
from gptme_reliability.audit.reading import Message
from gptme_reliability.audit.results import Fate, digest, fate
from gptme_reliability.audit.shown import shown_blocks
from gptme_reliability.audit.stored_calls import StoredCall, text_before
from gptme_reliability.audit.text_judging import judge_in_text
from gptme_reliability.past_calls import call_key
from gptme_reliability.pipeline import check
from gptme_reliability.types import ModelOutput, Reject, Retry, ToolDefinition, Verdict

_CAME_TO_NOTHING: Final = frozenset({"nothing", "unavailable", "failed", "complained"})
_IN_REASONING: Final = "unfinished_reasoning"


def judge_native(case: Case, calls: Sequence[StoredCall]) -> Judged:
    """Judge an answer with stored calls."""
    results = _by_call(calls, case.exchange.results)
    failures: list[Failure] = []
    made: list[Made] = []
    for call, found in zip(calls, results, strict=True):
        fated = fate(found)
        if call.shown:
            failures += _shown(case, call, fated)
            continue
        failures += _of_call(case, call, fated)
        if fated in ("ran", "complained"):
            made.append(Made(call.name, call.as_the_host_reads() or {}, digest(found)))
    failures += _duplicates(made, case.setting.tools)
    if any(result.call_id is None for result in case.exchange.results):
        before = text_before(case.text, tuple(calls))
        failures += shown_blocks(before, case.setting.markdown, case.recent)
    return Judged(tuple(failures), tuple(made))


def judge_without_calls(case: Case) -> Judged:
    """Judge an answer that stores no call: gptme still runs fenced blocks in this format."""
    if prose.runs_a_block(case.text, case.setting.markdown):
        return judge_in_text(case, case.setting.markdown)
    verdict = check(ModelOutput(case.text), case.setting.tools, messages=case.recent)
    return prose.judged(case, verdict)


def _by_call(calls: Sequence[StoredCall], results: Sequence[Message]) -> list[list[Message]]:
    """The results of each call; calls that share an id share them in order."""
    waiting: dict[str, list[Message]] = {}
    for result in results:
        if result.call_id is not None:
            waiting.setdefault(result.call_id, []).append(result)
    same = Counter(call.call_id for call in calls)
    found: list[list[Message]] = []
    for call in calls:
        own = waiting.get(call.call_id, [])
        found.append([own.pop(0)] if same[call.call_id] > 1 and own else list(own))
    return found


def _shown(case: Case, call: StoredCall, fated: Fate) -> Iterator[Failure]:
    """A call that stands in reasoning or amid text, and was run for all that."""
    if fated not in ("ran", "failed"):
        return
    verdict = check(ModelOutput(case.text), case.setting.tools, messages=case.recent)
    violations = verdict.violations if isinstance(verdict, Retry | Reject) else ()
    if not verdict.calls and all(one.rule == _IN_REASONING for one in violations):
        yield Failure("shown_executed", stage_of_class("shown_executed"), call.name)


def _of_call(case: Case, call: StoredCall, fated: Fate) -> Iterator[Failure]:
    if fated == "stopped":
        return
    verdict = check(ModelOutput(tool_calls=(call.wire,)), case.setting.tools)
    tool = _tool(verdict, call)
    if fated in _CAME_TO_NOTHING:
        yield from _lost(case, call, verdict, fated, tool)
    elif case.setting.has(call.name) and _ran_otherwise(call, verdict, case.setting.tools):
        yield _from(verdict, tool) or Failure("unclassified", "nobody", tool)


def _lost(
    case: Case, call: StoredCall, verdict: Verdict, fated: Fate, tool: str | None
) -> Iterator[Failure]:
    if fated == "unavailable":
        mended = bool(verdict.calls) and verdict.calls[0].name != call.name
        yield Failure("wrong_tool", stage_of_repairs(verdict.repairs) if mended else "re-ask", tool)
        return
    found = _from(verdict, tool)
    if found is not None:
        # A host that read the call may be waiting for it still, where the log ends.
        if fated != "nothing" or not (call.readable and case.exchange.ended):
            yield found
    elif fated == "failed":
        yield Failure("tool_error", "nobody", tool)
    elif fated == "nothing" and not call.readable and not case.exchange.ended:
        yield Failure("call_id", stage_of_class("call_id"), tool)


def _from(verdict: Verdict, tool: str | None) -> Failure | None:
    """The failure that the core's verdict on a call speaks of; None where it finds no fault."""
    if isinstance(verdict, Retry | Reject):
        kind = class_of_violations(verdict.violations)
        return Failure(kind, stage_of_class(kind), tool) if kind else None
    kind = class_of_repairs(verdict.repairs)
    return Failure(kind, stage_of_repairs(verdict.repairs), tool) if kind else None


def _ran_otherwise(call: StoredCall, verdict: Verdict, tools: Sequence[ToolDefinition]) -> bool:
    """Whether the host ran the call without what it needs, or with another value for it."""
    read = call.as_the_host_reads() or {}
    needed = _required(call.name, tools)
    if any(read.get(name) is None for name in needed):
        return True
    if not verdict.calls:
        return False
    meant = verdict.calls[0].arguments
    renamed = class_of_repairs(verdict.repairs) is not None
    return any(not _same(read[n], meant[n]) if n in read else renamed for n in meant)


def _same(read: Any, meant: Any) -> bool:
    """Whether the host's tools take both for the same: they convert texts, and trim them."""
    return read == meant or _plain(read) == _plain(meant)


def _plain(value: Any) -> str:
    return str(value).strip().casefold()


def _required(name: str, tools: Sequence[ToolDefinition]) -> Sequence[str]:
    tool = next((tool for tool in tools if tool.name == name), None)
    found = tool.parameters.get("required") if tool else None
    return found if isinstance(found, list) else ()


def _tool(verdict: Verdict, call: StoredCall) -> str | None:
    """The tool that was meant, else the name as it was written."""
    return verdict.calls[0].name if verdict.calls else call.name or None


def _duplicates(made: Sequence[Made], tools: Sequence[ToolDefinition]) -> Iterator[Failure]:
    reading = {tool.name for tool in tools if tool.read_only is True}
    times = Counter(
        (one.name, call_key(one.name, one.arguments)) for one in made if one.name not in reading
    )
    for (name, same), count in times.items():
        if count > 1 and same is not None:
            yield Failure("duplicate_call", stage_of_class("duplicate_call"), name)
