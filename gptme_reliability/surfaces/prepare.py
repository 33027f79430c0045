"""Which requests are worked on, and what is done to them before they are sent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.adapters.adapter import Adapter
from gptme_reliability.adapters.anthropic_adapter import Anthropic
from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.adapters.openai_history import mend_history
from gptme_reliability.adapters.openai_pending import add_pending, digest
from gptme_reliability.budget import question_end
from gptme_reliability.surfaces.host import Host, Settings
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.task import Task, where
from gptme_reliability.types import ModelRequest

_LOG: Final = logging.getLogger(__name__)

_ADAPTERS: Final[Mapping[str, Callable[[], Adapter]]] = {
    "/chat/completions": lambda: OPENAI,
    "/messages": Anthropic,
}


def adapter_for(path: str) -> Adapter | None:
    """The API whose requests go to this path of a URL; None where none is known that is checked."""
    path = path.rstrip("/")
    return next((make() for end, make in _ADAPTERS.items() if path.endswith(end)), None)


def read_body(request: Any, adapter: Adapter) -> dict[str, Any] | None:
    """The body of a request that wants one answer, else None."""
    if request.method != "POST":
        return None
    try:
        raw = request.content
    except RuntimeError:  # a body that is still a stream can be read once only: not ours to read
        return None
    return read_offer(raw, adapter)


def read_offer(raw: bytes, adapter: Adapter = OPENAI) -> dict[str, Any] | None:
    """The body of a request that wants one answer, else None."""
    body = read_object(raw)
    return body if body is not None and adapter.wanted(body) else None


def read_object(raw: bytes) -> dict[str, Any] | None:
    """A body that is an object, else None."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def prepare(
    host: Host,
    provider: str,
    body: Mapping[str, Any],
    memory: Memory,
    adapter: Adapter = OPENAI,
) -> Task | None:
    """The task that a request is, its conversation mended; None to leave it alone."""
    try:
        view = adapter.view(body)
    except Exception as error:  # law 11: a request that we cannot read is the server's to refuse
        _LOG.warning("reliability: request passed through: %s", where(error))
        return None
    settings = host.settings(provider, view)
    if settings is None or not (body.get("tools") or settings.format):
        return None
    streamed = body.get("stream") is True
    try:
        return _task(host, settings, body, streamed, memory, adapter)
    except Exception as error:  # law 11: a request that breaks us goes out as it came
        empty = ModelRequest(messages=())
        Task(host, settings, empty, (), streamed).report(None, error=error)
        return None


def _with_hints(request: ModelRequest, settings: Settings) -> ModelRequest:
    """The request with what the host knows about its tools and the wire does not say."""
    known, reading = settings.parameters, settings.read_only
    if not known and not reading:
        return request
    tools = tuple(
        replace(
            tool,
            parameters=known.get(tool.name, tool.parameters),
            read_only=reading.get(tool.name) if tool.read_only is None else tool.read_only,
        )
        for tool in request.tools
    )
    return replace(request, tools=tools)


def _task(
    host: Host,
    settings: Settings,
    body: Mapping[str, Any],
    streamed: bool,
    memory: Memory,
    adapter: Adapter,
) -> Task:
    request = adapter.read_request(body)
    if settings.format is not None:
        request = replace(request, tools=settings.offered, host=settings.format)
    request = _with_hints(request, settings)
    facts = adapter.limits(settings.facts, request)
    if facts is not settings.facts:
        settings = replace(settings, facts=facts)
    if _counts_only(adapter.view(body)):
        settings = replace(settings, policy=replace(settings.policy, retries=0))
    if settings.mode == "observe":
        return Task(host, settings, request, (), streamed, adapter=adapter)
    said = request.messages
    conversation = digest(said)
    messages, added = add_pending(said, memory.pending.texts(settings.conversation))
    messages, mended = mend_history(messages)
    if added or mended:
        request = replace(request, messages=tuple(messages))
    request, rewritten = adapter.mend(request)
    repairs = (*added, *mended, *memory.pending.untold(rewritten))
    return Task(
        host,
        settings,
        request,
        repairs,
        streamed,
        conversation,
        mended=bool(added or mended or rewritten),
        question=_question(settings, said, conversation),
        memory=memory,
        adapter=adapter,
    )


def _counts_only(body: Mapping[str, Any]) -> bool:
    """Whether the answer does not matter: Claude Code counts a prompt's tokens in this way.

    No second answer of one token could be longer.
    """
    return 1 in (body.get("max_tokens"), body.get("max_completion_tokens"))


def _question(settings: Settings, messages: Sequence[Mapping[str, Any]], all_of_it: str) -> str:
    """The same for all requests that ask the same, whatever the host put behind it."""
    end = question_end(messages)
    asked = all_of_it if end == len(messages) else digest(messages[:end])
    return f"{settings.conversation} {settings.model} {asked}"
