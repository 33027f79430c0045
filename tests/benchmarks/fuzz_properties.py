"""What must hold for every input of the fuzzer; ``examine`` says what does not."""

from __future__ import annotations

import json
import random
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from gptme_reliability import (
    Accept,
    Gate,
    ModelOutput,
    Policy,
    Retry,
    ToolDefinition,
    check,
)
from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.resolve import callable_names
from gptme_reliability.schemas import as_meant
from gptme_reliability.types import Verdict
from gptme_reliability.validate import _validator

BASE_MS: Final = 3.0
PER_CHAR_US: Final = 5.0
FAR_BEYOND: Final = 8
MOST_GROWTH: Final = 2.8
HANGS_S: Final = 20


@dataclass(frozen=True, slots=True)
class Case:
    """One input: an answer and all that ``check`` is told about it; JSON values throughout."""

    text: str
    tools: tuple[Any, ...]
    finish_reason: Any = None
    tool_calls: tuple[Any, ...] = ()
    messages: tuple[Any, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def size(self) -> int:
        """The characters that there are to read."""
        talk = json.dumps([self.tool_calls, self.messages, self.tools], default=str)
        return len(self.text) + len(talk)


class HangsError(Exception):
    """An input takes longer than anybody waits."""


@contextmanager
def limited() -> Iterator[None]:
    """Leave with ``HangsError`` after some seconds of work."""

    def stop(*_: object) -> None:
        raise HangsError(f"more than {HANGS_S} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def examine(case: Case, *, timed: bool = True) -> str | None:
    """The first thing that is wrong with what becomes of a case, in one line; None when nothing.

    It begins with the property's name.
    """
    return _guarded(lambda: _examine(case, timed))


def _guarded(work: Callable[[], str | None]) -> str | None:
    try:
        with limited():
            return work()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rpartition('/')[2]} {frame.name}:{frame.lineno}"
        return f"raises: {type(error).__name__} in {place}: {str(error)[:200]}"


def _examine(case: Case, timed: bool) -> str | None:
    tools = []
    for tool in case.tools:
        try:
            tools.append(ToolDefinition.from_openai(tool))
        except ToolDefinitionError:
            continue
        meant = tools[-1].parameters
        if again := as_meant(meant)[1]:
            return f"schema: a mended schema is mended again: {again}"
    given: dict[str, Any] = dict(case.policy)
    if "allow" in given:
        given["allow"] = frozenset(given["allow"])
    policy = Policy(**given)

    def run(text: str) -> Verdict:
        output = ModelOutput(text, case.tool_calls, None, case.finish_reason)
        return check(output, tools, policy, messages=case.messages)

    begin = time.process_time()
    try:
        verdict = run(case.text)
    except ToolDefinitionError:
        return None
    taken = time.process_time() - begin
    if verdict != run(case.text):
        return "deterministic: the same input gives another verdict"
    return (
        _shape(case, verdict)
        or _valid(verdict, tools)
        or _idempotent(verdict, tools)
        or _streamed(case, verdict, tools)
        or (_slow(case, run) if timed and taken > BASE_MS / 1e3 else None)
    )


def _shape(case: Case, verdict: Verdict) -> str | None:
    if not verdict.calls and not verdict.refused and verdict.text != case.text:
        return f"text: nothing was taken out and the text is another: {verdict.text!r}"
    if isinstance(verdict, Retry) and not (verdict.feedback and verdict.violations):
        return "shape: a question without words"
    return None


def _valid(verdict: Verdict, tools: Sequence[ToolDefinition]) -> str | None:
    for call in verdict.calls:
        tool = next((tool for tool in tools if tool.name == call.name), None)
        if tool is None:
            return f"valid: {call.name!r} is not on offer"
        try:
            validator = _validator(tool)
        except ToolDefinitionError:
            continue  # no schema in a part that the call does not touch
        if not validator.is_valid(call.arguments):
            return f"valid: the arguments of {call.name} break its schema: {call.arguments!r}"
    return None


def _idempotent(verdict: Verdict, tools: Sequence[ToolDefinition]) -> str | None:
    if not verdict.calls:
        return None
    raw = [
        {"id": f"c{n}", "function": {"name": c.name, "arguments": json.dumps(c.arguments)}}
        for n, c in enumerate(verdict.calls)
    ]
    again = check(ModelOutput(None, raw, None, "tool_calls"), tools, Policy(max_calls=100_000))
    if not isinstance(again, Accept) or again.changed or len(again.calls) != len(verdict.calls):
        return f"idempotent: an accepted call is not accepted as it is: {again!r}"
    for before, after in zip(verdict.calls, again.calls, strict=True):
        if json.dumps(before.arguments) != json.dumps(after.arguments):
            return f"idempotent: {before.arguments!r} became {after.arguments!r}"
    return None


def _streamed(case: Case, verdict: Verdict, tools: Sequence[ToolDefinition]) -> str | None:
    if case.tool_calls or not tools:
        return None
    rnd = random.Random(case.seed)
    names = callable_names(tools)
    gate, whole = Gate(names), Gate(names)
    text = case.text + "x"
    limit = whole.feed(text)
    position, safe = 0, 0
    while position < len(case.text):
        size = rnd.choice((1, 1, 2, 3, 8, 50))
        now = gate.feed(case.text[position : position + size])
        if now < safe:
            return f"gate: showed {safe} characters and took back to {now}"
        safe, position = now, position + size
    shown = case.text[:safe]
    if shown.strip() and not verdict.text.startswith(shown):
        return f"gate: showed part of a call: {shown[-80:]!r} of {verdict.text[:safe][-80:]!r}"
    if (safe := gate.feed("x")) > limit:
        return f"gate: shows {limit} of the whole and {safe} of the pieces"
    return None


def _slow(case: Case, run: Callable[[str], object]) -> str | None:
    """Time per character beyond a bound, where it grows with the length; or far beyond it."""
    allowed = BASE_MS / 1e3 + PER_CHAR_US / 1e6 * case.size()
    taken = min(_seconds(run, case.text) for _ in range(3))
    if taken <= allowed:
        return None
    growth = min(_seconds(run, case.text * 2) for _ in range(2)) / taken
    if growth < MOST_GROWTH and taken <= allowed * FAR_BEYOND:
        return None
    size = case.size()
    return f"slow: {taken * 1e3:.1f} ms for {size} characters, x{growth:.1f} for twice as many"


def _seconds(run: Callable[[str], object], text: str) -> float:
    begin = time.process_time()
    run(text)
    return time.process_time() - begin


def cut_short(case: Case, cut: int) -> str | None:
    """Law 6: of a sound answer that ``length`` struck only calls run that the whole one makes."""
    return _guarded(lambda: _cut_short(case, cut))


def _cut_short(case: Case, cut: int) -> str | None:
    tools = [ToolDefinition.from_openai(tool) for tool in case.tools]
    whole = check(ModelOutput(case.text, finish_reason="stop"), tools)
    struck = check(ModelOutput(case.text[:cut], finish_reason="length"), tools)
    if not isinstance(whole, Accept) or not whole.calls:
        return None
    made = [(call.name, call.arguments) for call in whole.calls]
    for call in struck.calls:
        if (call.name, call.arguments) not in made:
            return f"cut: {call.name}({call.arguments!r}) runs, cut off at {cut}"
    return None
