"""Calls in the text of an answer, for gptme's formats markdown and xml: rows of answers.

Each row is checked by the core, and gptme's own parser reads what the core wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenario_tables import CASES, GPTME_TOOLS

from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.evals.scenarios import Scenario, finish_reason, read_scenarios, wire_calls
from gptme_reliability.gate import Gate
from gptme_reliability.in_text import check_in_text
from gptme_reliability.resolve import callable_names
from gptme_reliability.surfaces.gptme.in_text import settle
from gptme_reliability.types import Accept, HostFormat, Layout, ModelOutput, Reject, Retry, Verdict

LAYOUTS: dict[str, Layout] = dict.fromkeys(
    ("shell", "ipython", "save", "append", "patch"), "positional"
)
BLOCKS = {tool.name: tool.name for tool in GPTME_TOOLS}
FORMATS = {
    "markdown": HostFormat("markdown", {**BLOCKS, "py": "ipython"}, LAYOUTS),
    "xml": HostFormat("xml", {**BLOCKS, "py": "ipython"}, LAYOUTS, strict=True),
}
_SPEAKER = re.compile(r"^(?:> )?(User|Assistant|System): ?", re.MULTILINE)
WORDS = [json.loads(line) for line in (CASES / "host_words.jsonl").read_text().splitlines()]
ROWS = [(form, row) for form in FORMATS for row in read_scenarios(CASES / f"{form}.jsonl")]
IDS = [f"{form}-{row.id}" for form, row in ROWS]


@pytest.fixture(autouse=True, scope="module")
def tools() -> Iterator[None]:
    """gptme's tools, loaded without what their setting up would touch."""
    from contextvars import copy_context

    from gptme.tools import init_tools, set_tools

    set_tools(copy_context().run(init_tools, list(BLOCKS)))
    yield
    set_tools([])


def answer_of(row: Scenario, answer: Any) -> ModelOutput:
    return ModelOutput(
        text=answer.get("text"),
        tool_calls=tuple(wire_calls(answer)),
        reasoning=answer.get("reasoning"),
        finish_reason=finish_reason(answer),
    )


def checked(form: str, row: Scenario) -> Verdict:
    messages = [{"role": "user", "content": row.prompt}]
    return check_in_text(answer_of(row, row.first), GPTME_TOOLS, FORMATS[form], messages=messages)


def run_by_gptme(text: str, form: Any) -> list[tuple[str, dict[str, Any]]]:
    from gptme.tools.base import ToolUse

    found = list(ToolUse.iter_from_content(text, form))
    return [(use.tool, use._to_params()) for use in found if use.is_runnable]


def as_gptme(form: str, calls: Any) -> list[tuple[str, dict[str, Any]]]:
    """The calls of a row as gptme's parser gives them back, which keeps the tag in a path."""
    tagged = ("save", "append", "patch") if form == "markdown" else ()
    return [
        (name, {**values, "path": f"{name} {values['path']}"} if name in tagged else dict(values))
        for name, values in calls
    ]


@pytest.mark.parametrize(("form", "row"), ROWS, ids=IDS)
def test_row(form: str, row: Scenario) -> None:
    """What is meant runs, what is faulty is asked about, and all else is text."""
    verdict = checked(form, row)
    assert [(call.name, dict(call.arguments)) for call in verdict.calls] == list(row.runs)
    assert isinstance(verdict, Retry if row.expect == "asks" else Accept), verdict
    if isinstance(verdict, Retry):
        for fragment in row.asks_for:
            assert fragment in verdict.feedback
    for fragment in row.says:
        assert fragment in verdict.text


@pytest.mark.parametrize(("form", "row"), ROWS, ids=IDS)
def test_gptme_runs_what_was_accepted_and_nothing_else(form: str, row: Scenario) -> None:
    """gptme's parser finds in the verdict's text the calls that stand."""
    assert run_by_gptme(checked(form, row).text, form) == as_gptme(form, row.runs)


@pytest.mark.parametrize(("form", "row"), ROWS, ids=IDS)
def test_what_gptme_reads_as_it_was_meant_is_untouched(form: str, row: Scenario) -> None:
    """A row of valid calls or plain text keeps every byte."""
    verdict = checked(form, row)
    if row.kind in ("valid call", "plain text"):
        assert isinstance(verdict, Accept) and verdict.text == row.first["text"]
        assert not verdict.repairs


@pytest.mark.parametrize(("form", "row"), ROWS, ids=IDS)
def test_checking_the_written_text_changes_nothing(form: str, row: Scenario) -> None:
    """The text of an accepted answer is accepted as it is."""
    verdict = checked(form, row)
    if isinstance(verdict, Retry | Reject):
        return
    messages = [{"role": "user", "content": row.prompt}]
    output = ModelOutput(text=verdict.text, finish_reason="stop")
    again = check_in_text(output, GPTME_TOOLS, FORMATS[form], messages=messages)
    assert (again.text, again.calls) == (verdict.text, verdict.calls)


