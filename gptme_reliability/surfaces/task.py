"""One request of the host that this layer works on."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from gptme_reliability.adapters.adapter import Adapter
from gptme_reliability.adapters.encoding import encode as encode
from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.exchange import Outcome
from gptme_reliability.respond import voice
from gptme_reliability.surfaces.host import Host, Report, Settings
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.types import ModelRequest, Repair, ToolDefinition

_LOG = logging.getLogger(__name__)

MOST_BYTES: Final = 64 * 1024 * 1024
"""Bytes of an answer that are read or held; a larger one is passed on as it is."""


@dataclass(frozen=True, slots=True)
class Task:
    """A request, what holds for it, and what was mended in its conversation.

    ``conversation`` is a digest of the conversation as the host sent it.  ``mended`` says that
    the request is not the host's own any more.  ``question`` is what a request that asks the
    same again has in common with this one: the key to the budgets in ``memory``.  ``notes``
    collects what the user should know of the server.  ``adapter`` is the API that the host
    speaks.
    """

    host: Host
    settings: Settings
    request: ModelRequest
    repairs: tuple[Repair, ...]
    streamed: bool
    conversation: str = ""
    mended: bool = False
    question: str = ""
    memory: Memory = field(default_factory=Memory)
    notes: list[str] = field(default_factory=list)
    adapter: Adapter = OPENAI

    @property
    def tools(self) -> tuple[ToolDefinition, ...]:
        """All tools that an answer may call, the one for talking among them."""
        tools = self.request.tools
        return (*tools, voice(tools, self.settings.policy))

    def runnable_tag(self, tag: str) -> bool:
        """Whether a fence with this tag may be a call: the host would run it, or was to."""
        if self.host.runnable_tag(tag):
            return True
        form, words = self.settings.format, tag.split(None, 1)
        if form is None or not words:
            return False
        return Offered(self.settings.offered, form).tool(words[0]) is not None

    def report(
        self,
        outcome: Outcome | None,
        repairs: Sequence[Repair] = (),
        *,
        error: BaseException | str | None = None,
        faults: Sequence[int] = (),
        interrupted: bool = False,
    ) -> None:
        """Tell the host how it went; a host that fails at this changes nothing."""
        report = Report(
            settings=self.settings,
            outcome=outcome,
            repairs=(*self.repairs, *repairs),
            streamed=self.streamed,
            error=where(error) if isinstance(error, BaseException) else error,
            faults=tuple(faults),
            interrupted=interrupted,
            tools=self.request.tools,
            notes=tuple(self.notes),
        )
        try:
            self.host.done(report)
        except Exception as broken:  # a notice must never cost the user an answer
            _LOG.warning("reliability: the report failed: %s", where(broken))


def where(error: BaseException) -> str:
    """The type of an exception and the place it came from, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    name = type(error).__name__
    if not frames:
        return name
    return f"{name} in {PurePath(frames[-1].filename).name}, line {frames[-1].lineno}"
