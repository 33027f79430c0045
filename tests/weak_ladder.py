"""The requests of the rungs, made by hand, to hold the table of weak models to its word.

They say nothing about the ladder itself: only what a model does when it is asked like that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from weak_models import Behaviour, Model
from weak_requests import Body
from weak_sdk import host_tools

from gptme_reliability import ModelOutput, ToolDefinition, check
from gptme_reliability.evals.scenarios import Answer, wire_calls
from gptme_reliability.types import Call

_Rung: TypeAlias = Callable[[Body], Body]

_FEEDBACK: Final = "Not run: your call was not right. Make it again."
_WORDS: Final = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def _told(body: Body) -> Body:
    failed = {"role": "assistant", "content": "(a call that was not right)"}
    said = {"role": "user", "content": _FEEDBACK}
    return {**body, "messages": [*body["messages"], failed, said]}


def _rewound(body: Body) -> Body:
    *earlier, last = body["messages"]
    return {**body, "messages": [*earlier, {**last, "content": f"{last['content']}\n{_FEEDBACK}"}]}


def _resampled(body: Body) -> Body:
    return {**body, "temperature": 0.9, "seed": 7}


def _forced(body: Body) -> Body:
    respond = {"name": "respond_in_words", "parameters": _WORDS}
    tools = [*body["tools"], {"type": "function", "function": respond}]
    return {**body, "tools": tools, "tool_choice": "required"}


def _structured(body: Body) -> Body:
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool["function"]["name"]},
                "arguments": tool["function"]["parameters"],
            },
            "required": ["name", "arguments"],
        }
        for tool in body["tools"]
    ]
    schema = {"name": "call", "schema": {"anyOf": calls}}
    return {
        **_in_the_prompt(body),
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def _in_the_prompt(body: Body) -> Body:
    tools = {"role": "system", "content": json.dumps(body["tools"])}
    kept = {key: value for key, value in body.items() if key != "tools"}
    return {**kept, "messages": [tools, *body["messages"]]}


RUNG_REQUESTS: Final[Mapping[str, tuple[_Rung, ...]]] = {
    "re_ask": (_told, _rewound),
    "resample": (_resampled,),
    "force": (_forced,),
    "structure": (_structured,),
    "prompt": (_in_the_prompt,),
}
"""What each rung sends for a request of the host."""


def comes_right(behaviour: Behaviour, rung: str) -> bool:
    """Whether the model makes the wanted call when it is asked again, and then on this rung."""
    tools = host_tools(behaviour)
    model = Model(behaviour, [tool["function"]["name"] for tool in tools])
    first: Body = {
        "messages": [{"role": "user", "content": behaviour.user}],
        "tools": tools,
    }
    higher = () if rung == "re_ask" else RUNG_REQUESTS[rung] * 2
    steps = (dict, *RUNG_REQUESTS["re_ask"], *higher)
    return any(_is_right(behaviour, model.answer(step(first)), tools) for step in steps)


def _is_right(behaviour: Behaviour, answer: Answer, tools: list[dict[str, Any]]) -> bool:
    if "status" in answer:
        return False
    wants = behaviour.wants
    definitions = [ToolDefinition.from_openai(tool) for tool in tools]
    output = ModelOutput(
        answer.get("text"),
        wire_calls(answer),
        answer.get("reasoning"),
        answer.get("finish_reason", "stop"),
    )
    made = [Call(c.name, c.arguments) for c in check(output, definitions).calls]
    return wants in made
