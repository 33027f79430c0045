"""The conversation in which a model is asked again: strict servers take it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from feedback_rows import ASKED, LANGUAGES, ROWS, TOOLS, each_row, judged, told
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import native, texts, tricky, valid_calls

from gptme_reliability import Accept, ModelOutput, Policy, Retry, check
from gptme_reliability.replay import asked_again, late, pending
from gptme_reliability.sentences import HELD
from gptme_reliability.types import Call, Language, ModelRequest, RefusedCall
from gptme_reliability.words import say


def strict(messages: tuple[Any, ...]) -> None:
    """What strict servers insist on."""
    seen: set[str] = set()
    owed: list[str] = []
    spoke = ""
    for message in messages:
        json.dumps(message, ensure_ascii=False).encode()
        if message["role"] == "tool":
            assert owed and message["tool_call_id"] == owed.pop(0)
            assert isinstance(message["content"], str) and message["content"]
            continue
        assert not owed
        calls = message.get("tool_calls") or []
        assert message["content"] or calls
        for call in calls:
            assert call["type"] == "function" and call["id"] and call["id"] not in seen
            seen.add(call["id"])
            owed.append(call["id"])
            assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", call["function"]["name"])
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
        if not calls:
            assert message["role"] != spoke
            spoke = message["role"]
    assert not owed


BEFORE: list[tuple[dict[str, Any], ...]] = [
    ASKED,
    ({"role": "system", "content": "Help."}, *ASKED),
    (
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [native("shell", "{}", "c0")]},
        {"role": "tool", "tool_call_id": "c0", "content": "done"},
    ),
    ({"role": "user", "content": [{"type": "text", "text": "Go on."}]},),
]


@pytest.mark.parametrize("failed", ["keep", "rewind"])
@pytest.mark.parametrize("before", BEFORE, ids=["user", "system", "results", "parts"])
@each_row
def test_strict_servers_take_the_conversation(
    row: dict[str, Any], before: tuple[dict[str, Any], ...], failed: str
) -> None:
    """Also behind results, and asked twice with the same ids."""
    first, output, verdict, policy = judged(row, failed=failed)
    request = ModelRequest(before, first.tools)
    again = asked_again(request, request, output, verdict, policy)
    twice = asked_again(request, again, output, verdict, policy)
    for asked in (again, twice):
        strict(asked.messages)
        said = json.dumps([m["content"] for m in asked.messages], ensure_ascii=False)
        assert json.dumps(verdict.feedback, ensure_ascii=False)[20:60] in said
    if failed == "rewind":
        assert twice == again
        assert len(again.messages) <= len(before) + 2


answers = st.one_of(
    st.builds(ModelOutput, text=st.one_of(texts, tricky)),
    st.builds(
        lambda calls, text: ModelOutput(
            text, [native(name, given, call_id) for (name, given), call_id in calls]
        ),
        st.lists(
            st.tuples(
                st.one_of(
                    valid_calls(),
                    st.tuples(
                        st.sampled_from(["shell", "plan", "no such", "x" * 80, ""]),
                        st.sampled_from(
                            ["{", "[]", "{}", '{"a": NaN}', '{"command": "\\ud800"}', "null", ""]
                        ),
                    ),
                ),
                st.sampled_from(["c0", "c1", "", "c 2"]),
            ),
            min_size=1,
            max_size=5,
        ),
        texts,
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(answers, min_size=1, max_size=3),
    st.sampled_from(["keep", "rewind"]),
    st.sampled_from(LANGUAGES),
    st.integers(200, 3_000),
)
def test_whatever_failed_strict_servers_take_it(
    outputs: list[ModelOutput], failed: Any, language: Language, chars: int
) -> None:
    """Several attempts in a row, of any kind."""
    policy = Policy(failed=failed, language=language, feedback_chars=chars, partial="hold")
    request = asked = ModelRequest(BEFORE[2], TOOLS)
    for output in outputs:
        verdict = check(output, TOOLS, policy)
        if isinstance(verdict, Retry):
            asked = asked_again(request, asked, output, verdict, policy)
            strict(asked.messages)


def test_each_faulty_call_is_told_its_own_fault() -> None:
    """On the tool channel, tied to its id."""
    row = next(row for row in ROWS if row["id"] == "native/two-calls")
    request, output, verdict, policy = judged(row)
    again = asked_again(request, request, output, verdict, policy)
    save, plan = again.messages[-2:]
    assert (save["tool_call_id"], plan["tool_call_id"]) == ("c0", "c1")
    assert "$.content" in save["content"] and "$.hours" not in save["content"]
    assert "$.hours" in plan["content"] and "$.content" not in plan["content"]


def test_many_faulty_calls_are_told_once() -> None:
    """Where there is no room for each, the first is told all."""
    calls = [native("save", {"path": str(n)}, f"c{n}") for n in range(20)]
    output, policy = ModelOutput(tool_calls=calls), Policy(feedback_chars=600)
    verdict = check(output, TOOLS, policy)
    assert isinstance(verdict, Retry)
    request = ModelRequest(ASKED, TOOLS)
    first, *rest = told(asked_again(request, request, output, verdict, policy), 1)
    assert first == verdict.feedback
    assert set(rest) == {say("see_first", "en")}


def test_what_could_be_read_is_kept_as_it_was_written() -> None:
    """In text modes too; a fault in its spelling keeps it out."""
    request = ModelRequest(ASKED, TOOLS)
    for text, kept in (
        ('<tool_call>{"name": "save", "arguments": {"path": "a"}}</tool_call>', True),
        ('<tool_call>{"name": "save", "arguments": {"path": "a</tool_call>', False),
    ):
        output = ModelOutput(text)
        verdict = check(output, TOOLS)
        assert isinstance(verdict, Retry)
        again = asked_again(request, request, output, verdict)
        assert (again.messages[1]["content"] == text) == kept
        assert kept or again.messages[1]["content"].startswith("(a tool call that could not be run")


def test_what_is_told_with_results_is_translated() -> None:
    """Late feedback has the words of the same table."""
    policy = Policy(language="zh")
    calls = (Call("shell", {"command": "ls"}),)
    reason = "it follows text that follows another call; ask for it after the results"
    refused = (RefusedCall("save", reason), RefusedCall(None, HELD))
    text = late(Accept(calls, refused=refused), policy)
    assert text == (
        "此外，有内容没有运行：\n- save：它写在另一个调用之后的文字后面；请在得到结果后再调用\n"
        "- 工具调用：因本次回答中另一个调用有错误而暂缓"
    )
    output = ModelOutput(tool_calls=[native("shell", {"command": "ls"}), native("nosuch", {}, "b")])
    verdict = check(output, TOOLS, policy)
    assert isinstance(verdict, Retry)
    assert pending(verdict, policy).startswith("同一回答中的另一个调用没有运行。发现以下错误：")
