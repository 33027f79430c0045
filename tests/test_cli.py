"""The command line: ``check``, its rows, and what wrong input gets."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scenario_tables import CASES

from gptme_reliability import __version__

COMMAND = [sys.executable, "-m", "gptme_reliability.cli"]
SHELL = {
    "type": "function",
    "function": {
        "name": "shell",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
            "additionalProperties": False,
        },
    },
}
CALL = '<tool_call>\n{"name": "shell", "arguments": {"command": "ls"}}\n</tool_call>'
KEYS = ["verdict", "calls", "refused", "text", "repairs", "violations", "feedback"]


def run(*arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command line."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, timeout=60)


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A file with one tool."""
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([SHELL]), encoding="utf-8")
    return str(path)


def verdict(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The one line that was printed."""
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    value: dict[str, Any] = json.loads(lines[0])
    return value


def rows(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    """The lines that were printed."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_package_is_the_command() -> None:
    """``python -m gptme_reliability`` is what is installed as ``gptme-reliability``."""
    command = [sys.executable, "-m", "gptme_reliability"]
    done = subprocess.run([*command, "check"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: gptme-reliability check ")


def test_version() -> None:
    """The version, and nothing else."""
    assert run("--version").stdout.decode() == f"gptme-reliability {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("check",), ("lint",), ("demo",)])
def test_help_teaches(arguments: tuple[str, ...]) -> None:
    """Help goes to standard output and shows how a command is used."""
    done = run(*arguments, "--help")
    assert done.returncode == 0
    assert not done.stderr
    text = done.stdout.decode()
    assert "usage: gptme-reliability" in text
    if arguments == ("lint",):
        assert "gptme-reliability lint tools.json" in text
    elif arguments != ("demo",):
        assert "gptme-reliability check --tools tools.json" in text


def test_help_is_fast_to_load() -> None:
    """Nothing heavy is imported before a command runs."""
    code = (
        "import sys, gptme_reliability.cli as c; c._parser(); "
        "print([m for m in ('jsonschema', 'rich', 'gptme', 'json_repair') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_example_of_the_help(tools: str) -> None:
    """What --help shows is what happens."""
    done = run(
        "check",
        "--tools",
        tools,
        stdin='<tool_call>{"name": "Shell", "arguments": {"command": "ls"\n',
    )
    value = verdict(done)
    assert value["verdict"] == "accept"
    assert value["calls"] == [{"name": "shell", "arguments": {"command": "ls"}}]


def test_accept(tools: str) -> None:
    """A call in text, with all keys of the answer."""
    value = verdict(run("check", "--tools", tools, stdin="Let me look.\n" + CALL))
    assert list(value) == KEYS
    assert value["verdict"] == "accept"
    assert value["calls"] == [{"name": "shell", "arguments": {"command": "ls"}}]
    assert value["text"] == "Let me look."
    assert value["feedback"] is None


def test_retry(tools: str) -> None:
    """A fault comes with words for the model."""
    broken = '<tool_call>\n{"name": "shell", "arguments": {}}\n</tool_call>'
    value = verdict(run("check", "--tools", tools, stdin=broken))
    assert value["verdict"] == "retry"
    assert value["calls"] == []
    assert value["violations"][0]["path"] == "$.command"
    assert "command" in value["feedback"]


def test_finish_reason(tools: str) -> None:
    """What was cut off is not closed."""
    cut = '<tool_call>\n{"name": "shell", "arguments": {"command": "ls"'
    assert verdict(run("check", "--tools", tools, stdin=cut))["verdict"] == "accept"
    done = run("check", "--tools", tools, "--finish-reason", "length", stdin=cut)
    assert verdict(done)["verdict"] == "retry"


def test_object_with_tools(tmp_path: Path) -> None:
    """The file may be a request's body, and a tool may come without its envelope."""
    path = tmp_path / "tools.json"
    path.write_text(json.dumps({"tools": [SHELL["function"]]}), encoding="utf-8")
    assert verdict(run("check", "--tools", str(path), stdin=CALL))["calls"]


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ("{", ["is no JSON"]),
        ("5", ["must be a list", "an integer"]),
        ('["shell"]', ["entry 0", "object"]),
        ('[{"foo": 1}]', ["entry 0", "'name'"]),
        ('[{"name": "shell", "input_schema": {}}]', ["entry 0", "input_schema"]),
        ('[{"name": "shell", "parameters": 5}]', ["entry 0", "'shell'", "schema"]),
        ('[{"name": "shell", "parameters": {"type": "objekt"}}]', ["entry 0", "'shell'", "schema"]),
        ("[" * 100_000, ["is no JSON"]),
        (None, ["cannot read", "No such file"]),
    ],
)
def test_wrong_tools(tmp_path: Path, content: str | None, fragments: list[str]) -> None:
    """One line says which file, where in it, and what is wrong."""
    path = tmp_path / "tools.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    done = run("check", "--tools", str(path), stdin=CALL)
    assert done.returncode == 2
    assert done.stdout == b""
    message = done.stderr.decode()
    assert message.count("\n") == 1
    for fragment in [str(path), *fragments]:
        assert fragment in message


def test_tools_file_is_no_text(tmp_path: Path) -> None:
    """A binary file is said to be none of ours; so is a directory."""
    path = tmp_path / "tools.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    for wrong in (path, tmp_path):
        done = run("check", "--tools", str(wrong))
        assert done.returncode == 2
        assert str(wrong) in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [(), ("check",), ("check", "--jsonl", "--finish-reason", "stop"), ("chekc",), ("check", "-x")],
)
def test_wrong_options(arguments: tuple[str, ...]) -> None:
    """Wrong options end with 2 and no traceback."""
    done = run(*arguments)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"error:" in done.stderr


def test_rows_in_order() -> None:
    """A row that cannot be read gets an error, the rest goes on, and the exit code tells."""
    given = [
        json.dumps({"id": "a", "raw": CALL, "tools": [SHELL]}),
        "{broken",
        "",
        "[1]",
        json.dumps({"id": 3, "tools": [SHELL]}),
        json.dumps({"id": 4, "raw": CALL}),
        json.dumps({"id": 5, "raw": CALL, "tools": [{}]}),
        json.dumps({"id": 6, "raw": 7, "tools": [SHELL]}),
        json.dumps({"id": 7, "raw": "", "tools": [SHELL], "messages": ["hi"]}),
        json.dumps({"id": {"deep": [1]}, "raw": "Hello.", "tools": [SHELL], "other": 1}),
    ]
    done = run("check", "--jsonl", stdin="\n".join(given))
    assert done.returncode == 1
    assert done.stderr == b""
    answers = rows(done)
    assert [row["id"] for row in answers] == ["a", None, None, 3, 4, 5, 6, 7, {"deep": [1]}]
    assert [row.get("verdict") for row in answers] == ["accept", *[None] * 7, "accept"]
    assert list(answers[0]) == ["id", *KEYS]
    for row, fragment in zip(
        answers[1:8],
        ["line 2", "line 4", "'raw'", "'tools'", "entry 0", "a string", "entry 0"],
        strict=True,
    ):
        assert fragment in row["error"]


def test_rows_with_everything() -> None:
    """Native calls, the finish reason and the conversation of a row are used."""
    native = {"id": "c", "type": "function", "function": {"name": "shell", "arguments": "{}"}}
    given = [
        {"id": 1, "raw": None, "tool_calls": [native], "tools": [SHELL]},
        {"id": 2, "raw": CALL[:-14], "finish_reason": "length", "tools": [SHELL]},
        {"id": 3, "raw": CALL, "messages": [{"role": "tool", "content": CALL}], "tools": [SHELL]},
        {"id": 4, "raw": "Hello.", "model": "some/model", "tools": []},
    ]
    done = run("check", "--jsonl", stdin="\n".join(map(json.dumps, given)))
    assert done.returncode == 0, done.stdout
    first, second, third, fourth = rows(done)
    assert first["verdict"] == second["verdict"] == "retry"
    assert third["calls"] == []
    assert fourth["verdict"] == "accept"


def test_rows_without_tools_get_those_of_the_option(tools: str) -> None:
    """--tools serves all rows that bring none."""
    done = run("check", "--jsonl", "--tools", tools, stdin=json.dumps({"id": 1, "raw": CALL}))
    assert rows(done)[0]["calls"]


def test_rows_come_as_they_go() -> None:
    """A verdict is there before the next row is."""
    process = subprocess.Popen(
        [*COMMAND, "check", "--jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    for number in range(3):
        process.stdin.write(
            json.dumps({"id": number, "raw": CALL, "tools": [SHELL]}).encode() + b"\n"
        )
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == number
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


@pytest.mark.parametrize(
    "raw",
    ["\ud800", "a\x00b", "\x00" * 50, '{"name": "shell", "arguments": {"command": "\ud83d"}}'],
    ids=["surrogate", "nul", "only-nul", "surrogate-in-call"],
)
def test_odd_characters(raw: str) -> None:
    """Lone surrogates and NUL go through; the output is ASCII."""
    done = run("check", "--jsonl", stdin=json.dumps({"id": raw, "raw": raw, "tools": [SHELL]}))
    assert done.returncode == 0, done.stdout
    assert done.stdout.isascii()
    row = rows(done)[0]
    assert row["id"] == raw
    assert row["text"] == raw or row["calls"]


def test_no_utf8(tools: str) -> None:
    """Bytes that are no UTF-8 are replaced, and that is said."""
    done = run("check", "--tools", tools, stdin=b"caf\xe9 is open")
    assert verdict(done)["text"] == "caf\ufffd is open"
    assert done.stderr.decode() == "gptme-reliability: input is no UTF-8 at byte 3; replaced\n"
    row = json.dumps({"id": 1, "raw": "caf?", "tools": [SHELL]}).encode().replace(b"?", b"\xe9")
    done = run("check", "--jsonl", stdin=row)
    assert rows(done)[0]["text"] == "caf\ufffd"
    assert b"line 1, byte" in done.stderr


def test_byte_order_mark(tools: str) -> None:
    """A byte order mark is no part of the answer."""
    assert verdict(run("check", "--tools", tools, stdin=b"\xef\xbb\xbfHello"))["text"] == "Hello"


def test_ten_megabytes(tools: str) -> None:
    """A very long answer gets a verdict."""
    done = run("check", "--tools", tools, stdin="{[<tool " * 1_250_000)
    assert verdict(done)["calls"] == []


def test_numbers_that_json_lacks() -> None:
    """NaN in a row is an error of that row only."""
    given = (
        '{"id": 1, "raw": "x", "tools": [], "messages": []}\n{"id": NaN, "raw": "x", "tools": []}'
    )
    done = run("check", "--jsonl", stdin=given)
    assert done.returncode == 1
    first, second = rows(done)
    assert first["verdict"] == "accept"
    assert second["id"] is None
    assert "NaN" in second["error"] or "JSON" in second["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(
    "arguments",
    [("check", "--jsonl"), ("eval", "recover", "--corpus", f"{CASES / 'recover.jsonl'}")],
    ids=["lines", "table"],
)
def test_closed_pipe(arguments: tuple[str, ...]) -> None:
    """A reader that has enough ends us without a word."""
    data = (json.dumps({"id": 1, "raw": CALL, "tools": [SHELL]}) + "\n") * 5000
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    _, stderr = process.communicate(data.encode(), timeout=60)
    assert stderr == b""
    assert process.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c() -> None:
    """Ctrl-C ends with 130 and no traceback."""
    process = subprocess.Popen(
        [*COMMAND, "check", "--jsonl"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps({"id": 1, "raw": "x", "tools": []}).encode() + b"\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stderr == b""
