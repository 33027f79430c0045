"""What the proxy is told at its start, and the settings in its TOML file."""

from __future__ import annotations

import ipaddress
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.capabilities import Measured, measured
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.keys import KEYS, ModelConfig, facts_from, layers
from gptme_reliability.surfaces.schema import FACT_KEYS, checked

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LOG: Final = logging.getLogger(__name__)

TABLE: Final = "reliability"
MOST_BODY: Final = 64 * 1024 * 1024
"""Bytes of a request's body that are taken."""

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MODELS_REMEMBERED: Final = 256
_TAKEN_AS: Final = "--set"

SHORTEST_KEY: Final = 8
"""Characters that a key of the proxy needs."""

LONGEST_MODEL: Final = 1_000
"""Characters of a model's name that count: callers choose it, and it is remembered."""

Scope: TypeAlias = Literal["off", "tools", "all"]


UpstreamApi: TypeAlias = Literal["openai", "anthropic"]


@dataclass(frozen=True, slots=True)
class Options:
    """How the proxy runs.  Times are in seconds, sizes in bytes.

    ``upstream`` is the base URL that stands for ``/v1``, ``upstream_api`` what is spoken
    there.  ``api_key`` is asked of callers and
    never sent on, nor are ``keys``, any of which will do; ``upstream_key`` is sent in place of
    whatever callers send.  ``sets`` are settings that count before the file's.  ``contracts``
    says which requests go out as the sampling card of their model says: none, those with tools,
    or all chat completions; ``client_sampling`` whether the values that a client sends count
    before the card's.  ``trace`` is a file for a line per request.  ``timeout`` bounds the
    silence of the upstream, ``stall`` that of a client, ``longest`` a whole request,
    ``keep_alive`` is the silence of a checked stream after which a comment goes out, ``grace``
    the time for open requests when the proxy ends.  ``shared`` is the directory in which several
    workers tell each other their counts, ``worker`` the number of this one.

    Raises:
        ConfigError: they contradict each other, or would open the proxy to strangers.
    """

    upstream: str
    host: str = "127.0.0.1"
    port: int = 8484
    api_key: str | None = field(default=None, repr=False)
    keys: tuple[str, ...] = field(default=(), repr=False)
    upstream_key: str | None = field(default=None, repr=False)
    config: str | None = None
    sets: tuple[str, ...] = ()
    observe: bool = False
    contracts: Scope = "tools"
    client_sampling: Literal["counts", "ignored"] = "counts"
    trace: str | None = None
    upstream_api: UpstreamApi = "openai"
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    timeout: float = 600.0
    stall: float = 60.0
    longest: float = 7200.0
    keep_alive: float = 10.0
    grace: float = 30.0
    shared: str | None = None
    worker: int = 0
    most_body: int = MOST_BODY

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        if not is_local(self.host) and not self.callers_keys:
            raise ConfigError(
                f"--host {self.host} lets other machines in: give --api-key KEY that they need,"
                " or --keys-file FILE"
            )
        for flag, key in (("--api-key", self.api_key), ("--upstream-key", self.upstream_key)):
            if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
                raise ConfigError(f"{flag} must be printable ASCII")
        if self.api_key is not None and len(self.api_key) < SHORTEST_KEY:
            raise ConfigError(f"--api-key needs at least {SHORTEST_KEY} characters")

    @property
    def callers_keys(self) -> tuple[str, ...]:
        """The keys one of which a caller needs; none where anybody may call."""
        return (*filter(None, (self.api_key,)), *self.keys)


class ModelSettings:
    """The settings for each model, from the file and the flags.

    Raises:
        ConfigError: the file cannot be read, or holds what is no setting.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        sets: Sequence[str] = (),
        observe: bool = False,
        upstream: str | None = None,
    ) -> None:
        self._where = path or "no file"
        self._sections = (
            (checked(_table(path) if path else {}, self._where, TABLE), self._where),
            (checked(_said(sets), _TAKEN_AS, TABLE), _TAKEN_AS),
        )
        self._observe = observe
        self._config = lru_cache(maxsize=_MODELS_REMEMBERED)(self._of)
        self._settings = lru_cache(maxsize=_MODELS_REMEMBERED)(self._settings_of)
        self._upstream = upstream
        self._measured = lru_cache(maxsize=_MODELS_REMEMBERED)(self._read_measured)

    def settings(self, model: str) -> Settings | None:
        """What holds for a model; None where its answers are not to be checked."""
        return self._settings(model[:LONGEST_MODEL])

    def of(self, model: str) -> ModelConfig:
        """What is set for a model, and where."""
        return self._config(model[:LONGEST_MODEL])

    def _settings_of(self, model: str) -> Settings | None:
        return self.of(model).settings()

    def _of(self, model: str) -> ModelConfig:
        values: dict[str, Any] = {key: spec.default for key, spec in KEYS.items()}
        # Whoever starts a proxy wants it to check.
        values["enabled"] = True
        sources: dict[str, str] = {}
        facts: dict[str, Any] = {}
        for section, place in self._sections:
            for key, value, where in layers(section, model, place, TABLE):
                if key in FACT_KEYS:
                    facts[key] = value
                else:
                    values[key], sources[key] = value, where
        if self._observe:
            values["mode"], sources["mode"] = "observe", "--observe"
        return ModelConfig(
            model,
            values,
            sources,
            facts=facts_from(facts),
            sampling=facts.get("sampling") or {},
        )

    def measured(self, model: str) -> Measured:
        """What a probe of the upstream found of a model."""
        return self._measured(model[:LONGEST_MODEL])

    def _read_measured(self, model: str) -> Measured:
        if self._upstream is None:
            return Measured()
        found = measured(self._upstream, model)
        if found.notice:
            _LOG.warning("%s", found.notice)
        return found


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


def _said(sets: Sequence[str]) -> dict[str, Any]:
    """The settings of ``--set``: TOML, or a key and a word without quotes.

    Raises:
        ConfigError: one is neither, or contradicts another.
    """
    lines = []
    for one in sets:
        key, given, value = one.partition("=")
        if not given:
            raise ConfigError(f"{_TAKEN_AS} {one}: needs a value, such as {_TAKEN_AS} retries=1")
        lines.append(one if _is_toml(one) else f"{key}={json.dumps(value.strip())}")
    try:
        found: dict[str, Any] = tomllib.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{_TAKEN_AS} {' '.join(sets)}: {error}") from None
    return found


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
