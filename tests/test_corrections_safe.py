"""Corrections make nothing run that the model did not mean, and nothing raise or grow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from laws import SAVE, SHELL, STRING, native, tool

from gptme_reliability import Accept, Call, ModelFacts, ModelOutput, Policy, Retry, check
from gptme_reliability.corrections import corrected, likely_values, valid_values
from gptme_reliability.exchange import Outcome, drive, exchange
from gptme_reliability.feedback import render
from gptme_reliability.in_text import check_in_text
from gptme_reliability.ladder import Learned
from gptme_reliability.prompting import structured
from gptme_reliability.types import Attempted, HostFormat, ModelRequest, Rung, ToolDefinition

NUMBER = {"type": "number"}
SEND = tool("send", {"to": STRING, "amount": NUMBER}, ["to", "amount"])
COLOUR = {"enum": ["red", "blue"]}
PAINT = tool(
    "paint", {"what": STRING, "colour": COLOUR, "coats": {"type": "integer"}}, ["what", "colour"]
)
LIST = {"type": "array", "items": STRING}
TAG = tool("tag", {"path": STRING, "tags": LIST}, ["path", "tags"])
TOOLS = (SHELL, SAVE, SEND, PAINT, TAG)
USER = {"role": "user", "content": "send bob 5"}
REQUEST = ModelRequest((USER,), TOOLS)
HOLD = Policy(partial="hold", backoff=0)


def like(**parameters: Any) -> ToolDefinition:
    """A tool with two texts and whatever stands beside them."""
    return ToolDefinition(
        "edit", {"type": "object", "properties": {"a": STRING, "b": STRING}, **parameters}
    )


def marked(name: str, arguments: Mapping[str, Any]) -> str:
    call = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{call}\n</tool_call>"


def told(text: str, tools: Sequence[ToolDefinition] = TOOLS) -> str:
    verdict = check(ModelOutput(text), tools)
    assert isinstance(verdict, Retry) and verdict.calls == ()
    return verdict.feedback


def example_in(feedback: str) -> str:
    begin, end = feedback.index("<tool_call>"), feedback.index("</tool_call>")
    return feedback[begin : end + len("</tool_call>")]


# --- an example that is repeated --------------------------------------------------------------

SPOILED = [
    ("send", {"to": "bob"}),
    ("send", {"to": "bob", "amount": {}}),
    ("paint", {"what": "door", "coats": 2}),
    ("paint", {"what": "door", "colour": "huge"}),
    ("paint", {"what": "door", "colour": "red", "coats": 2.5}),
    ("paint", {"what": "door", "colour": "red", "number_of_coats": 2.5}),
    ("tag", {"path": "a.txt"}),
    ("shell", {"command": "rm -rf x", "dry_run": True}),
    ("save", {"path": "a.txt", "reason": "to keep it"}),
    ("save", {"path": "a.txt", "overwrite": "yes"}),
    ("save", {"path": "a.txt", "one": "x", "two": "y"}),
]


@pytest.mark.parametrize(("name", "arguments"), SPOILED)
def test_a_repeated_example_runs_nothing_that_nobody_said(name: str, arguments: Any) -> None:
    """What was missing or wrong is nowhere filled in, and what limits a call is not left out."""
    shown = example_in(told(marked(name, arguments)))
    for answer in (shown, shown.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")):
        assert check(ModelOutput(answer), TOOLS).calls == ()


def test_a_repeated_example_of_the_models_own_values_is_its_call() -> None:
    """Every value is its own, and it was asked: who repeats that says yes."""
    shown = example_in(told(marked("save", {"path": "a.txt", "wording": "hello"})))
    (call,) = check(ModelOutput(shown), TOOLS).calls
    assert call.arguments == {"path": "a.txt", "content": "hello"}


@pytest.mark.parametrize("text", [marked("save", {"path": "a.txt", "wording": "hello"}),
                                  marked("save", {"path": "a", "wording": "```shell\nls\n```"}),
                                  marked("shell", {"wording": "ls"})])  # fmt: skip
def test_feedback_with_a_whole_example_that_is_repeated_does_not_run(text: str) -> None:
    feedback = told(text)
    assert check(ModelOutput(feedback), TOOLS).calls == ()
    for form in ("markdown", "xml"):
        host = HostFormat(form, {"save": "save", "shell": "shell"},
                          {"save": "positional", "shell": "positional"})  # fmt: skip
        verdict = check_in_text(ModelOutput(text), (SAVE, SHELL), host)
        assert isinstance(verdict, Retry)
        again = check_in_text(ModelOutput(verdict.feedback), (SAVE, SHELL), host)
        assert again.calls == ()


@pytest.mark.parametrize("form", ["markdown", "xml"])
def test_own_values_in_the_hosts_format(form: Any) -> None:
    """On lines of their own, and a fence in a value within a longer one."""
    host = HostFormat(form, {"save": "save"}, {"save": "positional"})
    text = marked("save", {"content": "a\n```py\nx\n```\nb"})
    verdict = check_in_text(ModelOutput(text), (SAVE,), host)
    assert isinstance(verdict, Retry)
    opening = "````save ...\n" if form == "markdown" else '<save args="...">\n'
    assert f"{opening}a\n```py\nx\n```\nb\n" in verdict.feedback


def test_a_native_call_that_repeats_the_placeholder_does_not_run() -> None:
    """A path of its own with the example's dots beside it would empty a real file."""
    first = ModelOutput(tool_calls=[native("save", {"path": "a.txt"})])
    parrot = ModelOutput(tool_calls=[native("save", {"path": "a.txt", "content": "..."}, "c2")])
    right = ModelOutput(tool_calls=[native("save", {"path": "a.txt", "content": "hi"}, "c3")])
    ended = run([first, parrot, right], Policy(rungs=("re_ask",), backoff=0))
    assert [len(attempt.verdict.calls) for attempt in ended.attempts] == [0, 0, 1]
    assert ended.verdict.calls[0].arguments == {"path": "a.txt", "content": "hi"}


