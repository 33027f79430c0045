"""What of gptme this plugin stands on, looked at before any of it is relied on.

A release of gptme that moved one of these gets no plugin rather than half of one: it says so in
one line, and gptme runs as if it were not installed.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

logger = logging.getLogger(__name__)

OLDEST: Final = (0, 32)
TESTED: Final = ("0.32.0", "0.33.0", "0.34.0", "0.35.1")
"""The releases of gptme that the tests run against."""

CLIENTS: Final = "gptme.llm.llm_openai"
"""The module with the clients; importing it is left to whoever needs clients."""

_SEAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "gptme.commands.base": ("register_command",),
    "gptme.config": ("get_config", "config_path"),
    "gptme.hooks": (
        "register_hook",
        "HookType.TURN_PRE",
        "HookType.STEP_PRE",
        "HookType.GENERATION_PRE",
        "HookType.TOOL_CONFIRM",
        "HookType.LOOP_CONTINUE",
    ),
    "gptme.hooks.confirm": ("ConfirmationResult.skip",),
    "gptme.llm": ("get_provider_from_model",),
    "gptme.llm.models": ("get_default_model", "is_custom_provider"),
    "gptme.llm.utils": ("parameters2dict",),
    "gptme.logmanager": ("LogManager.get_current_log",),
    "gptme.message": ("Message", "is_output_quiet"),
    "gptme.tools": ("get_tools", "get_tool", "get_tool_format", "get_tool_for_langtag"),
    "gptme.tools.base": ("ToolUse.iter_from_content",),
}
_OF_CONFIG: Final = ("user.plugin", "user.env", "project", "chat", "get_env", "get_env_bool")


def missing(config: Any) -> Iterator[str]:
    """What is not where it was: dotted names; imports nothing that gptme has not at its start."""
    for module, names in _SEAMS.items():
        for name in names:
            if _at(module, name) is None:
                yield f"{module}.{name}"
    for name in _OF_CONFIG:
        if not _leads(config, name):
            yield f"Config.{name}"
    if not isinstance(getattr(getattr(config, "user", None), "plugin", {}), Mapping):
        yield "Config.user.plugin (a mapping)"


def missing_clients() -> Iterator[str]:
    """The same for gptme's clients, whose module this imports."""
    if not isinstance(_at(CLIENTS, "clients"), dict):
        yield f"{CLIENTS}.clients (a dict)"
    for name in ("init", "get_client"):
        if not callable(_at(CLIENTS, name)):
            yield f"{CLIENTS}.{name}"


def _at(module: str, path: str) -> Any:
    try:
        value: Any = importlib.import_module(module)
        for name in path.split("."):
            value = getattr(value, name)
    except (ImportError, AttributeError):
        return None
    return value


def _leads(value: Any, path: str) -> bool:
    for name in path.split("."):
        if not hasattr(value, name):
            return False
        value = getattr(value, name)
    return True


# --- being off ----------------------------------------------------------------------------

_off: list[str] = []


def why_off() -> str | None:
    """Why the plugin is off for the rest of this process; None while it is not."""
    return _off[0] if _off else None


def turn_off(why: str, *, told: bool = False) -> None:
    """Turn the plugin off for this process; ``told`` if the user gets to know of it anyway."""
    if _off:
        return
    _off.append(why)
    if not told:
        logger.warning("reliability: off for this session, gptme runs without it: %s", why)
