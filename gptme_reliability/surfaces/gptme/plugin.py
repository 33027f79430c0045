"""The entry point ``reliability`` of the group ``gptme.plugins``.

Importing this module and calling ``init`` must cost next to nothing, for every start of gptme
pays for it: everything of weight is imported by the first request that needs it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from gptme.plugins.plugin import GptmePlugin

if TYPE_CHECKING:
    from gptme.commands.base import CommandContext
    from gptme.config import Config
    from gptme.logmanager import LogManager
    from gptme.message import Message

# Before other hooks, so that a request they send is checked as well.
_PRIORITY: Final = 1000


def init(config: Config) -> None:
    """Put the checks under gptme's clients.

    Raises:
        RuntimeError: gptme does not keep its clients where this package looks for them.
    """
    from gptme_reliability.surfaces.gptme import environment, registry

    environment.remember()
    registry.install(config)


def register_hooks() -> None:
    """Register the hooks that keep the checks in place, once the model is known.

    Registering twice replaces them.
    """
    from gptme.hooks import HookType, register_hook

    # The TUI has no hook before a step.
    register_hook("reliability.turn", HookType.TURN_PRE, _before_step, priority=_PRIORITY)
    register_hook("reliability.step", HookType.STEP_PRE, _before_step, priority=_PRIORITY)
    register_hook(
        "reliability.generation", HookType.GENERATION_PRE, _before_generation, priority=_PRIORITY
    )
    _offer_lessons(None)


def _before_step(manager: LogManager) -> Generator[Message, None, None]:
    from gptme_reliability.surfaces.gptme import current

    current.enter(manager)
    _prepare(None)
    yield from ()


def _before_generation(messages: list[Message], **context: Any) -> Generator[Message, None, None]:
    _prepare(context.get("model"))
    yield from ()


def _prepare(model: str | None) -> None:
    from gptme_reliability.surfaces.gptme import host, registry

    registry.ensure(model)
    host.let_all_calls_run(model)
    _offer_lessons(model)


def _offer_lessons(model: str | None) -> None:
    from gptme.config import get_config

    config = get_config()
    # Reading the settings costs more than the rest of a start, so only who has some pays for it.
    if config.user.plugin.get("reliability") or config.get_env("RELIABILITY_LESSONS"):
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
