"""A request as a scripted weak model sees it, and how the right answer to it is written.

A rung of the ladder is told by what is in the request alone: another sampling, a forced call,
a ``response_format``, tools written into the prompt.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, TypeAlias

from jsonschema.validators import Draft202012Validator

from gptme_reliability import ToolDefinition
from gptme_reliability.dialects.encode import encode
from gptme_reliability.evals.scenarios import Answer
from gptme_reliability.nudges import is_nudge
from gptme_reliability.quotations import text_parts
from gptme_reliability.types import Call

Body: TypeAlias = Mapping[str, Any]

RESULT: Final = "7006652"
"""What the wanted call brings; it stands in no call and in no question."""
NOTE: Final = "a note without meaning"
"""What reading the note brings."""
_SAMPLING: Final = ("temperature", "top_p", "top_k", "min_p", "seed", "repeat_penalty")
_WAYS: Final = ("tools", "response_format")


@dataclass(frozen=True)
class Asked:
    """A request, and the ``first`` one of the conversation; ``number`` counts from 0.

    ``body`` is what of the ``sent`` one comes to the model.
    ``host_tools`` are the names of the host's own tools, ``wants`` is the call that the user
    waits for, None where words are the answer, and ``dialect`` is how the model writes calls.
    """

    body: Body
    sent: Body
    first: Body
    number: int
    host_tools: frozenset[str]
    wants: Call | None
    dialect: str

    @property
    def offered(self) -> tuple[str, ...]:
        """The names of the tools in the request."""
        return tuple(tool["function"]["name"] for tool in self.body.get("tools") or ())

    @property
    def synthetic(self) -> str | None:
        """The tool on offer that is none of the host's."""
        return next((name for name in self.offered if name not in self.host_tools), None)

    @property
    def forced(self) -> bool:
        """Whether a call must be made."""
        choice = self.body.get("tool_choice")
        return bool(self.offered) and (choice == "required" or isinstance(choice, Mapping))

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The schema that the answer must have."""
        given = self.body.get("response_format") or {}
        schema: Mapping[str, Any] | None = (given.get("json_schema") or {}).get("schema")
        return schema

    @cached_property
    def prompted(self) -> bool:
        """Whether the tools stand in the prompt and nowhere else."""
        if any(self.sent.get(way) for way in _WAYS):
            return False
        told = "\n".join(_texts(m for m in self.messages if m not in self.first["messages"]))
        return all(name in told for name in self.host_tools)

    @property
    def resampled(self) -> bool:
        """Whether the sampling is another one than at first."""
        return any(self.body.get(key) != self.first.get(key) for key in _SAMPLING)

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The conversation."""
        messages: Sequence[Mapping[str, Any]] = self.body["messages"]
        return messages

    @cached_property
    def told(self) -> bool:
        """Whether something is said about an earlier answer."""
        before = self.first["messages"]
        return any(
            message["role"] in ("user", "tool") and not is_nudge(message) and not _is_result(text)
            for message in self.messages
            if message not in before
            for text in _texts([message])
        )

    @property
    def failed_in_sight(self) -> bool:
        """Whether an earlier answer stands in the conversation."""
        return any(
            message["role"] == "assistant" and message not in self.first["messages"]
            for message in self.messages
        )

    @cached_property
    def done(self) -> bool:
        """Whether the wanted call has run."""
        return any(RESULT in text for text in _texts(self.messages))

    @property
    def results(self) -> int:
        """How many notes were read."""
        return sum(NOTE in text for text in _texts(self.messages))

    def without(self, *keys: str) -> Asked:
        """The request as it comes to a model whose server takes no notice of these."""
        return replace(self, body={k: v for k, v in self.body.items() if k not in keys})


def _texts(messages: Any) -> Iterator[str]:
    for message in messages:
        yield "\n".join(text_parts(message.get("content")))


def _is_result(text: str) -> bool:
    return RESULT in text or NOTE in text