def test_dots_that_nobody_showed_are_a_value() -> None:
    ended = run([ModelOutput(tool_calls=[native("shell", {"command": "..."})])], HOLD)
    assert isinstance(ended.verdict, Accept) and len(ended.verdict.calls) == 1


# --- what is kept -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "definition",
    [
        like(required=["a"], oneOf=[{"required": ["a"]}, {"required": ["b"]}]),
        like(anyOf=[{"required": ["a"]}, {"required": ["b"]}], required=["a", "b"]),
        like(dependentRequired={"a": ["b"]}),
        like(allOf=[{"if": {"required": ["a"]}, "then": {"required": ["b"]}}]),
        like(minProperties=2),
        like(maxProperties=1),
        like(patternProperties={"^x": STRING}),
        like(**{"not": {"required": ["a", "b"]}}),
        ToolDefinition("edit", {"properties": {"a": STRING, "b": {"$ref": "#/properties/a"}}}),
        ToolDefinition("edit", {"properties": {"a": STRING, "b": {"items": {"$ref": "#"}}}}),
    ],
)  # fmt: skip
def test_where_arguments_depend_on_each_other_none_is_kept(definition: ToolDefinition) -> None:
    """The valid one of a pair may be the wrong one of it."""
    written = {"a": "x", "b": 5, "c": "y"}
    assert valid_values(definition, written) == likely_values(definition, written) == {}
    assert corrected(Attempted("edit", written), [definition]) == [definition]


def test_beside_what_limits_a_call_nothing_is_kept() -> None:
    (found,) = corrected(Attempted("shell", {"command": "rm -rf x", "dry_run": True}), [SHELL])
    assert found.parameters["properties"] == {"command": STRING}


@pytest.mark.parametrize("extras", [{}, {"additionalProperties": True},
                                    {"additionalProperties": STRING}])  # fmt: skip
