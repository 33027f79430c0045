"""One request of the host, from the first send to the response it gets.  No I/O: see ``effects``.

A surface drives ``Serving.run`` and makes a response of its own kind from what comes out.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from gptme_reliability.adapters.openai_response import sum_usage
from gptme_reliability.adapters.overflow import overflow
from gptme_reliability.adapters.server_errors import (
    about_the_conversation,
    model_fault,
    refusal,
)
from gptme_reliability.surfaces.answers import UNKNOWN_SHAPE, WholeAnswer, read_whole, why
from gptme_reliability.surfaces.asking import Asking, Ending, observe
from gptme_reliability.surfaces.effects import Effect, Read, Response, Send, Wait
from gptme_reliability.surfaces.instead import Instead, failed
from gptme_reliability.surfaces.reading import look
from gptme_reliability.surfaces.relay import Bytes, Relay
from gptme_reliability.surfaces.task import Task, encode, where
from gptme_reliability.surfaces.watching import observed
from gptme_reliability.types import ModelRequest, Reject

_LOG = logging.getLogger(__name__)

UNPROCESSABLE: Final = 422
"""SDKs and hosts try an error of the server again, and this one not."""

MOST_KEPT: Final = 1024 * 1024
"""Bytes that say nothing, kept until it is known whether there will be an answer."""

_MENDING_MAY_HURT: Final = frozenset({400, 422, 500})


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A whole answer with another body than the server's, and how many answers it took."""

    response: Response
    content: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that is still to come.

    ``relay`` is None where it is only watched.  What ``steps`` return is the response that the
    host gets instead, which is none once something was shown.
    """

    response: Response
    steps: Bytes
    relay: Relay | None = None

    @property
    def shown(self) -> bool:
        """Whether the host was shown anything that a model said, so that there is no other
        response any more."""
        return self.relay is None or self.relay.showing

    def fault(self, instead: Instead) -> bytes:
        """The event that says what became of it, where it had begun before it came to nothing."""
        assert self.relay is not None, "nothing is given instead of what is only watched"
        return self.relay.fault(instead)

    @property
    def like(self) -> bool:
        """Whether it has the content type of the server's response."""
        return self.relay is None or not self.relay.whole

    def close(self) -> None:
        """The reader is done, or left."""
        self.steps.close()
        if self.relay is None:
            # A generator that was never started does not run its own clean-up.
            self.response.close()
        else:
            self.relay.close()


Reply: TypeAlias = Instead | Rewritten | Stream
"""What the host gets; ``Instead`` is a response of the server as it is."""

_Steps: TypeAlias = Generator[Effect, Any, Reply]


