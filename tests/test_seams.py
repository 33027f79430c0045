"""A release of gptme that moved something: the plugin is off, in one line, and gptme runs on."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gptme.config import Config
from gptme.hooks import HookType, get_hooks
from gptme.llm import llm_openai
from gptme_home import write_config
from plugin_world import own_world

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.surfaces.gptme import command, seams
from gptme_reliability.surfaces.gptme.host import host
from gptme_reliability.surfaces.gptme.plugin import _before_step, init, register_hooks

__all__ = ["own_world"]


def test_this_gptme_has_them_all(own_world: Config) -> None:
    assert list(seams.missing(own_world)) == []
    assert list(seams.missing_clients()) == []


@pytest.mark.parametrize("module", seams._SEAMS)
def test_each_seam_that_is_gone_is_named(
    module: str, own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    found = list(seams.missing(own_world))
    assert found[: len(seams._SEAMS[module])] == [f"{module}.{n}" for n in seams._SEAMS[module]]


def test_off_means_off(own_world: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    before = llm_openai.clients
    monkeypatch.delattr("gptme.tools.get_tool_for_langtag")
    with pytest.raises(RuntimeError, match=r"gptme [\d.]+ has moved .*get_tool_for_langtag"):
        init(own_world)
    register_hooks()
    assert not get_hooks(HookType.STEP_PRE)
    assert llm_openai.clients is before
    assert host.settings("local", {"model": "qwen3"}) is None
    assert any("off for this session" in line for line in command.describe())


def test_what_breaks_later_is_told_once(
    own_world: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    init(own_world)
    monkeypatch.setattr(llm_openai, "clients", None)
    manager: Any = None
    for _ in range(3):
        assert list(_before_step(manager)) == []
    (told,) = [record.getMessage() for record in caplog.records if "reliab" in record.name]
    assert told.startswith("reliability: off for this session, gptme runs without it: Runtime")
    assert told.endswith("nothing is checked")
    assert host.settings("local", {"model": "qwen3"}) is None


# -- releases to come ------------------------------------------------------------------------

FUTURE = {
    "clients-no-dict": ("gptme.llm.llm_openai", "clients", "Box(all=value)"),
    "init-gone": ("gptme.llm.llm_openai", "init", None),
    "hooks-renamed": (
        "gptme.hooks",
        "HookType",
        "Box(**{name.lower(): one for name, one in value.__members__.items()})",
    ),
    "register-hook-gone": ("gptme.hooks", "register_hook", None),
    "config-shape": ("", "user", "Box(plugins=value.plugin)"),
}
"""Releases to come, by what they changed: an attribute of a module, or of the config, and what
it is then; None where it is gone."""


@pytest.mark.parametrize("change", FUTURE)
def test_what_moved_keeps_the_plugin_off(
    change: str, own_world: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name, new = FUTURE[change]
    place = importlib.import_module(module) if module else own_world
    if new is None:
        monkeypatch.delattr(place, name)
    else:
        known = {"Box": SimpleNamespace, "value": getattr(place, name)}
        monkeypatch.setattr(place, name, eval(new, known))
    with pytest.raises(RuntimeError, match="nothing is checked"):
        init(own_world)
    assert seams.why_off()


# -- in the real gptme ----------------------------------------------------------------------

RUN = {"clients-no-dict", "hooks-renamed"}
"""One for each place where ``init`` looks."""

_START = """\
import importlib, runpy, sys
from types import SimpleNamespace as Box
import gptme_reliability.surfaces.gptme.plugin as ours

def future(config):
    module, name, new = %r
    place = importlib.import_module(module) if module else config
    value = getattr(place, name)
    if new is None:
        delattr(place, name)
    else:
        setattr(place, name, eval(new))
    try:
        ours.init(config)
    finally:
        # The rest of gptme is of today.
        setattr(place, name, value)

object.__setattr__(ours.plugin, 'init', future)
sys.argv = ['gptme', *sys.argv[1:]]
runpy.run_module('gptme', run_name='__main__', alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
@pytest.mark.parametrize(
    "change",
    [pytest.param(c, marks=() if c in RUN else pytest.mark.full) for c in FUTURE],
)
def test_a_future_gptme_runs_on_without_us(change: str, tmp_path: Path) -> None:
    """The session does what it would do alone, and one line says why nothing is checked."""
    home, work = tmp_path / "home", tmp_path / "work"
    write_config(home)
    work.mkdir()
    first = {"calls": [{"id": "c1", "name": "shell", "arguments": '{"command": "touch done"}'}]}
    last = {"calls": [{"id": "c2", "name": "complete", "arguments": "{}"}]}
    answers: list[Any] = [first]
    with FaultyServer(lambda body: answers.pop() if answers else last) as server:
        run = subprocess.run(
            [
                *(sys.executable, "-c", _START % (FUTURE[change],)),
                *("-n", "--tool-format", "tool", "-m", "local/scripted", "-t", "shell,complete"),
                *("--system", "short", "--no-workspace", "-w", str(work), "do it"),
            ],
            cwd=work,
            env=environment(home, server.url),
            capture_output=True,
            text=True,
            timeout=120,
        )
    told = " ".join(run.stderr.split())
    assert run.returncode == 0, run.stderr
    assert [path.name for path in work.iterdir()] == ["done"], run.stderr
    assert told.count("nothing is checked") == 1, run.stderr
    assert "Traceback" not in run.stderr
