"""The command ``audit``: what it reads, what it prints and writes, and what it keeps to itself."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest
from audit_logs import LEAK, LEAKED, lay_out, write

from gptme_reliability.audit.counting import Key, Tally
from gptme_reliability.audit.finding import default_dir
from gptme_reliability.audit.words import summary
from gptme_reliability.cli import main

COMMAND: Final = [sys.executable, "-m", "gptme_reliability.cli", "audit"]


@dataclass
class Done:
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str | Path) -> Done:
    """The command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["audit", *map(str, arguments)])
    return Done(code, out.getvalue(), err.getvalue())


def report(*arguments: str | Path) -> Any:
    """The report as JSON."""
    done = run("--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_gptmes_own_logs_are_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a name, the directory is that of gptme."""
    monkeypatch.setenv("GPTME_LOGS_HOME", str(lay_out(tmp_path, LEAKED)))
    assert report()["failures"]["total"] == 2


def test_where_gptme_keeps_its_logs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The directory is the one that gptme itself says."""
    gptme_dirs = pytest.importorskip("gptme.dirs")
    for env in ({"GPTME_LOGS_HOME": str(tmp_path / "a")}, {"XDG_DATA_HOME": str(tmp_path / "b")}):
        monkeypatch.delenv("GPTME_LOGS_HOME", raising=False)
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        assert default_dir() == gptme_dirs.get_logs_dir()


def test_the_words(tmp_path: Path) -> None:
    """A pipe gets plain lines, and nothing on standard error."""
    done = run(lay_out(tmp_path, LEAKED, LEAKED[-3:]))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 of 2 logs, 11 messages, 6 answers, 2 calls run\n2 failures")
    model = "local//home/ann/models/tiny.gguf"
    assert f"1\tleaked_call\tshell\ttool\t{model}" in done.stdout
    assert "detect\t1\t50 %" in done.stdout and "re-ask\t1\t50 %" in done.stdout
    assert "2026-01-01-talk-0, line 2" in done.stdout
    assert '    enabled = ["reliability"]' in done.stdout


def test_redacted_reports_hold_nothing_private(tmp_path: Path) -> None:
    """Neither contents nor paths nor names of conversations, in any form of the report."""
    logs, page = lay_out(tmp_path / "logs", LEAKED), tmp_path / "page.html"
    words = run(logs, "--redact", "--html", page).stdout
    shown = "".join((words, page.read_text(), run(logs, "--redact", "--json").stdout))
    for private in ("secret", "ann", "talk-0", str(tmp_path)):
        assert private not in shown
    assert "leaked_call" in shown and "local/tiny.gguf" in shown and "(no such tool)" in shown
    plain = run(logs).stdout
    assert "secret.txt" in plain and "my_secret" in plain


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("local//home/ann/tiny.gguf", "local/tiny.gguf"),
        ("local/file:///home/ann/tiny.gguf", "local/tiny.gguf"),
        ("local/home/ann/tiny.GGUF", "local/tiny.GGUF"),
        ("/home/ann/tiny", "tiny"),
        ("C:\\Users\\ann\\tiny.gguf", "tiny.gguf"),
        ("local/hf.co/org/tiny-GGUF:Q4_K_M", "local/hf.co/org/tiny-GGUF:Q4_K_M"),
        ("openrouter/org/tiny:free", "openrouter/org/tiny:free"),
    ],
)
def test_of_a_models_file_only_the_name_is_shown(name: str, shown: str, tmp_path: Path) -> None:
    answer = {**LEAKED[1], "metadata": {"model": name}}
    logs = lay_out(tmp_path, [LEAKED[0], answer])
    assert list(report(logs, "--redact")["answers"]) == [shown]
    assert list(report(logs)["answers"]) == [name]


def test_a_closed_directory_does_not_close_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It counts as a log that cannot be read, since whatever day."""
    logs = lay_out(tmp_path, LEAKED, LEAKED)
    closed, is_file, opened = logs / "2026-01-01-talk-0", Path.is_file, Path.open

    def refuse(path: Path) -> None:
        if path.parent == closed:
            raise PermissionError(13, "Permission denied")

    def guarded_is_file(path: Path) -> bool:
        refuse(path)
        return is_file(path)

    def guarded_open(path: Path, *rest: Any, **more: Any) -> Any:
        refuse(path)
        return opened(path, *rest, **more)

    monkeypatch.setattr(Path, "is_file", guarded_is_file)
    monkeypatch.setattr(Path, "open", guarded_open)
    made = report(logs, "--since", "2000-01-01")
    assert made["logs"] == {"found": 2, "read": 1, "unreadable": 1}
    assert made["failures"]["total"] == 2


def test_what_is_no_file_is_no_branch(tmp_path: Path) -> None:
    """A link to nowhere, a directory, and a pipe, which would never end."""
    logs = lay_out(tmp_path, LEAKED)
    branches = logs / "2026-01-01-talk-0" / "branches"
    (branches / "directory.jsonl").mkdir(parents=True)
    (branches / "link.jsonl").symlink_to(branches / "nowhere")
    os.mkfifo(branches / "pipe.jsonl")
    assert report(logs)["logs"]["found"] == 1


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (1, "1 of 1 log, 1 message, 0 answers, 1 call run\n1 failure (- per 100 answers)\n1 line "),
        (2, "2 of 2 logs, 2 messages, 0 answers, 2 calls run\n2 failures (- per 100 answers)\n2 l"),
    ],
)
def test_one_is_no_plural(count: int, said: str) -> None:
    tally = Tally(logs=count, found=count, messages=count, calls=count, broken_lines=count)
    tally.failures[Key("lost", "shell", "tool", "tiny")] = count
    assert "\n".join(summary(tally, interrupted=False)).startswith(said)


