"""What of a failed call stays when the model is asked to correct it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from laws import native, tool

from gptme_reliability import Accept, ModelFacts, ModelOutput, Policy, Retry, check
from gptme_reliability.corrections import corrected, likely_values, valid_values
from gptme_reliability.errors import RequestRefused
from gptme_reliability.exchange import Outcome, drive, exchange
from gptme_reliability.ladder import Learned
from gptme_reliability.prompting import structured
from gptme_reliability.types import Attempted, ModelRequest, ToolDefinition

UNIT = {"enum": ["mile", "yard"]}
CONVERT = tool(
    "convert",
    {"value": {"type": "number"}, "unit": UNIT, "digits": {"type": "integer"}},
    ["value", "unit"],
)
NOTE = tool("note", {"title": {"type": "string"}, "text": {"type": "string"}}, ["title", "text"])
TOOLS = (CONVERT, NOTE)
REQUEST = ModelRequest(({"role": "user", "content": "convert 11.5 yard, note it"},), TOOLS)
HELD = Policy(retries=1, rungs=("structure",), backoff=0, partial="hold")


def fits(*attempted: Attempted) -> Any:
    """Whether an answer fits the schema that asks for these calls again."""
    asked = structured(REQUEST, "json_schema", "en", attempted, "note")
    return Draft202012Validator(asked.params["json_schema"]).is_valid


def convert(**arguments: Any) -> dict[str, Any]:
    return {"name": "convert", "arguments": arguments}


# --- what may have been meant -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"number": 11.5, "unit": "yard"}, {"value": 11.5}),
        ({"number": 11.5, "of": "yard"}, {"value": 11.5, "unit": "yard"}),
        ({"number": 11.5, "from": "yard"}, {"value": 11.5, "unit": "yard"}),
        ({"number": "many", "unit": "yard"}, {}),
        ({"number": 1, "amount": 2, "unit": "yard"}, {}),
        ({"value": 1, "from": "foot"}, {}),
        ({"value": 1, "unit": "yard", "places": 2}, {"digits": 2}),
        ({"unit": "yard", "places": 2}, {"value": 2}),
        ({"value": 1, "unit": "yard", "places": 2, "round": 3}, {}),
        ({"unit": "yard", "limit": 2}, {}),
        ({f"n{count}": count for count in range(99)}, {}),
    ],
)
def test_what_a_stray_value_may_have_been_meant_for(written: Any, meant: Any) -> None:
    assert likely_values(CONVERT, written) == meant


def test_two_texts_may_be_for_either() -> None:
    assert likely_values(NOTE, {"one": "a", "two": "b"}) == {}


def test_what_is_likely_is_shown_and_never_run() -> None:
    verdict = check(ModelOutput(tool_calls=[native("convert", {"n": 2, "unit": "yard"})]), TOOLS)
    assert isinstance(verdict, Retry) and verdict.calls == ()
    assert json.dumps({"value": 2, "unit": "yard"}) in verdict.feedback


# --- what stays -------------------------------------------------------------------------------


def test_valid_values_stay_and_the_rest_is_open() -> None:
    fit = fits(Attempted("convert", {"number": 11.5, "unit": "yard"}))
    assert fit(convert(value=11.5, unit="yard")) and fit(convert(value=3, unit="yard", digits=1))
    assert not fit(convert(value=11.5, unit="mile"))
    assert not fit(convert(unit="yard"))
    assert not fit(convert(value=11.5, unit="yard", number=11.5))


def test_what_was_left_out_stays_out() -> None:
    fit = fits(Attempted("convert", {"value": "much", "unit": "yard"}))
    assert fit(convert(value=1, unit="yard"))
    assert not fit(convert(value=1, unit="yard", digits=2))


def test_instead_of_a_call_there_may_be_words() -> None:
    fit = fits(Attempted("convert", {"unit": "yard"}))
    assert fit({"name": "note", "arguments": {"title": "a", "text": "b"}})


def test_several_calls_in_their_order() -> None:
    fit = fits(Attempted("convert", {"value": 1, "unit": "mile"}), Attempted("convert", {}))
    assert fit([convert(value=1, unit="mile"), convert(value=2, unit="yard")])
    assert not fit([convert(value=2, unit="yard"), convert(value=1, unit="mile")])


def test_a_call_of_no_tool_may_be_of_any() -> None:
    found = corrected(Attempted(None, {"unit": "yard", "title": "a"}), TOOLS)
    kept = [dict(one.parameters["properties"]) for one in found]
    assert kept[0]["unit"] == {"const": "yard"} and kept[1]["title"] == {"const": "a"}


def test_of_what_could_not_be_read_the_tool_stays() -> None:
    assert corrected(Attempted("note", None), TOOLS) == [NOTE]


@pytest.mark.parametrize("value", ["x" * 5_000, "\ud800", "é" * 2_500])
def test_what_no_grammar_can_spell_is_left_open(value: str) -> None:
    (found,) = corrected(Attempted("note", {"title": value}), TOOLS)
    assert found.parameters["properties"]["title"] == {"type": "string"}


def test_definitions_go_along() -> None:
    schema = {
        "type": "object",
        "properties": {"point": {"$ref": "#/$defs/point"}, "name": {"type": "string"}},
        "required": ["point", "name"],
        "$defs": {"point": {"type": "array", "items": {"type": "integer"}}},
    }
    place = ToolDefinition("place", schema)
    assert valid_values(place, {"point": [1], "name": 3}) == {"point": [1]}
    (found,) = corrected(Attempted("place", {"point": ["a"]}), [place])
    assert found.parameters["$defs"] == schema["$defs"]


def test_a_reference_to_elsewhere_is_no_value_to_keep() -> None:
    schema = {
        "type": "object",
        "properties": {"one": {"type": "string"}, "other": {"$ref": "#/properties/one"}},
        "required": ["one"],
    }
    assert valid_values(ToolDefinition("two", schema), {"other": "a"}) == {}


# --- in an exchange ---------------------------------------------------------------------------


class Server:
    """Answers in turn, and refuses the schemas it is told to."""

    def __init__(self, *outputs: ModelOutput, refuses: str = "nothing") -> None:
        self.outputs = list(outputs)
        self.refuses = refuses
        self.schemas: list[str] = []

    def __call__(self, request: ModelRequest) -> ModelOutput:
        schema = json.dumps(request.params.get("response_format", {}))
        self.schemas.append(schema)
        if self.refuses in schema:
            raise RequestRefused(tools=False) from TimeoutError("no such grammar")
        return self.outputs.pop(0)


def run(server: Server, policy: Policy = HELD, learned: Learned | None = None) -> Outcome:
    return drive(exchange(REQUEST, policy, ModelFacts(), learned=learned), server)


def test_what_was_right_beside_a_fault_comes_back_with_it() -> None:
    first = [native("note", {"title": "a", "text": "b"}), native("convert", {"unit": "yard"})]
    again = [
        {"name": "note", "arguments": {"title": "a", "text": "b"}},
        convert(value=1, unit="yard"),
    ]
    server = Server(ModelOutput(tool_calls=first), ModelOutput(json.dumps(again)))
    ended = run(server)
    assert isinstance(ended.verdict, Accept)
    assert [call.name for call in ended.verdict.calls] == ["note", "convert"]
    assert all(f'{{"const": "{value}"}}' in server.schemas[1] for value in ("a", "b", "yard"))


def test_the_attempt_with_the_fewest_faults_is_corrected() -> None:
    close = ModelOutput(tool_calls=[native("convert", {"unit": "yard"})])
    off = ModelOutput(tool_calls=[native("convert", {"unit": "foot", "digits": "x"})])
    right = ModelOutput(json.dumps(convert(value=1, unit="yard")))
    server = Server(close, off, right)
    policy = Policy(retries=2, rungs=("re_ask", "structure"), backoff=0)
    assert isinstance(run(server, policy).verdict, Accept)
    assert '{"const": "yard"}' in server.schemas[2]


def test_a_doubt_is_nothing_to_correct() -> None:
    """A call that only repeats what was quoted is not held to being made."""
    quoted = marked({"name": "note", "arguments": {"title": "a", "text": "b"}})
    messages = ({"role": "tool", "tool_call_id": "1", "content": quoted},)
    verdict = check(ModelOutput(quoted), TOOLS, messages=messages)
    assert isinstance(verdict, Retry) and verdict.attempted == ()


def test_a_server_without_such_grammars_is_asked_without() -> None:
    failed = ModelOutput(tool_calls=[native("convert", {"unit": "yard"})])
    right = ModelOutput(json.dumps(convert(value=1, unit="mile")))
    server = Server(failed, right, failed, right, refuses='{"const": "yard"}')
    learned, policy = Learned(), Policy(retries=3, rungs=("structure",), backoff=0)
    assert isinstance(run(server, policy, learned).verdict, Accept)
    assert len(server.schemas) == 3 and "json_schema" in server.schemas[2]
    assert isinstance(run(server, policy, learned).verdict, Accept)
    assert len(server.schemas) == 5, "it is not tried again"


PROMPTED = ModelFacts(native_tools=False)


def marked(call: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


def test_with_tools_in_words_a_correction_comes_first() -> None:
    """Nothing else holds the model to a schema there."""
    failed = ModelOutput(marked(convert(n=2, unit="yard")))
    right = ModelOutput(json.dumps(convert(value=2, unit="yard")))
    server = Server(failed, right)
    ended = drive(exchange(REQUEST, Policy(backoff=0), PROMPTED), server)
    assert isinstance(ended.verdict, Accept)
    assert [attempt.rung for attempt in ended.attempts] == [None, "structure"]