@pytest.mark.parametrize("size", [1, 5, 10_000])
@pytest.mark.parametrize(("form", "row"), ROWS, ids=IDS)
def test_what_a_stream_shows_stays(form: str, row: Scenario, size: int) -> None:
    """Text that the gate lets through is how the verdict's text begins, in any pieces."""
    offered = Offered(GPTME_TOOLS, FORMATS[form])

    def runnable(tag: str) -> bool:
        return bool(tag) and offered.tool(tag.split()[0]) is not None

    text, final = row.first.get("text") or "", checked(form, row).text
    gate = Gate(callable_names(GPTME_TOOLS), runnable, FORMATS[form])
    for start in range(0, len(text), size):
        shown = text[: gate.feed(text[start : start + size])]
        assert final.startswith(shown)
    if row.kind == "plain text" and "`" not in text and "<" not in text:
        assert shown == text.rstrip()


_PIECES = [
    *(
        "```shell\n",
        "```",
        "```\n",
        "\n```\n",
        "ls\n",
        "\n",
        "\n\n",
        "Let me look.\n\n",
        "````md\n",
    ),
    *("For example:\n", "You can run:\n", "~~~shell\n", "~~~\n", "````\n", "```save a.txt\n", "é"),
    *("```bash\n", "```json\n", "  ```shell\n", "  ```\n", "<tool-use>", "</tool-use>", "<shell>"),
    *("</shell>", '<save args="a.txt">', "</save>", "<function_calls>", "</function_calls>", "'"),
    *('<invoke name="shell">', "</invoke>", '{"command": "ls"}', "<think>\n", "</think>\n", '"'),
    *("</think>", "&", "<", "`", "``", "\r", "<<EOF\n", "EOF\n", "- ", "> ", "<!--", "-->", "\x00"),
    '<tool_call>\n{"name": "shell", "arguments": {"command": "ls"}}\n</tool_call>',
]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    pieces=st.lists(st.sampled_from(_PIECES), max_size=12),
    form=st.sampled_from(("markdown", "xml")),
    finish=st.sampled_from(("stop", "length", None)),
    streamed=st.booleans(),
)
def test_gptme_never_runs_more_than_the_verdict(
    pieces: list[str], form: Any, finish: str | None, streamed: bool
) -> None:
    """Whatever is written: gptme runs the calls that stand, or nothing."""
    output = ModelOutput(text="".join(pieces), finish_reason=finish)
    verdict = check_in_text(output, GPTME_TOOLS, FORMATS[form])
    wanted = [use for one in verdict.written for use in run_by_gptme(one, form)]
    _, text, _ = settle(None, verdict.text, verdict.written, FORMATS[form], streamed=streamed)
    assert run_by_gptme(text, form) in ([], wanted)


@pytest.mark.parametrize("form", ["markdown", "xml"])
@pytest.mark.parametrize("row", WORDS, ids=lambda row: row.get("behind") or row["before"])
def test_the_words_beside_a_call_tell_whether_it_is_one(form: str, row: Any) -> None:
    """A whole call in the host's own format runs, unless its words make an example of it.

    Where they take it back or let it wait, the model is asked.
    """
    call = {
        "markdown": "```shell\nls\n```",
        "xml": "<tool-use>\n<shell>\nls\n</shell>\n</tool-use>",
    }[form]
    text = "\n\n".join(filter(None, (row.get("before"), call, row.get("behind"))))
    output = ModelOutput(text=text, finish_reason="stop")
    verdict = check_in_text(output, GPTME_TOOLS, FORMATS[form])
    assert bool(verdict.calls) is row["call"]
    if row.get("asked"):
        assert isinstance(verdict, Retry)
        return
    assert isinstance(verdict, Accept)
    assert (verdict.text == text) is row["call"]


@pytest.mark.parametrize("form", ["markdown", "xml"])
def test_the_examples_that_gptme_tells_its_models_are_untouched(form: Any) -> None:
    """Turns of gptme's own prompt whose calls are in the format keep every byte."""
    from gptme.tools import get_tools

    turns = 0
    for tool in get_tools():
        parts = _SPEAKER.split(tool.get_examples(form))
        for speaker, text in zip(parts[1::2], parts[2::2], strict=True):
            said = text.partition("\n#")[0].strip()
            uses = run_by_gptme(said, form)
            if speaker != "Assistant" or not uses:
                continue
            verdict = check_in_text(
                ModelOutput(text=said, finish_reason="stop"), GPTME_TOOLS, FORMATS[form]
            )
            assert isinstance(verdict, Accept), said
            assert (verdict.text, len(verdict.calls)) == (said, len(uses))
            turns += 1
    assert turns >= 10


def test_the_tables_are_large_enough() -> None:
    """Counts that must not shrink unseen."""
    for form in FORMATS:
        rows = [row for name, row in ROWS if name == form]
        assert sum(row.expect != "text" and row.kind != "valid call" for row in rows) >= 40
        assert sum(row.expect == "text" for row in rows) >= 25
