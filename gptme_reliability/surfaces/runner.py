"""A model and Python functions, run until there is an answer.

Thin drivers: ``exchange`` asks, checks and asks again, ``tool_calls`` runs what may run, and
``run`` keeps the conversation between them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gptme_reliability.errors import InputError
from gptme_reliability.exchange import drive, drive_async
from gptme_reliability.surfaces.facts import with_name
from gptme_reliability.surfaces.models import asker, asker_async, is_sdk
from gptme_reliability.surfaces.python_tools import ToolEntry, python_tools
from gptme_reliability.surfaces.run import Event, Limits, Run, RunResult
from gptme_reliability.surfaces.tool_calls import run_jobs, run_jobs_async
from gptme_reliability.types import ModelFacts, ModelOutput, ModelRequest, Policy


def run_tools(
    client: Any,
    messages: str | Iterable[Mapping[str, Any]],
    tools: Iterable[ToolEntry],
    *,
    model: str | None = None,
    policy: Policy = Policy(),
    facts: ModelFacts | None = None,
    params: Mapping[str, Any] | None = None,
    max_answers: int = 20,
    max_failures: int = 5,
    max_parallel: int = 8,
    timeout: float | None = 120.0,
    on_event: Callable[[Event], None] | None = None,
) -> RunResult:
    """Let a model work with Python functions until it answers.

    ``client`` is an ``openai.OpenAI`` client (with ``model``), or a function from a
    ``ModelRequest`` to a ``ModelOutput`` or to a chat completion (dict or object).
    ``tools`` are functions, pairs of a tool definition and a function, or what ``python_tool``
    makes of one.  ``params`` is the rest of the request's body (``temperature`` …).
    ``facts`` is what you know of the model; what it leaves open is taken from the name
    ``model``: its family, its size and its quantisation.

    Every answer is checked and asked for again as ``policy`` allows; a function only ever gets
    arguments that satisfy its schema.  An exception it raises is a result for the model: its
    type and message.  ``NothingFound`` is a plain one, no failure.  ``max_failures`` answers in
    a row of whose calls each failed end the run.

    The calls of one answer run in threads, ``max_parallel`` at a time; tools that are known to
    write run alone, in order, and where ``policy.order`` is set, all do.  ``timeout`` is in
    seconds, for each call.  **Python threads cannot be killed**: a call that takes longer is
    answered with an error and left behind, and goes on doing whatever it does.  With
    ``max_parallel=1`` and ``timeout=None`` all runs in the caller's own thread, where Ctrl-C
    reaches the function itself.

    Ctrl-C ends the run with ``stopped="interrupted"`` and the conversation so far.
    What the client raises is raised; the conversation so far goes to ``on_event`` before, as
    the ``result`` of a ``stopped`` event.
    ``on_event`` is called in the caller's thread; what it raises ends the run, at ``called``
    before the function runs.

    Raises:
        InputError: client, model, messages or params are none.
        ToolDefinitionError: an entry of ``tools`` is no tool.
        ReliabilityError: the model's answer is none that can be read.
        Exception: whatever the client raises for reasons of its own (connection, status).
    """
    ask = asker(client)
    request = _request(client, messages, model, params)
    limits = _limits(max_answers, max_failures, max_parallel, timeout)
    parallel = max_parallel if policy.order is None else 1  # side by side is no order
    known = with_name(model, facts)
    run = Run(request, python_tools(tools), policy, known, limits, on_event)

    def send(request: ModelRequest) -> ModelOutput:
        run.asking(request)
        since = time.monotonic()
        return run.heard(ask(request), time.monotonic() - since)

    try:
        while not run.over:
            outcome = drive(run.exchange(), send, time.sleep)
            run_jobs(run.take(outcome), parallel, run)
            run.close_answer()
        return run.finish()
    except KeyboardInterrupt:
        return run.interrupt()
    except Exception:
        run.interrupt()
        raise


async def run_tools_async(
    client: Any,
    messages: str | Iterable[Mapping[str, Any]],
    tools: Iterable[ToolEntry],
    *,
    model: str | None = None,
    policy: Policy = Policy(),
    facts: ModelFacts | None = None,
    params: Mapping[str, Any] | None = None,
    max_answers: int = 20,
    max_failures: int = 5,
    max_parallel: int = 8,
    timeout: float | None = 120.0,
    on_event: Callable[[Event], None] | None = None,
) -> RunResult:
    """``run_tools`` on an event loop.

    Client and tools may be asynchronous or blocking; blocking ones run in threads.  A coroutine
    that takes longer than its time is cancelled; a thread is left behind.
    Cancelling the run (which is what Ctrl-C does under ``asyncio.run``) raises
    ``CancelledError`` as it must; the conversation so far goes to ``on_event``, as the
    ``result`` of a ``stopped`` event.

    Raises:
        InputError, ToolDefinitionError, ReliabilityError, Exception: see ``run_tools``.
    """
    ask = asker_async(client)
    request = _request(client, messages, model, params)
    limits = _limits(max_answers, max_failures, max_parallel, timeout)
    parallel = max_parallel if policy.order is None else 1  # side by side is no order
    known = with_name(model, facts)
    run = Run(request, python_tools(tools), policy, known, limits, on_event)

    async def send(request: ModelRequest) -> ModelOutput:
        run.asking(request)
        since = time.monotonic()
        return run.heard(await ask(request), time.monotonic() - since)

    try:
        while not run.over:
            outcome = await drive_async(run.exchange(), send, asyncio.sleep)
            await run_jobs_async(run.take(outcome), parallel, run)
            run.close_answer()
        return run.finish()
    except (KeyboardInterrupt, asyncio.CancelledError, Exception):
        run.interrupt()
        raise


def _request(
    client: Any,
    messages: str | Iterable[Mapping[str, Any]],
    model: str | None,
    params: Mapping[str, Any] | None,
) -> ModelRequest:
    """The first request, as far as it does not depend on the tools."""
    if model is None and is_sdk(client):
        raise InputError("an OpenAI client needs to know the model: give model=…")
    if (params or {}).get("stream"):
        raise InputError("answers are read whole: leave 'stream' out of params")
    given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    said = tuple(given)
    if not all(isinstance(message, Mapping) for message in said):
        raise InputError("messages must be a text or a list of objects")
    return ModelRequest(tuple(map(dict, said)), model=model, params=dict(params or {}))


def _limits(answers: int, failures: int, parallel: int, timeout: float | None) -> Limits:
    if min(answers, failures, parallel) < 1:
        raise InputError("max_answers, max_failures and max_parallel must be at least 1")
    return Limits(answers, failures, timeout)
