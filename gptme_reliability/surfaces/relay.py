"""The streamed answer that the host reads: the server's bytes as far as they may go on, then
what the verdict made of the rest.  Re-asks run inside it.  No I/O: see ``effects``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from gptme_reliability.adapters.openai_response import sum_usage
from gptme_reliability.surfaces.answers import (
    TOO_LARGE,
    UNKNOWN_SHAPE,
    WholeAnswer,
    read_whole,
    why,
)
from gptme_reliability.surfaces.asking import Asking, Ending, remainder
from gptme_reliability.surfaces.effects import TURN, Body, Effect, Read, Response, Send, Wait
from gptme_reliability.surfaces.host import Piece
from gptme_reliability.surfaces.instead import Instead, clearer_event, failed
from gptme_reliability.surfaces.reading import look
from gptme_reliability.surfaces.streaming import StreamedAnswer
from gptme_reliability.surfaces.task import MOST_BYTES, Task, encode
from gptme_reliability.types import ModelOutput, ModelRequest, Reject

Bytes = Generator[bytes | Effect, Any, "Instead | None"]
_Step = Generator[bytes | Effect, Any, "ModelRequest | Ending | Instead | None"]


class Relay:
    """One streamed exchange.

    ``broken`` are the exceptions that mean that the connection failed; ``remember`` is told how
    it ended.  ``whole`` says that the server did not stream.
    """

    def __init__(
        self, task: Task, broken: type[Exception], remember: Callable[[Ending], None]
    ) -> None:
        self._task = task
        self._broken = broken
        self._remember = remember
        self._answers: list[StreamedAnswer] = []
        # No method of its own: an object that holds itself is only let go by the collector.
        self._asking = Asking(task, partial(_shown_beside, self._answers))
        self._faults: list[WholeAnswer] = []  # the attempts that came as errors
        self._failed: Response | None = None  # the first response, if it was an error
        self._response: Response | None = None
        self._unsent = bytearray()  # of the first answer: what the host did not get yet
        self._adapter = task.adapter
        self._writer = task.adapter.writer(task.request.model or "", int(time.time()))
        self._showing: StreamedAnswer | None = None  # whose text the host saw last
        self._reported = False
        self.whole = False

    @property
    def request(self) -> ModelRequest:
        """What is to be sent first."""
        return self._asking.request

    @property
    def showing(self) -> bool:
        """Whether the host was shown anything that a model said."""
        return self._showing is not None

    def run(self, response: Response) -> Bytes:
        """The bytes for the host, from the server's first response.

        Returns what to give the host instead, which is never anything once text was shown.
        """
        self._response = response
        instead: Instead | None = None
        try:
            if response.status_code >= 400:
                instead = yield from self._first_error(response)
            else:
                instead = yield from self._first(Body(response))
            return instead
        except (GeneratorExit, KeyboardInterrupt):
            self._record(self._asking.abandoned("interrupted"), interrupted=True)
            raise
        finally:
            if instead is None or instead.response is not self._response:
                self.close()

    def fault(self, instead: Instead) -> bytes:
        """What it comes to, as an event of a stream that has begun."""
        clearer = instead.clearer
        return self._adapter.error_event(
            instead.response.content if clearer is None else clearer[1]
        )

    def close(self) -> None:
        """Close the response that is being read."""
        response, self._response = self._response, None
        if response is not None:
            response.close()

    # --- the first answer -------------------------------------------------------------

    def _first(self, body: Body) -> Bytes:
        self.whole = yield from body.in_one_piece()
        answer = self._new_answer(verbatim=True)
        while (chunk := (yield from body.next())) is not None:
            self._unsent += chunk
            if len(self._unsent) > MOST_BYTES:
                return (yield from self._step_aside(body, TOO_LARGE))
            if self.whole:
                continue
            try:
                free = answer.feed(chunk)
            except Exception as error:  # law 11: our fault must not cost the host its answer
                return (yield from self._step_aside(body, error))
            if free:
                yield self._sent(free)
            if answer.foreign:
                return (yield from self._step_aside(body, UNKNOWN_SHAPE))
            if answer.ended:
                break
        if self.whole:
            return (yield from self._first_whole(answer))
        try:
            free = answer.close()
        except Exception as error:  # law 11, as above
            return (yield from self._step_aside(body, error))
        if free:
            yield self._sent(free)
        if answer.foreign:
            return (yield from self._step_aside(None, UNKNOWN_SHAPE))
        if answer.error is not None:
            # What was held stays unsaid: the host must not act on an answer that failed.
            if self._task.repairs:
                self._record(None)
            self._reported = True
            yield clearer_event(self._task, answer.error)
            return None
        return (yield from self._decide(self._judge(answer, answer.output())))

    def _first_whole(self, answer: StreamedAnswer) -> Bytes:
        try:
            found = read_whole(200, bytes(self._unsent), self._adapter)
        except Exception as error:  # law 11, as above
            return (yield from self._step_aside(None, error))
        if found is None:
            return (yield from self._step_aside(None, UNKNOWN_SHAPE))
        self._take_whole(answer, found)
        return (yield from self._decide(self._judge(answer, found.output)))

    def _first_error(self, response: Response) -> Bytes:
        yield Read(response)
        found = self._read(response)
        if found is None:
            other = self._asking.refused(response)
            if other is not None:
                self.whole, self._failed = True, response
                return (yield from self._decide(self._again(other)))
            if self._task.repairs:
                self._record(None)
            self._reported = True
            return failed(self._task, response)
        self.whole = True
        self._failed = response
        self._unsent += self._adapter.error_event(response.content)
        answer = self._new_answer(verbatim=True)
        self._take_whole(answer, found)
        return (yield from self._decide(self._judge(answer, found.output)))

    def _sent(self, free: bytes) -> bytes:
        """Account for bytes of the first answer, which go on exactly as they came."""
        del self._unsent[: len(free)]
        self._writer.passed(self._answers[0].reader, free)
        if self._answers[0].pieces:
            self._showing = self._answers[0]
        return free

    # --- everything behind it ---------------------------------------------------------

    def _decide(self, first: _Step) -> Bytes:
        """Everything behind the first answer, until the host has all of it."""
        said, rest = b"", b""
        try:
            step = yield from first
            while isinstance(step, ModelRequest):
                step = yield from self._again(step)
            if isinstance(step, Ending):
                if self._failed is not None and self._hopeless(step):
                    self._record(step.outcome, step)
                    return Instead(self._failed, final=True)
                said, rest = self._final(step)
                self._remember(step)
        except self._broken:
            # The connection failed and no answer can be saved: the host's own retry is next.
            raise
        except Exception as error:  # law 11: the first answer's own bytes instead
            return (yield from self._step_aside(None, error))
        if not isinstance(step, Ending):
            return step
        if said:
            yield said
        # Behind the text, so that a notice does not stand in the middle of it.
        self._record(step.outcome, step)
        yield rest
        return None

    def _again(self, request: ModelRequest) -> _Step:
        """Send a re-ask and pass on what may be shown of its answer."""
        self.close()
        self._asking.announce()
        try:
            if request.wait_s:
                yield Wait(request.wait_s)
            response: Response = yield Send(encode(self._adapter.write_request(request)))
            self._response = response
            if response.status_code >= 400:
                yield Read(response)
                found = self._read(response)
                other = self._asking.refused(response) if found is None else None
                return other or (yield from self._again_whole(response, found))
            body = Body(response)
            if (yield from body.in_one_piece()):
                raw = yield from body.collected(MOST_BYTES)
                found = read_whole(200, raw, self._adapter)
                return (yield from self._again_whole(response, found))
            answer = self._new_answer(verbatim=False)
            yield from self._follow(answer, body)
        except self._broken as error:
            ending = self._asking.give_up(why(error))
            if ending is None:
                self._record(self._asking.abandoned(why(error)))
                raise
            return ending
        if answer.foreign or answer.error is not None:
            return (yield from self._no_answer(None, answer.error or bytes(self._unsent)))
        return (yield from self._judge(answer, answer.output()))

    def _again_whole(self, response: Response, found: WholeAnswer | None) -> _Step:
        if found is None:
            if response.status_code < 400:
                return (yield from self._no_answer(None, bytes(self._unsent)))
            raw = self._adapter.error_event(response.content)
            return (yield from self._no_answer(response, raw))
        answer = self._new_answer(verbatim=False)
        self._take_whole(answer, found)
        return (yield from self._judge(answer, found.output))

    def _judge(
        self, answer: StreamedAnswer, output: ModelOutput
    ) -> Generator[bytes | Effect, Any, ModelRequest | Ending]:
        """What comes next, with what is clear of a failed answer shown."""
        yield TURN
        yield from look(self._task, self._asking.request, output, answer.reader.usage)
        step = self._asking.answer(output, answer.reader.usage)
        if isinstance(step, ModelRequest):
            yield from self._leave(answer)
        return step

    def _no_answer(self, response: Response | None, raw: bytes) -> _Step:
        """A re-ask came to nothing: the end from an earlier answer, else the failure itself."""
        failure = "asking again failed: no answer in the stream" if response is None else None
        reason = failure or why(response)
        ending = self._asking.give_up(reason)
        if ending is None:
            self._record(self._asking.abandoned(reason))
            if response is not None and not self.showing:
                return failed(self._task, response)
            yield clearer_event(self._task, raw)
        return ending

    def _follow(self, answer: StreamedAnswer, body: Body) -> Generator[bytes | Effect, Any, None]:
        """Read the answer to a re-ask, showing what may be shown."""
        size = 0
        while (chunk := (yield from body.next())) is not None:
            size += len(chunk)
            answer.feed(chunk)
            yield from self._show(answer)
            answer.foreign = answer.foreign or size > MOST_BYTES
            if answer.ended or answer.foreign:
                return
        answer.close()
        yield from self._show(answer)

    def _leave(self, answer: StreamedAnswer) -> Iterator[bytes]:
        """An answer failed and is asked for again; what is clear of it stays."""
        answer.settle()
        yield from self._show(answer)

    def _show(self, answer: StreamedAnswer) -> Iterator[bytes]:
        """What is clear of an answer and was not shown."""
        pieces = answer.clear()
        if pieces:
            self._task.host.answering()
            separator = self._separator(answer)
            self._showing = answer
            yield separator + self._texts(answer, pieces)

    def _new_answer(self, *, verbatim: bool) -> StreamedAnswer:
        task = self._task
        answer = StreamedAnswer(
            task.tools,
            task.runnable_tag,
            verbatim=verbatim,
            form=task.settings.format,
            adapter=task.adapter,
        )
        self._answers.append(answer)
        return answer

    def _take_whole(self, answer: StreamedAnswer, found: WholeAnswer) -> None:
        body = found.body
        answer.take(found.output)
        if body is None:
            self._faults.append(found)
        else:
            answer.reader.take(body)

    def _hopeless(self, ending: Ending) -> bool:
        """Whether there was nothing but errors without a word of the model."""
        return (
            isinstance(ending.outcome.verdict, Reject)
            and len(self._faults) == len(self._answers)
            and all(found.says_nothing for found in self._faults)
        )

    # --- what is written --------------------------------------------------------------

    def _read(self, response: Response) -> WholeAnswer | None:
        return read_whole(response.status_code, response.content, self._adapter)

    def _separator(self, answer: StreamedAnswer) -> bytes:
        """What goes between the text of an earlier attempt and this answer's first."""
        before = self._showing
        if before is None or before is answer or before.last_channel is None:
            return b""
        # In the channel that is open, so that the host does not close a reasoning block.
        return self._texts(before, [(before.last_channel, "\n")])

    def _texts(self, answer: StreamedAnswer, pieces: list[Piece]) -> bytes:
        return self._writer.said(self._template(), answer.reader, pieces)

    def _final(self, ending: Ending) -> tuple[bytes, bytes]:
        """What the host still gets: the text, and all the rest."""
        answer = self._answers[ending.attempt]
        if ending.untouched and answer.verbatim and answer.host_readable:
            return b"", bytes(self._unsent)
        pieces: list[Piece] = [
            ("reasoning", remainder(answer.shown("reasoning"), ending.reasoning or "")),
            ("text", remainder(answer.shown("text"), ending.text)),
        ]
        pieces = [piece for piece in pieces if piece[1]]
        output = ending.outcome.attempts[ending.attempt].output
        separator = self._separator(answer) if pieces else b""
        said = separator + self._texts(answer, pieces)
        usage = sum_usage(answer.reader.usage for answer in self._answers)
        rest = self._writer.end(self._template(), answer.reader, output, ending.calls, usage)
        return said, rest

    def _template(self) -> Mapping[str, Any]:
        known = (answer.reader.template for answer in self._answers)
        return next(filter(None, known), {})

    def _step_aside(self, body: Body | None, error: Exception | str) -> Bytes:
        """Give the host the first answer's own bytes."""
        self._record(None, error=error)
        if self._failed is not None and not self.showing:
            return Instead(self._failed)
        yield bytes(self._unsent)
        if body is not None:
            yield from body.rest()
        return None

    def _record(self, outcome: Any, ending: Ending | None = None, **rest: Any) -> None:
        """Report the exchange, once."""
        if self._reported:
            return
        self._reported = True
        faults = [found.status for found in self._faults]
        repairs = ending.repairs if ending else ()
        self._task.report(outcome, repairs, faults=faults, **rest)


def _shown_beside(answers: Sequence[StreamedAnswer], position: int) -> list[Piece]:
    """What the host was shown of all answers but one, as it follows on each other."""
    shown: list[Piece] = []
    for answer in answers:
        if answer is not answers[position] and answer.last_channel:
            shown += [*answer.pieces, (answer.last_channel, "\n")]
    return shown
