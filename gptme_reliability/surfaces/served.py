"""Asks a server which program it is, and what it declares of the model it serves."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gptme_reliability.backends import (
    DECLARES,
    PROBES,
    Backend,
    Declared,
    declared_by,
    recognise,
    served_name,
)
from gptme_reliability.cards import Card, Match, find
from gptme_reliability.identity import Identity, identify


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: its headers, and the JSON or else the text of a success."""

    headers: Mapping[str, str]
    content: Any = None


Fetch: TypeAlias = Callable[[str, Mapping[str, Any] | None], Answer]
"""Fetches a path from the server's root: by POST if there is a JSON body, else by GET.

An answer that is no success has no content.  Whatever it raises goes to the caller.
"""


Page: TypeAlias = tuple[str, Mapping[str, Any] | None]
"""A path from the server's root, and the JSON body of a POST; None for a GET."""


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of a server and of the model it runs.

    ``name`` is what it really runs, None where it does not tell.
    """

    backend: Backend = "unknown"
    declared: Declared = field(default_factory=Declared)
    name: str | None = None


Looking: TypeAlias = Generator[Page, Answer, Served]
"""Yields pages, is sent what stood there, and returns what the server is."""


def looking(model: str) -> Looking:
    """The pages to fetch, one by one, with as few as it takes; ``model`` as requests name it."""
    answers: dict[str, Any] = {}
    backend: Backend = "unknown"
    for path in PROBES:
        answer = yield path, None
        if answer.content is not None:
            answers[path] = answer.content
        backend = recognise(answer.headers, answers)
        if backend != "unknown":
            break
    path = DECLARES.get(backend, "")
    if path and path not in answers:
        # Ollama serves many models, and wants to know which one is meant.
        answer = yield path, {"model": model} if backend == "ollama" else None
        answers[path] = answer.content
    declared = declared_by(backend, answers.get(path))
    return Served(backend, declared, served_name(backend, answers, model))


def look(fetch: Fetch, model: str) -> Served:
    """Ask a server; ``model`` as requests name it."""
    steps = looking(model)
    page = next(steps)
    while True:
        try:
            page = steps.send(fetch(*page))
        except StopIteration as stop:
            served: Served = stop.value
            return served


def meant(model: str, served: Served, cards: Sequence[Card]) -> Identity:
    """Which model a request for ``model`` reaches: what the server runs, where that is known.

    A card that names the model as it is asked for was written for it, and counts first.
    """
    asked, runs = identify(model), identify(served.name or "")
    found = find(asked, cards)
    named = isinstance(found, Match) and bool(found.card.names)
    return asked if named or runs.family in (None, asked.family) else runs
