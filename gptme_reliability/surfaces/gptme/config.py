"""The settings under ``[plugin.reliability]``: read, checked and merged for one model.

Later layers win over earlier ones:

1. the defaults in ``KEYS``
2. the user's ``[plugin.reliability]``
3. the user's ``[plugin.reliability.models."<glob>"]``, the most specific glob last
4. environment variables ``GPTME_RELIABILITY_*``
5. the project's ``gptme.toml``, which may only tighten: a cloned repository is not trusted

What tightening means is said once, for each key, in ``KEYS``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.gptme import environment
from gptme_reliability.surfaces.keys import KEYS, ModelConfig, facts_from, flat, layers
from gptme_reliability.surfaces.schema import FACT_KEYS, checked, shown

if TYPE_CHECKING:
    from gptme.config import Config

__all__ = ["KEYS", "ModelConfig", "files", "load"]

SECTION: Final = "plugin.reliability"

# Environment variables, and how their text becomes a value that the schema then checks.
_WORDS: Final = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


# Keys for servers and the proxy, and what the tests of this package are told.
_NO_SETTINGS: Final = tuple(
    f"RELIABILITY_{name}" for name in ("UPSTREAM_KEY", "PROXY_KEY", "CORPORA", "ENVS")
)


def _flag(text: str) -> Any:
    return _WORDS.get(text.strip().lower(), text)


def _number(text: str) -> Any:
    return int(text) if text.strip().lstrip("+-").isdecimal() else text


def _seconds(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _names(text: str) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()]


_ENV_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "enabled": _flag,
    "mode": str.strip,
    "retries": _number,
    "policy.max_added_tokens": _number,
    "policy.max_added_seconds": _number,
    "policy.backoff": _seconds,
    "policy.loops": _number,
    "policy.allow": _names,
    "policy.partial": str.strip,
    "policy.aliases": _flag,
    "policy.max_cost_reading": _number,
    "policy.max_cost_writing": _number,
    "policy.failed": str.strip,
    "policy.feedback_chars": _number,
    "policy.language": str.strip,
    "policy.rungs": _names,
    "policy.order": _json,
    "trace": str.strip,
    "notice": _flag,
    "lessons": _flag,
    "contracts": _flag,
    "unknown": str.strip,
    "respond": _flag,
    "force": _flag,
    "echo_guard": _flag,
}


def load(config: Config, model: str) -> ModelConfig:
    """Merge all layers for a model, given by its full name ``provider/model``.

    Equal input gives the same object without reading it again, so this may run per request.

    Raises:
        ConfigError: the user's config or an environment variable is wrong; one line says what.
    """
    user = _plain(config.user.plugin.get("reliability", {}))
    project = _plain(config.project.plugin.get("reliability", {})) if config.project else {}
    # The project's [env] section is as untrusted as the rest of it, so the environment is read
    # without the project, and what only the project says counts as the project's.
    trusted = replace(config, project=None)
    env = {key: text for key in KEYS if (text := _told(trusted, _variable(key)))}
    late = tuple(_variable(key) for key in KEYS if environment.came_late(_variable(key)))
    smuggled = tuple(
        _variable(key) for key in KEYS if config.project and _variable(key) in config.project.env
    )
    odd = environment.unknown(known=(*map(_variable, KEYS), *_NO_SETTINGS))
    key = repr((model, user, project, env, smuggled, late, odd))
    if key not in _loaded:
        if len(_loaded) >= 64:
            _loaded.clear()
        merged = _merge(config, model, user, project, env, smuggled, late)
        unknown = tuple(map(_no_setting, odd))
        _loaded[key] = replace(merged, complaints=(*merged.complaints, *unknown))
    return _loaded[key]


def _no_setting(variable: str) -> str:
    near = difflib.get_close_matches(variable, map(_variable, KEYS), n=1, cutoff=0.8)
    hint = f"; did you mean GPTME_{near[0]}?" if near else ""
    return f"environment variable GPTME_{variable} is no setting, and ignored{hint}"


def _told(trusted: Config, variable: str) -> str | None:
    """What the user's environment says of a setting."""
    if environment.came_late(variable):
        return environment.at_start(variable) or trusted.user.env.get(variable)
    return trusted.get_env(variable)


_loaded: dict[str, ModelConfig] = {}


def files(config: Config) -> dict[str, str]:
    """The config files in play, by layer."""
    from gptme.config import config_path

    found = {"user": str(config_path)}
    workspace = getattr(config.project, "_workspace", None)
    if config.project is not None:
        found["project"] = str(workspace / "gptme.toml") if workspace else "gptme.toml"
    return found


def _merge(
    config: Config,
    model: str,
    user: Any,
    project: Any,
    env: Mapping[str, str],
    smuggled: tuple[str, ...],
    late: tuple[str, ...],
) -> ModelConfig:
    names = files(config)
    values = {key: spec.default for key, spec in KEYS.items()}
    sources: dict[str, str] = {}
    facts: dict[str, Any] = {}

    for key, value, where in _layers(user, model, names["user"]):
        if key in FACT_KEYS:
            facts[key] = value
        else:
            values[key], sources[key] = value, where
    for key, value in _environment(env):
        values[key], sources[key] = value, f"environment variable GPTME_{_variable(key)}"

    complaints = [
        f"{names['project']}: [env] {variable} is ignored; a project cannot set it that way"
        for variable in smuggled
    ]
    complaints += [
        f"environment variable GPTME_{variable} came after the start, as from the .env of a "
        "workspace, and is ignored; set it before gptme-server starts"
        for variable in late
    ]
    if project:
        complaints += _tighten(values, sources, project, model, names["project"])
    return ModelConfig(
        model=model,
        values=values,
        sources=sources,
        complaints=tuple(complaints),
        facts=facts_from(facts),
        sampling=facts.get("sampling") or {},
    )


def _tighten(
    values: dict[str, Any], sources: dict[str, str], project: Any, model: str, file: str
) -> list[str]:
    """Set what the project may set; a line for each setting that it may not."""
    said = frozenset(sources)
    try:
        asked = list(_layers(project, model, file))
    except ConfigError as error:
        # An untrusted file must not be able to turn the checks off by being wrong.
        return [f"{error} (the project's settings are ignored)"]
    complaints: list[str] = []
    for key, value, where in asked:
        if key in KEYS and value == values[key]:
            continue
        if key in KEYS and KEYS[key].project(values[key], value, key in said):
            values[key], sources[key] = value, where
        else:
            complaints.append(
                f"{where}: {key} = {shown(value)} is ignored; only your own config or the "
                f"environment may set it so"
            )
    return complaints


def _layers(raw: Any, model: str, where: str) -> Iterator[tuple[str, Any, str]]:
    return layers(checked(raw, where, SECTION), model, where, SECTION)


def _environment(env: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, text in env.items():
        nested: Any = _ENV_READERS[key](text)
        for part in reversed(key.split(".")):
            nested = {part: nested}
        section = checked(nested, f"environment variable GPTME_{_variable(key)}", SECTION)
        for name, value, _ in flat(section, ""):
            yield name, value


def _variable(key: str) -> str:
    return "RELIABILITY_" + key.replace(".", "_").upper()


def _plain(value: Any) -> Any:
    """TOML libraries hand out wrappers; everything behind this line is plain Python."""
    unwrap = getattr(value, "unwrap", None)
    return unwrap() if callable(unwrap) else value
