"""The veto in the real gptme: calls that no answer brought, and a user who is asked as before.

``/impersonate`` runs what the user types as the answer of a model, so that no answer of a server
was checked.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.evals.launch import Launcher, kill_group
from gptme_reliability.evals.scenarios import Answer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

CONFIG = """\
[plugins]
enabled = ["reliability"]

[plugin.reliability]
enabled = true
contracts = false
"""
LIMIT = 60.0
# What gptme writes into the terminal's title, once each time; it draws its prompts repeatedly.
ASKS = "waiting for confirmation"
READY = "\x1b[?25h"  # what prompt_toolkit writes when its prompt stands
ARGUMENTS = ("-t", "shell,save,append,patch,read,complete", "--system", "short", "--no-workspace")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of gptme's with the plugin on."""
    config = tmp_path / "home" / ".config" / "gptme"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "work").mkdir()
    return tmp_path / "home"


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    """Starts gptme, and leaves none behind."""
    launcher = Launcher(warm=True)
    yield launcher
    launcher.kill()


def files(home: Path) -> dict[str, str]:
    """What lies in the workspace."""
    work = home.parent / "work"
    return {p.name: p.read_text(encoding="utf-8") for p in work.iterdir() if p.is_file()}


def log(home: Path) -> str:
    """All of the conversation."""
    (path,) = home.glob(".local/share/gptme/logs/*/conversation.jsonl")
    return path.read_text(encoding="utf-8").replace("\\n", "\n").replace('\\"', '"')


CALLS = {
    "markdown": (
        "save $.path: required argument 'path' is missing",
        "```save\nhello\n```",
        "```save a.txt\nhello\n```",
        "```shell\n$ echo hello >> b.txt\n```",
    ),
    "xml": (
        "shell $.command: required argument 'command' is missing",
        "<tool-use>\n<shell>\n</shell>\n</tool-use>",
        '<tool-use>\n<save args="a.txt">\nhello\n</save>\n</tool-use>',
        "<tool-use>\n<shell>\necho hello &gt;&gt; b.txt\n</shell>\n</tool-use>",
    ),
    "tool": (
        "shell $.command: required argument 'command' is missing",
        '@shell(call-1): {"cmd": "echo hello"}',
        '@save(call-2): {"path": "a.txt", "content": "hello", "mode": "w"}',
        '@shell(call-3): {"command": "echo hello >> b.txt", "background": "false"}',
    ),
}


@pytest.mark.parametrize("form", CALLS)
def test_what_violates_its_schema_does_not_run(form: str, home: Path, launcher: Launcher) -> None:
    """The first call is skipped; the others run, with all that gptme puts up with."""
    fault, *calls = CALLS[form]
    prompts: list[str] = []
    for call in calls:
        prompts += [f"/impersonate {call}", "-"]
    arguments = ["-n", "--tool-format", form, "-m", "local/scripted", *ARGUMENTS]
    out, err = home.parent / "out", home.parent / "err"
    with FaultyServer(lambda body: {"text": "ok"}) as server:
        handle = launcher.start(
            [*arguments, "-w", str(home.parent / "work"), *prompts, "/exit"],
            cwd=home.parent / "work",
            env=environment(home, server.url),
            out=out,
            err=err,
        )
        assert handle is not None
        assert handle.wait(LIMIT) == 0, err.read_text(encoding="utf-8")
    assert files(home) == {"a.txt": "hello\n", "b.txt": "hello\n"}
    assert log(home).count(f"This call was not run. This fault was found:\n- {fault}") == 1
    assert err.read_text(encoding="utf-8").count("reliability: not run: ") == 1


class Terminal:
    """gptme on a terminal; ``seen`` is all that stood on it."""

    def __init__(self, home: Path, url: str) -> None:
        import pty

        self.seen = ""
        self._read_to = 0
        self._screen, inner = pty.openpty()
        work = home.parent / "work"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gptme", "--tool-format", "tool", "-m", "local/scripted"),
                *(*ARGUMENTS, "-w", str(work), "begin"),
            ],
            cwd=work,
            env={**environment(home, url), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def wait_for(self, text: str) -> None:
        """Read until a text comes that was not waited for before."""
        end = time.monotonic() + LIMIT
        while (found := self.seen.find(text, self._read_to)) < 0:
            ready, _, _ = select.select([self._screen], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"no {text!r} on the terminal:\n{self.seen[-3000:]}"
            self.seen += os.read(self._screen, 4096).decode(errors="replace")
        self._read_to = found + len(text)

    def type(self, line: str) -> None:
        """Answer a prompt, once it stands and its keys are read."""
        import termios

        self.wait_for(READY)
        while termios.tcgetattr(self._screen)[3] & termios.ICANON:
            time.sleep(0.05)
        os.write(self._screen, f"{line}\r".encode())

    def end(self) -> None:
        """Leave nothing behind."""
        kill_group(self._process.pid)
        self._process.wait()
        os.close(self._screen)


def test_the_user_is_asked_as_before(home: Path) -> None:
    """On a terminal gptme asks about each valid call, and about no other."""
    pytest.importorskip("pty")
    shell = ("touch no", "touch yes")
    requests: list[Mapping[str, Any]] = []

    def answer(body: Mapping[str, Any]) -> Answer:
        if not body.get("tools"):
            return {"text": "A title"}
        requests.append(body)
        number = len(requests)
        if number > len(shell):
            return {"text": "All done."}
        arguments = f'{{"command": "{shell[number - 1]}"}}'
        return {"calls": [{"id": f"call-{number}", "name": "shell", "arguments": arguments}]}

    with FaultyServer(answer) as server:
        terminal = Terminal(home, server.url)
        try:
            terminal.wait_for(ASKS)
            assert files(home) == {}
            terminal.type("n")
            terminal.wait_for(ASKS)
            assert files(home) == {}
            terminal.type("y")
            terminal.wait_for("All done.")
            assert files(home) == {"yes": ""}
            terminal.wait_for("waiting for input")
            terminal.type('/impersonate @shell(call-9): {"cmd": "touch no"}')
            terminal.wait_for("required argument 'command' is missing")
        finally:
            terminal.end()
    assert terminal.seen.count(ASKS) == len(shell)
    assert files(home) == {"yes": ""}