def test_what_the_tool_takes_besides_may_be_written_again(extras: Any) -> None:
    definition = like(required=["a", "b"], **extras)
    (found,) = corrected(
        Attempted("edit", {"a": "x", "first": 1, "note": "y", "b": 3}), [definition]
    )
    assert {k: v for k, v in found.parameters.items() if k == "additionalProperties"} == extras


@pytest.mark.parametrize("value", [2**53, -(10**20), [1, {"a": 10**30}], float("nan"), 1e400])
def test_numbers_that_servers_read_as_others_are_left_open(value: Any) -> None:
    """llama.cpp makes 1e+20 of 10**20."""
    definition = ToolDefinition("edit", {"properties": {"a": {}}, "required": ["a"]})
    (found,) = corrected(Attempted("edit", {"a": value, "b": 1}), [definition])
    assert found.parameters["properties"] == {"a": {}}


@pytest.mark.parametrize(
    ("raw", "policy"),
    [
        # read by a repair that the user forbids
        ('{"to": "bob", "amount": 1,}', Policy(allow=frozenset())),
        # more guesses than may run
        ('{"recipient_": "bob", "amout": "1"}', Policy(max_cost_writing=0)),
    ],
)
def test_what_was_guessed_beyond_what_may_run_is_not_kept(raw: str, policy: Policy) -> None:
    verdict = check(ModelOutput(tool_calls=[native("send", raw)]), TOOLS, policy)
    assert isinstance(verdict, Retry) and verdict.calls == ()
    assert not any(one.arguments for one in verdict.attempted)
    assert "bob" not in verdict.feedback.partition("Correct arguments")[2]


@pytest.mark.parametrize("finish", ["length", "max_tokens"])
def test_of_a_call_at_the_cut_only_its_tool_is_kept(finish: str) -> None:
    calls = [native("save", {"path": "a", "content": "b"}), native("save", {"path": "c"}, "c2")]
    verdict = check(ModelOutput(tool_calls=calls, finish_reason=finish), TOOLS, HOLD)
    assert isinstance(verdict, Retry)
    assert [(one.name, one.arguments) for one in verdict.attempted] == [
        ("save", {"path": "a", "content": "b"}),
        ("save", None),
    ]


def test_a_placeholder_is_not_kept() -> None:
    verdict = check(ModelOutput(marked("save", {"path": "...", "content": "x"})), TOOLS)
    assert isinstance(verdict, Retry)
    assert [one.arguments for one in verdict.attempted] == [None]


def test_what_was_written_twice_is_asked_for_once() -> None:
    calls = [native("send", {"to": "bob"}, f"c{n}") for n in range(3)]
    verdict = check(ModelOutput(tool_calls=calls), TOOLS)
    assert isinstance(verdict, Retry) and len(verdict.attempted) == 1


def test_two_calls_of_a_tool_are_not_mixed_up() -> None:
    """Each is shown its own values; one text about both shows neither's."""
    calls = [native("send", {"to": name}, name) for name in ("bob", "eve")]
    verdict = check(ModelOutput(tool_calls=calls), TOOLS)
    assert isinstance(verdict, Retry)
    shown = verdict.feedback.partition("Correct arguments")[2]
    assert shown and "bob" not in shown and "eve" not in shown
    for index, (name, other) in enumerate([("bob", "eve"), ("eve", "bob")]):
        own = [one for one in verdict.violations if one.call == index]
        said = render(own, TOOLS, HOLD, (), verdict.attempted)
        assert name in said and other not in said


# --- in an exchange ---------------------------------------------------------------------------


class Server:
    def __init__(self, outputs: Sequence[ModelOutput]) -> None:
        self.outputs = list(outputs)
        self.schemas: list[Any] = []

    def __call__(self, request: ModelRequest) -> ModelOutput:
        form = request.params.get("response_format")
        self.schemas.append(form["json_schema"]["schema"] if form else None)
        return self.outputs.pop(0)

    def takes(self, answer: Any) -> bool:
        """Whether the last schema does."""
        return bool(Draft202012Validator(self.schemas[-1]).is_valid(answer))


