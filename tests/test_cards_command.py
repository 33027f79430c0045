"""``gptme-reliability cards``: what it prints, what it writes, and what wrong input gets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_http import SilentHandler, listening

from gptme_reliability.backends import Declared
from gptme_reliability.cards import load_cards
from gptme_reliability.cli import main
from gptme_reliability.commands.cards_own import skeleton
from gptme_reliability.commands.explain import explain
from gptme_reliability.contract import Broken, contract
from gptme_reliability.data import card_dirs, data_dir, user_cards_dir
from gptme_reliability.identity import identify

CARDS = load_cards([data_dir("sampling_cards")])
OWN = "[source]\ngrade = 'own'\nkind = 'own'\n\n[[models]]\n"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A config directory of the test's own; returns that of the user's cards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TEMPERATURE", "TOP_P", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config" / "gptme" / "reliability" / "cards"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run ``cards …``: the exit code, what it printed, and its errors."""

    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(["cards", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def put(directory: Path, name: str, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text, encoding="utf-8")
    return directory / name


def one_line(error: str) -> str:
    assert error.startswith("gptme-reliability: ")
    assert error.count("\n") == 1
    return error


# Where cards of one's own lie.


def test_the_users_cards_lie_in_gptmes_config_directory(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert user_cards_dir() == config
    monkeypatch.setenv("HOME", str(tmp_path))
    for nothing in ("", "  ", "relative/path"):
        monkeypatch.setenv("XDG_CONFIG_HOME", nothing)
        assert user_cards_dir() == tmp_path / ".config/gptme/reliability/cards"
    assert card_dirs() == (user_cards_dir(), data_dir("sampling_cards"))


# list


def test_list_in_a_pipe_is_a_line_a_card(run: Any) -> None:
    code, out, _ = run("list")
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert lines[0] == ["family", "variants", "mode", "values", "grade", "url"]
    assert len(lines) == len(CARDS) + 1
    assert {len(line) for line in lines} == {6}
    phi = next(line for line in lines if line[1] == "phi-4" and "none" in line[3])
    assert phi[2:] == [
        "any",
        "the vendor recommends none",
        "quoted",
        "https://huggingface.co/microsoft/phi-4",
    ]


def test_list_as_json(run: Any) -> None:
    code, out, _ = run("list", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert len(rows) == len(CARDS)
    ministral = next(row for row in rows if row["id"] == "ministral-3-instruct")
    assert ministral["values"] == {"temperature": {"point": 0.05, "below": 0.1, "chosen_by": "us"}}
    assert ministral["grade"] == "read"
    assert len(ministral["urls"]) == 3


def test_list_on_a_terminal_is_a_table(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    code, out, _ = run("list")
    assert code == 0
    assert "\t" not in out
    assert "more" in out and "EXAONE 4" in out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out)
    assert max(map(len, plain.splitlines())) <= 160


def test_own_cards_are_listed_first(run: Any, config: Path) -> None:
    put(config, "mine.toml", OWN + "names = ['my-*']\nvalues = { temperature = 0.4 }\n")
    _, out, _ = run("list")
    assert out.splitlines()[1].split("\t") == ["", "my-*", "any", "temperature 0.4", "own", ""]


# show


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("qwen3:8b",), ["Qwen3-8B", "thinking, the default", "instruct", "greedy:", "forbidden"]),
        (("qwen3:8b", "--mode", "instruct"), ["temperature:        0.7", "enable_thinking"]),
        (("phi4:14b",), ["the vendor recommends none", "phi-4-unsloth disagrees: temperature 0.8"]),
        (("Ministral-3-8B-Instruct-2512",), ["0.05, range: below 0.1, chosen for the card"]),
        (("EXAONE-4.0-32B",), ["Set thinks = true (thinking) or thinks = false (instruct)"]),
        (("microsoft/Phi-4-reasoning",), ["50, chosen by the vendor, required", "2026-11-21"]),
        (("NVIDIA-Nemotron-3-Nano-30B-A3B",), ["tool_calling (published): temperature 0.6"]),
        (("gemma-4-12B-it",), ["forcing:            no"]),
    ],
)
def test_show(run: Any, arguments: tuple[str, ...], words: list[str]) -> None:
    code, out, _ = run("show", *arguments)
    assert code == 0
    for word in words:
        assert word in out


def test_show_leaves_out_other_modes_when_one_is_named(run: Any) -> None:
    _, out, _ = run("show", "qwen3:8b", "--mode", "instruct")
    assert out.count("card:") == 1
    assert "forbidden" not in out


def test_show_of_a_model_without_a_card(run: Any) -> None:
    code, out, err = run("show", "my-model-7b")
    assert (code, err) == (1, "")
    assert "family unknown, size 7B" in out
    assert "cards new my-model-7b" in out


def test_show_of_two_cards_that_disagree(run: Any, config: Path) -> None:
    for name, temperature in (("a", 0.1), ("b", 0.2)):
        text = f"names = ['my-*']\nvalues = {{ temperature = {temperature} }}\n"
        put(config, f"{name}.toml", OWN + text)
    code, out, _ = run("show", "my-model")
    assert code == 0
    assert "a.toml: temperature 0.1" in out and "b.toml: temperature 0.2" in out


def test_show_prints_no_control_characters(run: Any) -> None:
    _, out, _ = run("show", "\x1b[31mred\r\n")
    assert "\x1b" not in out and "\r" not in out


@pytest.mark.parametrize("arguments", [("list",), ("show", "x"), ("explain", "x")])
def test_a_broken_own_card_is_one_line(run: Any, config: Path, arguments: tuple[str, ...]) -> None:
    path = put(config, "mine.toml", "[source\n")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert str(path) in one_line(err)


# check


def test_check_without_cards(run: Any, config: Path) -> None:
    assert run("check") == (0, f"no cards in {config}\n", "")


def test_check_of_good_cards(run: Any, config: Path) -> None:
    path = put(config, "mine.toml", OWN + "names = ['my-*']\nvalues = { temperature = 0.4 }\n")
    assert run("check") == (0, "1 file checked, no faults\n", "")
    assert run("check", str(path), str(path))[0] == 0


def test_check_names_every_fault(run: Any, config: Path) -> None:
    put(config, "a.toml", OWN + "names = ['my-*']\nvalues = { temperature = 9 }\n")
    put(config, "b.toml", "[source\n")
    code, out, err = run("check")
    assert (code, err) == (1, "")
    first, second = out.splitlines()
    assert "a.toml" in first and "temperature" in first
    assert "b.toml" in second and "no TOML" in second


def test_check_finds_overlaps(run: Any, config: Path) -> None:
    for name, temperature in (("a", 0.1), ("b", 0.2)):
        text = f"names = ['my-*']\nvalues = {{ temperature = {temperature} }}\n"
        put(config, f"{name}.toml", OWN + text)
    code, out, _ = run("check")
    assert code == 1
    assert out.count("\n") == 1
    assert "a.toml" in out and "b.toml" in out


def test_check_of_a_file_that_is_not_there(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("check", str(tmp_path / "nowhere.toml"))
    assert code == 1
    assert "cannot be read" in out and out.count("\n") == 1


# new


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("my-model-7b", "my-model-7b.toml"),
        ("local/qwen3:8b", "qwen3-8b.toml"),
        ("/models/Phi 4.gguf", "Phi-4.gguf.toml"),
        ("../..", "model.toml"),
        ("模型", "model.toml"),
        ("x" * 300, "x" * 80 + ".toml"),
    ],
)
def test_new_writes_a_right_card(run: Any, config: Path, model: str, file: str) -> None:
    code, out, _ = run("new", model)
    assert (code, out) == (0, f"{config / file}\n")
    assert [path.name for path in config.iterdir()] == [file]
    assert run("check")[0] == 0
    text = (config / file).read_text(encoding="utf-8")
    assert text.startswith(f"# Sampling values for {model}.\n")


