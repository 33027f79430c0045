"""Conversations to train on: cases in the wording that this project itself sends to models.

What a model is told about a fault is the feedback on a fault made up here, and the tools are
put into words as for a server that knows none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final

from gptme_reliability import ModelOutput, Policy, Retry, check
from gptme_reliability.dialects.encode import encode
from gptme_reliability.prompting import prompted, structured
from gptme_reliability.replay import asked_again, asked_differently
from gptme_reliability.respond import with_voice
from gptme_reliability.types import Attempted, Call, ModelRequest
from tiny.task import Case, drill, make
from tiny.template import rendered
from tiny.tools import CITIES, FOLDERS, TOOLS, WORDS

ANSWER: Final = "<|im_start|>assistant\n"
END: Final = "<|im_end|>"
DIALECT: Final = "hermes"

_PROMPTED: Final = 0.42
_STRUCTURED: Final = 0.15
_SYSTEM: Final = 0.25
_FAULTY: Final = 0.30
_VOICE: Final = 0.12
_EARLIER: Final = (0, 0, 1, 2, 3, 4)


@dataclass(frozen=True, slots=True)
class Row:
    """A conversation as text.

    All answers in it are the model's, but for ``failed`` ones behind the first ``before``.
    """

    text: str
    before: int = 0
    failed: int = 0


def rows(count: int, seed: int, *, drills: float) -> Iterator[Row]:
    """That many rows, this share of them drills."""
    random = Random(seed)
    for _ in range(count):
        yield _drilled(random) if random.random() < drills else _row(make(random), random)


def _drilled(random: Random) -> Row:
    talk: list[dict[str, Any]] = []
    for _ in range(random.randint(1, 4)):
        request, answer = drill(random)
        talk += [_user(request), _said(answer)]
    return Row(rendered(talk))


def requests(count: int, seed: int) -> Iterator[ModelRequest]:
    """That many requests, native and prompted, some of which ask a failed answer again."""
    random = Random(seed)
    for number in range(count):
        case = make(random)
        request = _request(case, random)
        if number % 2:
            request, _ = _failed(case, request, random)
        yield prompted(request, DIALECT) if number % 4 > 1 else request


def _row(case: Case, random: Random) -> Row:
    request = _request(case, random)
    shape = random.random()
    if shape < _STRUCTURED:
        return _structured(case, request, random)
    if shape < _STRUCTURED + _PROMPTED:
        return _prompted(case, request, random)
    return _native(case, request, random)


def _request(case: Case, random: Random) -> ModelRequest:
    """What a case asks, behind some earlier talk."""
    earlier: list[dict[str, Any]] = []
    for _ in range(random.choice(_EARLIER)):
        before = make(random, case.offered)
        earlier += [_user(before.request), *_with_results(before, random, f"t{len(earlier)}n")]
    return ModelRequest((*_system(random), *earlier, _user(case.request)), case.tools)


def _system(random: Random) -> tuple[Mapping[str, Any], ...]:
    if random.random() > _SYSTEM:
        return ()
    return ({"role": "system", "content": random.choice(_SYSTEMS)},)


_SYSTEMS: Final = (
    "You are a helpful assistant.",
    "You are a tiny assistant. Use the tools.",
    "Answer shortly.",
)


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


# --- the three ways to ask ----------------------------------------------------------------


def _native(case: Case, request: ModelRequest, random: Random) -> Row:
    """Tools on offer by the template, calls as it renders them."""
    voice = None
    if not _answered(request) and random.random() < _VOICE:
        request, voice = with_voice(request, Policy())
    told, _ = _failed(case, request, random) if random.random() < _FAULTY else (request, ())
    if voice and not case.calls:
        answer = [_said(encode([Call(voice, {"text": case.answer})], DIALECT))]
    else:
        answer = _with_results(case, random)
    return _row_of(request, told, rendered((*told.messages, *answer), told.tools))


def _prompted(case: Case, request: ModelRequest, random: Random) -> Row:
    """Tools in words, calls in text."""
    told, _ = _failed(case, request, random) if random.random() < _FAULTY else (request, ())
    *results, said = _with_results(case, random)
    behind = replace(told, messages=(*told.messages, *results))
    return _row_of(request, told, rendered([*prompted(behind, DIALECT).messages, said]))


def _structured(case: Case, request: ModelRequest, random: Random) -> Row:
    """A failed answer, asked for again so that it can be nothing but calls; talking is one."""
    spoken, voice = with_voice(request, Policy())
    told, attempted = _failed(case, spoken, random)
    calls = case.calls or (Call(voice, {"text": case.answer}),)
    asked = structured(told, "response_format", "en", attempted, voice).messages
    return Row(rendered([*asked, _said(encode(calls, "plain_json"))]), 0, _answered(told))


def _row_of(request: ModelRequest, told: ModelRequest, text: str) -> Row:
    before = _answered(request)
    return Row(text, before, _answered(told) - before)


def _answered(request: ModelRequest) -> int:
    return sum(message["role"] == "assistant" for message in request.messages)


def _with_results(case: Case, random: Random, name: str = "call") -> list[dict[str, Any]]:
    """The calls, their results, and the answer to the user."""
    if not case.calls:
        return [_said(case.answer)]
    results = [_result(random) for _ in case.calls]
    calls = [_wire(call, f"{name}{n}") for n, call in enumerate(case.calls)]
    answers = [
        {"role": "tool", "tool_call_id": f"{name}{n}", "content": result}
        for n, result in enumerate(results)
    ]
    said = " and ".join(results)
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        *answers,
        {"role": "assistant", "content": f"Result: {said}"},
    ]


def _result(random: Random) -> str:
    words = [random.choice(WORDS), str(random.randint(1, 120)), random.choice(CITIES), "ok", "done"]
    return " ".join(random.sample(words, random.choice((1, 1, 2, 3))))


def _wire(call: Call, call_id: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {"id": call_id, "type": "function", "function": function}


# --- answers that failed ------------------------------------------------------------------


def _failed(
    case: Case, request: ModelRequest, random: Random
) -> tuple[ModelRequest, tuple[Attempted, ...]]:
    """The request that asks for a made-up failure again, and the calls to correct.

    As it was where no failure came about.
    """
    policy = Policy(partial="hold")
    output = _faulty(case, random)
    verdict = check(output, request.tools, policy, messages=request.messages)
    if not isinstance(verdict, Retry):
        return request, ()
    if random.random() < 0.15:
        return asked_differently(request, verdict), verdict.attempted
    if random.random() < 0.15:
        policy = replace(policy, failed="rewind")
    return asked_again(request, request, output, verdict, policy), verdict.attempted


def _faulty(case: Case, random: Random) -> ModelOutput:
    calls = _faulty_calls(case, random)
    if not calls:
        return ModelOutput(text="", finish_reason="stop")
    if random.random() < 0.5:
        wire = [_wire(call, f"call{n}") for n, call in enumerate(calls)]
        return ModelOutput(tool_calls=wire, finish_reason="tool_calls")
    text = encode(calls, DIALECT)
    if random.random() < 0.35:
        return ModelOutput(text=_broken(text, random), finish_reason="stop")
    if random.random() < 0.15:
        return ModelOutput(text=text[: len(text) * 2 // 3], finish_reason="length")
    return ModelOutput(text=text, finish_reason="stop")


def _faulty_calls(case: Case, random: Random) -> list[Call]:
    """The right calls with one of them made wrong; none stands for an answer without anything."""
    if not case.calls:
        return [_other_tool(case, random)] if random.random() < 0.7 else []
    struck = random.randrange(len(case.calls))
    spoiled = _spoiled(case, case.calls[struck], random)
    return [*case.calls[:struck], spoiled, *case.calls[struck + 1 :]] if spoiled else []


def _other_tool(case: Case, random: Random) -> Call:
    """A call of a tool that is not on offer."""
    taken = {one.name for one in case.offered}
    names = [name for tool in TOOLS for name in tool.names if name not in taken]
    return Call(random.choice(names), {"text": random.choice(WORDS)})


def _spoiled(case: Case, call: Call, random: Random) -> Call | None:
    """A right call made wrong: None stands for an answer without anything."""
    offered = next(one for one in case.offered if one.name == call.name)
    arguments = dict(call.arguments)
    key = random.choice(list(arguments))
    match random.randrange(6):
        case 0:
            return _renamed(case, call, random)
        case 1:
            others = {n for p in offered.tool.parameters for n in p.names} - set(arguments)
            arguments[random.choice(sorted(others))] = arguments.pop(key)
        case 2:
            del arguments[key]
        case 3:
            arguments[key] = random.choice((*WORDS[:20], *FOLDERS))
        case 4:
            arguments[key] = [arguments[key], random.choice(WORDS)]
        case _:
            return None if random.random() < 0.3 else _renamed(case, call, random)
    return Call(call.name, arguments)


def _renamed(case: Case, call: Call, random: Random) -> Call:
    """The call under another name of its tool."""
    taken = {one.name for one in case.offered}
    tool = next(one.tool for one in case.offered if one.name == call.name)
    names = [name for name in tool.names if name not in taken]
    return Call(random.choice(names or ["tool"]), call.arguments)


def _broken(text: str, random: Random) -> str:
    """Text with a few characters missing from its arguments."""
    at = random.randint(text.index("arguments") + 8, len(text) - 14)
    return text[:at] + text[at + random.randint(1, 4) :]


def spans(row: Row) -> Iterator[tuple[int, int]]:
    """Where the model's own words stand in the text, in characters."""
    begin, number = 0, 0
    while (found := row.text.find(ANSWER, begin)) >= 0:
        begin = found + len(ANSWER)
        end = row.text.index(END, begin) + len(END)
        if not row.before <= number < row.before + row.failed:
            yield begin, end
        begin, number = end, number + 1
