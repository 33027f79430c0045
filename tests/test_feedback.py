"""What a model is told when its call must be written again: its words and its length."""

from __future__ import annotations

import re
from typing import Any

import pytest
from feedback_rows import LANGUAGES, TOOLS, each_row, judged, told
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import native, texts, tricky

from gptme_reliability import ModelOutput, Policy, Retry, Violation, check
from gptme_reliability.excerpt import around
from gptme_reliability.feedback import render, shorten
from gptme_reliability.replay import asked_again
from gptme_reliability.sentences import FAULTS, FRAME
from gptme_reliability.types import Language, RefusedCall
from gptme_reliability.words import fault

# --- the words --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@each_row
def test_what_is_said_and_where(row: dict[str, Any], language: Language) -> None:
    """Each rule, on its channel, in each dialect and language."""
    request, output, verdict, policy = judged(row, language=language)
    assert row["rule"] in {violation.rule for violation in verdict.violations}
    for fragment in (*row["both"], *row[language]):
        assert fragment in verdict.feedback
    for fragment in row.get("lacks", ()):
        assert fragment not in verdict.feedback
    again = asked_again(request, request, output, verdict, policy)
    added = again.messages[len(request.messages) :]
    assert added[0]["role"] == "assistant"
    assert {message["role"] for message in added[1:]} == {row["channel"]}
    assert any(row["both"][0] in text for text in told(again, len(request.messages)))


@each_row
def test_no_english_in_chinese_feedback(row: dict[str, Any]) -> None:
    """What is left of the words of the table when all values are Chinese too: nothing."""
    _, _, verdict, _ = judged(row, language="zh")
    english = [words.en for words in (*FAULTS, *FRAME.values())]
    pieces = {p.strip(" :;,.()") for sentence in english for p in re.split(r"\{\w+\}", sentence)}
    phrases = {piece for piece in pieces if piece.count(" ") >= 2}
    assert phrases
    assert not [phrase for phrase in phrases if phrase in verdict.feedback]
    said = re.split(r"的正确(?:参数|调用)", verdict.feedback)[0]
    own = re.sub(r"（写的是：.*?）(?=$|；)|'[^']*'|\{.*\}", "", said, flags=re.M)
    assert not re.search(r"\b(?:with|or|not|the|and|an|is|are|was|of|must|be|no)\b", own), own


@each_row
def test_feedback_that_is_repeated_does_not_run(row: dict[str, Any]) -> None:
    """A model that says what it was told calls nothing by it."""
    request, _, verdict, _ = judged(row)
    assert check(ModelOutput(verdict.feedback), request.tools).calls == ()


# --- the length -------------------------------------------------------------------------------


@pytest.mark.parametrize("chars", [200, 300, 500, 1_000, 2_000])
@each_row
def test_smaller_caps_keep_the_fault_and_the_example(row: dict[str, Any], chars: int) -> None:
    """What is left out is never the tool, the fault, or half of an example."""
    request, output, full, _ = judged(row, feedback_chars=100_000)
    _, _, verdict, policy = judged(row, feedback_chars=chars)
    assert len(verdict.feedback) <= chars
    first = full.violations[0]
    if first.rule not in ("guessed", "echo"):
        assert fault(first.message, "en")[:40] in verdict.feedback
    if first.tool:
        assert first.tool in verdict.feedback
    shown = [line for line in full.feedback.splitlines() if line.startswith("Correct arguments")]
    if shown and len(shown[0]) < chars // 2:
        assert shown[0] in verdict.feedback.splitlines()
    again = asked_again(request, request, output, verdict, policy)
    assert all(len(text) <= chars for text in told(again, len(request.messages)))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.builds(
            Violation,
            rule=st.sampled_from(["missing", "type", "syntax", "unknown_tool", "empty", "intent"]),
            path=st.sampled_from(["$", "$.path", "$.a[0]", "$." + "x" * 90]),
            message=st.one_of(texts, st.sampled_from([w.en for w in FAULTS]), tricky),
            written=st.one_of(st.none(), texts, tricky, st.just("y" * 5_000), st.integers()),
            allowed=st.one_of(st.none(), st.lists(texts, max_size=40), st.just("string")),
            tool=st.sampled_from([None, "shell", "save", "plan", "draw", "z" * 300]),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 3_000),
    st.sampled_from(LANGUAGES),
    st.sampled_from([None, "hermes", "pythonic", "gptme", "qwen3_coder"]),
)
def test_never_above_the_cap(
    violations: list[Violation], chars: int, language: Language, dialect: str | None
) -> None:
    """However many faults, whatever they hold; examples stand there whole or not at all."""
    policy = Policy(feedback_chars=chars, language=language)
    text = render(violations, TOOLS, policy, [RefusedCall("x", "y", dialect=dialect)])
    assert len(text) <= chars
    first = violations[0]
    if chars >= 200:
        assert not first.tool or first.tool[:60] in text
        assert fault(first.message, language, first.rule)[:20] in text


@pytest.mark.parametrize("chars", range(120, 900, 7))
def test_an_example_is_whole_or_not_there(chars: int) -> None:
    """At no cap is it cut."""
    text = '<tool_call>{"name": "save", "arguments": {"path": "' + "p" * 300 + '"}}</tool_call>'
    verdict = check(ModelOutput(text), TOOLS, Policy(feedback_chars=chars))
    assert isinstance(verdict, Retry)
    whole = '<tool_call>\n{"name": "save", "arguments": {"path": "...", "content": "..."}}'
    assert ("<tool_call>" in verdict.feedback) == (f"{whole}\n</tool_call>" in verdict.feedback)
    assert "required argument 'content' is missing" in verdict.feedback
    assert chars < 230 or "<tool_call>" in verdict.feedback


def test_where_it_broke() -> None:
    """A mark at the place, with what stands around it, shortened."""
    assert around("abc", 1) == "a≪here≫bc"
    assert around("abc", 99) == "abc≪here≫"
    long = around("x" * 200, 100)
    assert long == f"…{'x' * 30}≪here≫{'x' * 30}…"
    raw = '{"command": "' + "a" * 500 + '", "deep": }' + " " * 40
    verdict = check(ModelOutput(tool_calls=[native("shell", raw)]), TOOLS)
    assert isinstance(verdict, Retry)
    assert '"deep": ≪here≫}' in verdict.feedback
    assert "a" * 40 not in verdict.feedback


def test_shorten() -> None:
    """One line, capped, whatever the value."""
    assert shorten("a\n b", 10) == "a b"
    assert shorten({"a": 1}) == '{"a": 1}'
    assert len(shorten("x" * 500)) == 80
