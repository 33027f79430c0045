"""A conversation with native calls, as one for a model that knows no tools.

The roles are what the strictest templates take: one system message first, then user and
assistant in turn, the user last; no other role, no call objects, nothing without content.
The host's words stay as they are: only what stands around them is made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gptme_reliability.dialects.encode import EncodingError, encode
from gptme_reliability.refusals import inert
from gptme_reliability.types import Call, Language, ToolDefinition
from gptme_reliability.words import say

Message: TypeAlias = Mapping[str, Any]

_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
_RESULT_ROLES: Final = frozenset({"tool", "function"})
# Dialects whose models were shown results in these tags.
_RESULT_TAGS: Final[Mapping[str, tuple[str, str]]] = {
    "hermes": ("<tool_response>\n", "\n</tool_response>"),
    "qwen3_coder": ("<tool_response>\n", "\n</tool_response>"),
}
# What is read even where the dialect cannot carry a call: a model that imitates it is
# understood, while one that imitates a sentence about a call would call nothing.
_FALLBACK: Final = "plain_json"


def without_tools(
    messages: Sequence[Message],
    tools: Sequence[ToolDefinition],
    dialect: str,
    language: Language = "en",
    told: str = "",
) -> tuple[dict[str, Any], ...]:
    """The conversation with its calls written in a dialect and its results in the user's role.

    ``told`` is added to the system message.  A call that the dialect cannot carry is written
    as plain JSON, one that nothing can carry as a line that only names its tool.  System
    messages behind the first ones take the user's role; empty messages are left out.
    """
    return tuple(_Converter(tools, dialect, language).conversation(messages, told))


class _Converter:
    def __init__(self, tools: Sequence[ToolDefinition], dialect: str, language: Language) -> None:
        self._tools = tools
        self._dialect = dialect
        self._language = language
        self._called: dict[str, str] = {}  # the tool of each call so far, by the call's id

    def conversation(self, messages: Sequence[Message], told: str) -> Iterator[dict[str, Any]]:
        turns: list[tuple[str, list[Any]]] = []
        begun = False
        for message in messages:
            role, content = self._converted(message, begun)
            if _is_empty(content):
                continue
            if turns and turns[-1][0] == role:
                turns[-1][1].append(content)
            else:
                turns.append((role, [content]))
            begun = begun or role != "system"
        talk = [_message(role, *contents) for role, contents in turns if role != "system"]
        instructions = [
            content for role, contents in turns if role == "system" for content in contents
        ]
        if instructions or told:
            yield _message("system", *instructions, told)
        yield from self._in_turn(talk)

    def _converted(self, message: Message, begun: bool) -> tuple[str, Any]:
        role, content = message.get("role"), _plain_content(message.get("content"))
        if role in _SYSTEM_ROLES and not begun:
            return "system", content
        if role in _RESULT_ROLES:
            return "user", self._result(message, content)
        if role == "assistant":
            return "assistant", _joined([content, self._calls(message)], "\n")
        return "user", content

    def _in_turn(self, talk: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The talk with the user's words first and last."""
        if talk and talk[0]["role"] == "assistant":
            yield {"role": "user", "content": self._say("no_message")}
        yield from talk
        if not talk or talk[-1]["role"] == "assistant":
            yield {"role": "user", "content": self._say("go_on")}

    def _result(self, message: Message, content: Any) -> Any:
        name = self._called.get(str(message.get("tool_call_id")), message.get("name"))
        label = self._say("result_of", tool=inert(str(name))) if name else self._say("result")
        opening, closing = _RESULT_TAGS.get(self._dialect, ("", ""))
        shown = self._say("no_output") if _is_empty(content) else content
        return _joined([f"{label}\n{opening}", shown, closing], "")

    # --- calls ----------------------------------------------------------------------------

    def _calls(self, message: Message) -> str:
        """The calls of a message, one below the other; empty where it has none."""
        calls: list[Call] = []
        unwritten: list[str] = []
        for call_id, function in _stored(message):
            name, arguments = function.get("name"), _arguments(function.get("arguments"))
            name = name if isinstance(name, str) else ""
            self._called[call_id] = name
            if arguments is None:
                unwritten.append(name)
            else:
                calls.append(Call(name, arguments))
        lines = [self._written(calls)] if calls else []
        return "\n".join([*lines, *map(self._stand_in, unwritten)])

    def _written(self, calls: Sequence[Call]) -> str:
        for dialect in (self._dialect, _FALLBACK):
            try:
                return encode(calls, dialect, self._tools)
            except (EncodingError, RecursionError):
                continue
        if len(calls) == 1:
            return self._stand_in(calls[0].name)
        return "\n".join(self._written([call]) for call in calls)

    def _stand_in(self, name: str) -> str:
        if not name.strip():
            return self._say("stand_in")
        return self._say("stand_in_named", names=inert(name))

    def _say(self, key: str, **values: object) -> str:
        return say(key, self._language, **values)


# --- content ------------------------------------------------------------------------------


def _message(role: str, *contents: Any) -> dict[str, Any]:
    return {"role": role, "content": _joined(contents)}


def _joined(contents: Iterable[Any], between: str = "\n\n") -> Any:
    """Several contents as one: a text, or a list of parts where one of them is such a list."""
    contents = [content for content in contents if not _is_empty(content)]
    if all(isinstance(content, str) for content in contents):
        return between.join(contents)
    return [part for content in contents for part in _parts(content)]


def _parts(content: Any) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _plain_content(content: Any) -> Any:
    """A text, or parts of which each is an object and says something."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    return [part for part in parts if isinstance(part, Mapping) and not _is_empty_part(part)]


def _is_empty_part(part: Message) -> bool:
    return part.get("type") == "text" and not str(part.get("text") or "").strip()


def _is_empty(content: Any) -> bool:
    return not (content.strip() if isinstance(content, str) else content)


# --- calls as stored ----------------------------------------------------------------------


def _stored(message: Message) -> Iterator[tuple[str, Message]]:
    """The ids and functions of a message's calls, of the form before ``tool_calls`` too."""
    calls = message.get("tool_calls")
    for raw in calls if isinstance(calls, list) else ():
        call = raw if isinstance(raw, Mapping) else {}
        function = call.get("function")
        yield str(call.get("id")), function if isinstance(function, Mapping) else {}
    older = message.get("function_call")
    if isinstance(older, Mapping):
        yield "", older


def _arguments(raw: Any) -> Mapping[str, Any] | None:
    """The arguments of a stored call; None where they are no JSON object."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw) if raw.strip() else {}
        except (ValueError, RecursionError):
            return None
    return raw if isinstance(raw, Mapping) else None
