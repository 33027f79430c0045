"""The real command line, server and ACP agent: which hooks fire there, and how a run ends.

A plugin of our own making, installed for these runs alone, writes down what fired.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mode_runs
import plugged
import pytest
from cli_talk import talk
from defects import reproduced

from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer, Scenario

pytest.importorskip("flask", reason="gptme[server] is not installed")
pytest.importorskip("acp", reason="gptme[acp] is not installed")

from mode_acp import connected  # needs what is looked for above
from mode_server import serving

pytestmark = [
    pytest.mark.upstream,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

PLUGGED: Final = '[plugins]\nenabled = ["plugged"]\n'
ALONE: Final = "[plugins]\nenabled = []\n"
RUNS: Final = "echo ran > marker"
RAN: Final = {"marker": "ran\n"}
NATIVE: Final[Answer] = {"calls": [{"name": "shell", "arguments": f'{{"command": "{RUNS}"}}'}]}
FENCE: Final[Answer] = {"text": f"```shell\n{RUNS}\n```\n\n"}
TAGGED: Final = (
    f'<tool_call>\n{{"name": "shell", "arguments": {{"command": "{RUNS}"}}}}\n</tool_call>'
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the plugin is installed, and where it writes."""

    site: Path
    record: Path

    @property
    def environment(self) -> dict[str, str]:
        path = [str(self.site), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {"PYTHONPATH": ":".join(path), "PLUGGED_RECORD": str(self.record)}

    @property
    def fired(self) -> list[str]:
        """The hooks that fired, in order."""
        return [line.split()[0] for line in self._lines]

    @property
    def formats(self) -> set[str]:
        """The tool formats that gptme said it was in."""
        return {line.split()[1] for line in self._lines}

    @property
    def _lines(self) -> list[str]:
        return self.record.read_text("utf-8").splitlines() if self.record.exists() else []


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    for mode in ("mode_acp", "mode_server"):
        monkeypatch.setattr(f"{mode}.PLUGIN_ON", PLUGGED)
    plugged.install(tmp_path / "site")
    return Recorded(tmp_path / "site", tmp_path / "record")


def scenario(answer: Answer) -> Scenario:
    return Scenario("writes", "upstream", "executes", answer, files=RAN)


def test_in_the_command_line_they_fire(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two tests behind this rest on."""
    answers = iter([NATIVE])
    # A warm start takes over the path for imports that is in use here.
    monkeypatch.syspath_prepend(str(recorded.site))
    run = talk(
        tmp_path,
        Launcher(warm=True),
        lambda _: next(answers, mode_runs.END),
        "tool",
        config=PLUGGED,
        env=recorded.environment,
    )
    assert run.files == RAN, run.stderr
    assert {*recorded.fired} >= {
        *("GENERATION_PRE", "GENERATION_POST", "LOOP_CONTINUE", "TURN_POST", "TOOL_EXECUTE_PRE")
    }
    assert recorded.fired.index("TOOL_EXECUTE_PRE") < recorded.fired.index("TURN_POST")


def test_the_server_leaves_hooks_out(recorded: Recorded, tmp_path: Path) -> None:
    """A plugin sees neither what is asked nor what was answered, and hears the wrong format."""
    with serving(tmp_path, env=recorded.environment) as server:
        run = server.play(scenario(NATIVE), streamed=True, form="tool")
    assert run.files == RAN, server.output
    assert {*recorded.fired} >= {"STEP_PRE", "TOOL_EXECUTE_PRE", "TURN_POST"}
    with reproduced("server-hooks-missing"):
        assert not {"GENERATION_PRE", "GENERATION_POST", "LOOP_CONTINUE"} & {*recorded.fired}
    with reproduced("server-turn-post-before-tools"):
        assert recorded.fired.index("TURN_POST") < recorded.fired.index("TOOL_EXECUTE_PRE")
    with reproduced("server-tool-format"):
        assert recorded.formats == {"markdown"}


def test_acp_runs_no_hook(recorded: Recorded, tmp_path: Path) -> None:
    """The turn runs in a task that has the tools, and not the hooks."""
    with connected(tmp_path, env=recorded.environment) as agent:
        run = agent.play(scenario(FENCE))
    assert run.files == RAN, agent.stderr
    with reproduced("acp-hooks-missing"):
        assert not {"STEP_PRE", "TURN_PRE", "TOOL_EXECUTE_PRE"} & {*recorded.fired}


def test_a_printed_call_ends_with_exit_code_0(tmp_path: Path) -> None:
    """A script that starts gptme takes the task for done."""
    run = talk(tmp_path, Launcher(warm=True), lambda _: {"text": TAGGED}, "tool", config=ALONE)
    with reproduced("printed-call-exits-0"):
        assert run.exit_code == 0 and run.files == {}
    with reproduced("plain-text-is-nudged"):
        assert len(run.turns) == 3


def test_an_unknown_tool_ends_with_exit_code_0(tmp_path: Path) -> None:
    """The error was written into the log, where the model will never read it."""
    answer: Answer = {"calls": [{"name": "bash", "arguments": f'{{"command": "{RUNS}"}}'}]}
    run = talk(tmp_path, Launcher(warm=True), lambda _: answer, "tool", config=ALONE)
    with reproduced("unknown-tool-ends-the-run"):
        assert run.exit_code == 0 and len(run.turns) == 1
