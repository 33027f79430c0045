"""The README's quick starts, run as they stand there, but for where the server listens.

Those of the library and of the command line run in ``test_readme.py``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anthropic
import httpx
import openai
import pytest
from documents import section
from test_proxy_command import started

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer

GPTME: Final = section("README.md", "Quick start: gptme with a local model")
PROXY: Final = section("README.md", "Quick start: any other client")
BROKEN: Final = '<tool_call>\n{"name": "Shell", "arguments": {"cmd": "echo RUN > marker"}}\n'
KEPT: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TMPDIR")
TIMEOUT: Final = 60.0
MODEL: Final = "qwen2.5:7b-instruct"
PARAMETERS: Final[dict[str, object]] = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
}
COMMANDS: Final = re.findall(r"^OPENAI_BASE_URL=\S+ gptme (.+)$", GPTME, re.MULTILINE)


def answer(body: Mapping[str, Any]) -> Answer:
    """A call with wrong names, in text, without its end; behind its result the end."""
    if any(message["role"] == "tool" for message in body["messages"]):
        return {"calls": [{"id": "call_end", "name": "complete", "arguments": "{}"}]}
    return {"text": BROKEN}


# -- gptme -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups")
@pytest.mark.parametrize("command", COMMANDS)
def test_gptme(command: str, tmp_path: Path) -> None:
    """With the settings and the command that are shown, what was meant runs, and it is told."""
    home, workspace = tmp_path / "home", tmp_path / "work"
    config = home / ".config" / "gptme" / "config.toml"
    config.parent.mkdir(parents=True)
    workspace.mkdir()
    (settings,) = re.findall(r"```toml\n(.*?)```", GPTME, re.DOTALL)
    config.write_text(settings, encoding="utf-8")
    (out := home / "stdout").touch()
    (err := home / "stderr").touch()
    with FaultyServer(answer) as server:
        environment = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            **{"HOME": str(home), "USER": "nobody", "TERM": "dumb"},
            **{"OPENAI_BASE_URL": server.url, "GPTME_NO_LOCAL_DISCOVERY": "1"},
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9"),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
        }
        launcher = Launcher(warm=True)
        # Without a terminal nobody could confirm or leave.
        arguments = ["-n", *shlex.split(command)]
        handle = launcher.start(arguments, cwd=workspace, env=environment, out=out, err=err)
        assert handle is not None
        try:
            code = handle.wait(TIMEOUT)
        finally:
            launcher.end(handle)
    said = err.read_text(encoding="utf-8")
    assert code == 0, said
    assert (workspace / "marker").read_text() == "RUN\n"
    assert re.search(r"reliability.*shell", said), said
    (trace,) = home.rglob("trace.jsonl")
    assert "echo RUN" not in trace.read_text(encoding="utf-8")


def test_both_servers_are_shown() -> None:
    """The test above is about commands that are there."""
    assert len(COMMANDS) == 2


# -- the proxy ---------------------------------------------------------------------------------


def test_the_proxy_and_its_clients() -> None:
    """The command serves the clients of the table with what the table tells them."""
    (command,) = re.findall(r"^gptme-reliability proxy (.+)$", PROXY, re.MULTILINE)
    (shown,) = re.findall(r"Give the client the base URL `(\S+)`", PROXY)
    (python,) = re.findall(r"\| OpenAI for Python \| `OpenAI\((.+?)\)`", PROXY)
    (others,) = re.findall(r"`ANTHROPIC_BASE_URL=(\S+)` \(without `/v1`\)", PROXY)
    assert f"{others}/v1" == shown and f'"{shown}"' in python
    words = shlex.split(command)
    with FaultyServer(answer) as server:
        words[words.index("--upstream") + 1] = server.url
        with started(*words) as (_, url):
            assert asked_openai(eval(f"dict({python.replace(shown, url)})")) == "echo RUN > marker"
            assert asked_anthropic(url.removesuffix("/v1")) == "echo RUN > marker"
            assert asked_as_gptme(url) == 200


def asked_openai(options: dict[str, str]) -> str:
    """The command that OpenAI's client is to run."""
    tool: Any = {"type": "function", "function": {"name": "shell", "parameters": PARAMETERS}}
    with openai.OpenAI(**options, max_retries=0) as client:  # type: ignore[arg-type]
        made = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "Leave a mark."}], tools=[tool]
        )
    calls = made.choices[0].message.tool_calls
    assert calls and len(calls) == 1 and calls[0].type == "function"
    call = calls[0]
    assert call.function.name == "shell"
    return str(json.loads(call.function.arguments)["command"])


def asked_as_gptme(url: str) -> int:
    """The status that gptme gets for the model of the table, with the sampling that it sends."""
    (model,) = re.findall(r"^\| gptme \| `.* -m local/(\S+) ", PROXY, re.MULTILINE)
    tool = {"type": "function", "function": {"name": "shell", "parameters": PARAMETERS}}
    body = {"model": model, "messages": [{"role": "user", "content": "Leave a mark."}]}
    sampling = {"temperature": 0, "top_p": 0.1}
    return httpx.post(
        f"{url}/chat/completions", json={**body, **sampling, "tools": [tool]}
    ).status_code


def asked_anthropic(url: str) -> str:
    """The command that Anthropic's client is to run, before a server of OpenAI's API."""
    with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        made = client.messages.create(
            model=MODEL,
            max_tokens=100,
            messages=[{"role": "user", "content": "Leave a mark."}],
            tools=[{"name": "shell", "input_schema": PARAMETERS}],
        )
    (call,) = (block for block in made.content if block.type == "tool_use")
    assert call.name == "shell"
    return str(call.input["command"])