def test_new_never_overwrites(run: Any, config: Path) -> None:
    path = put(config, "my-model.toml", "mine")
    code, out, err = run("new", "my-model")
    assert (code, out) == (2, "")
    assert "exists" in one_line(err)
    assert path.read_text() == "mine"


def test_new_to_a_file_and_to_standard_output(run: Any, tmp_path: Path, config: Path) -> None:
    code, _, _ = run("new", "my-model", "-o", str(tmp_path / "sub" / "card.toml"))
    assert code == 0
    code, shown, err = run("new", "my-model", "-o", "-")
    assert (code, err) == (0, "")
    assert shown == (tmp_path / "sub" / "card.toml").read_text()
    assert not config.exists()


def test_new_where_nothing_can_be_written(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, _, err = run("new", "my-model", "-o", str(tmp_path / "file" / "card.toml"))
    assert code == 2
    assert "cannot write" in one_line(err)


@pytest.mark.parametrize("model", ["", "  ", "a\nb", "\x1b[0m", "x" * 600])
def test_new_for_no_name(run: Any, config: Path, model: str) -> None:
    code, out, err = run("new", model)
    assert (code, out) == (2, "")
    assert "one line" in one_line(err)
    assert not config.exists()


@pytest.mark.parametrize(
    "model",
    [
        *("my-model", "local/my-model:7b-q4", "qwen3:8b", "google/gemma-3-4b-pt", "x/"),
        *("it's", 'say "x"', "a*[b]?c", "\\"),
    ],
)
def test_a_skeleton_meets_its_model_alone_and_keeps_refusing(
    run: Any, config: Path, model: str
) -> None:
    put(config, "new.toml", skeleton(identify(model), CARDS))
    assert run("check")[0] == 0
    cards = load_cards(card_dirs())
    agreed = contract(identify(model), cards)
    assert isinstance(agreed, Broken)
    assert agreed.kind == "silent"
    assert "Your card" in agreed.message
    other = contract(identify("another-model"), cards)
    assert isinstance(other, Broken)
    assert other.kind == "unknown"


def test_a_filled_skeleton_gives_a_contract(run: Any, config: Path) -> None:
    run("new", "my-model")
    path = config / "my-model.toml"
    text = path.read_text().replace("silent = true\n", "").replace("# values", "values")
    path.write_text(text)
    code, out, _ = run("explain", "local/my-model")
    assert code == 0
    assert "temperature\t0.7\tcard my-model (own)" in out


def test_a_skeleton_tells_what_is_known() -> None:
    text = skeleton(identify("phi4:14b"), CARDS)
    assert "# Known: temperature 0.8 (quoted, third_party, https://huggingface" in text
    assert "variants = ['phi-4']" in text


# explain


def test_explain_without_a_server(run: Any) -> None:
    code, out, err = run("explain", "qwen2.5:7b")
    assert (code, err) == (0, "")
    assert "server:             not asked" in out
    why = "card qwen2.5 (quoted, https://huggingface.co/Qwen/Qwen2.5-7B-Instruct)"
    assert f"temperature\t0.7\t{why}\n" in out
    assert "note: the sampling values of card qwen2.5 were seen only as others quote them" in out


def test_explain_knows_what_the_users_config_says(run: Any, config: Path) -> None:
    """The same sections that count in gptme."""
    table = '[plugin.reliability.models."local/*"]\nsampling = { temperature = 0.2 }\n'
    put(config.parents[1], "config.toml", table)
    assert "temperature\t0.2\t" in run("explain", "qwen2.5:7b")[1]
    put(config.parents[1], "config.toml", '[plugin.reliability.models."*"]\nquant = "Q4_K_M"\n')
    assert "preset quantised" in run("explain", "qwen3:8b", "--mode", "thinking")[1]
    put(config.parents[1], "config.toml", '[plugin.reliability]\nunknown = "warn"\n')
    assert run("explain", "quizzical-9b")[0] == 0
    put(config.parents[1], "config.toml", '[plugin.reliability]\nunknown = "ask"\n')
    code, out, err = run("explain", "quizzical-9b")
    assert (code, out) == (2, "") and "unknown" in one_line(err)
    put(config.parents[1], "config.toml", "plugin = 5\n")
    assert "[plugin] must be a table" in one_line(run("explain", "quizzical-9b")[2])
    put(config.parents[1], "config.toml", "no = toml = at all\n")
    assert "config.toml" in one_line(run("explain", "quizzical-9b")[2])


def test_explain_offers_tools(run: Any) -> None:
    assert "preset tool_calling" in run("explain", "NVIDIA-Nemotron-3-Nano-30B-A3B")[1]


def test_explain_says_why_not(run: Any) -> None:
    code, out, err = run("explain", "my-model")
    assert (code, err) == (1, "")
    assert "No sampling card describes" in out
    assert "sent" not in out.splitlines()


def test_the_environment_counts_as_the_users_word(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPERATURE", "0.5")
    monkeypatch.setenv("TOP_P", " ")
    assert "temperature\t0.5\tset by you\n" in run("explain", "qwen2.5:7b")[1]
    monkeypatch.setenv("TEMPERATURE", "0")
    code, out, _ = run("explain", "qwen3:8b")
    assert code == 1
    assert "greedy" in out
    monkeypatch.setenv("TEMPERATURE", "hot")
    code, _, err = run("explain", "qwen3:8b")
    assert code == 2
    assert "TEMPERATURE=hot" in one_line(err)


@contextmanager
def server(answers: dict[str, Any], header: str = "test") -> Iterator[tuple[str, list[str]]]:
    """A server that answers these paths with JSON; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(SilentHandler):
        def version_string(self) -> str:
            return header

        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            answer = answers.get(self.path)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            asked.append(f"{self.command} {self.path} {self.rfile.read(length).decode()}")
            content = json.dumps(answers.get(self.path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with listening(Handler) as url:
        yield url, asked


def props(path: str, **params: Any) -> dict[str, Any]:
    return {"default_generation_settings": {"params": params}, "model_path": path}


def test_explain_asks_llama_cpp(run: Any) -> None:
    answer = props("/m/Qwen3-8B-Q4_K_M.gguf", temperature=0.65, top_k=40, min_p=0.05)
    with server({"/props": answer}, "llama.cpp") as (url, asked):
        code, out, _ = run("explain", "local/model", "--endpoint", f"{url}/v1")
    assert code == 0
    assert asked == ["GET /v1/models", "GET /props"]
    assert "runs:               Qwen3-8B-Q4_K_M.gguf, says the server" in out
    assert "server:             llama.cpp" in out
    assert "temperature\t0.65\tllama.cpp's /props\n" in out
    assert "top_k\t20\tcard qwen3-thinking (thinking)" in out
    assert "presence_penalty\t1.5\tcard qwen3-thinking (thinking), preset quantised" in out
    assert "declares temperature 0.65 (card: 0.6)" in out


def test_explain_asks_ollama_and_says_what_it_will_not_do(run: Any) -> None:
    listed = {"data": [{"id": "qwen3:8b", "owned_by": "library"}]}
    shown = {"parameters": "top_k 20\ntemperature 0.6"}
    with server({"/v1/models": listed, "/api/show": shown}) as (url, asked):
        code, out, _ = run("explain", "local/qwen3:8b", "--endpoint", f"{url}/")
    assert code == 0
    assert re.fullmatch(r'POST /api/show \{"model": ?"qwen3:8b"\}', asked[-1])
    assert "temperature\t0.6\tOllama's /api/show\n" in out
    assert "not applied: min_p 0.0: Ollama ignores it on /v1; write `PARAMETER min_p 0.0`" in out
    assert "not applied: top_k" not in out


def test_explain_refuses_where_the_indispensable_is_ignored(run: Any) -> None:
    listed = {"data": [{"id": "x", "owned_by": "library"}]}
    with server({"/v1/models": listed}) as (url, _):
        code, out, _ = run("explain", "phi4-reasoning:14b", "--endpoint", url)
    assert code == 1
    assert "PARAMETER top_k 50" in out


def test_explain_asks_vllm_and_says_what_it_hides(run: Any) -> None:
    listed = {"data": [{"id": "mine", "owned_by": "vllm", "root": "Qwen/Qwen2.5-7B-Instruct"}]}
    with server({"/v1/models": listed}) as (url, asked):
        code, out, _ = run("explain", "mine", "--endpoint", url)
    assert code == 0
    assert asked == ["GET /v1/models"]
    assert "runs:               Qwen/Qwen2.5-7B-Instruct, says the server" in out
    assert "generation_config.json" in out
    assert "repetition_penalty\t1.05" in out


def test_explain_of_a_server_that_says_nothing(run: Any) -> None:
    with server({"/version": b"<html>"}) as (url, asked):
        code, out, _ = run("explain", "qwen2.5:7b", "--endpoint", url)
    assert code == 0
    assert "server:             unknown" in out
    assert len(asked) == len(set(asked)) >= 5


def test_explain_as_json(run: Any) -> None:
    listed = {"data": [{"id": "x", "owned_by": "library"}]}
    with server({"/v1/models": listed, "/api/show": {}}) as (url, _):
        code, out, _ = run("explain", "qwen3:8b", "--endpoint", url, "--json")
    answer = json.loads(out)
    assert code == 0
    assert answer["backend"] == "ollama"
    assert answer["sent"] == {"temperature": 0.6, "top_p": 0.95}
    assert [loss["parameter"] for loss in answer["not_applied"]] == ["top_k", "min_p"]
    assert answer["why"]["top_k"].startswith("card qwen3-thinking")
    code, out, _ = run("explain", "my-model", "--json")
    assert code == 1
    assert json.loads(out)["broken"] == "unknown"


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://127.0.0.1:9/v1", "is the server up?"),
        ("127.0.0.1:8080", "is no URL"),
        ("ftp://127.0.0.1", "is no URL"),
        ("http://[", "cannot be asked"),
    ],
)
def test_explain_of_no_server_is_one_line(run: Any, endpoint: str, says: str) -> None:
    code, out, err = run("explain", "qwen3:8b", "--endpoint", endpoint)
    assert (code, out) == (2, "")
    assert endpoint in err
    assert says in one_line(err)


def test_explain_of_a_server_that_speaks_no_http(run: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close()).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        code, _, err = run("explain", "qwen3:8b", "--endpoint", url)
    assert code == 2
    assert "is the server up?" in one_line(err)


def test_explain_without_httpx(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    code, _, err = run("explain", "qwen3:8b", "--endpoint", "http://127.0.0.1:9")
    assert code == 2
    assert "needs httpx" in one_line(err)
    assert explain("qwen3:8b", None, None, as_json=True) == 0


# The command line.


def test_wrong_options(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["what"], ["show"], ["show", "x", "--mode", "fast"], ["new"]):
        with pytest.raises(SystemExit) as caught:
            main(["cards", *arguments])
        assert caught.value.code == 2
    assert "usage: gptme-reliability cards" in capsys.readouterr().err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m gptme_reliability.cli cards list | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
    )
    assert done.stderr == ""
    assert done.stdout.startswith("family\t")


def test_help_imports_no_card_and_no_client() -> None:
    code = """
import sys
from gptme_reliability.cli import main
try:
    main(["cards", "--help"])
except SystemExit:
    pass
heavy = {"httpx", "rich", "jsonschema", "gptme", "gptme_reliability.cards"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_declared_is_nothing_said() -> None:
    assert contract(identify("qwen3:8b"), CARDS, declared=Declared()) == contract(
        identify("qwen3:8b"), CARDS
    )
