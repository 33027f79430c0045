"""Observing: what the verdict on a streamed answer would have been, and every byte as it came."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from gptme_reliability.surfaces.answers import UNKNOWN_SHAPE, read_whole
from gptme_reliability.surfaces.asking import observe
from gptme_reliability.surfaces.effects import Body, Effect, Response
from gptme_reliability.surfaces.streaming import StreamedAnswer
from gptme_reliability.surfaces.task import MOST_BYTES, Task


def observed(task: Task, response: Response) -> Generator[bytes | Effect, Any, None]:
    """The server's bytes, all of them, and a report of what the verdict would have been."""
    try:
        body = Body(response)
        watcher = _Watcher(task, (yield from body.in_one_piece()))
        while (chunk := (yield from body.next())) is not None:
            # The reader may stop at the last event: what is to be said is said before it.
            watcher.watch(chunk)
            yield chunk
        watcher.watch(None)
    finally:
        response.close()


class _Watcher:
    """Reads along until there is something to report."""

    def __init__(self, task: Task, whole: bool) -> None:
        self._task = task
        self._answer = StreamedAnswer(
            task.request.tools,
            task.runnable_tag,
            form=task.settings.format,
            adapter=task.adapter,
        )
        self._body = bytearray() if whole else None
        self._watching = True

    def watch(self, chunk: bytes | None) -> None:
        """Take bytes; None is the end."""
        if not self._watching:
            return
        try:
            self._watching = self._read(chunk)
        except Exception as error:  # law 11: watching must not disturb what is watched
            self._watching = False
            self._task.report(None, error=error)

    def _read(self, chunk: bytes | None) -> bool:
        """Read along; return whether to go on with it."""
        task, answer = self._task, self._answer
        if self._body is not None:
            self._body += chunk or b""
            if chunk is not None and len(self._body) <= MOST_BYTES:
                return True
            found = read_whole(200, bytes(self._body), task.adapter)
            output = None if found is None else found.output
        else:
            answer.close() if chunk is None else answer.feed(chunk)
            if answer.error is not None:
                return False
            if not (chunk is None or answer.ended or answer.foreign):
                return True
            output = None if answer.foreign else answer.output()
        if output is None:
            task.report(None, error=UNKNOWN_SHAPE)
        else:
            task.report(observe(task.settings, task.request, output))
        return False
