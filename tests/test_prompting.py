"""Requests for servers without tools: what the model is told, and what becomes of the talk."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from laws import COUNT, SAVE, SHELL, TOOLS

from gptme_reliability import Accept, ModelOutput, ToolDefinition, check
from gptme_reliability.adapters.openai_request import read_request, write_request
from gptme_reliability.call_schemas import calls_schema
from gptme_reliability.dialects.encode import ENCODERS, encode
from gptme_reliability.errors import EncodingError
from gptme_reliability.examples import example
from gptme_reliability.prompt_dialects import DEFAULT, dialect_for
from gptme_reliability.prompting import prompted, structured
from gptme_reliability.types import Call, Language, ModelRequest, Structured
from gptme_reliability.validate import validate

_DIALECTS = [dialect for dialect in ENCODERS if dialect not in ("gptme_markdown", "gptme_xml")]
_LANGUAGES: tuple[Language, ...] = ("en", "zh")
_WAYS: tuple[Structured, ...] = get_args(Structured)
_USER = {"role": "user", "content": "hi"}
_RESPOND = ToolDefinition(
    "respond",
    {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    "Answers the user in words.",
)


def rows(name: str) -> list[dict[str, Any]]:
    text = (Path(__file__).parent / "cases" / f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def called(name: str, arguments: Any, call_id: str = "c1") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def request(*messages: Mapping[str, Any], tools: Any = TOOLS, **params: Any) -> ModelRequest:
    return ModelRequest(messages or (_USER,), tools, "m", params)


def told(asked: ModelRequest) -> str:
    """The system message."""
    text = asked.messages[0]["content"]
    assert asked.messages[0]["role"] == "system" and isinstance(text, str)
    return text


def shown_example(asked: ModelRequest) -> str:
    return told(asked).split("\n\n")[-2].partition("\n")[2]


def faults(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the strictest templates would raise on."""
    talk = messages[1:] if messages and messages[0]["role"] == "system" else messages
    found = [
        f"{n}: {message['role']}"
        for n, message in enumerate(talk)
        if message["role"] != ("user", "assistant")[n % 2]
    ]
    found += [] if len(talk) % 2 else ["the last is not the user's"]
    for message in messages:
        content = message["content"]
        if set(message) != {"role", "content"}:
            found.append(f"keys {sorted(message)}")
        if not content or not isinstance(content, str | list):
            found.append(f"content {content!r}")
    return found


# --- the conversation ---------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("prompted"), ids=lambda row: row["id"])
def test_the_conversation_in_plain_text(row: dict[str, Any]) -> None:
    tools = (SHELL, SAVE)
    asked = prompted(request(*row["messages"], tools=tools, tool_choice="none"), row["dialect"])
    if not row["messages"]:
        asked = prompted(ModelRequest((), ()), row["dialect"])
    assert list(asked.messages) == row["expected"]
    assert faults(asked.messages) == []


_texts = st.text(st.characters(codec="utf-8"), max_size=12)
_image = st.just({"type": "image_url", "image_url": {"url": "data:,"}})
_part = _image | _texts.map(lambda text: {"type": "text", "text": text})
_content = st.none() | _texts | st.lists(_part, max_size=3)
_written = st.dictionaries(_texts, st.none() | st.integers() | _texts, max_size=2).map(json.dumps)
_call = st.builds(
    called,
    st.sampled_from(["shell", "save", "nosuch", "a b", "", "<tool_call>"]),
    _written
    | st.sampled_from(["", "{", "[]", "NaN", '{"a": NaN}', "[" * 5000, None])
    | st.just({}),
    st.sampled_from(["c1", "c2", ""]),
)
_messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(
                ["system", "developer", "user", "assistant", "tool", "function", "other"]
            )
        },
        optional={
            "content": _content,
            "tool_calls": st.none() | st.lists(_call, max_size=3),
            "tool_call_id": st.sampled_from(["c1", "c2", "c9"]),
            "name": st.just("shell"),
        },
    ),
    max_size=8,
)


def said(messages: Sequence[Mapping[str, Any]]) -> tuple[list[str], int]:
    """All texts that say something, and the number of images."""
    texts: list[str] = []
    images = 0
    for message in messages:
        content = message.get("content")
        parts = [{"text": content}] if isinstance(content, str) else content or []
        texts += [part["text"] for part in parts if part.get("text", "").strip()]
        images += sum("image_url" in part for part in parts)
    return texts, images


