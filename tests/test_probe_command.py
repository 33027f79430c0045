"""``gptme-reliability probe``: the card, the table, the exit codes, and who reads the card."""

from __future__ import annotations

import json
import re
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from probe_world import CARD, GOOD, LLAMA_CPP, MODEL, PLAIN, VLLM, Ways, listed, serving, with_tools
from test_probe import KNOWN

from gptme_reliability.cli import main
from gptme_reliability.commands.probe import _EPILOG
from gptme_reliability.probe.card import (
    read_card,
)
from gptme_reliability.probe.sample import Ask, Heard
from gptme_reliability.surfaces.capabilities import card_path
from gptme_reliability.surfaces.probing import _MOST_BYTES, _send

KEY: Final = "sk-never-print-this"
RUNS: Final = {"llama.cpp": "tiny-q8_0.gguf", "vllm": "org/Tiny-2B"}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config directory of the test's own; returns that of the cards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("GPTME_RELIABILITY_UPSTREAM_KEY", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config" / "gptme" / "reliability" / "capabilities"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``probe …``: the exit code, what it printed, and its errors."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(["probe", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


# --- over the wire ------------------------------------------------------------------------


@pytest.mark.parametrize("row", KNOWN, ids=[row[0] for row in KNOWN])
def test_the_card_of_every_kind_of_server(row: Any, run: Run, config: Path) -> None:
    backend, ways, differs, sampling, context = row
    with serving(ways) as server:
        code, out, err = run(server.url, "--json")
    shown = json.loads(out)
    assert shown["found"] == {**GOOD, **differs}
    assert (shown["backend"], shown["model"], shown["sampling"]) == (backend, MODEL, sampling)
    assert shown["context"].get("serving") == context.serving
    assert code == (1 if shown["failed"] else 0) == (1 if ways is PLAIN else 0)
    assert shown.get("runs") == RUNS.get(backend)
    (path,) = config.iterdir()
    card = read_card(path.read_text(encoding="utf-8"), str(path))
    assert {name: found.value for name, found in card.found.items()} == shown["found"]
    assert abs((datetime.now(timezone.utc) - card.probed).total_seconds()) < 600
    requests, tokens = map(int, re.findall(r"at most (\d+) requests and (\d+) tokens", err)[0])
    assert len(server.asked) <= requests + 10  # the first look at the server besides
    assert 0 < tokens < 30_000


def test_a_table_for_people(run: Run, config: Path) -> None:
    """One check a line with tabs in a pipe; what matters and failed is marked."""
    with serving(PLAIN) as server:
        code, out, _ = run(server.url)
    assert code == 1
    lines = dict(line.split("\t")[:2] for line in out.splitlines() if "\t" in line)
    assert lines["calls arrive as calls"] == "leaked (!)"
    assert lines["calls leak into the text, as"] == "hermes"
    assert lines["sampling: temperature"] == "accepted"
    assert str(config) in out


def test_a_terminal_gets_a_table(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(LLAMA_CPP) as server:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        monkeypatch.setenv("COLUMNS", "120")
        code, out, _ = run(server.url)
    assert code == 0
    assert "\t" not in out
    assert re.search(r"^calls arrive as calls +yes", out, re.MULTILINE)


def test_what_changed_is_shown(run: Run, tmp_path: Path) -> None:
    out_file = str(tmp_path / "card.toml")
    with serving(LLAMA_CPP) as server:
        _, first, _ = run(server.url, "--compare", "--out", out_file)
        _, same, _ = run(server.url, "--compare", "--out", out_file)
        server.ways = replace(LLAMA_CPP, required="no", schema="no")
        _, other, _ = run(server.url, "--compare", "--out", out_file)
        _, told, _ = run(server.url, "--compare", "--out", out_file, "--json")
        server.ways = replace(server.ways, down=with_tools(Heard(503)))
        _, doubtful, _ = run(server.url, "--compare", "--out", out_file)
    assert "no earlier card to compare with" in first
    assert "nothing changed since" in same and "(not sure this time)" not in other
    assert "tool_choice_required: yes -> no\n" in other
    assert "tool_schema: enforced -> accepted\n" in other
    assert other.count("changed since") == 2
    assert json.loads(told)["changed"] == {}
    assert "native_tools: yes -> unclear (not sure this time)\n" in doubtful


def test_a_model_is_named_as_gptme_names_it(run: Run, config: Path) -> None:
    with serving(VLLM) as server:
        code, _, _ = run(server.url, "--model", f"local/{MODEL}")
        assert code == 0
        assert {ask.body["model"] for ask in server.asked if ask.body} == {MODEL}
        assert card_path(server.url, MODEL).exists()


def test_nothing_is_written_where_nobody_wants_it(run: Run, config: Path) -> None:
    with serving(VLLM) as server:
        code, out, _ = run(server.url, "--out", "-")
    assert code == 0
    assert not config.exists()
    assert "card:" not in out


def test_a_key_goes_out_and_is_never_shown(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPTME_RELIABILITY_UPSTREAM_KEY", KEY)
    with serving(VLLM) as server:
        _, out, err = run(server.url)
        server.ways = Ways(
            pages=VLLM.pages,
            down=lambda body: Heard(401, f'{{"error": "wrong key {KEY}"}}'.encode(), "text/plain"),
        )
        code, out2, err2 = run(server.url)
    assert {headers.get("authorization") for headers in server.headers} == {f"Bearer {KEY}"}
    assert code == 2 and "it wants a key" in err2
    written = "".join(path.read_text(encoding="utf-8") for path in config.iterdir())
    assert KEY not in out + err + out2 + err2 + written


# --- what cannot be probed ----------------------------------------------------------------


def one_line(error: str) -> str:
    lines = [line for line in error.splitlines() if not line.startswith("probing ")]
    assert len(lines) == 1, error
    assert lines[0].startswith("gptme-reliability: ")
    return lines[0]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("localhost:8080", "no URL"),
        ("ftp://127.0.0.1/v1", "no URL"),
        ("http://", "no URL"),
        ("http://127.0.0.1:notaport/v1", "no URL"),
        (f"http://user:{KEY}@127.0.0.1:1/v1", "no password"),
        (f"http://127.0.0.1:1/v1?key={KEY}", "no query"),
    ],
)
def test_what_is_no_url(run: Run, url: str, says: str) -> None:
    code, out, err = run(url, "--model", MODEL)
    assert (code, out) == (2, "")
    assert says in one_line(err)
    assert KEY not in err


