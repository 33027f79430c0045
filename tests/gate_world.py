"""Servers for ``gate``: what a probe finds of them is as their ways are, and tasks get done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

from eval_world import native, solver, tagged, task_of
from probe_world import LLAMA_CPP, Ways

from gptme_reliability.evals.faulty_server import chunks, whole
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.probe.sample import Heard

Model: TypeAlias = Callable[[Mapping[str, Any]], Answer]


def right(body: Mapping[str, Any]) -> Answer:
    """A model that does every task, in the way it is asked to write calls."""
    return solver(native if body.get("tools") else tagged)(body)


def failing(*tasks: str, by: Answer) -> Model:
    """The same, which answers so where it is given one of these tasks."""
    return lambda body: by if task_of(body) in tasks else right(body)


def doing(ways: Ways = LLAMA_CPP, model: Model = right) -> Ways:
    """A server of these ways, with a model that is given tasks besides what a probe asks."""

    def task(body: Mapping[str, Any]) -> Heard | None:
        try:
            task_of(body)
        except KeyError:
            return None
        return _heard(model(body), streamed=bool(body.get("stream")))

    return replace(ways, down=task)


def _heard(answer: Answer, *, streamed: bool) -> Heard:
    if "status" in answer:
        return Heard(answer["status"], json.dumps(answer["error"]).encode(), _JSON)
    if not streamed:
        return Heard(200, json.dumps(whole(answer)).encode(), _JSON)
    events = [*map(json.dumps, chunks(answer)), "[DONE]"]
    return Heard(200, "".join(f"data: {event}\n\n" for event in events).encode(), _STREAM)


_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"
