"""The streamed answer that the host reads: the server's bytes as far as they may go on, then
what the verdict made of the rest.  Re-asks run inside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final

from gptme_reliability.adapters.openai_response import call_extras, sum_usage
from gptme_reliability.adapters.openai_stream import write_chunks, write_delta
from gptme_reliability.adapters.sse import DONE, encode_event
from gptme_reliability.surfaces.answers import (
    WholeAnswer,
    comes_whole,
    error_event,
    event,
    read_answer,
    why,
)
from gptme_reliability.surfaces.asking import Asking, Ending, observe, remainder
from gptme_reliability.surfaces.streaming import StreamedAnswer
from gptme_reliability.surfaces.task import MOST_BYTES, Task
from gptme_reliability.types import ModelOutput, ModelRequest

_IDENTITY: Final = ("id", "created", "model", "system_fingerprint")

Pieces = Generator[bytes, None, "ModelRequest | Ending | None"]


class Relay:
    """One streamed exchange.

    ``ask`` sends a request and returns the opened response; ``broken`` are the exceptions that
    mean that the connection failed; ``remember`` is told how it ended.
    """

    def __init__(
        self,
        task: Task,
        ask: Callable[[ModelRequest], Any],
        broken: type[Exception],
        remember: Callable[[Ending], None],
    ) -> None:
        self._task = task
        self._ask = ask
        self._broken = broken
        self._remember = remember
        self._asking = Asking(task.host, task.settings, task.request, streamed=True)
        self._answers: list[StreamedAnswer | None] = []
        self._usages: list[Mapping[str, Any] | None] = []  # of those that came whole
        self._whole: WholeAnswer | None = None
        self._response: Any = None
        self._unsent = bytearray()  # of the first answer: what the host did not get yet
        self._showing: int | None = None  # the attempt whose text the host saw last

    def run(self, response: Any) -> Generator[bytes, None, None]:
        """The bytes for the host, from the server's first streamed response."""
        self._response = response
        chunks = response.iter_bytes()
        try:
            yield from self._first(chunks)
        finally:
            self._close()

    def run_whole(self, answer: WholeAnswer) -> Generator[bytes, None, None]:
        """The same when the first answer did not come as a stream."""
        self._whole = answer
        self._unsent += answer.raw if answer.body is not None else error_event(answer.raw)
        self._take_whole(answer)
        try:
            yield from self._decide(answer.output)
        finally:
            self._close()

    def _first(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        answer = self._new_answer()
        for chunk in chunks:
            self._unsent += chunk
            try:
                free = answer.feed(chunk)
            except Exception as error:  # law 11: our fault must not cost the host its answer
                yield from self._step_aside(chunks, error)
                return
            if free:
                yield self._sent(free)
            if answer.foreign or len(self._unsent) > MOST_BYTES:
                yield from self._step_aside(chunks, None)
                return
            if answer.ended:
                break
        try:
            free = answer.close()
        except Exception as error:  # law 11, as above
            yield from self._step_aside(chunks, error)
            return
        if free:
            yield self._sent(free)
        if answer.error is not None:
            # What was held stays unsaid: the host must not act on an answer that failed.
            self._task.report_mended()
            yield answer.error
            return
        yield from self._decide(answer.output())

    def _decide(self, output: ModelOutput) -> Iterator[bytes]:
        """Everything behind the first answer, until the host has all of it."""
        final: list[bytes] = []
        try:
            step: ModelRequest | Ending | None = self._asking.answer(output)
            while isinstance(step, ModelRequest):
                step = yield from self._again(step)
            if step is not None:
                final = self._final(step)
                self._remember(step)
        except self._broken:
            # The connection failed and no answer can be saved: the host's own retry is next.
            raise
        except Exception as error:  # law 11: the first answer's own bytes instead
            yield from self._step_aside(iter(()), error)
            return
        if step is not None:
            self._task.report(step.outcome, step.repairs)
        yield from final

    def _again(self, request: ModelRequest) -> Pieces:
        """Send a re-ask and pass on what may be shown of its answer."""
        self._close()
        try:
            response = self._response = self._ask(request)
            if comes_whole(response):
                return (yield from self._again_whole(response))
            answer = self._new_answer()
            yield from self._show(answer, response.iter_bytes())
        except self._broken as error:
            ending = self._asking.give_up(why(error))
            if ending is None:
                raise
            return ending
        if answer.foreign or answer.error is not None:
            ending = self._asking.give_up("asking again failed: no answer in the stream")
            if ending is None:
                yield answer.error or bytes(self._unsent)
            return ending
        return self._asking.answer(answer.output())

    def _again_whole(self, response: Any) -> Pieces:
        found = read_answer(response)
        if found is not None:
            self._take_whole(found)
            return self._asking.answer(found.output)
        ending = self._asking.give_up(why(response))
        if ending is None:
            yield error_event(response.read())
        return ending

    def _take_whole(self, answer: WholeAnswer) -> None:
        self._answers.append(None)
        self._usages.append(answer.usage)

    def _show(self, answer: StreamedAnswer, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            free = answer.feed(chunk)
            if free:
                yield self._separated(answer) + free
            answer.foreign = answer.foreign or size > MOST_BYTES
            if answer.ended or answer.foreign:
                return
        free = answer.close()
        if free:
            yield self._separated(answer) + free

    def _new_answer(self) -> StreamedAnswer:
        answer = StreamedAnswer(self._task.request.tools, self._task.host.runnable_tag)
        self._answers.append(answer)
        self._usages.append(None)
        return answer

    def _sent(self, free: bytes) -> bytes:
        """Account for bytes of the first answer, which go on exactly as they came."""
        del self._unsent[: len(free)]
        answer = self._answers[0]
        if answer is not None and answer.last_channel:
            self._showing = 0
        return free

    def _separated(self, answer: StreamedAnswer) -> bytes:
        """What goes between the text of an earlier attempt and this answer's first."""
        position = len(self._answers) - 1
        if answer.last_channel is None:
            return b""
        separator = self._separator(position)
        self._showing = position
        return separator

    def _separator(self, position: int) -> bytes:
        before = None if self._showing is None else self._answers[self._showing]
        if before is None or self._showing == position or before.last_channel is None:
            return b""
        # In the channel that is open, so that the host does not close a reasoning block.
        key = "content" if before.last_channel == "text" else before.reader.reasoning_key
        return event(write_delta(self._template(), key, "\n"))

    def _final(self, ending: Ending) -> list[bytes]:
        """What the host still gets."""
        answer = self._answers[ending.attempt]
        if ending.untouched and answer is not None and answer.host_readable:
            return [bytes(self._unsent)]
        shown_text, shown_reasoning, key = "", "", "reasoning_content"
        if answer is not None:
            shown_text, shown_reasoning = answer.shown("text"), answer.shown("reasoning")
            key = answer.reader.reasoning_key
        text = remainder(shown_text, ending.text)
        reasoning = remainder(shown_reasoning, ending.reasoning or "")
        output = ending.outcome.attempts[ending.attempt].output
        chunks = write_chunks(
            self._template(),
            text=text,
            reasoning=reasoning,
            calls=ending.calls,
            finish_reason=output.finish_reason or "stop",
            usage=self._usage(),
            reasoning_key=key,
            extras=call_extras(output.tool_calls),
        )
        separator = self._separator(ending.attempt) if text or reasoning else b""
        return [separator + b"".join(map(event, chunks)) + encode_event(DONE)]

    def _usage(self) -> dict[str, Any] | None:
        """What all attempts used, where the server said so."""
        usages = [
            usage if answer is None else answer.reader.usage
            for answer, usage in zip(self._answers, self._usages, strict=True)
        ]
        return sum_usage(usages)

    def _template(self) -> Mapping[str, Any]:
        for answer in self._answers:
            if answer is not None and answer.reader.template:
                return answer.reader.template
        template: dict[str, Any] = {
            "id": "chatcmpl-reliability",
            "created": int(time.time()),
            "model": self._task.request.model or "",
        }
        body = self._whole.body if self._whole is not None else None
        template.update({key: body[key] for key in _IDENTITY if key in body} if body else {})
        template["object"] = "chat.completion.chunk"
        return template

    def _step_aside(self, rest: Iterator[bytes], error: Exception | None) -> Iterator[bytes]:
        """Give the host the first answer's own bytes."""
        if error is None:
            self._task.report_mended()
        else:
            self._task.report(None, error=error)
        yield bytes(self._unsent)
        yield from rest

    def _close(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()


def observed(task: Task, response: Any) -> Generator[bytes, None, None]:
    """The server's bytes, all of them, and a report of what the verdict would have been."""
    answer = StreamedAnswer(task.request.tools, task.host.runnable_tag)
    watching = True
    try:
        for chunk in response.iter_bytes():
            if watching:
                # The reader may stop at the last event: what is to be said is said before it.
                watching = _watch(task, answer, chunk)
            yield chunk
        if watching:
            _watch(task, answer, None)
    finally:
        response.close()


def _watch(task: Task, answer: StreamedAnswer, chunk: bytes | None) -> bool:
    """Read along; return whether to go on with it."""
    try:
        if chunk is None:
            answer.close()
        else:
            answer.feed(chunk)
        if answer.foreign or answer.error is not None:
            return False
        if chunk is None or answer.ended:
            task.report(observe(task.settings, task.request, answer.output()))
            return False
    except Exception as error:  # law 11: watching must not disturb what is watched
        task.report(None, error=error)
        return False
    return True
