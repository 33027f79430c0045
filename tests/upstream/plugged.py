"""A plugin with tools, a provider and hooks, in a package that can be put on a path.

Its hooks write down which of them fired, and in which tool format gptme says it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

TOOL: Final = "plugged_tool"
PROVIDER: Final = "plugged"
PACKAGE: Final = "plugged_package"
OLD: Final = "oldstyle"
"""A provider of the older kind."""

_CODE: Final = """\
import os

from gptme.hooks import HookType, register_hook
from gptme.llm.models import ModelMeta, ProviderPlugin
from gptme.message import Message
from gptme.plugins import GptmePlugin
from gptme.tools.base import Parameter, ToolSpec, get_tool_format


def _execute(code, args, kwargs):
    yield Message("system", "done")


def _recorder(kind):
    def record(*args, **kwargs):
        with open(os.environ["PLUGGED_RECORD"], "a") as out:
            print(kind.name, get_tool_format(), file=out)
        yield from ()

    return record


def _register():
    for kind in HookType:
        if kind.name not in ("TOOL_CONFIRM", "ELICIT"):
            register_hook(f"plugged-{kind.name}", kind, _recorder(kind))


def _provider(name):
    model = ModelMeta(provider="unknown", model=f"{name}/model", context=8000)
    return ProviderPlugin(
        name=name, base_url="http://127.0.0.1:9/v1", api_key_env=None, models=[model]
    )


tool = ToolSpec(
    name="plugged_tool",
    desc="Does nothing.",
    execute=_execute,
    block_types=["plugged_tool"],
    parameters=[Parameter("text", "string", "Anything.", required=True)],
)
plugin = GptmePlugin(
    name="plugged",
    tools=[tool],
    provider=_provider("plugged"),
    register_hooks=_register,
)
old = _provider("oldstyle")
"""
_ENTRY_POINTS: Final = f"""\
[gptme.plugins]
plugged = {PACKAGE}:plugin

[gptme.providers]
oldstyle = {PACKAGE}:old
"""


def install(site: Path) -> None:
    """Write the package and what an installer would leave beside it."""
    info = site / f"{PACKAGE}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{PACKAGE}.py").write_text(_CODE, encoding="utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n", encoding="utf-8"
    )
    (info / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