@settings(max_examples=300)
@given(_messages, st.sampled_from(_DIALECTS), st.sampled_from(_LANGUAGES))
def test_any_conversation_fits_the_strictest_template(
    messages: list[dict[str, Any]], dialect: str, language: Language
) -> None:
    """And every word and image of the host is still there, in order, and the input as it was."""
    asked = request(*messages, tools=TOOLS, tool_choice="auto")
    before = copy.deepcopy(asked)
    told_in_words = prompted(asked, dialect, language)
    assert faults(told_in_words.messages) == []
    assert told_in_words == prompted(asked, dialect, language)
    assert asked == before
    texts, images = said(told_in_words.messages)
    whole, at = "\0".join(texts), 0
    # Only instructions move: to the one place where they may stand.
    talk = [m for m in asked.messages if m["role"] not in ("system", "developer")]
    for text in said(talk)[0]:
        at = whole.index(text, at) + len(text)
    assert all(text in whole for text in said(asked.messages)[0])
    assert images == said(asked.messages)[1]
    json.dumps(write_request(told_in_words))


def test_a_call_nested_without_end_is_only_named() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    stored = {"role": "assistant", "content": None, "tool_calls": [called("shell", deep)]}
    for dialect in _DIALECTS:
        content = prompted(request(_USER, stored), dialect).messages[2]["content"]
        assert content == "(a tool call that could not be run: shell)"


# --- the request --------------------------------------------------------------------------


def test_nothing_of_the_tools_is_left_in_the_body() -> None:
    entry = {"type": "function", "function": {"name": "shell", "parameters": SHELL.parameters}}
    body = {
        "model": "m",
        "messages": [_USER],
        "tools": [entry],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "stream": True,
    }
    written = write_request(prompted(read_request(body), "hermes"))
    assert written.keys() == {"model", "messages", "temperature", "stream"}
    assert (written["temperature"], written["stream"]) == (0.5, True)


@pytest.mark.parametrize("language", _LANGUAGES)
@pytest.mark.parametrize("dialect", _DIALECTS)
def test_what_a_model_is_told(dialect: str, language: Language) -> None:
    """Every tool with its schema, in order, and a right call of one of them."""
    asked = prompted(request(tools=(*TOOLS, _RESPOND)), dialect, language)
    lines = [json.loads(line) for line in told(asked).split("\n") if line.startswith('{"name": "')]
    lines = [line for line in lines if "parameters" in line and len(line["parameters"]) > 1]
    assert [line["name"] for line in lines] == [tool.name for tool in (*TOOLS, _RESPOND)]
    assert [line["parameters"] for line in lines] == [t.parameters for t in (*TOOLS, _RESPOND)]
    shown = shown_example(asked)
    assert shown == encode([Call("shell", example(SHELL))], dialect, TOOLS)
    # Whoever only repeats it calls nothing.
    assert check(ModelOutput(shown), TOOLS).calls == ()
    assert ("plain text" if language == "en" else "直接用文字回答") in told(asked)


def test_the_system_message_keeps_what_it_said() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    asked = prompted(request({"role": "system", "content": "Be brief."}, _USER), "hermes")
    assert told(asked).startswith("Be brief.\n\nYou can call these tools:\n")
    parts = [{"type": "text", "text": "Be brief."}, image]
    asked = prompted(request({"role": "system", "content": parts}, _USER), "hermes")
    assert asked.messages[0]["content"][:2] == parts
    assert asked.messages[0]["content"][2]["text"].startswith("You can call these tools:\n")


@pytest.mark.parametrize(
    ("choice", "names", "closing"),
    [
        ("auto", ["shell", "save"], "answer in plain text."),
        ("required", ["shell", "save"], "must call a tool."),
        ({"type": "function", "function": {"name": "save"}}, ["save"], "must call a tool."),
        ({"type": "function", "function": {"name": "no"}}, ["shell", "save"], "must call a tool."),
    ],
)
def test_the_choice_of_tools_is_told(choice: Any, names: list[str], closing: str) -> None:
    asked = prompted(request(tools=(SHELL, SAVE), tool_choice=choice), "qwen3_coder")
    lines = [line for line in told(asked).split("\n") if line.startswith("{")]
    assert [json.loads(line)["name"] for line in lines] == names
    assert told(asked).endswith(closing)


def test_without_tools_nothing_is_told() -> None:
    assert prompted(request(tools=()), "hermes").messages == (_USER,)
    assert prompted(request(tool_choice="none"), "hermes").messages == (_USER,)
    assert "json_schema" not in structured(request(tools=()), "json_schema").params


def test_an_example_that_runs_is_the_last_choice() -> None:
    stop = ToolDefinition("stop", {"type": "object", "properties": {}})
    odd = ToolDefinition("an odd name", SHELL.parameters)
    assert '"shell"' in shown_example(prompted(request(tools=(stop, SHELL)), "hermes"))
    assert '"stop"' in shown_example(prompted(request(tools=(odd, stop)), "hermes"))
    for dialect in _DIALECTS:
        assert "tool_name" in shown_example(prompted(request(tools=(odd,)), dialect))


