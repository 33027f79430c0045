"""The eleven laws as properties, over generated outputs."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from laws import TOOLS, native, outputs, valid_calls

from gptme_reliability import Accept, Gate, ModelOutput, Policy, Reject, Retry, check
from gptme_reliability.dialects.cues import PLACEHOLDER
from gptme_reliability.exchange import drive, exchange
from gptme_reliability.resolve import callable_names
from gptme_reliability.types import Call, ModelRequest
from gptme_reliability.validate import validate

NAMES = {tool.name: tool for tool in TOOLS}
LEAD = st.sampled_from(["", "I'll do that now.\n", "Let me check the files:\n\n"])


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for member in value.values() for leaf in leaves(member)]
    if isinstance(value, list):
        return [leaf for member in value for leaf in leaves(member)]
    return [value]


@given(st.lists(valid_calls(), min_size=1, max_size=3, unique_by=lambda c: json.dumps(c)))
def test_law_1_valid_means_untouched(calls: list[tuple[str, dict[str, Any]]]) -> None:
    """Valid native calls are accepted as they are, whatever their strings contain."""
    raw = [native(n, a, f"call_{i}") for i, (n, a) in enumerate(calls)]
    verdict = check(ModelOutput(tool_calls=raw, finish_reason="tool_calls"), TOOLS)
    assert isinstance(verdict, Accept)
    assert not verdict.changed
    assert [(c.name, dict(c.arguments)) for c in verdict.calls] == calls


@given(st.text(st.characters(codec="utf-8", exclude_characters="{[<@`(~"), min_size=1))
def test_law_1_plain_text_is_right(text: str) -> None:
    """A clean answer in text is accepted unchanged."""
    verdict = check(ModelOutput(text, finish_reason="stop"), TOOLS)
    assert isinstance(verdict, Accept) == bool(text.strip())
    assert verdict.text == text


@given(valid_calls(), LEAD)
def test_law_5_hermes_calls_read_back(call: tuple[str, dict[str, Any]], lead: str) -> None:
    """What stands inside a string argument never changes a call, and never is one."""
    name, arguments = call
    assume(not any(isinstance(v, str) and PLACEHOLDER.fullmatch(v) for v in arguments.values()))
    body = json.dumps({"name": name, "arguments": arguments})
    verdict = check(ModelOutput(f"{lead}<tool_call>\n{body}\n</tool_call>"), TOOLS)
    assert [(c.name, dict(c.arguments)) for c in verdict.calls] == [call]
    assert verdict.text == lead.rstrip()
    assert not verdict.repairs


@given(outputs)
def test_law_2_nothing_is_invented(text: str) -> None:
    """Every value of a call stands in the text; every tool is on offer; schemas hold."""
    verdict = check(ModelOutput(text, finish_reason="stop"), TOOLS)
    unescaped = text.replace("\\n", "\n").replace("\\", "")
    for call in verdict.calls:
        assert not validate(call.arguments, NAMES[call.name])
        for leaf in leaves(dict(call.arguments)):
            if isinstance(leaf, str):
                assert leaf in text or leaf.replace("\\", "") in unescaped


@given(valid_calls(), st.data())
def test_law_6_cut_off_is_never_executed(
    call: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    """No prefix of a call's arguments runs with anything but the whole arguments."""
    name, arguments = call
    whole = json.dumps(arguments)
    cut = data.draw(st.integers(0, len(whole) - 1))
    reason = data.draw(st.sampled_from(["stop", "tool_calls", None, "length"]))
    verdict = check(
        ModelOutput(tool_calls=[native(name, whole[:cut])], finish_reason=reason), TOOLS
    )
    for accepted in verdict.calls:
        assert reason != "length"
        for key, value in accepted.arguments.items():
            # Brackets may be supplied, so a list may have lost members, but never half of one.
            said = arguments[key]
            assert said[: len(value)] == value if isinstance(said, list) else said == value


@given(valid_calls())
def test_law_6_length_strikes_the_last_call(call: tuple[str, dict[str, Any]]) -> None:
    """The call at which the limit struck is asked for again, even when it looks whole."""
    raw = [native("shell", {"command": "ls"}, "a"), native(call[0], call[1], "b")]
    verdict = check(ModelOutput(tool_calls=raw, finish_reason="length"), TOOLS)
    assert isinstance(verdict, Retry)
    assert [c.id for c in verdict.calls] == ["a"]


@given(outputs)
def test_law_7_no_tools_no_calls(text: str) -> None:
    """Without tools on offer there are no calls."""
    assert check(ModelOutput(text), ()) == Accept(text=text)


@given(valid_calls())
def test_law_4_a_native_call_without_an_offer_is_named(call: tuple[str, dict[str, Any]]) -> None:
    """It does not run, and whoever asked can see that and why."""
    wire = {"id": "a", "function": {"name": call[0], "arguments": json.dumps(call[1])}}
    verdict = check(ModelOutput("Well.", tool_calls=[wire, 5]), ())
    assert isinstance(verdict, Accept)
    assert (verdict.calls, verdict.text) == ((), "Well.")
    assert [(refused.name, refused.id) for refused in verdict.refused] == [
        (call[0], "a"),
        (None, None),
    ]
    assert {refused.reason for refused in verdict.refused} == {"no tools were on offer"}


