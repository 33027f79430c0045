"""Settings shared by all tests."""

from __future__ import annotations

import signal
from importlib.metadata import version
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

UPSTREAM_OF: Final = "0.35.1"
"""The gptme whose defects ``tests/upstream`` shows."""

# A shell that starts the tests in the background has Ctrl-C ignored, here and in every child.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run: a failure must be the change's, not the day's.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Who has another gptme learns nothing of us from what that one mended, unless asked for."""
    installed = version("gptme")
    if installed == UPSTREAM_OF or config.option.markexpr == "upstream":
        return
    why = f"defects of gptme {UPSTREAM_OF}; `-m upstream` says what {installed} has mended"
    for item in items:
        if item.get_closest_marker("upstream"):
            item.add_marker(pytest.mark.skip(reason=why))
