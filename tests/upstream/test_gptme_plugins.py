"""What gptme does not take of a plugin that is installed as a package."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import plugged
import pytest
from defects import reproduced
from gptme.init import init_model
from gptme.llm.llm_openai import _spec2tool
from gptme.llm.models import get_model
from gptme.llm.provider_plugins import clear_plugin_cache
from gptme.plugins import GptmePlugin, discover_all_plugins
from gptme.plugins.security import _scan_source
from gptme_world import world

from gptme_reliability.evals import gptme_run
from gptme_reliability.evals.launch import Launcher

__all__ = ["world"]
pytestmark = [
    pytest.mark.upstream,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

TIMEOUT = 120.0
"""Seconds."""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the plugin is installed, here and for runs."""
    found = tmp_path / "site"
    plugged.install(found)
    monkeypatch.syspath_prepend(str(found))
    clear_plugin_cache()
    yield found
    sys.modules.pop(plugged.PACKAGE, None)
    clear_plugin_cache()


def test_the_plugin_is_right(site: Path) -> None:
    """What the others rest on: gptme finds it, with its tool and its provider."""
    (plugin,) = discover_all_plugins(enabled_plugins=["plugged"])
    assert [tool.name for tool in plugin.tools] == [plugged.TOOL]
    assert plugin.provider is not None and plugin.provider.name == plugged.PROVIDER


def run(root: Path, arguments: Sequence[str]) -> tuple[int | None, str]:
    """The exit code of a real run with the plugin on, and what it said."""
    home, out, err = root / "home", root / "stdout", root / "stderr"
    config = home / ".config" / "gptme" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[plugins]\nenabled = ["plugged"]\n', encoding="utf-8")
    # A warm start takes over the path for imports that is in use here.
    launcher = Launcher(warm=True)
    handle = launcher.start(
        ["-n", "--no-workspace", "--system", "short", *arguments, "hello"],
        cwd=root,
        env=gptme_run.environment(home, "http://127.0.0.1:9/v1"),
        out=out,
        err=err,
    )
    assert handle is not None
    try:
        code = handle.wait(TIMEOUT)
    finally:
        launcher.end(handle)
    return code, out.read_text(encoding="utf-8") + err.read_text(encoding="utf-8")


def test_a_tool_of_a_plugin_is_not_found(site: Path, tmp_path: Path) -> None:
    """The command line asks for tools before it looks for plugins."""
    code, said = run(tmp_path, ["-m", "local/scripted", "-t", f"+{plugged.TOOL}"])
    with reproduced("entry-point-tools-not-loaded"):
        assert code == 2 and f"Tool '{plugged.TOOL}' not found" in said


def test_a_provider_of_a_plugin_is_unknown(site: Path, tmp_path: Path) -> None:
    """The command line looks at the model before it looks for plugins."""
    code, said = run(tmp_path, ["-m", f"{plugged.PROVIDER}/model"])
    with reproduced("plugin-provider-unknown"):
        assert code == 2 and f"Unknown provider: {plugged.PROVIDER}" in said


def test_a_provider_of_the_older_kind_is_an_unknown_model(site: Path) -> None:
    """As its documentation writes one, with ``provider="unknown"``."""
    assert get_model(f"{plugged.OLD}/model").context == 8000
    with reproduced("legacy-provider-unknown"), pytest.raises(ValueError, match="Unknown model"):
        init_model(f"{plugged.OLD}/model")


def test_a_provider_of_a_plugin_gets_no_native_tools(site: Path) -> None:
    """Although it is asked as any other provider of that API."""
    (plugin,) = discover_all_plugins(enabled_plugins=["plugged"])
    model = get_model(f"{plugged.PROVIDER}/model")
    with (
        reproduced("plugin-provider-no-tools"),
        pytest.raises(ValueError, match="doesn't support tools"),
    ):
        _spec2tool(plugin.tools[0], model)


def test_a_plugin_enabled_by_its_package_is_dropped(site: Path) -> None:
    """Its code has run by then."""
    assert plugged.PACKAGE not in sys.modules
    found = discover_all_plugins(enabled_plugins=[plugged.PACKAGE])
    with reproduced("enabled-package-name-dropped"):
        assert found == [] and plugged.PACKAGE in sys.modules


def test_two_honest_lines_far_apart_are_malware(tmp_path: Path) -> None:
    """A file is written in one function, and another has an attribute of that name."""
    lines: list[Any] = ["def keep(path):", "    return open('w')", *["x = 1"] * 50, "run.profile()"]
    source = tmp_path / "honest.py"
    source.write_text("\n".join(lines), encoding="utf-8")
    with reproduced("security-scan-spans-files"):
        assert [finding.category for finding in _scan_source(source, "honest.py") or ()] == [
            "persistence"
        ]


def test_a_plugin_cannot_bring_lessons() -> None:
    """Ours go through a variable of the environment."""
    names = {field.name for field in dataclasses.fields(GptmePlugin)}
    assert {"tools", "register_hooks", "register_commands"} <= names
    with reproduced("no-lessons-in-the-manifest"):
        assert not any("lesson" in name for name in names)