class Serving:
    """Serves one task; ``broken`` are the exceptions of a connection that failed."""

    def __init__(self, task: Task, broken: type[Exception]) -> None:
        self._task = task
        self._broken = broken

    def run(self) -> _Steps:
        """The response for the host."""
        task = self._task
        try:
            asked = None if task.settings.mode == "observe" else self._asked()
        except Exception as error:  # law 11: the host's own request, and the answer to it
            task.report(None, error=error)
            return Instead((yield Send()))
        response = yield from self._send_first(asked)
        try:
            if asked is None:
                return (yield from self._observe(response))
            if isinstance(asked, Relay):
                return Stream(response, asked.run(response), asked)
            return (yield from self._whole(asked, response))
        except self._broken:
            raise  # the connection's fault, not ours
        except Exception as error:  # law 11: what the server said, as it said it
            task.report(None, error=error)
            return Instead(response)

    def _asked(self) -> Relay | Asking:
        if self._task.streamed:
            return Relay(self._task, self._broken, self._remember)
        return Asking(self._task)

    def _remember(self, ending: Ending) -> None:
        task, pending = self._task, ending.outcome.pending
        owner = task.settings.conversation
        task.memory.pending.remember(owner, task.conversation, ending.calls, pending)

    def _send_first(self, asked: Relay | Asking | None) -> Generator[Effect, Any, Response]:
        """The host's own request, or the one with mended conversation and tools.

        A server that refuses the mended one is asked with the original: mending must never
        make anything worse.
        """
        first = None if asked is None else self._rewritten(asked.request)
        response: Response = yield Send(first)
        if first is not None and self._task.mended and (yield from _refused(response)):
            response = yield Send()
        return response

    def _rewritten(self, request: ModelRequest) -> bytes | None:
        """The request as it goes out; None where that is the host's own."""
        if not self._task.mended and request == self._task.request:
            return None
        try:
            return encode(self._task.adapter.write_request(request))
        except Exception as error:  # law 11: the host's own request instead
            _LOG.warning("reliability: request not mended: %s", where(error))
            return None

    def _observe(self, response: Response) -> _Steps:
        task = self._task
        if task.streamed and response.status_code < 400:
            return Stream(response, observed(task, response))
        yield Read(response)
        found = self._read(response)
        if found is not None:
            faults = [found.status] if found.body is None else []
            task.report(observe(task.settings, task.request, found.output), faults=faults)
        elif response.status_code < 400:
            task.report(None, error=UNKNOWN_SHAPE)
        return Instead(response)

    def _whole(self, asking: Asking, response: Response) -> _Steps:
        yield Read(response)
        found = self._read(response)
        while found is None and (other := asking.refused(response)) is not None:
            response = yield Send(encode(self._task.adapter.write_request(other)))
            yield Read(response)
            found = self._read(response)
        if found is None:
            if response.status_code < 400:
                self._task.report(None, error=UNKNOWN_SHAPE)
            elif self._task.repairs:
                self._task.report(None)
            return failed(self._task, response)
        try:
            return (yield from self._answered(asking, response, found))
        except (GeneratorExit, KeyboardInterrupt):
            self._task.report(asking.abandoned("interrupted"), interrupted=True)
            raise

    def _answered(self, asking: Asking, response: Response, found: WholeAnswer) -> _Steps:
        """Ask until there is an end; the response that says it."""
        answers = [found]
        yield from look(self._task, asking.request, found.output, found.usage)
        step = asking.answer(found.output, found.usage)
        while isinstance(step, ModelRequest):
            asking.announce()
            again = yield from self._ask_whole(step)
            if isinstance(again, WholeAnswer):
                answers.append(again)
                yield from look(self._task, asking.request, again.output, again.usage)
                step = asking.answer(again.output, again.usage)
                continue
            other = None if isinstance(again, Exception) else asking.refused(again)
            if other is not None:
                step = other
                continue
            ending = asking.give_up(why(again))
            if ending is None:
                self._task.report(asking.abandoned(why(again)), faults=_faults(answers))
                if isinstance(again, Exception):
                    raise again
                return failed(self._task, again)
            step = ending
        reply = self._reply(response, answers, step)
        self._task.report(step.outcome, step.repairs, faults=_faults(answers))
        return reply

    def _reply(self, response: Response, answers: list[WholeAnswer], ending: Ending) -> Reply:
        hopeless = all(answer.says_nothing for answer in answers)
        if hopeless and isinstance(ending.outcome.verdict, Reject):
            return Instead(response, final=True)
        reply: Reply = Instead(response)
        body = answers[ending.attempt].body
        if not (ending.untouched and body is not None and self._task.adapter.host_readable(body)):
            usage = sum_usage(answer.usage for answer in answers)
            written = _write(self._task, body or answers[0].body, ending, usage)
            reply = Rewritten(response, encode(written), len(answers))
        self._remember(ending)
        return reply

    def _ask_whole(
        self, request: ModelRequest
    ) -> Generator[Effect, Any, WholeAnswer | Response | Exception]:
        """A further answer; failing that, the response or the exception there was instead."""
        if request.wait_s:
            yield Wait(request.wait_s)
        try:
            response: Response = yield Send(encode(self._task.adapter.write_request(request)))
            yield Read(response)
        except self._broken as error:
            return error
        return self._read(response) or response

    def _read(self, response: Response) -> WholeAnswer | None:
        return read_whole(response.status_code, response.content, self._task.adapter)


def _refused(response: Response) -> Generator[Effect, Any, bool]:
    """Whether a server refuses the conversation, as opposed to what its model wrote."""
    status = response.status_code
    if status not in _MENDING_MAY_HURT:
        return False
    yield Read(response)
    raw = response.content
    if model_fault(status, raw) is not None or _takes_no_tools(status, raw):
        return False
    if overflow(status, raw) is not None:  # it is no shorter as it was
        return False
    # An overloaded server says 500 too, and asking it once more would help nobody.
    return status != 500 or about_the_conversation(raw)


def _takes_no_tools(status: int, raw: bytes) -> bool:
    """Whether a server refuses tools as such: without mending it would, too."""
    found = refusal(status, raw)
    return found is not None and found.tools


def _faults(answers: Iterable[WholeAnswer]) -> list[int]:
    return [answer.status for answer in answers if answer.body is None]


def _write(
    task: Task, body: Mapping[str, Any] | None, ending: Ending, usage: Mapping[str, Any] | None
) -> dict[str, Any]:
    verdict = replace(ending.outcome.verdict, calls=ending.calls)
    model = task.request.model or ""
    return task.adapter.write_answer(body, verdict, ending.text, ending.reasoning, usage, model)
