"""The entry point ``reliability`` of the group ``gptme.plugins``.

Importing this module and calling ``init`` must cost next to nothing, for every start of gptme
pays for it: everything of weight is imported by the first request that needs it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Final

from gptme.plugins.plugin import GptmePlugin

if TYPE_CHECKING:
    from pathlib import Path

    from gptme.commands.base import CommandContext
    from gptme.config import Config
    from gptme.hooks.confirm import ConfirmationResult
    from gptme.logmanager import LogManager
    from gptme.message import Message
    from gptme.tools.base import ToolUse

logger = logging.getLogger(__name__)

# Before other hooks, so that a request they send is checked as well.
_PRIORITY: Final = 1000


def init(config: Config) -> None:
    """Put the checks under gptme's clients.

    Raises:
        RuntimeError: this gptme is not the one that this plugin knows.  gptme says so in one
            line, and runs as if the plugin were not there.
    """
    from gptme_reliability.surfaces.gptme import environment, registry, seams

    environment.remember()
    try:
        _require(seams.missing(config))
        registry.install(config)
    except Exception as error:
        seams.turn_off(str(error), told=True)
        raise


def _require(missing: Iterable[str]) -> None:
    gone = ", ".join(missing)
    if gone:
        from importlib.metadata import version

        raise RuntimeError(
            f"gptme {version('gptme')} has moved what this plugin needs ({gone}); "
            "nothing is checked, gptme runs without it; try: pip install -U gptme-reliability"
        )


def register_hooks() -> None:
    """Register the hooks that keep the checks in place, once the model is known.

    Registering twice replaces them.
    """
    from gptme.hooks import HookType, register_hook

    from gptme_reliability.surfaces.gptme import seams

    if seams.why_off():
        return
    # The TUI has no hook before a step.
    register_hook("reliability.turn", HookType.TURN_PRE, _before_step, priority=_PRIORITY)
    register_hook("reliability.step", HookType.STEP_PRE, _before_step, priority=_PRIORITY)
    register_hook(
        "reliability.generation", HookType.GENERATION_PRE, _before_generation, priority=_PRIORITY
    )
    register_hook("reliability.confirm", HookType.TOOL_CONFIRM, _before_run, priority=_PRIORITY)
    register_hook("reliability.skipped", HookType.LOOP_CONTINUE, _after_turn, priority=_PRIORITY)
    _offer_lessons(None)


def _before_step(manager: LogManager) -> Generator[Message, None, None]:
    from gptme_reliability.surfaces.gptme import current

    current.enter(manager)
    if (veto := _veto()) is not None:
        veto.forget()
    _prepare(None)
    yield from ()


def _before_generation(messages: list[Message], **context: Any) -> Generator[Message, None, None]:
    _prepare(context.get("model"))
    yield from ()


def _before_run(
    tool_use: ToolUse,
    preview: str | None = None,
    workspace: Path | None = None,
    *more: Any,
) -> ConfirmationResult | None:
    """Skip a call that cannot be right; never confirms one."""
    try:
        from gptme_reliability.surfaces.gptme import host

        settings = host.settings_of(None)
        if settings is None or not settings.values["enabled"]:
            return None
        from gptme_reliability.surfaces.gptme import veto

        return veto.confirm(tool_use, settings)
    # gptme takes an exception for a refusal; a fault of ours must not stop a valid call.
    except Exception:
        logger.warning("reliability: a call could not be checked before it runs", exc_info=True)
        return None


def _after_turn(manager: LogManager, *context: Any, **more: Any) -> Generator[Message, None, None]:
    """Tell the model why a call was skipped, where the tool's result does not."""
    veto = _veto()
    words = veto.unheard() if veto is not None else None
    if words is not None:
        from gptme.message import Message

        yield Message("user", words)


def _veto() -> Any:
    """The module, where it is loaded; where it is not, nothing was skipped."""
    return sys.modules.get("gptme_reliability.surfaces.gptme.veto")


def _prepare(model: str | None) -> None:
    from gptme_reliability.surfaces.gptme import host, registry, seams

    if seams.why_off():
        return
    try:
        registry.ensure(model)
    # gptme would tell of it before every step.
    except Exception as error:
        seams.turn_off(f"{type(error).__name__}: {error}")
        return
    host.let_all_calls_run(model)
    _offer_lessons(model)


def _offer_lessons(model: str | None) -> None:
    from gptme.config import get_config

    config = get_config()
    # Reading the settings costs more than the rest of a start: only who names lessons pays for it.
    section = config.user.plugin.get("reliability")
    if "lessons" in repr(section) or config.get_env("RELIABILITY_LESSONS"):
        from gptme_reliability.surfaces.gptme import lessons

        lessons.offer(model)


def register_commands() -> None:
    """Register ``/reliability`` and its short form ``/rel``."""
    from gptme.commands.base import register_command

    register_command("reliability", _command, aliases=["rel"])


def _command(context: CommandContext) -> Generator[Message, None, None]:
    """Show what the reliability plugin does and did in this conversation"""
    from gptme_reliability.surfaces.gptme.command import run

    yield from run(context)


plugin: Final = GptmePlugin(
    name="reliability",
    init=init,
    register_hooks=register_hooks,
    register_commands=register_commands,
)