@pytest.mark.parametrize("arguments", [(), ("--model", MODEL)])
def test_a_server_that_is_down(run: Run, arguments: tuple[str, ...], config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        code, out, err = run(url, *arguments)
    assert (code, out) == (2, "")
    assert "is the server up?" in one_line(err)
    assert not config.exists()


def test_a_server_that_never_ends() -> None:
    """It sends a byte now and then and nothing else; a request has its time, and no more."""
    stop = threading.Event()

    def dribble(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not stop.wait(0.01):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening, httpx.Client() as client:
        thread = threading.Thread(target=dribble, args=(listening,))
        thread.start()
        root = f"http://127.0.0.1:{listening.getsockname()[1]}"
        heard = _send(client, root, Ask("/v1/chat/completions", {}), 0.2)
        stop.set()
        thread.join()
    assert heard.broken


def test_a_server_that_sends_without_end() -> None:
    endless = Ways(down=lambda body: Heard(200, b"x" * (_MOST_BYTES + 500_000)))
    with serving(endless) as server, httpx.Client() as client:
        ask = Ask("/chat/completions", {"max_tokens": 1})
        heard = _send(client, server.url, ask, 30.0)
    assert heard.broken and _MOST_BYTES < len(heard.raw) < _MOST_BYTES + 500_000


@pytest.mark.parametrize(
    ("ways", "says"),
    [
        (Ways(pages={"/v1/models": {"data": []}}), "lists no models"),
        (Ways(), "lists no models"),
        (
            Ways(pages={"/v1/models": {"data": [*listed("x")["data"], {"id": "other"}]}}),
            "several models (tiny, other)",
        ),
        (
            Ways(pages={"/v1/models": listed("x")}, down=lambda body: Heard(500, b"boom")),
            "HTTP 500",
        ),
        (
            Ways(pages={"/v1/models": listed("x")}, down=lambda body: Heard(200, b"<html>")),
            "no chat completion",
        ),
        (
            Ways(pages={"/v1/models": listed("x")}, down=lambda body: Heard(0)),
            "no answer in time",
        ),
    ],
)
def test_what_cannot_be_probed(run: Run, ways: Ways, says: str, config: Path) -> None:
    with serving(ways) as server:
        code, out, err = run(server.url)
    assert (code, out) == (2, "")
    assert says in one_line(err)
    assert not config.exists()


def test_a_server_that_breaks_off_midway_still_gets_a_card(run: Run) -> None:
    with serving(replace(VLLM, down=with_tools(Heard(0)))) as server:
        code, out, _ = run(server.url, "--json")
    assert code == 0  # nothing was found that speaks against it
    assert json.loads(out)["found"]["native_tools"] == "unclear"


def test_a_card_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    with serving(VLLM) as server:
        code, _, err = run(server.url, "--out", str(tmp_path))
    assert code == 2
    assert f"cannot write {tmp_path}" in one_line(err)


def test_the_help_says_where_cards_lie(config: Path) -> None:
    assert "~/.config/gptme/reliability/capabilities" in _EPILOG
    assert config.parts[-3:] == ("gptme", "reliability", "capabilities")
    assert card_path(CARD.endpoint, MODEL).parent == config
