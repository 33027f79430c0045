"""``gptme-reliability demo``, as a user runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest
from demo_picture import PICTURE, picture, printed

from gptme_reliability.errors import ReliabilityError
from gptme_reliability.evals import demo
from gptme_reliability.evals.gptme_run import Outcome, Run
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import demo_scenarios

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
DEMO = [sys.executable, "-m", "gptme_reliability.cli", "demo"]


def test_kinds() -> None:
    """At least 20 kinds, each once per arm, about half of them streamed."""
    scenarios = demo_scenarios()
    assert len({s.kind for s in scenarios}) == len(scenarios) >= 20
    todo = demo.jobs(scenarios)
    assert len(todo) == 2 * len(scenarios)
    streamed = sum(job.streamed for job in todo)
    assert 0.4 <= streamed / len(todo) <= 0.7


@pytest.mark.slow
def test_every_kind_ends_well_with_the_plugin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing runs wrongly.  gptme starts warm here, which changes nothing (``test_gptme_cli``)."""
    monkeypatch.setattr(demo, "Launcher", partial(Launcher, warm=True))
    code = demo.demo()
    said = capsys.readouterr()
    assert code == 0, said.out + said.err
    assert said.err == ""
    for scenario in demo_scenarios():
        assert scenario.kind in said.out
    count = len(demo_scenarios())
    assert f"with the plugin: {count} of {count} right" in said.out, said.out
    assert "\x1b" not in said.out
    shown = PICTURE.read_text("utf-8")
    if f": gptme {version('gptme')} " in shown:  # another gptme misbehaves otherwise
        drawn = picture(printed(said.out), version("gptme"))
        assert drawn == shown, "run `python tests/demo_picture.py --write`"


@pytest.mark.slow
def test_the_command_starts_gptme_as_a_user_does() -> None:
    """Cold, and with the same outcome: an explanation that gptme alone executes."""
    done = subprocess.run(
        [*DEMO, "--only", "Explanation"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "gptme alone:     0 of 1 right, 1 x runs wrongly" in done.stdout, done.stdout
    assert "with the plugin: 1 of 1 right" in done.stdout, done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("plugin", "alone", "code"),
    [("unjudged", "executed", 2), ("executed", "unjudged", 0), ("wrong", "unjudged", 1)],
)
def test_a_run_that_could_not_be_judged(
    plugin: Outcome,
    alone: Outcome,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is no failure of anybody's, and never passes for a success."""

    def run(job: demo.Job, launcher: Launcher) -> Run:
        outcome = plugin if job.plugin else alone
        return Run(job.scenario, job.streamed, job.plugin, outcome=outcome)

    monkeypatch.setattr(demo, "_run", run)
    assert demo.demo() == code
    said = capsys.readouterr().out
    assert f"0 of {len(demo_scenarios())} right, {len(demo_scenarios())} x could not be" in said
    assert "try again when the machine is less busy" in said


def test_no_place_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where nothing can be written, one line says where."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ReliabilityError, match=r"gptme could not be run: .*gone.*: No such file"):
        demo.demo("Explanation")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
@pytest.mark.parametrize("command", [["cards", "list"], ["doctor", "--json"]])
def test_a_full_disk(command: list[str]) -> None:
    """What cannot be written is said in one line, by any command."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*DEMO[:-1], *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 2
    assert done.stderr == "gptme-reliability: cannot write: No space left on device\n"


def test_unknown_kind() -> None:
    """A selection that selects nothing is said in one line."""
    done = subprocess.run([*DEMO, "--only", "no such"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "gptme-reliability: no kind of the demo has 'no such' in its name\n"
    assert done.stdout == ""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C prints what is done and leaves nothing running and nothing lying around."""
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    running = subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    deadline = time.monotonic() + 20
    while not processes_under(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes_under(tmp_path), "no gptme was started"
    time.sleep(0.5)
    running.send_signal(number)
    stdout, stderr = running.communicate(timeout=20)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "with the plugin: 0 of" in stdout
    assert not processes_under(tmp_path)
    assert list(tmp_path.iterdir()) == []


def processes_under(root: Path) -> list[int]:
    """The processes whose home lies under a directory: gptme and all that it started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"HOME={root}/".encode() in environ:
                found.append(int(entry.name))
    return found
