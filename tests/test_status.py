"""The line that is shown while a re-ask runs, on a terminal."""

from __future__ import annotations

import io
import sys

import pytest
from plugin_world import CALL, RETRY, own_world, report

from gptme_reliability.surfaces.gptme.host import host
from gptme_reliability.surfaces.host import Saying
from gptme_reliability.types import Accept

__all__ = ["own_world"]  # a fixture that every test here uses


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_status_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    host.asking_again(1, 2, RETRY)
    shown = screen.getvalue()
    assert "asking again (1/2)" in shown
    assert "\n" not in shown
    assert host.defuse(Saying(None, "answer", streamed=True), []) == (None, "answer", ())
    assert screen.getvalue().removeprefix(shown) == "\x1b8\x1b[K"
    host.done(report(Accept((CALL,))))
    assert screen.getvalue().removeprefix(shown) == "\x1b8\x1b[K"


def test_a_status_of_a_broken_off_answer_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    host.asking_again(1, 2, RETRY)
    shown = screen.getvalue()
    host.settings("local", {"model": "test-model"})
    host.done(report(Accept((CALL,))))
    assert screen.getvalue() == shown


def test_a_further_answer_takes_the_place_of_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    host.asking_again(1, 2, RETRY)
    shown = screen.getvalue()
    host.answering()
    assert screen.getvalue().removeprefix(shown) == "\x1b8\x1b[K"
