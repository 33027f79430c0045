"""What gptme runs of a text that only shows it, and does not run of a text that means it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from defects import reproduced
from gptme.message import Message
from gptme.tools.base import ToolFormat
from gptme.tools.complete import auto_reply_hook
from gptme_world import calls_in, converse, files, world

__all__ = ["world"]
pytestmark = pytest.mark.upstream

RUNS = "echo ran > marker"
CALL = f'@shell(call-1): {{"command": "{RUNS}"}}'
AFTER = "\n\nLet me know if you need more."

SHOWN = [
    ("shell", f"You can do it yourself with:\n\n```shell\n{RUNS}\n```{AFTER}"),
    ("ipython", f"You can do it yourself with:\n\n```ipython\nimport os\n```{AFTER}"),
    ("save", f"The file would be:\n\n```save marker\nran\n```{AFTER}"),
    ("in format xml", f"In your terminal:\n\n```shell\n{RUNS}\n```{AFTER}"),
]


@pytest.mark.parametrize("text", [text for _, text in SHOWN], ids=[name for name, _ in SHOWN])
def test_a_fence_in_an_explanation_is_a_call(text: str) -> None:
    """The model was given native tools; a fence is how it shows code."""
    with reproduced("fence-in-native-answer-runs"):
        assert len(calls_in(text, "tool")) == 1


def test_a_fence_in_an_explanation_is_run(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """The same, up to the file that it leaves behind."""
    converse(monkeypatch, {"text": SHOWN[0][1]})
    with reproduced("fence-in-native-answer-runs"):
        assert files(world) == {"marker": "ran\n"}


PRINTED: list[tuple[str, dict[str, str]]] = [
    ("shown", {"text": f"The wire format looks like:\n{CALL}\nwhich I did not run."}),
    ("thought of", {"text": f"<think>\nMaybe:\n{CALL}\nNo, better not.\n</think>\nIt is 42."}),
    ("reasoning of the API", {"text": "It is 42.", "reasoning": f"Maybe:\n{CALL}\nNo.\n"}),
]


@pytest.mark.parametrize("answer", [answer for _, answer in PRINTED], ids=[n for n, _ in PRINTED])
def test_a_call_that_is_only_written_about_runs(
    answer: dict[str, str], monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """gptme writes native calls into the text, and cannot tell its own from the model's."""
    converse(monkeypatch, answer, streamed=False)
    with reproduced("printed-call-in-native-answer-runs"):
        assert files(world) == {"marker": "ran\n"}


OBJECT = f'{{"name": "shell", "arguments": {{"command": "{RUNS}"}}}}'
FOREIGN = [
    f"<tool_call>\n{OBJECT}\n</tool_call>",
    OBJECT,
    f"```json\n{OBJECT}\n```",
    f"[TOOL_CALLS][{OBJECT}]",
    f"<function=shell>\n<parameter=command>\n{RUNS}\n</parameter>\n</function>",
    f'[shell(command="{RUNS}")]',
    f'<｜tool▁call▁begin｜>shell<｜tool▁sep｜>{{"command": "{RUNS}"}}<｜tool▁call▁end｜>',
]


@pytest.mark.parametrize("form", ["tool", "markdown", "xml"])
@pytest.mark.parametrize("text", FOREIGN, ids=range(len(FOREIGN)))
def test_a_call_in_a_foreign_spelling_is_text(text: str, form: ToolFormat) -> None:
    """Marked as a call, complete, and with the name of an offered tool."""
    with reproduced("call-as-text-is-lost"):
        assert calls_in(text, form) == []


UNREAD: list[tuple[str, ToolFormat, str]] = [
    ("unclosed", "markdown", f"```shell\n{RUNS}\n"),
    ("bash", "markdown", f"```bash\n{RUNS}\n```"),
    ("Shell", "markdown", f"```Shell\n{RUNS}\n```"),
    ("tildes", "markdown", f"~~~shell\n{RUNS}\n~~~"),
    ("indented", "markdown", f"   ```shell\n   {RUNS}\n   ```"),
    ("one line", "markdown", f"```shell {RUNS}```"),
    ("unclosed tag", "xml", f"<tool-use>\n<shell>\n{RUNS}\n</shell>"),
]


@pytest.mark.parametrize(("form", "text"), [row[1:] for row in UNREAD], ids=[r[0] for r in UNREAD])
def test_a_block_that_is_not_read_goes_by_in_silence(
    form: ToolFormat, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing runs, nobody is told, and nothing is asked."""
    talk = converse(monkeypatch, {"text": text}, form=form, streamed=False)
    with reproduced("block-is-not-read"):
        assert talk.results == [] and len(talk.requests) == 1


def test_an_unknown_tool_of_xml_is_answered_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call without an id is not even told that its tool is unknown."""
    text = f"<tool-use>\n<bash>\n{RUNS}\n</bash>\n</tool-use>"
    talk = converse(monkeypatch, {"text": text}, form="xml", streamed=False)
    with reproduced("unknown-xml-tool-unanswered"):
        assert talk.results == [] and len(talk.requests) == 1


def test_a_save_without_a_path_writes_a_file_named_save(
    monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """The name of the tool is taken for the path."""
    converse(monkeypatch, {"text": "```save\nran\n```\n\n"}, form="markdown", streamed=False)
    with reproduced("save-without-a-name"):
        assert files(world) == {"save": "ran\n"}


def test_xml_in_backticks_is_a_call() -> None:
    """An example in prose, quoted as code is quoted."""
    text = f"Write `<tool-use><shell>{RUNS}</shell></tool-use>` to run a command."
    with reproduced("quoted-xml-runs"):
        assert len(calls_in(text, "xml")) == 1


def test_xml_calls_change_places() -> None:
    """The third call is found where the first begins, and runs before the second."""
    block = "<tool-use>\n<{0}>\n{1}\n</{0}>\n</tool-use>"
    calls = (("shell", "cd build"), ("ipython", "1"), ("shell", "rm -r ."))
    text = "\n".join(block.format(*call) for call in calls)
    with reproduced("xml-order"):
        assert [use.content for use in calls_in(text, "xml")] == ["cd build", "rm -r .", "1"]


def test_a_finished_answer_is_nudged() -> None:
    """Nothing was announced, nothing is missing; gptme asks for a call all the same."""
    log = [Message("user", "What is six times seven?"), Message("assistant", "It is 42.")]
    manager: Any = SimpleNamespace(log=SimpleNamespace(messages=log), logdir=Path())
    with reproduced("plain-text-is-nudged"):
        (nudge,) = auto_reply_hook(manager, False, [], True)
        assert isinstance(nudge, Message) and "No tool call detected" in nudge.content
