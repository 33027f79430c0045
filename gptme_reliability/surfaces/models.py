"""Whatever a caller has to ask a model with, as a function from requests to answers.

An SDK client is known by its ``chat.completions.create``, so that no SDK is imported here;
everything else that can be called is asked as it is.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

from gptme_reliability.adapters.openai_request import write_request
from gptme_reliability.adapters.openai_response import is_completion, read_response
from gptme_reliability.adapters.server_errors import refusal
from gptme_reliability.errors import InputError, ReliabilityError
from gptme_reliability.surfaces.answers import UNKNOWN_SHAPE, WholeAnswer, read_whole
from gptme_reliability.types import ModelOutput, ModelRequest

_DEEPEST: Final = 16


def is_sdk(client: Any) -> bool:
    """Whether this is an SDK's client, as opposed to a function."""
    return _create(client) is not None


def asker(client: Any) -> Callable[[ModelRequest], WholeAnswer]:
    """A function that asks a blocking client.

    Raises:
        InputError: ``client`` is nothing that can be asked.
    """
    ask = _ask(client)

    def answer(request: ModelRequest) -> WholeAnswer:
        try:
            said = ask(request)
        except Exception as error:
            return _from_error(error)
        if inspect.isawaitable(said):
            if isinstance(said, Coroutine):
                said.close()
            raise InputError("this client is asynchronous; it needs run_tools_async")
        return _read(said)

    return answer


def asker_async(client: Any) -> Callable[[ModelRequest], Awaitable[WholeAnswer]]:
    """The same for a client of either kind; a blocking one is asked in a thread.

    Raises:
        InputError: ``client`` is nothing that can be asked.
    """
    ask = _ask(client)
    asynchronous = inspect.iscoroutinefunction(_create(client) or ask)

    async def answer(request: ModelRequest) -> WholeAnswer:
        try:
            said = ask(request) if asynchronous else await asyncio.to_thread(ask, request)
            if inspect.isawaitable(said):
                said = await said
        except Exception as error:
            return _from_error(error)
        return _read(said)

    return answer


def _create(client: Any) -> Callable[..., Any] | None:
    """What sends a request, of an SDK client: the raw response where it can be had."""
    completions = getattr(getattr(client, "chat", None), "completions", None)
    raw = getattr(completions, "with_raw_response", completions)
    create: Callable[..., Any] | None = getattr(raw, "create", None)
    return create


def _ask(client: Any) -> Callable[[ModelRequest], Any]:
    create = _create(client)
    if create is not None:
        return _sender(create)
    if not callable(client):
        kind = type(client).__name__
        raise InputError(f"a model is an OpenAI client or a function, not {kind}")
    ask: Callable[[ModelRequest], Any] = client
    return ask


def _sender(create: Callable[..., Any]) -> Callable[[ModelRequest], Any]:
    parameters = inspect.signature(create).parameters.values()
    named = {parameter.name for parameter in parameters}
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)

    def send(request: ModelRequest) -> Any:
        body = write_request(request)
        given = {key: value for key, value in body.items() if anything or key in named}
        beside = {key: value for key, value in body.items() if key not in given}
        if beside:  # what the SDK knows no name for goes into the body too
            given["extra_body"] = {**beside, **(given.get("extra_body") or {})}
        given["messages"] = _encodable(given["messages"])
        return create(**given)

    return send


def _encodable(messages: Any) -> Any:
    """Messages that can go out: a model may write lone surrogates, which UTF-8 has not."""
    text = json.dumps(messages, ensure_ascii=False, default=repr)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.loads(text.encode(errors="replace"))
    return messages


def _read(said: Any) -> WholeAnswer:
    """An answer of any of the forms that are known.

    Raises:
        ReliabilityError: it has none of them.
    """
    if isinstance(said, ModelOutput):
        return WholeAnswer(said, None)
    response = getattr(said, "http_response", None)
    if response is not None:
        found = read_whole(response.status_code, response.content)
    else:
        body = _plain(said, _DEEPEST)
        found = WholeAnswer(read_response(body), body) if is_completion(body) else None
    if found is None:
        raise ReliabilityError(f"the model gave {UNKNOWN_SHAPE} ({type(said).__name__})")
    return found


def _from_error(error: Exception) -> WholeAnswer:
    """The answer in an HTTP error that is the model's fault; every other error is raised.

    Raises:
        RequestRefused: asking in another way might do.
    """
    response = getattr(error, "response", None)
    status, content = getattr(response, "status_code", None), getattr(response, "content", None)
    if isinstance(status, int) and status >= 400 and isinstance(content, bytes):
        found = read_whole(status, content)
        if found is not None:
            return found
        if refused := refusal(status, content):
            raise refused from error
    raise error


def _plain(value: Any, depth: int) -> Any:
    """A response object as mappings and lists, whatever classes an SDK makes of it."""
    if hasattr(value, "model_dump"):
        # Broken answers are no instances of what the SDK declares; it would warn of them.
        value = value.model_dump(warnings=False)
    if depth <= 0 or isinstance(value, str | int | float | None):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1) for item in value]
    members = value if isinstance(value, Mapping) else getattr(value, "__dict__", None)
    if not isinstance(members, Mapping):
        return value
    return {key: _plain(member, depth - 1) for key, member in members.items()}
