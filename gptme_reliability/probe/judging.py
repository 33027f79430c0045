"""What one sample shows of each field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from gptme_reliability.feedback import shorten
from gptme_reliability.pipeline import check
from gptme_reliability.probe.finding import UNCLEAR, Finding, Known
from gptme_reliability.probe.offer import COLOURS, LONGEST_CITY, TIMER, TOOLS, WEATHER
from gptme_reliability.probe.sample import Sample
from gptme_reliability.types import ModelOutput

Judge: TypeAlias = Callable[[Sample, Known], Finding]
"""Says what a sample with an answer shows, in the words of its field."""

_YES: Final = Finding("yes")
_MORE_TOKENS: Final = 10
"""Tokens that two tools cost at least."""
_LONGEST_WORD: Final = 40
_SILENT: Final = Finding(UNCLEAR, "the server counts no tokens")
_CUT: Final = Finding(UNCLEAR, "the answer was cut off")
_NOTHING: Final = Finding(UNCLEAR, "the model called nothing")
_ALWAYS_CALLS: Final = Finding(UNCLEAR, "the model calls without being made to as well")


def judged(judge: Judge, sample: Sample, known: Known, refused: str = "rejected") -> Finding:
    """What a sample shows, whatever came; ``refused`` is the word for a request not taken."""
    if sample.kind == "answer":
        return judge(sample, known)
    if sample.kind == "refused":
        said = f": {sample.said}" if sample.said else ""
        return Finding(refused, f"HTTP {sample.status}{said}")
    return Finding(UNCLEAR, unanswered(sample))


def unanswered(sample: Sample) -> str:
    """Why there is nothing to judge, in words."""
    return {
        "model": "the server could not read what its model wrote",
        "busy": f"HTTP {sample.status}",
        "lost": "no answer in time, or the connection broke",
        "garbage": "what came is no chat completion",
    }.get(sample.kind, f"HTTP {sample.status}")


# --- what a sample holds ------------------------------------------------------------------


def _calls(output: ModelOutput) -> Iterator[tuple[str, Any]]:
    """The native calls that have a name, with their arguments where those can be read."""
    for call in output.tool_calls:
        function = call.get("function") if isinstance(call, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if isinstance(function, Mapping) and isinstance(name, str) and name:
            yield name, _read(function.get("arguments"))


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def _called(sample: Sample) -> list[str]:
    return [name for name, _ in _calls(sample.output)]


def _leak(sample: Sample) -> str | None:
    """The dialect of a call that stands in the text."""
    text = sample.output.text or ""
    verdict = check(ModelOutput(text, finish_reason=sample.output.finish_reason), TOOLS)
    dialects = [call.dialect for call in verdict.calls]
    dialects += [refused.dialect for refused in verdict.refused]
    return next(filter(None, dialects), None)


def _cut(sample: Sample) -> bool:
    return sample.output.finish_reason in ("length", "max_tokens")


def _no_call(sample: Sample) -> Finding:
    """Why there is no call to judge."""
    return _CUT if _cut(sample) else _NOTHING


def _leaked(dialect: str, value: str) -> Finding:
    return Finding(value, f"its call came as text, in the dialect {dialect}")


def _reason(sample: Sample) -> str:
    return f"finish_reason {shorten(str(sample.output.finish_reason), _LONGEST_WORD)}"


# --- plain answers ------------------------------------------------------------------------


def counts_tokens(sample: Sample, known: Known) -> Finding:
    """Whether prompt and answer are counted."""
    counted = sample.tokens("prompt") is not None and sample.tokens("completion") is not None
    return _YES if counted else Finding("no")


def cut_is_told(most: int) -> Judge:
    """Whether an answer of ``most`` tokens, which wants to be longer, is said to be cut."""

    def judge(sample: Sample, known: Known) -> Finding:
        if _cut(sample):
            return _YES
        written = sample.tokens("completion")
        if written is None:
            return _SILENT
        if written > most:
            return Finding("no", f"{written} tokens came although {most} were asked for")
        return Finding("no", _reason(sample)) if written == most else Finding(UNCLEAR, "too short")

    return judge


# --- calls --------------------------------------------------------------------------------


def arrives(sample: Sample, known: Known) -> Finding:
    """Whether the call that was asked for is delivered as one."""
    if _called(sample):
        return _YES
    dialect = _leak(sample)
    if dialect:
        return _leaked(dialect, "leaked")
    return _no_call(sample)


def leaks(sample: Sample, known: Known) -> Finding:
    """In which dialect a call stands in the text."""
    if _called(sample):
        return Finding("none")
    dialect = _leak(sample)
    return Finding(dialect) if dialect else _NOTHING


def sees_tools(sample: Sample, known: Known) -> Finding:
    """Whether tools on offer make the prompt longer; counts that deny a call tell nothing."""
    prompt, bare = sample.tokens("prompt"), known.bare_tokens
    if prompt is None or bare is None:
        return _SILENT
    note = f"{prompt} tokens with tools, {bare} without"
    if prompt >= bare + _MORE_TOKENS:
        return Finding("yes", note)
    dropped = prompt == bare and not _called(sample)
    return Finding("no" if dropped else UNCLEAR, note)


def calls_are_told(sample: Sample, known: Known) -> Finding:
    """Whether the finish reason of calls says that there are some."""
    if not _called(sample):
        return _NOTHING
    told = sample.output.finish_reason in ("tool_calls", "function_call")
    return _YES if told else Finding("no", _reason(sample))


def talks(sample: Sample, known: Known) -> Finding:
    """Whether a greeting is answered in words although tools are on offer."""
    if _called(sample) or _leak(sample):
        return Finding("no", "it calls a tool instead")
    return _YES if (sample.output.text or "").strip() else Finding(UNCLEAR, "an empty answer")


def must_call(sample: Sample, known: Known) -> Finding:
    """Whether a greeting is answered by a call where one is required."""
    if _called(sample):
        return _YES if known.value("talks") == "yes" else _ALWAYS_CALLS
    if _cut(sample):
        return _CUT
    dialect = _leak(sample)
    return _leaked(dialect, "no") if dialect else Finding("no", "it answers without a call")


def must_call_timer(sample: Sample, known: Known) -> Finding:
    """Whether the named tool is called and no other, against what the question suggests."""
    called = set(_called(sample))
    if called:
        return _YES if called == {TIMER} else Finding("no", "another tool was called")
    if _cut(sample):
        return _CUT
    dialect = _leak(sample)
    return _leaked(dialect, "no") if dialect else Finding("no", "it answers without a call")


def must_not_call(sample: Sample, known: Known) -> Finding:
    """Whether nothing is called where that is forbidden, and would be called otherwise."""
    if _called(sample):
        return Finding("no", "it calls all the same")
    dialect = _leak(sample)
    if dialect:
        return _leaked(dialect, "no")
    if known.value("native_tools") not in ("yes", "leaked"):
        return Finding(UNCLEAR, "the model would call nothing anyway")
    return _CUT if _cut(sample) else _YES


def calls_twice(sample: Sample, known: Known) -> Finding:
    """Whether one answer brings several calls."""
    called = len(_called(sample))
    if called > 1:
        return _YES
    return Finding(UNCLEAR, "the model made one call") if called else _no_call(sample)


def holds_arguments(sample: Sample, known: Known) -> Finding:
    """Whether a value stays within the length that its schema allows, as no model would."""
    for name, arguments in _calls(sample.output):
        city = arguments.get("city") if isinstance(arguments, Mapping) else None
        if name == WEATHER and isinstance(city, str) and city:
            return Finding("enforced" if len(city) <= LONGEST_CITY else "accepted")
    return _no_call(sample)


# --- streams ------------------------------------------------------------------------------


def well_formed(sample: Sample, known: Known) -> Finding:
    """Whether a stream can be read by any client."""
    return Finding("no", "; ".join(sample.faults)) if sample.faults else _YES


def stream_counts(sample: Sample, known: Known) -> Finding:
    """Whether a stream counts its tokens where it is asked to."""
    return counts_tokens(sample, known)


# --- schemas ------------------------------------------------------------------------------


def _fits(sample: Sample) -> bool:
    answer = _read((sample.output.text or "").strip())
    return isinstance(answer, Mapping) and list(answer) == ["colour"] and _colour(answer)


def _colour(answer: Mapping[str, Any]) -> bool:
    return isinstance(answer["colour"], str) and answer["colour"] in COLOURS


def holds_answer(value: str) -> Judge:
    """Whether a greeting is answered by JSON that nobody would answer; ``value`` if it is."""

    def judge(sample: Sample, known: Known) -> Finding:
        if _fits(sample):
            return Finding(value)
        if _cut(sample):
            return _CUT
        if not (sample.output.text or "").strip():
            return Finding(UNCLEAR, "an empty answer")
        return Finding("accepted", "the answer does not fit it")

    return judge


def which_wins(sample: Sample, known: Known) -> Finding:
    """What comes of tools and a schema together."""
    if _called(sample):
        return Finding("calls")
    if _fits(sample):
        return Finding("format")
    return _CUT if _cut(sample) else Finding("neither")


# --- context ------------------------------------------------------------------------------


def stays_within(sample: Sample, known: Known) -> Finding:
    """What became of a prompt that is longer than the declared context."""
    read = sample.tokens("prompt")
    if read is None or known.context is None:
        return _SILENT
    note = f"{read} of its tokens were read"
    return Finding("taken" if read > known.context else "cut", note)
