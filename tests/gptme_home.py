"""The home of a gptme that a test starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

# Without contracts: a model that no sampling card knows is sampled as gptme asks.
PLUGIN_ON: Final = """\
[plugins]
enabled = ["reliability"]

[plugin.reliability]
enabled = true
contracts = false
"""
"""A config that switches the plugin on; keys behind it are the plugin's."""


def write_config(home: Path, config: str = PLUGIN_ON) -> None:
    """Make this the user's config of gptme."""
    place = home / ".config" / "gptme"
    place.mkdir(parents=True, exist_ok=True)
    (place / "config.toml").write_text(config, encoding="utf-8")
