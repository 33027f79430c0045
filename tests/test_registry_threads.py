"""gptme's clients are looked at while other threads of a server make some."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from gptme.config import Config
from gptme.llm import llm_openai
from plugin_world import own_world

from gptme_reliability.surfaces.gptme import registry

__all__ = ["own_world"]

LOOKS = 5_000


@pytest.fixture
def hurried() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_a_client_made_meanwhile_breaks_no_look(own_world: Config, hurried: None) -> None:
    registry.ensure(None)
    clients: Any = llm_openai.clients
    done = threading.Event()

    def make() -> None:
        while not done.is_set():
            for number in range(400):
                clients[f"provider-{number}"] = object()
            clients.clear()

    maker = threading.Thread(target=make)
    maker.start()
    try:
        for _ in range(LOOKS):
            registry.ensure(None)
            registry.self_check()
    finally:
        done.set()
        maker.join()
    assert llm_openai.clients is clients
