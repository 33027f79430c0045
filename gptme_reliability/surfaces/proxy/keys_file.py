"""The file of keys one of which a caller needs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.proxy.options import SHORTEST_KEY

_FLAG: Final = "--keys-file"


def read_keys(path: str) -> tuple[str, ...]:
    """The keys in a file, one a line; empty lines and those that begin with ``#`` do not count.

    Raises:
        ConfigError: it cannot be read, holds no key, or one that would not do; the key itself is
            not shown.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is no text") from None
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        key = line.strip()
        if not key or key.startswith("#"):
            continue
        if not (key.isascii() and key.isprintable()) or len(key) < SHORTEST_KEY or " " in key:
            raise ConfigError(
                f"{path}, line {number}: a key is {SHORTEST_KEY} or more printable ASCII"
                " characters without spaces"
            )
        keys.append(key)
    if not keys:
        raise ConfigError(f"{_FLAG} {path} holds no key")
    return tuple(dict.fromkeys(keys))