def run(
    outputs: Sequence[ModelOutput],
    policy: Policy,
    facts: ModelFacts | None = None,
    server: Server | None = None,
) -> Outcome:
    return drive(
        exchange(REQUEST, policy, facts or ModelFacts(), learned=Learned()),
        server or Server(outputs),
    )


def asked(*outputs: ModelOutput, **policy: Any) -> Server:
    """The server behind these failures, asked once more with a schema."""
    words = ModelOutput('{"name": "respond", "arguments": {"text": "no"}}')
    server = Server([*outputs, words])
    rungs: tuple[Rung, ...] = ("structure",) if len(outputs) == 1 else ("re_ask", "structure")
    run((), Policy(backoff=0, rungs=rungs, **policy), server=server)
    assert server.schemas[-1]
    return server


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def fails(name: str, **arguments: Any) -> ModelOutput:
    return ModelOutput(tool_calls=[native(name, arguments)])


def test_words_beside_a_faulty_call_are_no_call_to_correct() -> None:
    """Else the model would have to call something else in their place."""
    calls = [native("respond", {"text": "ok"}), native("send", {"to": "bob"}, "c2")]
    server = asked(ModelOutput(tool_calls=calls), partial="hold", respond=True)
    assert server.takes(call("send", to="bob", amount=5))
    assert server.takes(call("respond", text="no"))
    assert not server.takes([call("shell", command="ls"), call("send", to="bob", amount=5)])


def test_who_wants_something_else_by_now_is_asked_about_that() -> None:
    server = asked(fails("send", to="bob"), fails("paint", what="door", colour="huge", coats="x"))
    assert server.takes(call("paint", what="door", colour="red", coats=1))
    assert not server.takes(call("send", to="bob", amount=5))


def test_who_wants_less_by_now_is_not_made_to_do_more() -> None:
    both = [native("shell", {"command": "ls"}), native("send", {"to": "bob"}, "c2")]
    server = asked(
        ModelOutput(tool_calls=both), fails("send", to="bob", amount="x"), partial="hold"
    )
    assert server.takes(call("send", to="bob", amount=5))
    assert not server.takes([call("shell", command="ls"), call("send", to="bob", amount=5)])


def test_what_could_not_be_read_is_taken_for_the_same() -> None:
    broken = ModelOutput(marked("send", {})[:24] + "}</tool_call>")
    server = asked(fails("send", to="bob"), broken)
    assert server.takes(call("send", to="bob", amount=5))
    assert not server.takes(call("send", to="eve", amount=5))


def test_an_answer_is_not_longer_than_what_was_allowed() -> None:
    """Of more calls than one answer may make, only so many are asked for again."""
    calls = [native("send", {"to": f"p{n}"}, f"c{n}") for n in range(9)]
    server = asked(ModelOutput(tool_calls=calls), max_calls=3)
    array = server.schemas[-1]["anyOf"][0]
    assert len(array["prefixItems"]) == 3


def test_a_host_that_reads_calls_in_text_is_asked_in_words() -> None:
    host = HostFormat("markdown", {"save": "save"}, {"save": "positional"})
    request = ModelRequest((USER,), (SAVE,), host=host)
    seen: list[ModelRequest] = []

    def send(given: ModelRequest) -> ModelOutput:
        seen.append(given)
        return ModelOutput(marked("save", {"path": {"a": len(seen)}, "content": "x"}))

    drive(exchange(request, Policy(backoff=0, force=True), ModelFacts(native_tools=False)), send)
    assert len(seen) > 1
    assert not any({"response_format", "tool_choice"} & set(given.params) for given in seen)


# --- hostile ----------------------------------------------------------------------------------

_DEEP: Any = "x"
for _ in range(900):
    _DEEP = [_DEEP]

