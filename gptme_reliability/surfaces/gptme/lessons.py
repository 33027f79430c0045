"""Offers our lessons to gptme, for models that are to have them and in their tool format.

gptme finds lessons of other packages through an environment variable, which it reads when a
conversation looks for lessons first.  A format's lessons would teach models of another format
the wrong thing, so that each has a directory.
"""

from __future__ import annotations

import os
from typing import Final

from gptme_reliability.data import data_dir

_VARIABLE: Final = "GPTME_LESSONS_EXTRA_DIRS"
# gptme separates these by colons on every system.
_SEPARATOR: Final = ":"
_EVERY_FORMAT: Final = "common"


def offer(model: str | None) -> None:
    """Put the directories that ``model`` is to have into gptme's variable, and take out others.

    None is the model of the conversation.
    """
    from gptme.tools import get_tool_format

    ours = data_dir("lessons")
    known = [part for part in os.environ.get(_VARIABLE, "").split(_SEPARATOR) if part]
    others = [part for part in known if not part.startswith(f"{ours}{os.sep}")]
    wanted = [_EVERY_FORMAT, get_tool_format()] if _wants(model) else []
    parts = [*others, *(str(ours / name) for name in wanted)]
    if parts:
        os.environ[_VARIABLE] = _SEPARATOR.join(parts)
    elif known:
        del os.environ[_VARIABLE]


def _wants(model: str | None) -> bool:
    from gptme_reliability.surfaces.gptme import host

    loaded = host.settings_of(model)
    if loaded is None or not loaded.values["enabled"] or loaded.values["mode"] != "on":
        return False
    wanted = loaded.values["lessons"]
    return _is_small(loaded.model, loaded.facts.size_b) if wanted == "small" else bool(wanted)


def _is_small(model: str, size_b: float | None) -> bool:
    from gptme_reliability.identity import identify
    from gptme_reliability.respond import is_small
    from gptme_reliability.types import ModelFacts

    return is_small(ModelFacts(size_b=size_b or identify(model).size_b))
