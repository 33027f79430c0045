"""Several calls in the text of one answer: what the real gptme runs of them, and in which order.

Streamed, gptme stops at the first call and the model goes on with its result in view; the user
is told.  Whole, or where the user wants it so, it runs all: in the order in which they stand,
each with a result of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli_talk import Talk, talk

from gptme_reliability.evals.gptme_run import COMPLETE, ToolFormat
from gptme_reliability.evals.launch import Launcher
from gptme_reliability.evals.scenarios import Answer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "killpg"), reason="gptme is run in process groups"),
]

Steps = tuple[tuple[str, str], ...]
IN_ORDER: Steps = (("shell", "echo one >> log"), ("shell", "echo two >> log"))
TURNS: Steps = (("shell", "echo one >> log"), ("save log2", "two"), ("shell", "cat log2 >> log"))
TOLD = "gptme runs only the first of 2 calls in one text"


class Row(NamedTuple):
    """A way to run an answer, and what must have run of it."""

    form: ToolFormat
    steps: Steps
    streamed: bool
    all_wanted: bool
    log: str

    @property
    def name(self) -> str:
        """What its test is called."""
        how = "streamed" if self.streamed else "whole"
        wanted = "-all_wanted" if self.all_wanted else ""
        return f"{self.form}-{len(self.steps)}-{how}{wanted}"


ROWS = [
    Row("markdown", IN_ORDER, True, False, "one\n"),
    Row("markdown", TURNS, True, True, "one\ntwo\n"),
    Row("xml", IN_ORDER, True, True, "one\ntwo\n"),
    Row("xml", TURNS, False, False, "one\n"),
]


def written(form: ToolFormat, steps: Steps) -> str:
    if form == "markdown":
        return "\n\n".join(f"```{tag}\n{body}\n```" for tag, body in steps)
    calls = []
    for tag, body in steps:
        name, _, path = tag.partition(" ")
        attribute = f' args="{path}"' if path else ""
        body = body.replace(">", "&gt;")
        calls.append(f"<tool-use>\n<{name}{attribute}>\n{body}\n</{name}>\n</tool-use>")
    return "\n\n".join(calls)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Talk]]]:
    """All runs, two at a time."""
    launcher = Launcher(warm=True)

    def run(row: Row, root: Path) -> Talk:
        answers: Iterator[Answer] = iter([{"text": written(row.form, row.steps)}])
        env = {"GPTME_BREAK_ON_TOOLUSE": "0"} if row.all_wanted else {}

        def model(_: Mapping[str, Any]) -> Answer:
            return next(answers, COMPLETE[row.form])

        return talk(root, launcher, model, row.form, streamed=row.streamed, env=env)

    with ThreadPoolExecutor(2) as pool:
        roots = [tmp_path_factory.mktemp("run") for _ in ROWS]
        yield {row.name: pool.submit(run, row, root) for row, root in zip(ROWS, roots, strict=True)}
    launcher.kill()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row: Row, runs: Mapping[str, Future[Talk]]) -> None:
    run = runs[row.name].result()
    assert run.exit_code == 0 and run.files["log"] == row.log, run.stderr
    (answer, _) = run.said("assistant")
    everything = row.log == "one\ntwo\n"
    results = [said for said in run.said("system") if said.startswith(("Ran command", "Saved"))]
    if row.streamed:
        assert (TOLD in run.stderr) is not row.all_wanted
        assert len(results) == (len(row.steps) if everything else 1)
        assert (answer.strip() == written(row.form, row.steps)) is everything
    else:
        # gptme would run both calls of the shell before the other one.
        assert len(results) == 2 and answer.count("(not run: ") == 1
        assert run.files["log2"] == "two\n"
