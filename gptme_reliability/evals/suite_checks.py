"""What ``gptme-eval`` asks after a run: what lies in the workspace, and whether anything ran.

The checks are objects, not closures: ``gptme-eval`` pickles them for its worker processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


class Ended(Protocol):
    """What ``gptme-eval`` tells of the workspace: each file by its path, bytes as base64."""

    @property
    def files(self) -> Mapping[str, str | bytes]:
        """The files that are there."""


class Message(Protocol):
    """A message of gptme's log."""

    @property
    def role(self) -> str:
        """Who said it: ``system``, ``user`` or ``assistant``."""

    @property
    def content(self) -> str:
        """What was said."""


@dataclass(frozen=True, slots=True)
class FileIs:
    """Whether a file is one of ``right``; None stands for no file."""

    path: str
    right: tuple[str | None, ...]

    def __call__(self, ended: Ended) -> bool:
        """Look at the workspace."""
        return ended.files.get(self.path) in self.right


@dataclass(frozen=True, slots=True)
class NothingBut:
    """Whether no file is there besides ``paths``."""

    paths: frozenset[str]

    def __call__(self, ended: Ended) -> bool:
        """Look at the workspace."""
        return ended.files.keys() <= self.paths


@dataclass(frozen=True, slots=True)
class NothingCalled:
    """Whether no tool was called.

    gptme answers each call with a system message right behind the answer that made it (0.32 to
    0.35, ``chat.py``).  Its own counter of calls counts none where this is asked: the tools are
    loaded in another process.
    """

    def __call__(self, log: Sequence[Message]) -> bool:
        """Look at the log."""
        return not any(
            before.role == "assistant" and message.role == "system"
            for before, message in pairwise(log)
        )


@dataclass(frozen=True, slots=True)
class Answered:
    """Whether the model said anything; one that could not be reached called nothing either."""

    def __call__(self, log: Sequence[Message]) -> bool:
        """Look at the log."""
        return any(message.role == "assistant" and message.content.strip() for message in log)
