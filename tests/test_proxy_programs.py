"""The agents themselves before the proxy, where they are installed; nothing is downloaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from proxy_world import proxying
from scripted_server import (
    DONE,
    ROLE,
    USAGE,
    Reply,
    call_chunks,
    chunk,
    serving,
    stream,
    text_chunks,
)

MODEL = "tiny"
SAID = "Alpha, and nothing else."
CONTINUE = """\
name: local
version: 0.0.1
schema: v1
models:
  - name: local
    provider: openai
    model: tiny
    apiBase: {base}
    apiKey: none
    capabilities: [tool_use]
"""
# No telemetry, no updates, and no daemon that stays behind.
QUIET = {
    "CI": "1",
    "DO_NOT_TRACK": "1",
    "DISABLE_TELEMETRY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLINE_NO_AUTO_UPDATE": "1",
    "CLINE_SESSION_BACKEND_MODE": "local",
    "CONTINUE_CLI_ENABLE_TELEMETRY": "0",
    "CONTINUE_CLI_AUTO_UPDATED": "1",
}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Program:
    """How to ask an agent something, and how its tool that reads a file is called.

    In its words ``{base}`` is the base URL, ``{root}`` the same without ``/v1``, ``{home}`` its
    home; ``{notes}`` in the arguments of the tool is the file.
    """

    name: str
    commands: list[list[str]]
    tool: str
    arguments: dict[str, Any]
    env: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


QUESTION = "What do the notes say?"
PROGRAMS = [
    Program(
        "claude",
        [["claude", "-p", "--allowedTools", "Read", "--", QUESTION]],
        "Read",
        {"file_path": "{notes}"},
        env={
            "ANTHROPIC_BASE_URL": "{root}",
            "ANTHROPIC_AUTH_TOKEN": "none",
            "ANTHROPIC_MODEL": MODEL,
        },
    ),
    Program(
        "cline",
        [
            ["cline", "auth", "-p", "openai", "-k", "none", "-m", MODEL, "-b", "{base}"],
            ["cline", QUESTION],
        ],
        "read_files",
        {"files": [{"path": "{notes}"}]},
    ),
    Program(
        "cn",
        [["cn", "--config", "{home}/config.yaml", "--allow", "Read", "-p", QUESTION]],
        "Read",
        {"filepath": "{notes}"},
        files={"config.yaml": CONTINUE},
    ),
]


def answer(text: str = "", call: tuple[str, str] | None = None, finish: str = "stop") -> Reply:
    """A streamed answer."""
    called = call_chunks(0, *call, "call_1") if call else []
    return stream(ROLE, *text_chunks(text), *called, chunk({}, finish), USAGE, DONE)


def answers(tool: str, arguments: str) -> list[Reply]:
    """What weak models write for one call, and an answer at last."""
    broken = arguments[:-1] + ",}"
    envelope = f'{{"name": "{tool}", "arguments": {arguments}}}'
    return [
        answer(call=(tool, arguments), finish="tool_calls"),
        answer(call=(tool.upper(), broken), finish="tool_calls"),
        answer(call=(tool, arguments[:-3]), finish="length"),
        answer(f"Let me check.\n<tool_call>\n{envelope}\n</tool_call>"),
        answer(SAID),
    ]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_the_program_works_with_a_weak_model(program: Program, tmp_path: Path) -> None:
    if shutil.which(program.name) is None:
        pytest.skip(f"there is no {program.name}")
    notes = tmp_path / "notes.txt"
    notes.write_text("alpha\n")
    arguments = json.dumps(program.arguments).replace("{notes}", str(notes))
    with (
        serving(*answers(program.tool, arguments)) as script,
        proxying(script.url) as base,
    ):
        names = {"base": base, "root": base.removesuffix("/v1"), "home": str(tmp_path)}
        for name, content in program.files.items():
            (tmp_path / name).write_text(content.format(**names))
        env = {key: value.format(**names) for key, value in program.env.items()}
        for command in program.commands:
            done = subprocess.run(
                [word.format(**names) for word in command],
                env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **QUIET, **env},
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr or done.stdout
    assert SAID in done.stdout
    assert not script.replies
    results = [m for m in script.bodies()[-1]["messages"] if m["role"] == "tool"]
    assert len(results) == 3 and "alpha" in str(results[0]["content"])