def test_law_4_of_many_native_calls_without_an_offer_the_rest_is_counted() -> None:
    wire = [{"function": {"name": f"f{number}", "arguments": "{}"}} for number in range(9)]
    verdict = check(ModelOutput(tool_calls=wire), (), Policy(max_calls=7))
    assert [refused.name for refused in verdict.refused] == [*(f"f{n}" for n in range(7)), None]
    assert "2 more calls" in verdict.refused[-1].reason


@given(valid_calls())
def test_law_7_closed_reasoning_is_text(call: tuple[str, dict[str, Any]]) -> None:
    """A call in closed reasoning is text, whatever follows."""
    body = json.dumps({"name": call[0], "arguments": call[1]})
    if "</think>" in body:
        return
    text = f"<think>maybe <tool_call>{body}</tool_call></think>The answer is 42."
    assert check(ModelOutput(text), TOOLS) == Accept(text=text)


@given(outputs, st.data())
def test_law_8_shown_text_never_was_part_of_a_call(text: str, data: st.DataObject) -> None:
    """Any chunking shows a prefix of the verdict's text, and never takes it back."""
    verdict = check(ModelOutput(text, finish_reason="stop"), TOOLS)
    gate = Gate(callable_names(TOOLS))
    position, safe = 0, 0
    while position < len(text):
        size = data.draw(st.integers(1, 12))
        now = gate.feed(text[position : position + size])
        assert now >= safe
        safe, position = now, position + size
    assert verdict.text.startswith(text[:safe]) or not text[:safe].strip()


@given(outputs, st.data())
def test_law_8_chunking_changes_nothing(text: str, data: st.DataObject) -> None:
    """Fed whole or in pieces, the gate stops at the same place."""
    text += "x"  # white space at the end waits for what follows
    whole = Gate(callable_names(TOOLS))
    limit = whole.feed(text)
    pieces = Gate(callable_names(TOOLS))
    position, safe = 0, 0
    while position < len(text):
        size = data.draw(st.integers(1, 9))
        safe = pieces.feed(text[position : position + size])
        position += size
    assert safe == limit


@given(st.text(max_size=200), st.text(max_size=60), st.sampled_from(["stop", "length", None, "x"]))
def test_law_9_nothing_raises(text: str, arguments: str, reason: str | None) -> None:
    """Whatever a model writes, a verdict comes out."""
    calls = [{"id": None, "function": {"name": text[:5], "arguments": arguments}}, text, None, 3]
    verdict = check(ModelOutput(text, tool_calls=calls, finish_reason=reason), TOOLS)
    assert isinstance(verdict, Accept | Retry | Reject)


@given(outputs)
def test_law_10_deterministic_and_idempotent(text: str) -> None:
    """The same input gives the same verdict; an accepted result is accepted unchanged."""
    first = check(ModelOutput(text, finish_reason="stop"), TOOLS)
    assert first == check(ModelOutput(text, finish_reason="stop"), TOOLS)
    if isinstance(first, Accept) and first.calls:
        raw = [native(c.name, dict(c.arguments), f"c{i}") for i, c in enumerate(first.calls)]
        again = check(ModelOutput(tool_calls=raw, finish_reason="tool_calls"), TOOLS)
        assert isinstance(again, Accept) and not again.changed
        assert [strip(c) for c in again.calls] == [strip(c) for c in first.calls]


def strip(call: Call) -> tuple[str, dict[str, Any]]:
    return call.name, dict(call.arguments)


@given(outputs)
def test_law_3_and_4_every_attempt_is_accounted_for(text: str) -> None:
    """With nothing allowed, no call of a repaired reading runs; what is left out is named."""
    strict = check(ModelOutput(text), TOOLS, Policy(allow=frozenset()))
    assert all(repair.kind == "presentation" for repair in strict.repairs)
    verdict = check(ModelOutput(text), TOOLS)
    wordless = ("empty", "fence", "intent")
    if isinstance(verdict, Retry) and verdict.violations[0].rule not in wordless:
        assert verdict.refused and verdict.feedback


@settings(max_examples=50)
@given(st.lists(outputs, min_size=1, max_size=4))
def test_law_11_an_exchange_ends_within_its_budget(answers: list[str]) -> None:
    """However the model answers, the number of requests is bounded and the host gets text."""
    asked: list[ModelRequest] = []

    def send(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return ModelOutput(answers[min(len(asked), len(answers)) - 1], finish_reason="stop")

    request = ModelRequest(({"role": "user", "content": "hi"},), TOOLS)
    outcome = drive(exchange(request, Policy(retries=2)), send)
    assert 1 <= len(asked) == len(outcome.attempts) <= 3
    assert asked[0] is request
    assert isinstance(outcome.verdict, Accept | Reject)


def test_law_8_a_line_begins_behind_reasoning() -> None:
    """The end of reasoning is noticed when it arrives letter by letter."""
    gate = Gate(callable_names(TOOLS))
    text = '</think>```json\n{"name": "shell", "arguments": {"command": "ls"}}'
    assert [gate.feed(letter) for letter in text][-1] == len("</think>")