# --- right answers ----------------------------------------------------------------------------


def right(asked: Asked) -> Answer:
    """The wanted call, in whatever way the request leaves; words where it leaves none."""
    call = asked.wants
    if call is None:
        return words(asked, "Here you are.")
    if asked.schema is not None:
        return {"text": json.dumps(fill(asked.schema, call))}
    if asked.offered:
        return native(call.name, call.arguments, f"call_{asked.number}")
    if asked.prompted:
        tools = [ToolDefinition.from_openai(tool) for tool in asked.first["tools"]]
        return {"text": encode([call], asked.dialect, tools)}
    return {"text": "There is nothing here that I could run it with."}


def words(asked: Asked, text: str) -> Answer:
    """A plain answer, through the synthetic tool where a call must be made."""
    name = asked.synthetic or "respond"
    if asked.schema is not None:
        return {"text": json.dumps(fill(asked.schema, Call(name, {"text": text})))}
    if asked.forced and asked.synthetic:
        return native(asked.synthetic, {"text": text}, f"call_{asked.number}")
    return {"text": text}


def native(name: Any, arguments: Any, call_id: Any = "call_0", text: str | None = None) -> Answer:
    """One native call; arguments that are no text are written as JSON."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": name, "arguments": written}
    return {"text": text, "calls": [{"id": call_id, "type": "function", "function": function}]}


def printed(answer: Answer) -> Answer:
    """The same answer from a server that has no tools to speak of: calls are text there."""
    functions = [raw.get("function", raw) for raw in answer.get("calls", ())]
    calls = [f'{{"name": "{f["name"]}", "arguments": {f["arguments"]}}}' for f in functions]
    said = [answer.get("text"), *(f"<tool_call>\n{call}\n</tool_call>" for call in calls)]
    kept = {key: value for key, value in answer.items() if key != "calls"}
    return {**kept, "text": "\n".join(filter(None, said)) or None}


# --- values of a schema -----------------------------------------------------------------------


def fill(schema: Mapping[str, Any], call: Call) -> Any:
    """A value of the schema that says this call, whatever shape the schema gives to calls."""
    root = schema
    found = [v for v in _values(schema, root, call, 0) if Draft202012Validator(root).is_valid(v)]
    arguments = json.dumps(call.arguments)
    saying = [v for v in found if json.dumps(call.name) in (t := json.dumps(v)) and arguments in t]
    return next(iter(saying or found), {"name": call.name, "arguments": call.arguments})


def _values(schema: Any, root: Mapping[str, Any], call: Call, depth: int) -> Iterator[Any]:
    if not isinstance(schema, Mapping) or depth > 8:
        return
    if "$ref" in schema:
        yield from _values(_resolved(schema["$ref"], root), root, call, depth + 1)
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _values(option, root, call, depth + 1)
    if "const" in schema:
        yield schema["const"]
    elif "enum" in schema:
        yield call.name if call.name in schema["enum"] else schema["enum"][0]
    elif schema.get("type") == "array":
        yield from ([v] for v in _values(schema.get("items"), root, call, depth + 1))
    elif schema.get("type", "object") == "object":
        yield from _objects(schema, root, call, depth)
    elif schema.get("type") == "string":
        yield "so"


def _objects(
    schema: Mapping[str, Any], root: Mapping[str, Any], call: Call, depth: int
) -> Iterator[Any]:
    properties = schema.get("properties") or {}
    if set(call.arguments) <= set(properties) or not properties:
        yield dict(call.arguments)
    made: list[dict[str, Any]] = [{}]
    for name in schema.get("required") or properties:
        options = list(_values(properties.get(name), root, call, depth + 1))
        made = [{**value, name: option} for value in made for option in options][:64]
    yield from made


def _resolved(reference: str, root: Any) -> Any:
    for key in reference.removeprefix("#/").split("/"):
        root = root.get(key, {})
    return root
