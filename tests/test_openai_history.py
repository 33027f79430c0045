"""The conversation, mended on the wire, and errors that are the model's fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import call

from gptme_reliability.adapters.openai_history import NO_RESULT, mend_history
from gptme_reliability.adapters.openai_pending import add_pending, digest, place
from gptme_reliability.adapters.server_errors import about_the_conversation, model_fault
from gptme_reliability.types import Call

ERRORS = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases" / "server_errors.jsonl").read_text().splitlines()
]

# --- conversations ----------------------------------------------------------------------------


def said(*calls: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(call_id: Any, content: Any = "done") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


USER = {"role": "user", "content": "go"}


def test_a_good_conversation_is_left_alone() -> None:
    messages = [
        {"role": "system", "content": "s"},
        USER,
        said(call("look", {"place": "a"}, "x"), call("look", {"place": "b"}, "y")),
        result("x"),
        result("y", [{"type": "text", "text": "t"}]),
        {"role": "assistant", "content": "ok"},
        result("orphan"),
        USER,
    ]
    assert mend_history(messages) == (messages, ())


def test_a_call_of_a_tool_that_is_no_function_stays_as_it_is() -> None:
    custom = {"id": "x", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    messages = [USER, said(custom), result("x"), USER]
    assert mend_history(messages) == (messages, ())
    _, repairs = mend_history([USER, said(custom), USER])
    assert [repair.rule for repair in repairs] == ["history_result"]


@pytest.mark.parametrize(
    ("arguments", "expected", "kind"),
    [
        ("", "{}", "inferred"),
        (None, "{}", "lossy"),
        ("nothing of use", "{}", "lossy"),
        ("[1]", "{}", "lossy"),
        ("{'place': 'a'}", {"place": "a"}, "inferred"),
    ],
)
def test_broken_arguments_become_json(arguments: Any, expected: Any, kind: str) -> None:
    mended, repairs = mend_history([USER, said(call("look", arguments, "x")), result("x")])
    written = mended[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(written) == ({} if expected == "{}" else expected)
    assert [(r.rule, r.kind) for r in repairs] == [("history_arguments", kind)]
    assert repairs[0].path == "$.messages[1].tool_calls[0].function.arguments"


def test_arguments_as_an_object_become_text() -> None:
    raw = {"id": "x", "type": "function", "function": {"name": "look", "arguments": {"a": 1}}}
    mended, repairs = mend_history([said(raw), result("x")])
    assert mended[0]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert repairs[0].kind == "lossless"


def test_missing_ids_are_given_to_calls_and_results_in_order() -> None:
    messages = [said(call("look", {}, ""), call("shell", {}, None)), result(None, 1), result("", 2)]
    mended, _ = mend_history(messages)
    ids = [c["id"] for c in mended[0]["tool_calls"]]
    assert all(ids) and ids[0] != ids[1]
    assert [(m["tool_call_id"], m["content"]) for m in mended[1:]] == [(ids[0], 1), (ids[1], 2)]
    assert mend_history(messages)[0] == mended


def test_ids_used_twice_are_told_apart() -> None:
    messages = [
        said(call("look", {}, "x"), call("look", {}, "x")),
        result("x", 1),
        result("x", 2),
        said(call("look", {}, "x")),
        result("x", 3),
        result("x", 4),
    ]
    mended, _ = mend_history(messages)
    first, second = (c["id"] for c in mended[0]["tool_calls"])
    third = mended[3]["tool_calls"][0]["id"]
    assert first == "x" and len({first, second, third}) == 3
    answers = [(m["tool_call_id"], m["content"]) for m in mended if m["role"] == "tool"]
    assert answers == [(first, 1), (second, 2), (third, 3), (third, 4)]


def test_calls_without_a_result_get_one_that_says_so() -> None:
    messages = [said(call("look", {}, "x"), call("look", {}, "y")), result("x"), USER]
    mended, repairs = mend_history(messages)
    assert [m["role"] for m in mended] == ["assistant", "tool", "tool", "user"]
    assert mended[2] == {"role": "tool", "tool_call_id": "y", "content": NO_RESULT}
    assert [r.rule for r in repairs] == ["history_result"]
    assert mend_history(mended) == (mended, ())


def test_what_else_servers_choke_on() -> None:
    messages = [
        {"role": "assistant"},
        said({"id": "a", "function": {"name": "", "arguments": "{}"}}, None),
        result("a"),
        result(None),
        result(None),
    ]
    mended, _ = mend_history(messages)
    assert mended[0]["content"] == ""
    for entry in mended[1]["tool_calls"]:
        assert entry["type"] == "function" and entry["id"] and entry["function"]["name"]
    assert all(m["tool_call_id"] for m in mended if m["role"] == "tool")
    assert mend_history(mended) == (mended, ())


@given(
    st.lists(
        st.one_of(
            st.just(USER),
            st.builds(result, st.sampled_from([None, "", "x", "y", 3])),
            st.lists(
                st.builds(
                    call,
                    st.sampled_from(["look", "", None]),
                    st.sampled_from(["{}", "", "{", None, "[]", 4]),
                    st.sampled_from([None, "", "x", "y"]),
                ),
                max_size=3,
            ).map(lambda calls: said(*calls)),
        ),
        max_size=8,
    )
)
def test_mending_is_idempotent_and_complete(messages: list[dict[str, Any]]) -> None:
    mended, repairs = mend_history(messages)
    assert bool(repairs) == (mended != messages)
    assert mend_history(mended) == (mended, ())
    ids = [c["id"] for m in mended for c in m.get("tool_calls", ())]
    assert len(ids) == len(set(ids))
    answered = {m["tool_call_id"] for m in mended if m["role"] == "tool"}
    assert set(ids) <= answered


def test_late_feedback_goes_into_the_last_result_once() -> None:
    messages = [
        USER,
        said(call("look", '{"place":"a"}', "x"), call("look", {"place": "b"}, "y")),
        result("x"),
        result("y", None),
    ]
    before = digest(messages[:1])
    mind = {
        place(before, Call("look", {"place": "a"}, "x")): "mind",
        place(before, Call("look", {"place": "b"}, "y")): "mind",
        place(before, Call("look", {"place": "b"}, "z")): "other",
    }
    written, repairs = add_pending(messages, mind)
    assert written[2]["content"] == "done"
    assert written[3]["content"] == "mind"
    assert len(repairs) == 1
    messages[3]["content"] = [{"type": "text", "text": "t"}]
    parts = add_pending(messages, mind)[0]
    assert parts[3]["content"][-1] == {"type": "text", "text": "mind"}
    assert add_pending(messages, {}) == (messages, ())


def test_late_feedback_is_bound_to_its_place() -> None:
    turn = [said(call("look", {}, "x")), result("x")]
    mind = {place(digest([USER]), Call("look", {}, "x")): "mind"}
    assert len(add_pending([USER, *turn], mind)[1]) == 1
    system = {"role": "system", "content": "it is noon"}
    assert len(add_pending([system, USER, *turn], mind)[1]) == 1
    other = {"role": "user", "content": "come"}
    assert add_pending([other, *turn], mind)[1] == ()
    written, repairs = add_pending([USER, *turn, *turn], mind)
    assert [r.path for r in repairs] == ["$.messages[2].content"]
    assert written[4]["content"] == "done"


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ERRORS, ids=[case["name"] for case in ERRORS])
def test_model_faults_are_told_from_real_errors(case: dict[str, Any]) -> None:
    body = case["body"] if isinstance(case["body"], str) else json.dumps(case["body"])
    output = model_fault(case["status"], body.encode())
    assert (output is not None) is case["fault"]
    if output is not None:
        assert output.text == case["text"]
        arguments = [c["function"]["arguments"] for c in output.tool_calls]
        assert arguments == ([case["arguments"]] if "arguments" in case else [])


@pytest.mark.parametrize("filler", [b"error pars", b"tool call ", b"raw='", b"x"])
def test_a_huge_error_is_no_fault_of_the_model(filler: bytes) -> None:
    assert model_fault(500, filler * 10_000) is None


@pytest.mark.parametrize(
    ("message", "expected"),
    [("CUDA out of memory", False), ("jinja: bad message", True), ("broken history", True)],
)
def test_errors_about_the_conversation(message: str, expected: bool) -> None:
    assert about_the_conversation(json.dumps({"error": {"message": message}}).encode()) is expected
