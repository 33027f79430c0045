"""What the proxy is told at its start, and the settings in its TOML file."""

from __future__ import annotations

import ipaddress
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.keys import KEYS, ModelConfig, layers
from gptme_reliability.surfaces.schema import FACT_KEYS, checked
from gptme_reliability.types import ModelFacts

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE: Final = "reliability"
MOST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a request's body that are taken."""

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MODELS_REMEMBERED: Final = 256
_SHORTEST_KEY: Final = 8


@dataclass(frozen=True, slots=True)
class Options:
    """How the proxy runs.  Times are in seconds, sizes in bytes.

    ``upstream`` is the base URL that stands for ``/v1``.  ``api_key`` is asked of callers and
    never sent on; ``upstream_key`` is sent in place of whatever callers send.  ``timeout`` bounds
    the silence of the upstream, ``stall`` that of a client, ``keep_alive`` is the silence of a
    checked stream after which a comment goes out, ``grace`` the time for open requests when the
    proxy ends.

    Raises:
        ConfigError: they contradict each other, or would open the proxy to strangers.
    """

    upstream: str
    host: str = "127.0.0.1"
    port: int = 8484
    api_key: str | None = field(default=None, repr=False)
    upstream_key: str | None = field(default=None, repr=False)
    config: str | None = None
    observe: bool = False
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    timeout: float = 600.0
    stall: float = 60.0
    keep_alive: float = 10.0
    grace: float = 30.0
    most_body: int = MOST_BODY

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        if not is_local(self.host) and not self.api_key:
            raise ConfigError(
                f"--host {self.host} lets other machines in: give --api-key KEY that they need"
            )
        for flag, key in (("--api-key", self.api_key), ("--upstream-key", self.upstream_key)):
            if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
                raise ConfigError(f"{flag} must be printable ASCII")
        if self.api_key is not None and len(self.api_key) < _SHORTEST_KEY:
            raise ConfigError(f"--api-key needs at least {_SHORTEST_KEY} characters")


class ModelSettings:
    """The settings for each model, from the file and the flags.

    Raises:
        ConfigError: the file cannot be read, or holds what is no setting.
    """

    def __init__(
        self, path: str | None = None, *, observe: bool = False, own_server: bool = False
    ) -> None:
        self._where = path or "no file"
        self._section = checked(_table(path) if path else {}, self._where, TABLE)
        self._observe = observe
        self._own_server = own_server
        self.settings = lru_cache(maxsize=_MODELS_REMEMBERED)(self._settings)

    def _settings(self, model: str) -> Settings | None:
        """What holds for a model; None where its answers are not to be checked."""
        settings = self.of(model).settings()
        return settings and replace(settings, own_server=self._own_server)

    def of(self, model: str) -> ModelConfig:
        """What is set for a model, and where."""
        values: dict[str, Any] = {key: spec.default for key, spec in KEYS.items()}
        # Whoever starts a proxy wants it to check.
        values["enabled"] = True
        sources: dict[str, str] = {}
        facts: dict[str, Any] = {}
        for key, value, where in layers(self._section, model, self._where, TABLE):
            if key in FACT_KEYS:
                facts[key] = value
            else:
                values[key], sources[key] = value, where
        if self._observe:
            values["mode"], sources["mode"] = "observe", "--observe"
        known = ModelFacts(**facts, source="config") if facts else ModelFacts()
        return ModelConfig(model, values, sources, facts=known)


def is_local(host: str) -> bool:
    """Whether only programs on this machine reach an address."""
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_upstream(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or parts.query or parts.fragment or any(c.isspace() for c in url):
        raise ConfigError(f"--upstream {url!r} must be like http://127.0.0.1:11434/v1")
    if parts.username is not None or parts.password is not None:
        raise ConfigError("--upstream must hold no password: give --upstream-key")


def _table(path: str) -> Any:
    """What stands under ``[reliability]``.

    Raises:
        ConfigError: the file cannot be read, is no TOML, or holds something else beside it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        found = tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None
    others = [key for key in found if key != TABLE]
    if others:
        raise ConfigError(f"{path}: settings stand under [{TABLE}], not under {others[0]!r}")
    return found.get(TABLE, {})
