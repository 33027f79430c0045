"""What the user said in the environment before gptme started.

gptme's server reads the ``.env`` of every workspace that it serves into its own environment, for
good and for all conversations (gptme 0.35.1, ``executor.py``).  A workspace may be a cloned
repository, which is not trusted; so what came to the environment of a server later than its
start counts as nobody's word.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Final

from gptme_reliability.surfaces.gptme.current import in_server

_MARK: Final = "RELIABILITY_"
_PREFIX: Final = "GPTME_"
_at_start: dict[str, str] = {}
_known: list[bool] = []


def remember() -> None:
    """Take down the settings as they are now; the first time in a process counts."""
    if not _known:
        _known.append(True)
        _at_start.update((name, text) for name, text in os.environ.items() if _MARK in name)


def came_late(variable: str) -> bool:
    """Whether a server's ``GPTME_{variable}`` is not as it was at the start."""
    return bool(_known) and in_server() and any(map(_changed, (f"GPTME_{variable}", variable)))


def at_start(variable: str) -> str | None:
    """What the user said, with or without the prefix; None for nothing."""
    return _at_start.get(f"GPTME_{variable}") or _at_start.get(variable)


def unknown(known: Collection[str]) -> tuple[str, ...]:
    """Variables that are named as ours and are none of these, all without ``GPTME_``."""
    ours = (name.removeprefix(_PREFIX) for name in os.environ if name.startswith(_PREFIX + _MARK))
    return tuple(sorted(name for name in ours if name not in known))


def _changed(name: str) -> bool:
    return os.environ.get(name) != _at_start.get(name)
