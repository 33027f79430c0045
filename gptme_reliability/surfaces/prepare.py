"""Which requests are worked on, and what is done to them before they are sent."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.adapters.openai_history import mend_history
from gptme_reliability.adapters.openai_pending import Place, add_pending, digest, place
from gptme_reliability.adapters.openai_request import mend_tools, read_request
from gptme_reliability.budget import question_end
from gptme_reliability.surfaces.asking import Ending
from gptme_reliability.surfaces.budgets import Budgets
from gptme_reliability.surfaces.host import Host, Settings
from gptme_reliability.surfaces.task import Task
from gptme_reliability.types import ModelRequest, Repair

_MOST_PENDING: Final = 256
_PATH: Final = "/chat/completions"


class PendingFeedback:
    """What one client remembers from request to request.

    Feedback on refused calls, with the places of the calls that stood beside them, and the
    mended tools that were reported.  The oldest is forgotten first.  Safe to share between
    threads.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[Place, str] = OrderedDict()
        self._told: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, task: Task, ending: Ending) -> None:
        """Keep what an outcome wants to be said later, if anything."""
        text = ending.outcome.pending
        if text is None:
            return
        with self._lock:
            for call in ending.calls:
                found = place(task.conversation, call)
                self._texts[found] = text
                self._texts.move_to_end(found)
            while len(self._texts) > _MOST_PENDING:
                self._texts.popitem(last=False)

    def texts(self) -> dict[Place, str]:
        """All of it."""
        with self._lock:
            return dict(self._texts)

    def untold(self, mended: Iterable[Repair]) -> tuple[Repair, ...]:
        """Those of the mended tools that were not reported yet: a host sends them every time."""
        fresh = []
        with self._lock:
            for repair in mended:
                key = hash(repr(repair.before))
                if key not in self._told:
                    fresh.append(repair)
                self._told[key] = None
            while len(self._told) > _MOST_PENDING:
                self._told.popitem(last=False)
        return tuple(fresh)


def read_body(request: Any) -> dict[str, Any] | None:
    """The body of a request that offers tools and wants one answer, else None."""
    if request.method != "POST" or not request.url.path.rstrip("/").endswith(_PATH):
        return None
    try:
        # A body that is still a stream can be read once only, so that it is not ours to read.
        body = json.loads(request.content)
    except (ValueError, RuntimeError, RecursionError):
        return None
    if not isinstance(body, dict) or not body.get("tools") or body.get("n") not in (None, 1):
        return None
    return body


def prepare(
    host: Host,
    provider: str,
    body: Mapping[str, Any],
    pending: PendingFeedback,
    budgets: Budgets,
) -> Task | None:
    """The task that a request is, its conversation mended; None to leave it alone."""
    settings = host.settings(provider, body)
    if settings is None:
        return None
    streamed = body.get("stream") is True
    try:
        return _task(host, settings, body, streamed, pending, budgets)
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
    pending: PendingFeedback,
    budgets: Budgets,
) -> Task:
    request = _with_hints(read_request(body), settings)
    if settings.mode == "observe":
        return Task(host, settings, request, (), streamed)
    conversation = digest(request.messages)
    messages, added = add_pending(request.messages, pending.texts())
    messages, mended = mend_history(messages)
    tools, rewritten = mend_tools(body.get("tools"))
    if added or mended:
        request = replace(request, messages=tuple(messages))
    if rewritten:
        request = replace(request, params={**request.params, "tools": tools})
    repairs = (*added, *mended, *pending.untold(rewritten))
    changed = bool(added or mended or rewritten)
    asked = _question(settings, body["messages"])
    return Task(host, settings, request, repairs, streamed, conversation, changed, asked, budgets)


def _question(settings: Settings, messages: Sequence[Mapping[str, Any]]) -> str:
    """The same for all requests that ask the same, whatever the host put behind it."""
    said = digest(messages[: question_end(messages)])
    return f"{settings.conversation} {settings.model} {said}"
