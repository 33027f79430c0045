"""What a check-up finds in gptme: the plugin, its settings, and what it stands on.

It does what gptme does at its start, up to the first use of a client, and sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Final

from gptme_reliability.errors import ConfigError
from gptme_reliability.surfaces.findings import Finding
from gptme_reliability.surfaces.gptme import config as settings
from gptme_reliability.surfaces.gptme import registry, seams
from gptme_reliability.surfaces.schema import shown

_NAME: Final = "reliability"
_LOCAL: Final = "http://localhost:11434/v1"
"""Where gptme looks for the provider ``local`` when nobody says."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a session of gptme would use: the model by its full name, and where its server is.

    ``endpoint`` is None for providers that have no server of the user's own.
    """

    model: str | None
    endpoint: str | None


def session(model: str | None) -> Session:
    """What gptme would use, for ``model`` or else the one that its config names."""
    from gptme.config import get_config

    config = get_config()
    name = model or config.get_env("MODEL") or _default(config)
    provider, _, _ = (name or "").partition("/")
    if provider == "local":
        return Session(name, config.get_env("OPENAI_BASE_URL") or _LOCAL)
    own = {one.name: one.base_url for one in getattr(config.user, "providers", ())}
    return Session(name, own.get(provider))


def read_config(workspace: Path) -> Finding | None:
    """Read the config as a session in this directory does; the fault where it cannot start."""
    from gptme.config import config_path, get_config, get_project_config, set_config

    try:
        config = get_config()
    # It raises whatever its readers do.
    except Exception as error:
        says = f"gptme cannot read {config_path}: {error}"
        return Finding("config", "fail", says, "mend that file; gptme does not start until then")
    try:
        set_config(replace(config, project=get_project_config(workspace, quiet=True)))
    except Exception as error:
        says = f"gptme cannot read the gptme.toml of {workspace}: {error}"
        return Finding("project", "fail", says, "mend that file; gptme does not start here before")
    return None


def _default(config: Any) -> str | None:
    default = getattr(getattr(config.user, "models", None), "default", None)
    return default if isinstance(default, str) else None


def examine(model: str | None) -> Iterator[Finding]:
    """The findings, in the order in which they should be mended."""
    from gptme.config import get_config

    config = get_config()
    yield _release()
    yield _entry_point()
    yield _allowed(config)
    yield from _configured(config, model or "")
    gone = [*seams.missing(config), *seams.missing_clients()]
    if gone:
        yield Finding(
            "seams",
            "fail",
            f"this gptme has moved {', '.join(gone)}; the plugin stays off",
            "pip install -U gptme-reliability, or go back to gptme " + seams.TESTED[-1],
        )
        return
    yield Finding("seams", "ok", "gptme has all that the plugin stands on")
    yield _clients(config, model)


def _release() -> Finding:
    try:
        release = version("gptme")
    except PackageNotFoundError:
        return Finding("gptme", "warn", "of an unknown release: no package, but sources")
    parts = tuple(int(part) for part in release.split(".")[:2] if part.isdigit())
    oldest = ".".join(map(str, seams.OLDEST))
    if parts < seams.OLDEST:
        says = f"{release} loads no plugins of this kind; {oldest} is the oldest that does"
        return Finding("gptme", "fail", says, f"pip install 'gptme>={oldest}'")
    if release not in seams.TESTED:
        says = f"{release}, which this version was not tested with; 'seams' tells if it works"
        return Finding("gptme", "warn", says)
    return Finding("gptme", "ok", release)


def _entry_point() -> Finding:
    found = list(entry_points(group="gptme.plugins", name=_NAME))
    if not found:
        return Finding(
            "plugin",
            "fail",
            "is not installed where gptme looks for plugins",
            "pip install gptme-reliability, into the environment of gptme",
        )
    try:
        found[0].load()
    except Exception as error:
        says = f"cannot be loaded: {type(error).__name__}: {error}"
        return Finding("plugin", "fail", says, "pip install --force-reinstall gptme-reliability")
    return Finding("plugin", "ok", f"installed, as {found[0].value}")


def _allowed(config: Any) -> Finding:
    _, names = config.get_plugin_config()
    if names is None or _NAME in names:
        why = "as it does every plugin" if names is None else "as [plugins] says"
        return Finding("loaded", "ok", f"gptme loads it, {why}")
    return Finding(
        "loaded",
        "fail",
        f"gptme loads only {', '.join(names) or 'no plugins'}",
        f'add "{_NAME}" to enabled under [plugins] in {settings.files(config)["user"]}',
    )


def _configured(config: Any, model: str) -> Iterator[Finding]:
    files = settings.files(config)
    path = files["user"]
    try:
        loaded = settings.load(config, model)
    except ConfigError as error:
        fix = "mend that line; until then the plugin is off"
        yield Finding("config", "fail", str(error), fix)
        return
    how = "is valid" if Path(path).exists() else "is not there, so everything is at its default"
    yield Finding("config", "ok", f"{path} {how}")
    project = files.get("project")
    if project:
        yield _project(loaded, project)
    for complaint in loaded.complaints:
        about_project = project is not None and complaint.startswith(project)
        yield Finding("project" if about_project else "config", "warn", complaint)
    about = f"for {model}" if model else "for models that no table names"
    if not loaded.values["enabled"]:
        fix = f"set enabled = true under [{settings.SECTION}] in {path}"
        yield Finding("enabled", "fail", f"off {about}", fix)
    elif loaded.values["mode"] == "observe":
        fix = 'set mode = "on" to have answers repaired'
        yield Finding("enabled", "warn", f"only observing {about}; nothing is repaired", fix)
    else:
        yield Finding("enabled", "ok", f"on {about}")


def _project(loaded: settings.ModelConfig, file: str) -> Finding:
    """What a project's own config sets; what of it is ignored is among the complaints."""
    sets = [
        f"{key} = {shown(loaded.values[key])}"
        for key, where in loaded.sources.items()
        if where.startswith(f"{file} [")
    ]
    return Finding("project", "ok", f"{file} sets {', '.join(sets) or 'nothing of the plugin'}")


def _clients(config: Any, model: str | None) -> Finding:
    """Wrap and use a client as a session does; only the user's own servers need no key."""
    from gptme.llm import llm_openai
    from gptme.llm.models import is_custom_provider

    registry.install(config)
    provider = (model or "").partition("/")[0]
    if provider == "local" or (provider and is_custom_provider(provider)):
        try:
            # Any attribute makes the client of a waiting one.
            _ = llm_openai.get_client(provider).base_url  # type: ignore[arg-type]
        except Exception as error:
            return Finding(
                "clients",
                "fail",
                f"gptme makes no client for {provider} ({type(error).__name__})",
                "set OPENAI_BASE_URL and OPENAI_API_KEY, or mend [[providers]]",
            )
    check = registry.self_check()
    fix = "" if check.ok else "report this to gptme-reliability with the versions above"
    return Finding("clients", "ok" if check.ok else "fail", check.summary, fix)