@pytest.mark.parametrize("dialect", ["gptme_markdown", "gptme_xml", "klingon"])
def test_a_dialect_that_is_not_read_is_refused(dialect: str) -> None:
    with pytest.raises(EncodingError, match=f"'{dialect}'.*hermes"):
        prompted(request(), dialect)


# --- the way back -------------------------------------------------------------------------

_ANYTHING = ToolDefinition(
    "run",
    {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "list": {"type": "array"},
            "map": {"type": "object"},
        },
    },
)
_AWKWARD: list[dict[str, Any]] = [
    {"text": 'it\'s "quoted" {braces} [x] \\n'},
    {"text": "line\n\n  line\tdone\r\n"},
    {"text": "é☃ 東京 😀 \u2028"},
    {"text": "</tool_call>\n[TOOL_CALLS] <think>\n```json\n{}\n```"},
    {"text": '{"name": "run", "arguments": {"text": "inner"}}', "count": -3},
    {"list": [1, "a", None, [True, {"k": 'v"'}]], "map": {"a": {"b": ["\n", ""]}}},
    {"count": 0, "map": {}},
    {},
]


@pytest.mark.parametrize("dialect", _DIALECTS)
@pytest.mark.parametrize("arguments", _AWKWARD, ids=str)
def test_an_answer_like_the_calls_it_was_shown_is_accepted(
    arguments: dict[str, Any], dialect: str
) -> None:
    """A model goes on as the conversation went: its last call, made again, is that call."""
    calls = [called("run", json.dumps(arguments))]
    result = {"role": "tool", "tool_call_id": "c1", "content": "done"}
    asked = request(
        _USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        result,
        tools=(_ANYTHING,),
    )
    in_words = prompted(asked, dialect)
    answer = in_words.messages[2]["content"]
    for messages in (asked.messages, in_words.messages):
        verdict = check(ModelOutput(answer, finish_reason="stop"), [_ANYTHING], messages=messages)
        assert isinstance(verdict, Accept) and verdict.repairs == (), (answer, verdict)
        assert [dict(call.arguments) for call in verdict.calls] == [arguments]


# --- structured output --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "path"),
    [
        ("response_format", ["response_format", "json_schema", "schema"]),
        ("json_schema", ["json_schema"]),
        ("structured_outputs", ["structured_outputs", "json"]),
        ("format", ["format"]),
    ],
)
def test_where_the_schema_stands(how: Structured, path: list[str]) -> None:
    asked = structured(request(tools=(SHELL, _RESPOND), temperature=1, tool_choice="auto"), how)
    assert list(asked.params) == ["temperature", path[0]]
    found: Any = asked.params
    for key in path:
        found = found[key]
    assert found == calls_schema([SHELL, _RESPOND])
    assert asked.tools == () and faults(asked.messages) == []
    assert told(asked).endswith("Answer with one such call and nothing else.")


def test_an_answer_is_one_call_of_an_offered_tool() -> None:
    fits = Draft202012Validator(calls_schema([SHELL, COUNT, _RESPOND])).is_valid
    assert fits({"name": "shell", "arguments": {"command": "ls"}})
    assert fits({"name": "respond", "arguments": {"text": "Done."}})
    assert not fits({"name": "shell", "arguments": {"text": "Done."}})
    assert not fits({"name": "save", "arguments": {}})
    assert not fits({"name": "shell", "arguments": {"command": "ls"}, "id": 1})
    assert not fits({"name": "shell"}) and not fits({"arguments": {}}) and not fits([])
    assert fits({"name": "count_lines", "arguments": {"path": "a", "unit": "lines"}})
    assert not fits({"name": "count_lines", "arguments": {"path": "a", "unit": "feet"}})


def test_a_named_tool_is_the_only_one() -> None:
    choice = {"type": "function", "function": {"name": "save"}}
    asked = structured(request(tool_choice=choice), "format")
    assert asked.params == {"format": calls_schema([SAVE])}


@pytest.mark.parametrize("row", rows("call_schemas"), ids=lambda row: row["id"])
def test_schemas_that_grammars_are_made_of(row: dict[str, Any]) -> None:
    beside = row.get("beside", {})
    properties = {"v": row["given"], **beside.get("properties", {})}
    parameters = {"type": "object", **beside, "properties": properties}
    read = calls_schema([ToolDefinition("t", parameters)])
    Draft202012Validator.check_schema(read)
    arguments = read["anyOf"][0]["properties"]["arguments"]
    assert arguments["properties"]["v"] == row["read"]
    assert read.get("$defs", {}) == row.get("defs", {})


