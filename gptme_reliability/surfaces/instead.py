"""A response of the server that the host gets, because nothing of an answer was shown."""

from __future__ import annotations

from dataclasses import dataclass

from gptme_reliability.adapters.error_texts import read_error
from gptme_reliability.adapters.overflow import overflow, overflow_of, status_for
from gptme_reliability.adapters.sse import EventReader
from gptme_reliability.surfaces.effects import Response
from gptme_reliability.surfaces.task import Task


@dataclass(frozen=True, slots=True)
class Instead:
    """The response as it is.

    ``final`` says that it must not be tried again.  ``clearer`` is its error in other words:
    the status and the body that the host gets.
    """

    response: Response
    final: bool = False
    clearer: tuple[int, bytes] | None = None


def failed(task: Task, response: Response) -> Instead:
    """An error of the server; one about the size of the prompt says what there is to do."""
    found = overflow(response.status_code, response.content) if task.settings.own_server else None
    if found is None:
        return Instead(response)
    clearer = status_for(response.status_code), task.adapter.too_long(response.content, found)
    return Instead(response, clearer=clearer)


def clearer_event(task: Task, raw: bytes) -> bytes:
    """The same for an error that came as an event of a stream."""
    reader = EventReader()
    said = next((e.data for e in [*reader.feed(raw), *reader.close()] if e.data), None)
    found = overflow_of(read_error(said.encode())) if said and task.settings.own_server else None
    if said is None or found is None:
        return raw
    return task.adapter.error_event(task.adapter.too_long(said.encode(), found))
