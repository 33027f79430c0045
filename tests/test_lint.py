"""``lint``: each rule on definitions that need it and on those that do not, and its command."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptme_reliability.lint import RULES, lint, tokens

CASES = Path(__file__).parent / "cases"
ROWS = [json.loads(line) for line in (CASES / "lint.jsonl").read_text("utf-8").splitlines()]
GPTME = CASES / "gptme_tools.json"
COMMAND = [sys.executable, "-m", "gptme_reliability.cli", "lint"]
BAD: dict[str, Any] = {
    "name": "wait",
    "description": "Waits before the next step.",
    "parameters": {
        "type": "object",
        "properties": {"timeout": {"type": "number", "description": "How long."}},
        "required": ["timeout", "mo\nre"],
    },
}
HINT = {"name": "get_state", "description": "Get the state."}
CLEAN = {"name": "ping", "description": "Says whether the server answers."}
KEYWORDS = (
    "type properties required items enum default const examples $ref anyOf oneOf allOf not "
    "description name parameters function input_schema strict additionalProperties pattern "
    "minimum maxLength minItems nullable prefixItems $defs timeout date path"
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["object", "string", "array", "number", "String", "#/$defs/a", "one of a, b"])
)
DEFINITIONS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYWORDS.split()) | st.text(max_size=5), inner, max_size=6
        )
    ),
    max_leaves=30,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_rows(row: dict[str, Any]) -> None:
    """Each definition gets these findings and no others."""
    found = [[finding.rule, finding.path] for finding in lint(row["tools"])]
    assert sorted(found) == sorted(row["found"])


def test_rows_reach_every_rule() -> None:
    """No rule is without a row, and no row's name stands twice."""
    assert {rule for row in ROWS for rule, _ in row["found"]} == RULES.keys()
    assert len({row["id"] for row in ROWS}) == len(ROWS) >= 70


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_findings_are_complete(row: dict[str, Any]) -> None:
    """A finding has the severity of its rule, one line of words, and the name of its tool."""
    names = {tool.get("function", tool).get("name") for tool in row["tools"] if _is_tool(tool)}
    for finding in lint(row["tools"]):
        assert finding.severity == RULES[finding.rule].severity
        assert finding.message.isprintable() and "{" not in finding.message
        assert finding.tool in {*names, None}


def _is_tool(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("function", tool), dict)


def test_tools_of_gptme() -> None:
    """Of definitions without any description nothing else is said."""
    found = lint(json.loads(GPTME.read_text("utf-8")))
    assert [(finding.rule, finding.tool) for finding in found] == [
        ("no_description", name)
        for name in ("append", "complete", "patch", "read", "save", "shell", "ipython")
    ]


@given(st.lists(DEFINITIONS, max_size=4))
def test_any_json(tools: list[Any]) -> None:
    """Nothing raises, and the same definitions give the same findings."""
    found = lint(tools)
    assert lint(json.loads(json.dumps(tools))) == found
    assert all(finding.message.isprintable() for finding in found)


@given(DEFINITIONS)
def test_any_schema(schema: Any) -> None:
    """The same within a tool that is right otherwise."""
    for parameters in (schema, {"type": "object", "properties": {"timeout": schema}}):
        found = lint([{**CLEAN, "parameters": parameters}])
        assert found == lint([{**CLEAN, "parameters": parameters}])


def test_deep_definitions() -> None:
    """Depth does not raise, and is one finding."""
    schema: dict[str, Any] = {"type": "string", "description": "The innermost word."}
    for _ in range(5_000):
        schema = {"type": "object", "description": "A level.", "properties": {"a": schema}}
        schema["required"] = ["a"]
    found = [finding.rule for finding in lint([{**CLEAN, "parameters": schema}])]
    assert "too_deep" in found and len(found) < 5


