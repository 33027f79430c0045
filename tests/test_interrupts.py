"""Ctrl-C between two steps and never within one."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from gptme_reliability.evals.interrupts import uninterrupted


def test_an_interrupt_waits_for_the_end_of_the_block() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("within")
        done.append("behind")
    assert done == ["within"]


def test_one_that_comes_to_another_thread_waits_too() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            thread = threading.Thread(target=signal.raise_signal, args=(signal.SIGINT,))
            thread.start()
            thread.join()
            done.append("within")
        done.append("behind")
    assert done == ["within"]


def test_in_another_thread_it_does_nothing() -> None:
    done: list[str] = []

    def work() -> None:
        with uninterrupted():
            done.append("within")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["within"]


def test_what_raised_within_is_raised() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(LookupError), uninterrupted():
        raise LookupError
    assert signal.getsignal(signal.SIGINT) is before
