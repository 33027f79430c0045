"""Where the data files lie that belong to this package."""

from __future__ import annotations

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
