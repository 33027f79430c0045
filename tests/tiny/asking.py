"""Asks a server that has the tiny model, with and without this project between."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import openai
from jsonschema import Draft202012Validator
from recording_host import RecordingHost

from gptme_reliability.prompting import prompted
from gptme_reliability.surfaces.client import client_class
from gptme_reliability.types import ModelRequest
from tiny.conversations import DIALECT
from tiny.task import Case
from tiny.template import on_the_wire

LONGEST: Final = 160
"""Tokens of an answer: twice those of the longest right one."""

_CALL: Final = re.compile(r"<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got: text, and calls with their arguments as text; or the error instead."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = None
    error: str | None = None
    tokens: int = 0


def sdk(url: str, host: RecordingHost | None = None) -> openai.OpenAI:
    """The real SDK, with this project's client between where there is a host."""
    base = openai.DefaultHttpxClient
    http_client = base() if host is None else client_class(base)(host, "local")
    return openai.OpenAI(http_client=http_client, base_url=url, api_key="none", max_retries=0)


def asked(case: Case, **params: Any) -> dict[str, Any]:
    """A request as a host sends it."""
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": case.request}],
        "tools": [on_the_wire(tool) for tool in case.tools],
        "max_tokens": LONGEST,
        **params,
    }


def in_words(case: Case, **params: Any) -> dict[str, Any]:
    """The same with the tools told in words."""
    body = asked(case, **params)
    request = ModelRequest(tuple(body["messages"]), case.tools)
    body["messages"] = list(prompted(request, DIALECT).messages)
    del body["tools"]
    return body


def sampling(temperature: float, seed: int) -> dict[str, Any]:
    """No filter on what is drawn, so that the temperature alone says how noisy the model is.

    A prompt that is partly known from the request before is computed in other portions, which
    changes the last digits of the scores: without that the same seed draws the same tokens.
    """
    return {
        "temperature": temperature,
        "top_p": 1.0,
        "seed": seed,
        "extra_body": {"top_k": 0, "min_p": 0.0, "cache_prompt": False},
    }


def whole(client: openai.OpenAI, body: Mapping[str, Any]) -> Got:
    """An answer in one piece."""
    try:
        answer = client.chat.completions.create(**body)
    except openai.APIError as error:
        return Got(error=str(error))
    choice = answer.choices[0]
    calls = [(c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()]
    tokens = answer.usage.total_tokens if answer.usage else 0
    return Got(choice.message.content or "", tuple(calls), choice.finish_reason, None, tokens)


def streamed(client: openai.OpenAI, body: Mapping[str, Any]) -> Got:
    """An answer as it comes, put together the way hosts do."""
    try:
        return _gathered(client.chat.completions.create(**body, stream=True))
    except openai.APIError as error:
        return Got(error=str(error))


def _gathered(events: Iterable[Any]) -> Got:
    text, finish, calls = "", None, dict[int, list[str]]()
    for event in events:
        if not event.choices:
            continue
        choice = event.choices[0]
        finish, text = choice.finish_reason or finish, text + (choice.delta.content or "")
        for piece in choice.delta.tool_calls or ():
            call = calls.setdefault(piece.index, ["", ""])
            call[0] += piece.function.name or ""
            call[1] += piece.function.arguments or ""
    return Got(text, tuple((name, arguments) for name, arguments in calls.values()), finish)


def read_plainly(got: Got) -> Got:
    """Calls in the text as a host without this project reads them."""
    found = [_plain(match) for match in _CALL.findall(got.text)]
    return replace(got, text=_CALL.sub("", got.text), calls=tuple(found))


def _plain(written: str) -> tuple[str, str]:
    try:
        call = json.loads(written)
        return str(call["name"]), json.dumps(call["arguments"])
    except (ValueError, KeyError, TypeError):
        return "", written


def right(case: Case, got: Got) -> bool:
    """Whether these are the calls that the case wants; for none of them, whether it is text."""
    if got.error is not None:
        return False
    wanted = [(call.name, dict(call.arguments)) for call in case.calls]
    return [(name, _read(arguments)) for name, arguments in got.calls] == wanted


def made_wrongly(case: Case, got: Got) -> bool:
    """Whether a call ran that the case does not want: one that its tool takes."""
    wanted = [(call.name, dict(call.arguments)) for call in case.calls]
    ran = [call for call in got.calls if usable(case, [call])]
    return any((name, _read(arguments)) not in wanted for name, arguments in ran)


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return None


def usable(case: Case, calls: Sequence[tuple[str, str]]) -> bool:
    """Whether each call names an offered tool and has arguments that its schema allows."""
    tools = {tool.name: tool for tool in case.tools}
    for name, arguments in calls:
        read = _read(arguments)
        if name not in tools or not isinstance(read, dict):
            return False
        if not Draft202012Validator(tools[name].parameters).is_valid(read):
            return False
    return True
