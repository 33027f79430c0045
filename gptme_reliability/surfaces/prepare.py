"""Which requests are worked on, and what is done to them before they are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.adapters.openai_history import mend_history
from gptme_reliability.adapters.openai_pending import add_pending, digest
from gptme_reliability.adapters.openai_request import mend_tools, read_request
from gptme_reliability.budget import question_end
from gptme_reliability.surfaces.host import Host, Settings
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.task import Task
from gptme_reliability.types import ModelRequest

_PATH: Final = "/chat/completions"


def read_body(request: Any) -> dict[str, Any] | None:
    """The body of a request that wants one answer, else None."""
    if request.method != "POST" or not request.url.path.rstrip("/").endswith(_PATH):
        return None
    try:
        raw = request.content
    except RuntimeError:  # a body that is still a stream can be read once only: not ours to read
        return None
    return read_offer(raw)


def read_offer(raw: bytes) -> dict[str, Any] | None:
    """The body of a chat completion that wants one answer, else None."""
    body = read_object(raw)
    return body if body is not None and wants_one(body) else None


def read_object(raw: bytes) -> dict[str, Any] | None:
    """A body that is an object, else None."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def wants_one(body: Mapping[str, Any]) -> bool:
    """Whether a request wants one answer, and not several to choose from."""
    return body.get("n") in (None, 1)


def prepare(
    host: Host,
    provider: str,
    body: Mapping[str, Any],
    memory: Memory,
) -> Task | None:
    """The task that a request is, its conversation mended; None to leave it alone."""
    settings = host.settings(provider, body)
    if settings is None or not (body.get("tools") or settings.format):
        return None
    streamed = body.get("stream") is True
    try:
        return _task(host, settings, body, streamed, memory)
    except Exception as error:  # law 11: a request that breaks us goes out as it came
        empty = ModelRequest(messages=())
        Task(host, settings, empty, (), streamed).report(None, error=error)
        return None


def _with_hints(request: ModelRequest, settings: Settings) -> ModelRequest:
    """The request with what the host knows about its tools and the wire does not say."""
    tools = tuple(
        replace(tool, read_only=settings.read_only.get(tool.name))
        if tool.read_only is None
        else tool
        for tool in request.tools
    )
    return replace(request, tools=tools)


def _task(
    host: Host,
    settings: Settings,
    body: Mapping[str, Any],
    streamed: bool,
    memory: Memory,
) -> Task:
    request = read_request(body)
    if settings.format is not None:
        request = replace(request, tools=settings.offered, host=settings.format)
    request = _with_hints(request, settings)
    if settings.mode == "observe":
        return Task(host, settings, request, (), streamed)
    conversation = digest(request.messages)
    messages, added = add_pending(request.messages, memory.pending.texts(settings.conversation))
    messages, mended = mend_history(messages)
    tools, rewritten = mend_tools(body.get("tools"))
    if added or mended:
        request = replace(request, messages=tuple(messages))
    if rewritten:
        request = replace(request, params={**request.params, "tools": tools})
    repairs = (*added, *mended, *memory.pending.untold(rewritten))
    changed = bool(added or mended or rewritten)
    asked = _question(settings, body["messages"])
    return Task(host, settings, request, repairs, streamed, conversation, changed, asked, memory)


def _question(settings: Settings, messages: Sequence[Mapping[str, Any]]) -> str:
    """The same for all requests that ask the same, whatever the host put behind it."""
    said = digest(messages[: question_end(messages)])
    return f"{settings.conversation} {settings.model} {said}"