def test_definitions_of_several_tools_stay_apart() -> None:
    def tool(name: str, kind: str) -> ToolDefinition:
        parameters = {
            "type": "object",
            "properties": {"v": {"$ref": "#/$defs/kind"}, "all": {"$ref": "#"}},
            "required": ["v"],
            "$defs": {"kind": {"type": kind}},
        }
        return ToolDefinition(name, parameters)

    fits = Draft202012Validator(calls_schema([tool("a", "string"), tool("b", "null")])).is_valid
    assert fits({"name": "a", "arguments": {"v": "x", "all": {"v": "y", "all": {"v": ""}}}})
    assert fits({"name": "b", "arguments": {"v": None}})
    assert not fits({"name": "a", "arguments": {"v": None}})
    assert not fits({"name": "b", "arguments": {"v": None, "all": {"v": "x"}}})


@pytest.mark.parametrize("row", rows("schemas"), ids=lambda row: row["id"])
def test_no_right_call_is_shut_out(row: dict[str, Any]) -> None:
    """What a schema is read as may take more, never less."""
    tool = ToolDefinition.from_openai({"name": "t", "parameters": row["parameters"]})
    schema = calls_schema([tool])
    Draft202012Validator.check_schema(schema)
    made = [example(tool), *([row["arguments"]] if row.get("arguments") is not None else [])]
    for arguments in made:
        if not validate(arguments, tool):
            assert Draft202012Validator(schema).is_valid({"name": "t", "arguments": arguments})


def test_schemas_without_an_end() -> None:
    """Depth and circles are no harm."""
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(500):
        deep = {"type": "object", "properties": {"v": deep}}
    chain: dict[str, Any] = {
        f"d{n}": {"type": "object", "properties": {"v": {"$ref": f"#/$defs/d{n + 1}"}}}
        for n in range(2000)
    }
    circle = {"anyOf": [{"$ref": "#/$defs/e"}], "properties": {"v": {"$ref": "#"}}}
    parameters = {"type": "object", "properties": {"v": deep, "c": {"$ref": "#/$defs/d0"}}}
    tool = ToolDefinition("t", {**parameters, "$defs": {**chain, "e": circle}})
    read = calls_schema([tool])
    assert len(read["$defs"]) == 2000
    assert len(json.dumps(read)) < 300_000


# --- dialects of families -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "dialect"),
    [
        (None, DEFAULT),
        ("", DEFAULT),
        ("a family nobody knows", DEFAULT),
        ("qwen2.5", "hermes"),
        ("Qwen3", "hermes"),
        ("qwen3-coder", "qwen3_coder"),
        ("Qwen/Qwen3-Coder-30B", "qwen3_coder"),
        ("qwen3.5", "qwen3_coder"),
        ("llama-3.1", "llama3_json"),
        ("llama3", "llama3_json"),
        ("Meta-Llama-3", "llama3_json"),
        ("llama-nemotron", "plain_json"),
        ("mistral", "mistral_array"),
        ("devstral-small", "mistral_array"),
        ("hermes", "hermes"),
        ("gemma-3", "pythonic"),
        ("gemma-4", "plain_json"),
        ("phi-4", "plain_json"),
        ("granite", "hermes"),
        ("granite-3.3", "plain_json"),
        ("deepseek-r1", "plain_json"),
    ],
)
def test_the_dialect_of_a_family(family: str | None, dialect: str) -> None:
    assert dialect_for(family) == dialect
    assert prompted(request(), dialect_for(family)).tools == ()


@pytest.mark.parametrize(
    ("said", "dialect"),
    [
        (None, "hermes"),
        ("qwen3_coder", "qwen3_coder"),
        ("plain_json", "plain_json"),
        ("harmony", "hermes"),  # nothing writes it
        ("gptme_xml", "hermes"),  # a host's, not a model's
        ("no dialect", "hermes"),
    ],
)
def test_the_dialect_that_somebody_named(said: str | None, dialect: str) -> None:
    """It counts before the family's where it can be written."""
    assert dialect_for("qwen2.5", said) == dialect


def test_a_list_is_read_without_the_marker_that_servers_take_out() -> None:
    """Control tokens do not come back in the text."""
    written = encode([Call("save", {"path": "a", "content": "b"})], dialect_for("mistral"))
    verdict = check(ModelOutput(written.replace("[TOOL_CALLS]", "")), TOOLS)
    assert isinstance(verdict, Accept)
    assert [call.name for call in verdict.calls] == ["save"]
