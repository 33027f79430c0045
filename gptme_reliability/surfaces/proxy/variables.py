"""Environment variables that look as if they were for the proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

KEY: Final = "GPTME_RELIABILITY_PROXY_KEY"
UPSTREAM_KEY: Final = "GPTME_RELIABILITY_UPSTREAM_KEY"

_OURS: Final = "GPTME_RELIABILITY_"


def without_effect(environment: Mapping[str, str]) -> str | None:
    """One line that names those that are the plugin's; None where there are none.

    They do not count here: who set them for gptme did not mean a proxy for others.
    """
    named = sorted(
        name for name in environment if name.startswith(_OURS) and name not in (KEY, UPSTREAM_KEY)
    )
    if not named:
        return None
    one = len(named) == 1
    return (
        f"{', '.join(named)} {'is' if one else 'are'} for gptme and {'has' if one else 'have'} "
        "no effect on the proxy; its settings are --set KEY=VALUE and --config FILE.toml"
    )
