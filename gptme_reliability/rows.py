"""Rows of JSON lines: what a model answered, and the tools that it was offered.

Shared by ``check --jsonl`` and the evaluations.  Every fault is an ``InputError`` of one line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from gptme_reliability.errors import InputError
from gptme_reliability.types import ModelOutput, ToolDefinition
from gptme_reliability.validate import kind_in_words, require_schema

_WORDS: Final[Mapping[type, str]] = {
    str: "a string",
    list: "a list",
    dict: "an object",
    bool: "true or false",
}


def parse_row(line: str | bytes, number: int) -> dict[str, Any]:
    """The object that a line holds.

    Raises:
        InputError: the line is no JSON, or no object.
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"line {number} is no JSON: {error}") from None
    if not isinstance(row, dict):
        raise InputError(f"line {number} must be a JSON object, not {kind_in_words(row)}")
    return row


def read_field(row: Mapping[str, Any], key: str, kind: type) -> Any:
    """A value of this type; None where there is none.

    Raises:
        InputError: the value is of another type.
    """
    value = row.get(key)
    if value is not None and not isinstance(value, kind):
        raise InputError(f"{key!r} must be {_WORDS[kind]}, not {kind_in_words(value)}")
    return value


def read_output(row: Mapping[str, Any], model: str | None = None) -> ModelOutput:
    """The model's answer; ``model`` is its name where the row has none.

    Raises:
        InputError: the row has neither ``raw`` nor ``tool_calls``, or a field of a wrong type.
    """
    if "raw" not in row and "tool_calls" not in row:
        raise InputError("the row needs 'raw', the text that the model wrote")
    return ModelOutput(
        text=read_field(row, "raw", str),
        tool_calls=tuple(read_field(row, "tool_calls", list) or ()),
        reasoning=read_field(row, "reasoning", str),
        finish_reason=read_field(row, "finish_reason", str),
        model=read_field(row, "model", str) or model,
    )


def read_messages(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conversation before the answer.

    Raises:
        InputError: ``messages`` is no list of objects.
    """
    messages: list[Mapping[str, Any]] = read_field(row, "messages", list) or []
    for position, message in enumerate(messages):
        if not isinstance(message, Mapping):
            raise InputError(f"'messages', entry {position}: must be an object")
    return messages


def read_json(path: str) -> Any:
    """The value that a file of JSON holds.

    Raises:
        InputError: the file cannot be read, or is no JSON.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from None


def tool_entries(value: Any, where: str) -> list[Any]:
    """The entries of a list of OpenAI tool objects, or of an object with such a list in it.

    Raises:
        InputError: it is none; ``where`` names the place.
    """
    if isinstance(value, Mapping) and "tools" in value:
        value = value["tools"]
    if not isinstance(value, list):
        raise InputError(
            f"{where} must be a list of OpenAI tool objects, not {kind_in_words(value)}"
        )
    return value


def read_tools(value: Any, where: str) -> list[ToolDefinition]:
    """Tools out of a list of OpenAI tool objects, or an object with such a list in it.

    Raises:
        InputError: it is none, or an entry is no tool; ``where`` names the place.
    """
    tools: list[ToolDefinition] = []
    for position, entry in enumerate(tool_entries(value, where)):
        try:
            if isinstance(entry, Mapping) and "input_schema" in entry:
                raise InputError("an Anthropic tool; rename 'input_schema' to 'parameters'")
            tool = ToolDefinition.from_openai(entry)
            require_schema(tool)
        except InputError as error:
            raise InputError(f"{where}, entry {position}: {error}") from None
        tools.append(tool)
    return tools
