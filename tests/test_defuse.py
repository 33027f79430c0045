"""What gptme would run and nobody accepted must be text for gptme too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextvars import copy_context
from typing import Any

import pytest
from gptme.tools import init_tools
from gptme.tools.base import ToolUse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from gptme_reliability.gate import Gate
from gptme_reliability.surfaces.gptme.defuse import defuse, runnable_tag
from gptme_reliability.surfaces.gptme.markup import tame
from gptme_reliability.types import Call, Repair

SHELL = Call("shell", {"command": "ls"}, id="call-7")
SAVE = Call("save", {"path": "a.md", "content": "```shell\nls\n```\n@shell(x): {}\n"}, id="call-8")
AT = '@shell(call-1): {"command": "rm x"}'
FENCE = "```shell\nls\n```"


@pytest.fixture(autouse=True, scope="module")
def tools() -> Iterator[None]:
    context = copy_context()
    loaded = context.run(init_tools, ["shell", "save", "append", "patch", "complete"])
    from gptme.tools import set_tools

    set_tools(loaded)
    yield
    set_tools([])


def composed(reasoning: str | None, text: str, calls: list[Call], streamed: bool) -> str:
    """A second spelling of how gptme joins the pieces, from its ``chat`` and ``stream``."""
    written = [f"@{c.name}({c.id}): {json.dumps(dict(c.arguments))}" for c in calls]
    if not streamed:
        pieces = [f"<think>\n{reasoning}\n</think>\n"] if reasoning else []
        return "\n".join([*pieces, *([text] if text else []), *written])
    thought = f"<think>\n{reasoning}\n</think>\n\n" if reasoning else ""
    return thought + text + "".join("\n" + call for call in written)


def run_by_gptme(message: str) -> list[tuple[str, str | None, Any]]:
    return [
        (use.tool, use.call_id, use.kwargs)
        for use in ToolUse.iter_from_content(message, "tool")
        if use.is_runnable or use.call_id is not None
    ]


def expected(calls: list[Call]) -> list[tuple[str, str | None, Any]]:
    return [(call.name, call.id, dict(call.arguments)) for call in calls]


def check(
    reasoning: str | None,
    text: str,
    calls: list[Call],
    *,
    streamed: bool = False,
    strict: bool = False,
) -> tuple[str | None, str, tuple[Repair, ...]]:
    result = defuse(reasoning, text, calls, streamed=streamed, strict=strict)
    message = composed(result[0], result[1], calls, streamed)
    assert run_by_gptme(message) == expected(calls)
    return result


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("calls", [[], [SHELL], [SHELL, SAVE]], ids=len)
@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", ""),
        ("Just an answer.", "Just an answer."),
        ("mail me@example.org or @alice", "mail me@example.org or @alice"),
        ("```python\nprint(1)\n```\n", "```python\nprint(1)\n```\n"),
        (f"a\n{FENCE}\nb", "a\n```text shell\nls\n```\nb"),
        (f"a\n> {FENCE}\n", f"a\n> {FENCE}\n"),
        ("````shell\nls\n````\n", "````text shell\nls\n````\n"),
        ("``` shell\nls\n```\n", "``` text shell\nls\n```\n"),
        ("```save a.txt\nhello\n```\n\n", "```text save a.txt\nhello\n```\n\n"),
        (f"The format:\n{AT}\nis it.", f"The format:\n\\{AT}\nis it."),
        (AT, f"\\{AT}"),
        ('@nosuchtool(c): {"a": 1}', '\\@nosuchtool(c): {"a": 1}'),
        # In a closed fence of another language gptme sees neither of them.
        (f"```text\n{AT}\n```\n", f"```text\n{AT}\n```\n"),
        (f"````markdown\n{FENCE}\n````\n", f"````markdown\n{FENCE}\n````\n"),
        # A fence that never ends does not run.
        ("see\n```shell\nls", "see\n```shell\nls"),
        ("</think>```shell\nls\n```", "</think>```text shell\nls\n```"),
        ("<think>\n" + AT + "\nno</think> 42", "<think>\n\\" + AT + "\nno</think> 42"),
        ("``````shell\nls\n```", "``````text shell\nls\n```"),
        ("```python\nx\n``````shell\nls\n```\n", "```python\nx\n``````text shell\nls\n```\n"),
        ("a\r\n```shell\r\nls\r\n```\r\n", "a\r\n```text shell\r\nls\r\n```\r\n"),
    ],
)
def test_text(text: str, after: str, calls: list[Call], streamed: bool) -> None:
    _, changed, repairs = check(None, text, calls, streamed=streamed)
    assert changed == after
    assert bool(repairs) == (changed != text)


def test_what_would_swallow_a_call_is_made_inert() -> None:
    _, text, repairs = check(None, '@shell(c): {"command": "ls', [SHELL])
    assert text == '\\@shell(c): {"command": "ls'
    assert len(repairs) == 1


def test_an_opening_that_swallows_nothing_stays() -> None:
    assert check(None, '@shell(c): {"command": "ls', [])[2] == ()


@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_made_inert_too(streamed: bool) -> None:
    reasoning, text, repairs = check(f"maybe\n{AT}\nno", "42", [SHELL], streamed=streamed)
    assert reasoning == f"maybe\n\\{AT}\nno"
    assert text == "42"
    assert repairs[0].path == "$.reasoning[6]"


def test_a_fence_in_reasoning_does_not_run_and_stays() -> None:
    assert check(FENCE, "42", [])[2] == ()


def test_reasoning_that_closes_itself() -> None:
    assert check(f"a</think>\n{FENCE}\n", "42", [])[0] == "a</think>\n```text shell\nls\n```\n"


def test_the_repair_says_what_was_done() -> None:
    (repair,) = check(None, f"a\n{AT}", [])[2]
    assert (repair.rule, repair.path, repair.kind) == ("defuse", "$.text[2]", "presentation")
    assert repair.before == "@shell(call-1): {"
    assert repair.after == "\\" + repair.before


def test_only_what_would_run_is_changed() -> None:
    text = f"```text\n{AT}\n```\n\n{AT}\n"
    assert check(None, text, [])[1] == f"```text\n{AT}\n```\n\n\\{AT}\n"


def test_a_host_that_parses_while_streaming_gets_no_opening_at_all() -> None:
    text = f"```text\n{AT}\n```\n```shell\nls"
    changed = check(None, text, [SHELL], streamed=True, strict=True)[1]
    assert changed == f"```text\n\\{AT}\n```\n```text shell\nls"
    message = composed(None, changed, [], True)
    for end in range(len(message)):
        uses = list(ToolUse.iter_from_content(message[:end], "tool", streaming=True))
        assert not [use for use in uses if use.is_runnable]


def test_doing_it_twice_changes_nothing_more() -> None:
    _, once, _ = check(None, f"{AT}\n{FENCE}\n", [SHELL])
    assert defuse(None, once, [SHELL], streamed=False, strict=False) == (None, once, ())


@pytest.mark.parametrize(
    ("tag", "runs"),
    [
        ("shell", True),
        (" shell ", True),
        ("save a.txt", True),
        ("bash", True),
        ("python", False),
        ("text shell", False),
        ("", False),
    ],
)
def test_runnable_tag(tag: str, runs: bool) -> None:
    from gptme.tools import get_tool_for_langtag

    assert runnable_tag(tag) == (get_tool_for_langtag(tag.strip()) is not None)
    if tag != "bash":  # whether gptme runs these is its own affair
        assert runnable_tag(tag) == runs


TOKENS = (
    *("```", "````", "`", "shell", "text", "python", "save a", "\n", "\n\n", "\r\n", " ", "ls"),
    *("<think>", "</think>", "</thinking>", "@", "@save(z):", "}", '"', "'", "{", "\\"),
    *("``````shell\n", f"\n{FENCE}\n", "cat << EOF\n", "EOF\n", AT, '@x(y): {"a": 1'),
)
PIECES = st.sampled_from(TOKENS)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.none() | st.lists(PIECES, min_size=1, max_size=8).map("".join),
    st.lists(PIECES, max_size=16).map("".join),
    st.sampled_from([[], [SHELL], [SHELL, SAVE]]),
    st.booleans(),
    st.booleans(),
)
def test_only_the_calls_run(
    reasoning: str | None, text: str, calls: list[Call], streamed: bool, strict: bool
) -> None:
    _, changed, repairs = check(reasoning, text, calls, streamed=streamed, strict=strict)
    assert bool(repairs) or changed == text
    # What the gate has let out by then is not touched.
    shown = Gate((), runnable_tag).feed(text)
    assert changed[:shown] == text[:shown]


@pytest.mark.parametrize(
    "line",
    [
        *(AT, "```shell", "```python", "```", "`" * 9, "</think>```shell\n", "<think>", "cat << A"),
        *("@", "@a(b): {", "@(((((((((((a"),
    ],
)
def test_long_hostile_texts_are_parsed_a_bounded_number_of_times(
    line: str, mocker: MockerFixture
) -> None:
    parser = mocker.spy(ToolUse, "iter_from_content")
    text = (line + "\n") * (200_000 // (len(line) + 1))
    defuse(None, text, [SHELL], streamed=True, strict=False)
    assert parser.call_count <= 5
    if line.startswith("```"):  # gptme's parser takes quadratic time for these
        assert all(len(call.args[0]) < 100 for call in parser.call_args_list)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[THINK]so[/THINK]42", "[THINK]so\\[/THINK]42"),
        ("close it with [/b].", "close it with \\[/b]."),
        ("[b]bold[/b]", "[b]bold[/b]"),
        ("a[1] and [link](x)", "a[1] and [link](x)"),
        ("\\[/b] is fine", "\\[/b] is fine"),
    ],
)
def test_what_kills_the_terminal_is_made_text(text: str, shown: str) -> None:
    """Only what rich cannot print is changed, and only by a backslash."""
    changed, repairs = tame(text)
    assert changed == shown
    assert bool(repairs) == (changed != text)
    assert all(repair.kind == "presentation" for repair in repairs)


@pytest.mark.parametrize("calls", [[], [SHELL]], ids=len)
@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ([("text", "Look:\n```text\nQuux zork!\n")], f"```\n{FENCE}\n"),
        ([("text", "Look:\n```text\nQuux\n")], f"```\n```save f\nhello\n```\n{AT}\n"),
        ([("reasoning", "So\n")], f"{AT}\n{FENCE}\n"),
        ([("text", "a\n"), ("reasoning", "```text\nb\n")], f"```\n{FENCE}\n"),
        ([("text", "````md\n")], f"````\n{FENCE}\n"),
    ],
)
def test_nothing_runs_behind_what_an_earlier_attempt_showed(
    shown: list[Any], text: str, calls: list[Call]
) -> None:
    _, changed, repairs = defuse(None, text, calls, streamed=True, strict=False, shown=shown)
    before = "".join(f"<think>\n{t}\n</think>\n\n" if c == "reasoning" else t for c, t in shown)
    assert run_by_gptme(before + composed(None, changed, calls, True)) == expected(calls)
    assert repairs


def test_reasoning_goes_on_in_the_block_that_is_open() -> None:
    shown: Any = [("reasoning", "So\n")]
    changed = defuse(f"x\n{AT}", "42", [SHELL], streamed=True, strict=False, shown=shown)[0]
    message = composed(f"So\n{changed}", "42", [SHELL], True)
    assert run_by_gptme(message) == expected([SHELL])
