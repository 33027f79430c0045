"""The real ``gptme-eval`` with our suite, and a scripted model at the other end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gptme_home import write_config

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.gptme_run import environment
from gptme_reliability.evals.launch import PRELOADED
from gptme_reliability.evals.scenarios import Answer

FORMATS: Final = ("markdown", "xml", "tool")
TIMEOUT: Final = 240.0
"""Seconds; a run that has not ended by then does not end."""
# Every task is played in a fork of this process: what it has imported, no task imports again.
_PROGRAM: Final = """\
import contextlib, importlib, sys
for name in {names!r}:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
from gptme_reliability.cli import main
sys.exit(main(["eval", "suite", *sys.argv[1:]]))
"""

WRITERS: Final[Mapping[str, Callable[[str], Answer]]] = {
    "markdown": lambda command: {"text": f"```shell\n{command}\n```"},
    "xml": lambda command: {"text": f"<tool-use>\n<shell>\n{command}\n</shell>\n</tool-use>"},
    # As weak models write it: the server did not take it for a call, and no name is right.
    "tool": lambda command: {
        "text": "<tool_call>\n" + json.dumps({"name": "Shell", "arguments": {"cmd": command}})
    },
}
"""How the model writes a shell command in each of gptme's formats."""


def model(commands: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Answer]:
    """A model that answers a prompt with a command, by what the prompt begins with, then ends."""

    def answer(body: Mapping[str, Any]) -> Answer:
        messages = body["messages"]
        users = (_text(message) for message in messages if message["role"] == "user")
        begun = next((b for text in users for b in commands if text.startswith(b)), None)
        if begun is None or any(message["role"] == "assistant" for message in messages):
            return {"text": "All done."}
        return WRITERS[_format(body)](commands[begun])

    return answer


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _format(body: Mapping[str, Any]) -> str:
    if body.get("tools"):
        return "tool"
    return "xml" if "<tool-use>" in _text(body["messages"][0]) else "markdown"


def play(
    names: Sequence[str], commands: Mapping[str, str], root: Path
) -> tuple[dict[str, dict[str, dict[str, bool]]], str]:
    """Run ``gptme-reliability eval suite``: for each format and name its checks, and its errors."""
    write_config(root)
    arguments = [*names, "--json", "--no-lessons", "--parallel", "9"]
    for form in FORMATS:
        arguments += ["--model", f"local/scripted@{form}"]
    with FaultyServer(model(commands)) as server:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM.format(names=PRELOADED), *arguments],
            cwd=root,
            env=environment(root, server.url),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    assert done.returncode == 0, done.stderr
    (results,) = (root / "eval_results").glob("*/eval_results.json")
    checks = {
        of_model["tool_format"]: {
            result["name"]: {case["name"]: case["passed"] for case in result["cases"]}
            for result in of_model["results"]
        }
        for of_model in json.loads(results.read_text(encoding="utf-8"))["models"]
    }
    return checks, done.stderr
