"""``gptme-reliability proxy`` as a user starts and ends it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from scripted_server import TOOLS, completion, serving

COMMAND = [sys.executable, "-m", "gptme_reliability.cli", "proxy"]
UP = ["--upstream", "http://127.0.0.1:9/v1"]
MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]


@contextmanager
def started(*arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and the URL it prints."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.match(r"(http://127\.0\.0\.1:\d+/v1) -> ", line)
        assert found, line + process.stderr.read()
        yield process, found[1]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_serves_and_ends(number: int) -> None:
    body = {"messages": MESSAGES, "tools": TOOLS, "temperature": 0.7}
    with (
        serving(completion("fine")) as script,
        started("--upstream", script.url) as (process, url),
    ):
        response = httpx.post(f"{url}/chat/completions", json=body)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert response.json()["choices"][0]["message"]["content"] == "fine"
    assert (
        process.returncode
        in {
            signal.SIGTERM: [-signal.SIGTERM],
            signal.SIGINT: [130, -signal.SIGINT],
            signal.SIGHUP: [-signal.SIGTERM],  # a terminal that is closed ends it well
        }[signal.Signals(number)]
    )
    assert out == "" and "Traceback" not in err
    assert "POST /v1/chat/completions 200" in err


def test_quiet_and_the_key_from_the_environment() -> None:
    key = "a-long-secret"
    with started("--quiet", *UP, GPTME_RELIABILITY_PROXY_KEY=key) as (process, url):
        assert httpx.get(f"{url}/models").status_code == 401
        kept = httpx.get(f"{url}/models", headers={"authorization": f"Bearer {key}"})
        assert kept.status_code == 502
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert err == ""


def test_the_plugins_variables_are_said_to_have_no_effect() -> None:
    """Whoever sets one sees at once that it does not count, and what does."""
    theirs = {"GPTME_RELIABILITY_RETRIES": "0", "GPTME_RELIABILITY_TRACE": "off"}
    with started("--quiet", *UP, GPTME_RELIABILITY_PROXY_KEY="a-long-secret", **theirs) as (
        process,
        _,
    ):
        assert process.stderr is not None
        line = process.stderr.readline()
    assert "GPTME_RELIABILITY_RETRIES, GPTME_RELIABILITY_TRACE are for gptme" in line
    assert "--set" in line and "secret" not in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*UP, "--host", "0.0.0.0"], "--api-key"),
        ([*UP, "--port", "70000"], "--port"),
        ([*UP, "--timeout", "0"], "--timeout"),
        (["--upstream", "nowhere"], "--upstream"),
        ([*UP, "--config", "/does/not/exist.toml"], "cannot read"),
        ([*UP, "--trace", "/dev/null/a/b.jsonl"], "--trace /dev/null/a/b.jsonl: cannot be"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], said: str) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("gptme-reliability: ") and said in line


def test_without_the_extra_it_says_what_to_install() -> None:
    code = f"""
import sys
sys.modules["aiohttp"] = None
from gptme_reliability.cli import main
sys.exit(main(["proxy", *{UP!r}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'gptme-reliability[proxy]'" in done.stderr


def test_the_help_needs_no_extra() -> None:
    blocked: Any = ["aiohttp", "starlette", "uvicorn", "yarl"]
    code = f"""
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from gptme_reliability.cli import main
main(["proxy", "--help"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--upstream URL" in done.stdout
