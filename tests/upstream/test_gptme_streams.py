"""What gptme loses of a stream, and what it glues together wrongly."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

import pytest
from defects import reproduced
from gptme import llm
from gptme.message import Message
from gptme.tools import set_tool_format
from gptme.tools.base import ToolUse
from gptme_world import MODEL, call, converse, files, world

from gptme_reliability.evals.scenarios import Answer

__all__ = ["world"]
pytestmark = pytest.mark.upstream

NAMES: Final = ("a", "b", "c")
THREE: Final[Answer] = {
    "calls": [call("shell", {"command": f"echo ran > {name}"}, name) for name in NAMES]
}
RUNS: Final = '{"command": "echo ran > marker"}'


def pieces(*deltas: tuple[str | None, str | None, str]) -> Answer:
    """A call as deltas of id, name and arguments."""
    return {
        "deltas": [
            {
                "tool_calls": [
                    {
                        "index": 0,
                        **({"id": call_id, "type": "function"} if call_id else {}),
                        "function": {**({"name": name} if name else {}), "arguments": arguments},
                    }
                ]
            }
            for call_id, name, arguments in deltas
        ]
    }


def test_only_the_first_of_three_calls_runs(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """The other two leave the log as well, so that the model never learns."""
    whole = converse(monkeypatch, THREE, streamed=False)
    assert sorted(files(world)) == [*NAMES] and len(whole.results) == 3
    for name in NAMES:
        (world / name).unlink()
    talk = converse(monkeypatch, THREE)
    with reproduced("parallel-calls-lost"):
        assert sorted(files(world)) == ["a"] and "@shell(b)" not in talk.log[0].content


def test_only_the_first_of_two_blocks_runs(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """Whole, both run; streamed, what stands behind the first is cut off."""
    text = "".join(f"```save {name}\nran\n```\n\n" for name in "ab")
    whole = converse(monkeypatch, {"text": text}, form="markdown", streamed=False)
    assert len(whole.results) == 2 and sorted(files(world)) == ["a", "b"]
    talk = converse(monkeypatch, {"text": text}, form="markdown")
    with reproduced("parallel-calls-lost"):
        assert len(talk.results) == 1 and "save b" not in talk.log[0].content


def test_what_is_thrown_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Usage that is told in the last chunk is known: the stream was read to its end."""
    talk = converse(monkeypatch, THREE)
    first = talk.log[0]
    assert first.metadata is not None
    with reproduced("stream-drained-for-nothing"):
        assert "@shell(b)" not in first.content
        assert first.metadata["usage"]["output_tokens"] == 5


def test_every_line_has_the_whole_answer_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the length is four times the characters."""
    real = ToolUse.iter_from_content
    read: list[int] = []

    def counted(content: str, *args: Any, **named: Any) -> Any:
        read.append(len(content))
        return real(content, *args, **named)

    monkeypatch.setattr(ToolUse, "iter_from_content", counted)
    set_tool_format("markdown")
    sums = []
    for lines in (100, 200):
        read.clear()
        stream = llm._StreamWithMetadata(_prose(lines), MODEL)
        monkeypatch.setattr(llm, "_stream", Mock(return_value=stream))
        llm._reply_stream([Message("user", "Please.")], MODEL, None)
        sums.append(sum(read))
    with reproduced("quadratic-break-check"):
        assert sums[1] > 3.5 * sums[0]


def _prose(lines: int) -> Generator[str, None, None]:
    yield from ["A line of prose.\n"] * lines


GLUED: Sequence[tuple[str, Answer, str]] = [
    ("a name in pieces", pieces(("c1", "sh", ""), (None, "ell", RUNS)), "@ell(None): {"),
    ("a name repeated", pieces(("c1", "shell", RUNS[:6]), ("c1", "shell", RUNS[6:])),
     '@shell(c1): {"comm\n@shell(c1): and"'),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "written"), [r[1:] for r in GLUED], ids=[r[0] for r in GLUED])
def test_deltas_are_taken_as_they_come(
    answer: Answer, written: str, monkeypatch: pytest.MonkeyPatch, world: Path
) -> None:
    """What belongs to one call is written as two, and another command runs, or none."""
    talk = converse(monkeypatch, answer)
    with reproduced("stream-names-glued-wrongly"):
        assert written in talk.log[0].content and files(world) == {}


def test_a_call_without_id_is_called_none(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """It runs, and two of them could not be told apart."""
    talk = converse(monkeypatch, pieces((None, "shell", RUNS)))
    assert files(world) == {"marker": "ran\n"}
    with reproduced("id-none"):
        assert talk.log[1].call_id == "None"
        (sent,) = talk.requests[1]["messages"][-2]["tool_calls"]
        assert sent["id"] == "None"
