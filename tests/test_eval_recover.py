"""``eval recover``: what counts as right, and what a measurement leaves behind."""

from __future__ import annotations

import gzip
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gptme_reliability import Accept
from gptme_reliability.cli import _parser
from gptme_reliability.errors import InputError
from gptme_reliability.evals import recover_scoring
from gptme_reliability.evals.recover_report import summary, tally
from gptme_reliability.evals.recover_rows import made_up_tools, read_row
from gptme_reliability.evals.recover_scoring import POLICIES, looks_like_call, score
from gptme_reliability.evals.recover_streaming import SOON, watch

CASES = Path(__file__).parent / "cases"
CORPUS = CASES / "recover.jsonl"
LINES = CORPUS.read_text(encoding="utf-8").splitlines()
COMMAND = [sys.executable, "-m", "gptme_reliability.cli", "eval", "recover", "--corpus"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def results(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file."""
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def plain_row(raw: str, **more: Any) -> str:
    return json.dumps({"raw": raw, "expected": [], **more})


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(json.loads(line)["id"]))
def test_outcomes(line: str) -> None:
    """Each row is judged as it says, with a reason where it is not right."""
    result = score(read_row(line, 1))
    assert result.outcome == json.loads(line)["outcome"], result.reason
    assert bool(result.reason) == (result.outcome != "right")


@pytest.mark.parametrize(
    "case",
    [json.loads(line) for line in (CASES / "recover_broken.jsonl").read_text().splitlines()],
    ids=lambda case: case["id"],
)
def test_broken_rows(case: dict[str, Any]) -> None:
    """A row that cannot be used is said to be so, with its line."""
    with pytest.raises(InputError) as caught:
        read_row(json.dumps(case["row"]), 1)
    assert str(caught.value).startswith(case["says"])
    assert "\n" not in str(caught.value)


def test_made_up_tools() -> None:
    """A row without tools is offered tools with the types of what is expected."""
    calls = [
        {"name": "mix", "arguments": {"a": 1, "b": [1, 2], "c": {"d": None}, "e": True}},
        {"name": "mix", "arguments": {"a": 1.5, "b": [1, "x"], "e": "yes"}},
    ]
    row = read_row(json.dumps({"raw": "", "expected": calls}), 1)
    mix, *bystanders = made_up_tools(row.expected or ())
    assert mix.parameters["properties"] == {
        "a": {"type": "number"},
        "b": {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array"}]},
        "c": {"type": "object", "properties": {"d": {"type": ["null", "string"]}}},
        "e": {"anyOf": [{"type": "boolean"}, {"type": "string"}]},
    }
    assert len(bystanders) == 2
    assert row.tools == (mix, *bystanders)


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("send.mail(to='x')", True),
        ("functions.send_mail ( )", True),
        (r"send\_mail(", True),
        ('{"name": "send.mail", "arguments": {', True),
        ('{"send.mail": {"to"', True),
        ("send.mail\n{", True),
        ("<function=send.mail>{", True),
        ("The tool send.mail is of no use here (none is).", False),
        ("resend.mail(", False),
        ('"send.mail" is a tool', False),
        ("", False),
    ],
)
def test_looks_like_call(text: str, looks: bool) -> None:
    """The name of a tool alone is no call."""
    row = read_row(json.dumps({"raw": "", "expected": [{"name": "send.mail", "arguments": {}}]}), 1)
    assert looks_like_call(text, row.tools) is looks


def test_a_check_that_raises_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the core is an outcome, and does not end the measurement."""

    def fail(*arguments: Any, **named: Any) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(recover_scoring, "check", fail)
    result = score(read_row(LINES[0], 1), streamed=True)
    assert result.outcome == "error"
    assert result.reason == "check raised ZeroDivisionError: boom"
    assert result.is_fault


def test_text_shown_too_early_is_noticed() -> None:
    """Text that was shown and is not in the verdict's text was shown too early."""
    row = read_row(plain_row("Some words."), 1)
    assert watch(row, Accept(text="Some words."), plain=True).early is None
    early = watch(row, Accept(text="Other words."), plain=True).early
    assert early == "per character, 11 characters were shown"


def test_hold_statistics() -> None:
    """Plain text is counted as shown soon, text behind an opener only near the end."""
    words = "word " * 40
    row = read_row(plain_row(words), 1)
    shown = watch(row, Accept(text=words), plain=True)
    assert (shown.soon, shown.chars) == (len(words), len(words))
    held = "<tool_call>" + words
    shown = watch(read_row(plain_row(held), 1), Accept(text=held), plain=True)
    assert (shown.soon, shown.chars) == (SOON, len(held))


def test_the_row_s_own_pieces_are_streamed() -> None:
    """A row that carries its pieces is streamed so as well."""
    row = read_row(plain_row("ab", stream_chunks=["a", "b"]), 1)
    assert row.chunks == ("a", "b")
    assert score(row, streamed=True).shown is not None


def test_policies() -> None:
    """The permissive policy allows every class of repairs."""
    assert POLICIES["default"].allow < POLICIES["permissive"].allow
    assert "lossy" in POLICIES["permissive"].allow


def test_figures() -> None:
    """The totals count every kind of row once, and leave out what stands apart."""
    scored = [score(read_row(line, number)) for number, line in enumerate(LINES, 1)]
    figures = tally(result for result in scored if result.counted)
    assert figures.rows == len(LINES) - 1 == sum(figures.outcomes.values())
    assert (figures.expecting, figures.silent) == (17, 2)
    assert figures.recovered == 9
    assert (figures.bare, figures.spurious) == (1, 0)
    assert summary(tally([])) == ["no rows"]


def test_report() -> None:
    """In a pipe: the table and totals on standard output, nothing else."""
    done = run(CORPUS, "--fails", "2", "--streamed")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "policy (apart)" in done.stdout
    assert "text/m" in done.stdout
    assert "rows that expect calls: 17; the expected ones run on 9 (52.9 %)" in done.stdout
    assert "streamed: 20 rows, text shown too early on 0" in done.stdout
    fails = [line for line in done.stdout.splitlines() if line.startswith(("false", "wrong"))]
    assert [line.split()[:2] for line in fails] == [["false", "false"], ["false", "policy"]]


def test_selection() -> None:
    """Only some families, and no more rows than asked for."""
    assert "rows that expect calls: 1;" in run(CORPUS, "--only", "native/*").stdout
    assert "rows that expect calls: 2; " in run(CORPUS, "--limit", "3").stdout


def test_results_file(tmp_path: Path) -> None:
    """A result a row, in order, whatever the number of processes."""
    paths = [tmp_path / name for name in ("one.jsonl", "two.jsonl")]
    for path, jobs in zip(paths, ("1", "2"), strict=True):
        assert run(CORPUS, "--json", path, "--jobs", jobs).returncode == 0
    one, two = map(results, paths)
    assert [row["id"] for row in one] == [json.loads(line)["id"] for line in LINES]
    assert one[0]["calls"] == [{"name": "shell", "arguments": {"command": "ls"}}]
    for row in one + two:
        assert row.pop("us") > 0
    assert one == two


def test_resume(tmp_path: Path) -> None:
    """Rows that are in the results file are not measured again; half a line is."""
    path = tmp_path / "results.jsonl"
    run(CORPUS, "--json", path, "--limit", "5")
    first = path.read_bytes()
    assert first.count(b"\n") == 5
    path.write_bytes(first[:-20])
    done = run(CORPUS, "--json", path, "--resume")
    assert done.returncode == 0
    assert path.read_bytes().startswith(first[: first.rstrip().rfind(b"\n") + 1])
    assert [row["line"] for row in results(path)] == list(range(1, len(LINES) + 1))
    assert "rows that expect calls: 17; the expected ones run on 9 (52.9 %)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--json", "{results}"], "exists; go on with --resume, or delete it"),
        (["--json", "{results}", "--resume", "--policy", "permissive"], "line 1 is no result of"),
        (["--json", "{results}", "--resume", "--streamed"], "a run without --streamed"),
        (["--json", "{corpus}", "--resume"], "line 1 is no result of a measurement"),
        (["--json", "{folder}/no/such", "--resume"], "cannot write"),
        (["--resume"], "--resume needs --json FILE"),
        (["--limit", "0"], "must be a number from 1 on, not '0'"),
    ],
)
def test_wrong_options(arguments: list[str], says: str, tmp_path: Path) -> None:
    """Wrong options are said in one line, and no file is changed."""
    known = {"results": tmp_path / "r.jsonl", "corpus": tmp_path / "c.jsonl", "folder": tmp_path}
    known["corpus"].write_text(plain_row("x"))
    assert run(known["corpus"], "--json", known["results"]).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = run(known["corpus"], *(argument.format(**known) for argument in arguments))
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_broken_rows_are_counted(tmp_path: Path) -> None:
    """Each broken row is one line on standard error; the rest is measured."""
    path = tmp_path / "rows.jsonl"
    path.write_text(f'{plain_row("a")}\n{{"raw":\n\n[1]\n{{"raw": "x"}}\n{plain_row("b")}\n')
    done = run(path, "--json", tmp_path / "results.jsonl")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1].split(" ")[:2] for line in lines] == [
        ["line", "2"],
        ["line", "4"],
        ["line", "5"],
    ]
    assert "rows that could not be read: 3" in done.stdout
    assert [row["id"] for row in results(tmp_path / "results.jsonl")] == ["line 1", "line 6"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.jsonl", None, "cannot read"),
        ("empty.jsonl", b"\n\n", "holds no rows: it is empty"),
        ("text.jsonl", b"Dear reader,\nthis is prose.\n", "holds no rows: line 1 is no JSON"),
        ("plain.jsonl.gz", b"{}\n", "Not a gzipped file"),
        ("cut.jsonl.gz", gzip.compress(LINES[0].encode() + b"\n")[:-9], "cannot read"),
        ("binary.jsonl", bytes(range(256)), "holds no rows: line 1 is no JSON"),
    ],
)
def test_wrong_files(name: str, content: bytes | None, says: str, tmp_path: Path) -> None:
    """A corpus that is none is said to be so in one line."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    done = run(tmp_path / name)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("gptme-reliability: ")
    assert says in line


def test_a_family_that_no_row_is_of() -> None:
    """A pattern that was misspelt is no measurement."""
    done = run(CORPUS, "--only", "zzz")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gptme-reliability: no row is of a family like 'zzz'\n"


def test_compressed_corpus(tmp_path: Path) -> None:
    """A compressed corpus is read like the plain one."""
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(CORPUS.read_bytes()))
    assert "rows that expect calls: 17;" in run(path).stdout


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_interrupt(jobs: str, tmp_path: Path) -> None:
    """Ctrl-C leaves whole lines in the results file and prints what was finished."""
    corpus, path = tmp_path / "rows.jsonl", tmp_path / "results.jsonl"
    corpus.write_text((plain_row("Some words. " * 100) + "\n") * 20_000)
    command = [*COMMAND, str(corpus), "--json", str(path), "--streamed", "--jobs", jobs]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 30
    while not (path.exists() and path.stat().st_size):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == ""
    finished = results(path)
    assert 0 < len(finished) < 20_000
    assert f"rows that expect none: {len(finished):,};" in out
    done = run(corpus, "--json", path, "--resume", "--streamed", "--limit", str(len(finished) + 2))
    assert done.returncode == 0
    assert [row["line"] for row in results(path)] == list(range(1, len(finished) + 3))


def test_what_models_write_breaks_nothing(tmp_path: Path) -> None:
    """Whatever stands in a row, results are lines of JSON and a terminal is not driven by it."""
    wild = "\ud800\n\u2028\x1b[31m\x9b[/red]\u4e2d"
    call = json.dumps({"name": "shell", "arguments": {"command": wild}})
    tool = {"name": "shell", "parameters": {"properties": {"command": {"type": "string"}}}}
    path = tmp_path / "rows.jsonl"
    path.write_text(plain_row(call, id=wild, family=wild, tools=[tool]) + "\n")
    done = run(path, "--json", tmp_path / "results.jsonl", "--fails", "1")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert "\x9b" not in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("false"))
    assert "[/red]\u4e2d" in line
    (result,) = results(tmp_path / "results.jsonl")
    assert result["calls"][0]["arguments"] == {"command": wild}
    assert result["id"] == wild


def test_examples() -> None:
    """The examples of the help and of the README use options that exist."""
    help_text = subprocess.run([*COMMAND[:-1], "--help"], capture_output=True, text=True).stdout
    readme = (CASES.parent.parent / "README.md").read_text(encoding="utf-8")
    examples = re.findall(r"^ *gptme-reliability (eval recover --.*)$", help_text + readme, re.M)
    assert len(examples) == 4
    for example in examples:
        _parser().parse_args(shlex.split(example))