def test_broken_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    """Half a line, bytes that are no text, and JSON that is no message cost nothing else."""
    logs = lay_out(tmp_path, LEAKED)
    path = logs / "2026-01-01-talk-0" / "conversation.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    broken = [b'{"role": "user", "con\n', b"\xff\xfe\n", b"[1]\n", b'{"role": "user"}\n', b"\n"]
    broken.append(b'{"role": ["user"], "content": "Hi"}\n')
    path.write_bytes(b"".join([*broken, *lines, b'{"role": "assi']))
    made = report(logs)
    assert made["broken_lines"] == 6
    assert (made["messages"], made["failures"]["total"]) == (8, 2)
    assert made["costliest"][0]["line"] == 8
    assert "6 lines skipped: no message can be read there" in run(logs).stdout


def test_what_no_terminal_can_show(tmp_path: Path) -> None:
    """Half a character and signs that move a cursor come out as something else."""
    odd = {**LEAKED[1], "content": LEAK.replace("cat", "cat \x1b[2J \ud800")}
    page = tmp_path / "page.html"
    done = run(lay_out(tmp_path / "logs", [LEAKED[0], odd]), "--html", page)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + page.read_text(encoding="utf-8")


def test_old_logs_can_be_left_out(tmp_path: Path) -> None:
    """By the day on which they were last written."""
    logs = lay_out(tmp_path, LEAKED, LEAKED)
    os.utime(logs / "2026-01-01-talk-0" / "conversation.jsonl", (0, 86_400 * 365))
    assert report(logs, "--since", "2000-01-01")["logs"]["found"] == 1
    with pytest.raises(SystemExit) as error:
        run(logs, "--since", "yesterday")
    assert error.value.code == 2


def test_a_terminal_sees_progress(tmp_path: Path) -> None:
    """The bar is on standard error, where somebody looks."""
    ours, theirs = os.openpty()
    logs = lay_out(tmp_path, *[LEAKED] * 20)
    env = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(
        [*COMMAND, str(logs)], stdout=subprocess.PIPE, stderr=theirs, env=env, timeout=60
    )
    os.close(theirs)
    assert done.returncode == 0
    assert b"reading logs" in os.read(ours, 100_000)
    os.close(ours)


def test_branches_count_once(tmp_path: Path) -> None:
    """What a branch shares with its conversation is not counted again; what is new is."""
    logs = lay_out(tmp_path, LEAKED)
    branches = logs / "2026-01-01-talk-0" / "branches"
    branches.mkdir()
    write(branches / "main-edit-0.jsonl", LEAKED)
    assert report(logs)["failures"]["total"] == 2
    write(branches / "main-edit-0.jsonl", [*LEAKED, *LEAKED[:3]])
    made = report(logs)
    assert (made["failures"]["total"], made["messages"]) == (3, 11)
    alone = report(branches / "main-edit-0.jsonl")
    assert (alone["failures"]["total"], alone["messages"]) == (1, 3)


@pytest.mark.parametrize("place", ["missing", "empty"])
def test_a_bad_place(place: str, tmp_path: Path) -> None:
    """One line that says what is wrong, and where."""
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / place)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"gptme-reliability: {tmp_path}/{place}: [^\n]+\n", done.stderr)


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    """It is said before anything is read."""
    done = run(lay_out(tmp_path, LEAKED), "--html", tmp_path / "no" / "page.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert "page.html: cannot be written" in done.stderr


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "style")]
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone(tmp_path: Path) -> None:
    """It has its plots in it, for light and for dark, loads nothing, and escapes what it shows."""
    evil = {**LEAKED[1], "content": LEAK.replace("cat", "<script>alert(1)</script>")}
    done = run(lay_out(tmp_path, [LEAKED[0], evil]), "--html", tmp_path / "page.html")
    assert done.returncode == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == [] and page.links == []
    assert page.tags.count("svg") == 3 and "script" not in page.tags
    assert not re.search(r"https?:|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text and "&lt;script&gt;" in text


def test_an_interruption_shows_what_is_known(tmp_path: Path) -> None:
    """Ctrl-C ends the reading, not the report."""
    logs = lay_out(tmp_path, LEAKED)
    code = (
        "import os, signal, sys\n"
        "from gptme_reliability.audit import run\n"
        "from gptme_reliability.cli import main\n"
        "def interrupted(*_): os.kill(os.getpid(), signal.SIGINT)\n"
        "real = run.audit\n"
        "def audit(logs, tally, **more):\n"
        "    more['done'] = interrupted\n"
        "    real([logs[0], logs[0]], tally, **more)\n"
        "run.audit = audit\n"
        f"sys.exit(main(['audit', {str(logs)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, "")
    assert done.stdout.startswith("interrupted: this is what was known by then\n0 of 2 logs")
    assert "leaked_call" in done.stdout


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    """A pipe that is closed early is no fault."""
    logs = lay_out(tmp_path, LEAKED)
    with subprocess.Popen(
        [*COMMAND, str(logs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.wait(60) in (0, 128 + signal.SIGPIPE)
        assert process.stderr.read() == b""
