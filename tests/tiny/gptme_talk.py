"""Conversations of gptme to train on, with native tools and with calls in Markdown blocks.

They are what gptme sends, from its system prompt to the words by which it asks for an end, and
what a model is told about a fault is this project's feedback on one made up here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any, Final

from gptme_reliability import ModelOutput, Policy, Retry, check
from gptme_reliability.dialects.encode import encode
from gptme_reliability.in_text import check_in_text
from gptme_reliability.prompting import structured
from gptme_reliability.replay import asked_again, asked_differently
from gptme_reliability.respond import with_voice
from gptme_reliability.types import Call, HostFormat, ModelRequest
from tiny import conversations, template
from tiny.conversations import Row
from tiny.gptme_task import ALL, Errand, Step, make

SYSTEM: Final = "You are a tiny assistant."
MARKDOWN: Final = HostFormat(
    "markdown", {name: name for name in (*ALL, "complete")}, dict.fromkeys(ALL, "positional")
)
BUDGET: Final = "<budget:token_budget>128000</budget:token_budget>"
"""What gptme tells a model of which it does not know how much it takes (gptme 0.35.1)."""
NUDGE: Final = (
    "<system>No tool call detected in last message. Did you mean to finish? If so, make sure you "
    "are completely done and then use the `complete` tool to end the session.</system>"
)
"""What gptme says where an answer called nothing (gptme 0.35.1, ``tools/complete.py``)."""

_DRILLS: Final = 0.08
_OTHERS: Final = 0.10
_TITLES: Final = 0.02
_STRUCTURED: Final = 0.03
_FAULTY: Final = 0.30
_SYSTEMS: Final = (SYSTEM, SYSTEM, "You are a helpful assistant.", "Answer shortly.")

rendered = partial(template.rendered, name="gptme")


def rows(count: int, seed: int) -> Iterator[Row]:
    """That many rows; some are drills, and some the task that the model had before."""
    random = Random(seed)
    drilled = conversations.rows(count, seed, drills=1.0)
    others = conversations.rows(count, seed, drills=0.0)
    for _ in range(count):
        shape = random.random()
        if shape < _DRILLS:
            yield next(drilled)
        elif shape < _DRILLS + _OTHERS:
            yield next(others)
        elif shape < _DRILLS + _OTHERS + _TITLES:
            yield Row(rendered([user(_TITLE.format(make(random).request)), said("Tiny task")]))
        else:
            yield _row(make(random), random)


def _row(errand: Errand, random: Random) -> Row:
    request = asked(errand, random.choice(_SYSTEMS), native=random.random() < 0.5)
    request, behind = _until(errand, request, random)
    told = failed(errand, request, behind, random) if random.random() < _FAULTY else request
    before = _answers(request)
    if not request.host and random.random() < _STRUCTURED:
        return _structured(errand, request, behind)
    talk = [*told.messages, *_onward(errand, told, behind), *_ended(told, random)]
    return Row(_rendered(told, talk), before, _answers(told) - before)


def _rendered(request: ModelRequest, talk: Sequence[Any], *, prompt: bool = False) -> str:
    return rendered(talk, () if request.host else request.tools, prompt=prompt)


def prompt(request: ModelRequest) -> str:
    """What the model sees of a request."""
    return _rendered(request, request.messages, prompt=True)


def _answers(request: ModelRequest) -> int:
    return sum(message["role"] == "assistant" for message in request.messages)


# --- what gptme sends ---------------------------------------------------------------------


def asked(errand: Errand, system: str = SYSTEM, *, native: bool) -> ModelRequest:
    """The first request of a run."""
    tools = "\n\n".join(f"## {tool.name}\n\nA tool." for tool in errand.tools)
    told = f"{system}\n\n# Tools Overview\n\n{tools}\n\n*End of Tools List.*\n\n{BUDGET}"
    messages = ({"role": "system", "content": told}, user(errand.request))
    return ModelRequest(messages, errand.tools, host=None if native else MARKDOWN)


def stepped(request: ModelRequest, step: Step, number: int) -> list[dict[str, Any]]:
    """A call of the model, and gptme's answer to it."""
    if request.host:
        called = said(_block(request, step.call))
        return [called, {"role": "system", "content": step.result}]
    wire = _wire(step.call, f"call{number}")
    called = {"role": "assistant", "content": None, "tool_calls": [wire]}
    return [called, {"role": "tool", "tool_call_id": wire["id"], "content": step.result}]


def _block(request: ModelRequest, call: Call) -> str:
    return encode([call], "gptme_markdown", request.tools)