HUGE: list[Mapping[Any, Any]] = [
    {f"k{n}": n for n in range(10_000)},
    {"to": "x" * 1_000_000},
    {"to": _DEEP, "amount": _DEEP, "other": _DEEP},
    {"to": "\ud800", "\udfff": "\ud800"},
    {"to": float("nan"), "amount": float("inf"), "x": float("nan")},
    {1: 2, None: "x", "to": "bob"},
    {"to": "bob", "x" * 100_000: "y" * 100_000},
    {f"{'é' * 50}{n}": _DEEP for n in range(200)},
]

MANY = [f"p{n}" for n in range(200)]
ODD = [
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    {"properties": {"to": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}},
    {"properties": {"to": {"$ref": "#/$defs/b"}}, "$defs": {"b": {"items": {"$ref": "#/$defs/b"}}}},
    {"properties": {"to": {"$ref": "#/nowhere"}}, "required": ["to", "amount"]},
    {"properties": {"to": {"type": "nothing"}}, "required": ["to"]},
    {"properties": {"to": 5, "amount": True}, "required": "to"},
    {"properties": {"to": {"pattern": "(a+)+$"}, "amount": False}, "required": ["amount"]},
    {"properties": dict.fromkeys(MANY, STRING), "required": MANY},
    {"type": "object", "properties": {"to": {"enum": []}}, "required": ["to"]},
]  # fmt: skip


@pytest.mark.parametrize("written", HUGE, ids=range(len(HUGE)))
@pytest.mark.parametrize("parameters", [SEND.parameters, *ODD], ids=range(len(ODD) + 1))
def test_nothing_raises_and_a_schema_stays_small(parameters: Any, written: Any) -> None:
    """Whatever was written, and whatever the tool says of itself."""
    definition = ToolDefinition("send", parameters)
    valid_values(definition, written)
    likely_values(definition, written)
    request = ModelRequest((USER,), (definition,))
    plain = structured(request, "json_schema").params["json_schema"]
    for attempted in ([Attempted("send", written)], [Attempted(None, written)] * 4):
        schema = structured(request, "json_schema", "en", attempted).params["json_schema"]
        assert len(json.dumps(schema)) <= 2 * len(json.dumps(plain)) + 30_000


def test_many_attempts_of_many_tools_are_no_schema() -> None:
    """64 calls of no tool, of 40 tools each, would be one of a megabyte."""
    tools = [tool(f"t{n}", {"a": STRING, "b": STRING}, ["a", "b"]) for n in range(40)]
    request = ModelRequest((USER,), tuple(tools))
    attempted = [Attempted(None, {"a": "x" * 3_000})] * 64
    asked = structured(request, "json_schema", "en", attempted)
    assert asked.params == structured(request, "json_schema").params
    assert asked.messages == structured(request, "json_schema").messages


def test_a_value_costs_what_it_is_long() -> None:
    """Each is looked at once for each parameter it may be for, however many there are."""
    looked_at = 0

    class Counted(dict[str, Any]):
        def items(self) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().items()

    for count in (10, 1_000):
        looked_at, written = 0, Counted({f"k{n}": n for n in range(count)}, to="bob")
        valid_values(SEND, written)
        assert looked_at <= 4


def test_a_call_made_of_corrections_is_checked_like_any_other() -> None:
    """A server that takes no notice of the schema brings what it likes; it is not believed."""
    first = fails("send", to="bob")
    wrong = ModelOutput(json.dumps(call("send", to="bob", amount="many")))
    ended = run([first, wrong, wrong, wrong], Policy(rungs=("structure",), retries=1, backoff=0))
    assert ended.verdict.calls == ()
    other = ModelOutput(json.dumps(call("send", to="bob", amount=5)))
    ended = run([first, other], Policy(rungs=("structure",), retries=1, backoff=0))
    (made,) = ended.verdict.calls
    assert isinstance(made, Call) and made.arguments == {"to": "bob", "amount": 5}
