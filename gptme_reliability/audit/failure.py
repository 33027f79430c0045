"""The values that judging an exchange gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gptme_reliability.audit.classes import Stage
from gptme_reliability.audit.exchanges import Exchange
from gptme_reliability.audit.setting import Setting


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure: its class, what would have handled it, and the tool as far as it is known."""

    kind: str
    stage: Stage
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A call that the host ran, and what came of it; None where the log does not tell it."""

    name: str
    arguments: Mapping[str, Any]
    result: str | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found in an exchange.

    ``made`` are the calls that ran.  ``doubtful`` says that the core would have asked whether
    a call was meant, where nothing shows that one was: such an answer counts as no failure.
    """

    failures: tuple[Failure, ...] = ()
    made: tuple[Made, ...] = ()
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """An exchange to judge, and what the conversation says about it.

    ``recent`` are the messages before it as an OpenAI request would hold them, the latest only.
    """

    exchange: Exchange
    setting: Setting
    recent: tuple[Mapping[str, Any], ...] = ()

    @property
    def text(self) -> str:
        """The answer as it is stored."""
        return self.exchange.answer.content