def test_tokens_are_estimated_from_compact_json() -> None:
    """Characters of the compact JSON divided by 4, rounded up."""
    for row in ROWS:
        for tool in row["tools"]:
            compact = json.dumps(tool, ensure_ascii=False, separators=(",", ":"))
            assert tokens(tool) == -(-len(compact) // 4)


# --- the command --------------------------------------------------------------------------


def run(tmp_path: Path, content: Any, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command on a file with this content; bytes are written as they are."""
    path = tmp_path / "tools.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return subprocess.run(
        [*COMMAND, str(path), *options], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("tools", "code", "summary"),
    [
        ([], 0, "0 tools, about 0 tokens (estimate: characters / 4); 0 errors, 0 warnings"),
        ([CLEAN], 0, "0 errors, 0 warnings, 0 hints; most tokens: ping 16"),
        ([HINT], 0, "0 errors, 0 warnings, 1 hint;"),
        ([BAD], 1, "1 error, 1 warning, 0 hints"),
        ({"tools": [BAD], "model": "m"}, 1, "1 tool, about"),
    ],
)
def test_exit_codes(tmp_path: Path, tools: Any, code: int, summary: str) -> None:
    """Hints alone are no failure; the last line sums up."""
    done = run(tmp_path, tools)
    assert done.returncode == code
    assert not done.stderr
    assert summary in done.stdout.splitlines()[-1]


def test_lines_in_a_pipe(tmp_path: Path) -> None:
    """A finding a line, without what a terminal would obey."""
    *lines, _ = run(tmp_path, [BAD]).stdout.splitlines()
    assert lines == [
        "$.tools[0].parameters: error required_undefined: "
        "'required' lists 'mo re', which is no property",
        "$.tools[0].parameters.properties.timeout: warning no_unit: "
        "a number without a unit; try 'timeout_seconds', or describe it",
    ]


def test_json(tmp_path: Path) -> None:
    """The same as JSON, with the cost of each tool in the last line."""
    done = run(tmp_path, [BAD, "shell"], "--json")
    *findings, figures = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert findings[0] == {
        "rule": "required_undefined",
        "severity": "error",
        "path": "$.tools[0].parameters",
        "message": "'required' lists 'mo re', which is no property",
        "tool": "wait",
    }
    costs = [{"name": "wait", "tokens": tokens(BAD)}, {"name": None, "tokens": 2}]
    assert figures == {
        "tools": costs,
        "tokens": tokens(BAD) + 2,
        "errors": 2,
        "warnings": 1,
        "hints": 0,
    }


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "is no JSON"),
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"5", "must be a list"),
        (b'{"name": "shell"}', "must be a list"),
    ],
)
def test_wrong_files(tmp_path: Path, content: bytes, fragment: str) -> None:
    """Wrong input is one line on standard error."""
    done = run(tmp_path, content)
    assert (done.returncode, done.stdout) == (2, "")
    assert fragment in done.stderr and done.stderr.count("\n") == 1


def test_missing_file() -> None:
    """A file that is not there is wrong input; so is none."""
    done = subprocess.run([*COMMAND, "/nowhere/tools.json"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "gptme-reliability: cannot read /nowhere/tools.json: No such file or directory\n"
    )
    assert subprocess.run(COMMAND, capture_output=True).returncode == 2


def test_narrow_encoding(tmp_path: Path) -> None:
    """A name that the terminal's encoding lacks is no failure."""
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([{"name": "天气", "description": "TODO"}]))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, str(path)], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert r"\u5929\u6c14" in done.stdout


def test_table_on_a_terminal(tmp_path: Path) -> None:
    """A terminal gets a table, in which the author's text moves nothing."""
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([{**BAD, "name": "\x1b[2Jwait [red]"}]))
    shown = " ".join(_on_a_terminal(str(path)).split())
    assert "tool severity rule finding" in shown
    assert "\x1b[2J" not in shown
    assert "[2Jwait [red] error bad_name name" in shown
    assert "parameters.properties.timeout" in shown


def _on_a_terminal(path: str) -> str:
    """What a terminal of 120 columns gets, without its styles."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen([*COMMAND, path], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    read = b""
    with open(ours, "rb", buffering=0) as terminal:
        try:
            while piece := terminal.read(4096):
                read += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    assert process.wait(timeout=60) == 1
    return re.sub(r"\x1b\[[0-9;]*m", "", read.decode())