def _until(errand: Errand, request: ModelRequest, random: Random) -> tuple[ModelRequest, int]:
    """The request for one of the answers, and how many steps it has behind it."""
    behind = random.randrange(len(errand.steps)) if errand.steps else 0
    done = [m for n, step in enumerate(errand.steps[:behind]) for m in stepped(request, step, n)]
    return replace(request, messages=(*request.messages, *done)), behind


def _onward(errand: Errand, request: ModelRequest, behind: int) -> list[dict[str, Any]]:
    """The steps that are left, and the answer."""
    left = enumerate(errand.steps[behind:], behind)
    return [*(m for n, step in left for m in stepped(request, step, n)), said(errand.answer)]


def _ended(request: ModelRequest, random: Random) -> list[dict[str, Any]]:
    """gptme asks whether that is the end, and it is."""
    end = Step("", Call("complete", {}), "", "")
    return [user(NUDGE), stepped(request, end, 9)[0]] if random.random() < 0.8 else []


def _structured(errand: Errand, request: ModelRequest, behind: int) -> Row:
    """An answer that can be nothing but one call, and talking is a tool."""
    spoken, voice = with_voice(request, Policy())
    left = errand.steps[behind:]
    call = left[0].call if left else Call(voice, {"text": errand.answer})
    told = structured(spoken, "response_format").messages
    return Row(rendered([*told, said(encode([call], "plain_json"))]), 0, _answers(request))


def user(text: str) -> dict[str, Any]:
    """A message of the user."""
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    """An answer in words."""
    return {"role": "assistant", "content": text}


def _wire(call: Call, call_id: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {"id": call_id, "type": "function", "function": function}


_TITLE: Final = """\
Your task: Create a 2-4 word title for this conversation.

Rules:
- Respond with ONLY the title, nothing else
- Maximum 4 words

Conversation:
User: {}
"""
"""The gist of what gptme asks beside a conversation."""


# --- answers that failed ------------------------------------------------------------------


def failed(errand: Errand, request: ModelRequest, behind: int, random: Random) -> ModelRequest:
    """The request that asks for a made-up failure again; as it was where none came about."""
    call = errand.steps[behind].call if errand.steps else None
    output = _faulty(request, call, random)
    if request.host:
        verdict = check_in_text(
            output, request.tools, request.host, Policy(), list(request.messages)
        )
    else:
        verdict = check(output, request.tools, messages=request.messages)
    if not isinstance(verdict, Retry) or verdict.calls:
        return request
    if random.random() < 0.15:
        return asked_differently(request, verdict)
    policy = Policy(failed="rewind") if random.random() < 0.15 else Policy()
    return asked_again(request, request, output, verdict, policy)


def _faulty(request: ModelRequest, call: Call | None, random: Random) -> ModelOutput:
    wrong = _spoiled(call, random) if call else Call(random.choice(_STRANGERS), {})
    if wrong is None:
        return ModelOutput(text="", finish_reason="stop")
    if not request.host and random.random() < 0.6:
        return ModelOutput(tool_calls=[_wire(wrong, "call8")], finish_reason="tool_calls")
    if not request.host or random.random() < 0.2:
        text = encode([wrong], "hermes")
    else:
        head, *body = [str(value) for value in wrong.arguments.values()] or [""]
        path = head if body else ""
        text = f"```{' '.join((wrong.name, *path.split()))}\n{' '.join(body) or head}\n```"
    if random.random() < 0.25:
        cut = text[: random.randint(len(text) // 3, len(text) - 4)]
        return ModelOutput(text=cut, finish_reason=random.choice(("stop", "length")))
    return ModelOutput(text=text, finish_reason="stop")


def _spoiled(call: Call, random: Random) -> Call | None:
    """A right call made wrong: None stands for an answer without anything."""
    arguments = dict(call.arguments)
    key = random.choice(list(arguments))
    match random.randrange(5):
        case 0:
            return Call(random.choice(_STRANGERS), arguments)
        case 1:
            arguments[random.choice(_KEYS)] = arguments.pop(key)
        case 2:
            del arguments[key]
        case 3:
            arguments[key] = [arguments[key]]
        case _:
            return None if random.random() < 0.4 else Call(random.choice(_STRANGERS), arguments)
    return Call(call.name, arguments)


_STRANGERS: Final = ("bash", "sh", "python", "read", "cat", "write", "browser", "file", "ls", "run")
_KEYS: Final = ("file", "filename", "text", "body", "cmd", "script", "input", "name")
