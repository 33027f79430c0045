"""Where data files lie: those that belong to this package, and those of its user."""

from __future__ import annotations

import os
from pathlib import Path


def data_dir(name: str) -> Path:
    """Find a data directory (``lessons``, ``sampling_cards``).

    An installed wheel carries it inside the package; in a checkout it lies beside the package.

    Raises:
        FileNotFoundError: neither place has it, so the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    for place in (package / name, package.parent / name):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no {name!r} directory in {package} or beside it; reinstall")


def user_cards_dir() -> Path:
    """Where the user's own sampling cards lie, in gptme's config directory; it need not exist."""
    return _user_dir() / "cards"


def capability_cards_dir() -> Path:
    """Where the cards lie that probes of servers write; it need not exist."""
    return _user_dir() / "capabilities"


def _user_dir() -> Path:
    home = Path(os.environ.get("XDG_CONFIG_HOME", "").strip())
    config = home if home.is_absolute() else Path.home() / ".config"
    return config / "gptme" / "reliability"


def card_dirs() -> tuple[Path, Path]:
    """The directories of sampling cards: the user's own, which wins, and what is shipped.

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    return user_cards_dir(), data_dir("sampling_cards")
