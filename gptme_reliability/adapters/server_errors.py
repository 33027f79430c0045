"""HTTP errors that are the model's fault: the server could not parse what the model wrote.

Such an answer is an answer.  Where the body quotes the model's text it is recovered, so that
it can be read after all; where not, the model is asked again.  Errors about the request, its
history or its tools are real errors and stay what they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.adapters.error_texts import messages_of, read_error
from gptme_reliability.adapters.overflow import overflow
from gptme_reliability.errors import RequestRefused
from gptme_reliability.types import ModelOutput

UNREADABLE: Final = "unreadable"
"""The finish reason of a call that the server could not read and did not quote."""

_NEVER_THE_MODEL: Final = frozenset({401, 402, 403, 404, 408, 429, 502, 503, 504})
_LONGEST: Final = 64 * 1024 * 1024
_HEAD: Final = 4096

_ABOUT_THE_REQUEST: Final = re.compile(
    r"failed to parse (?:tool call arguments as json|tools\b|messages\b|grammar)"
    r"|unable to generate parser|parse grammar|context (?:size|length)|does not support tools",
    re.IGNORECASE,
)

# What an error about the request or the way to the model speaks of.  The general patterns below
# would take such errors for the model's fault, so that these words decide against it.
_NOT_THE_MODEL: Final = re.compile(
    r"request|messages|roles?\b|\bbody|definition|option|upstream|backend", re.IGNORECASE
)
# Where a quotation of the model may begin: its words decide nothing.
_QUOTATION: Final = re.compile(r"[{<]|raw=")
_THE_CONVERSATION: Final = re.compile(
    r"\bmessages?\b|template|jinja|history|roles?\b", re.IGNORECASE
)

_REFUSING: Final = frozenset({400, 422, 500, 501})
_MISSING: Final = 404
"""A path or a model that is not there; or, for some routers, nothing that takes tools."""
_TOO_LONG: Final = re.compile(r"context (?:size|length|window)|too (?:long|large)", re.IGNORECASE)

_TOOLS: Final = r"['\"`]?tools['\"`]?(?![\w\[-]|\.\w)"
_CALLING: Final = (
    r"(?<![\w.])(?<!parallel )(?<!multiple )(?<!streaming )(?<!strict )"
    r"['\"`]?(?:tools?|functions?)(?:[ _-](?:call\w*|use))?['\"`]?"
)
# Ollama; llama.cpp without --jinja; vLLM without a parser; LiteLLM and others.  A single tool,
# or a way of choosing one, that is not taken is another matter.
_NO_TOOLS: Final = re.compile(
    r"does(?: not|n't) support (?:tools|tool[ _-](?:call|use)|function|parameters: \['tools)"
    r"|tools param requires --jinja|requires --enable-auto-tool-choice|support tool use"
    rf"|{_CALLING} (?:(?:is|are) not|isn't|aren't|not)(?: yet)? (?:supported|enabled|implemented)"
    rf"|not (?:supported|allowed|permitted|implemented)(?: here)?: {_TOOLS}"
    rf"|\bun(?:known|recogni[sz]ed|supported|expected)[ \w]{{0,40}}[:= ]{{1,2}}{_TOOLS}",
    re.IGNORECASE,
)

_PART: Final = r"(?:output|generation|tool[ _-]?calls?|function[ _-]?calls?)"
_FAILED: Final = (
    r"(?:fail(?:ed|ure|s)?|error|errors|unable|could ?n[o']t|could not|cannot|can't|invalid)"
)


@dataclass(frozen=True, slots=True)
class _Fault:
    """One way of a server to say it.

    A ``text`` group holds what the model wrote, an ``arguments`` group the arguments of a call
    whose name the server kept for itself.  A ``from`` group is the place in the model's text
    where the quotation begins.
    """

    server: str
    pattern: re.Pattern[str]

    def matches(self, message: str) -> re.Match[str] | None:
        """The place where a message says it."""
        if self.server != _ANY:
            return self.pattern.search(message)
        # General patterns try every word, so that they only get the sentence a server begins with.
        head = message[:_HEAD]
        if _NOT_THE_MODEL.search(_QUOTATION.split(head, maxsplit=1)[0]):
            return None
        return self.pattern.search(head)


_ANY: Final = "any"


def _fault(server: str, pattern: str) -> _Fault:
    return _Fault(server, re.compile(pattern, re.DOTALL | re.IGNORECASE))


_FAULTS: Final = (
    _fault("llama.cpp", r"failed to parse input at pos (?P<from>\d{1,12}): ?(?P<text>.*)"),
    _fault("llama.cpp", r"does not match the expected \S{1,40} format"),
    _fault("ollama", r"error parsing tool call: raw='(?P<arguments>.*)', err="),
    _fault("ollama", r"XML syntax error on line \d"),
    _fault("vllm", r"HarmonyError|unexpected tokens? .{0,80}(?:message header|expecting start)"),
    _fault("groq", r"failed to call a function|tool call validation failed"),
    _fault(_ANY, rf"{_FAILED}\b[^.\n]{{0,40}}\bpars\w*[^.\n]{{0,40}}\b{_PART}\b"),
    _fault(_ANY, rf"{_PART}[^.\n]{{0,40}}\b(?:{_FAILED}|not)\b[^.\n]{{0,20}}\bpars"),
    _fault(_ANY, r"model (?:generated|produced|returned|output) (?:an? )?(?:invalid|malformed)"),
)

# A quotation that begins in the middle may begin inside a string, where a call is none; it is
# only trusted where a call's own marker stands at its start.
_CALL_MARKER: Final = re.compile(r"\s*(?:<tool_call|<function[=_]|\[TOOL_CALLS\]|<[|\uff5c]tool)")


def model_fault(status: int, body: bytes) -> ModelOutput | None:
    """What the model wrote, if this error is about that; None for a real error.

    ``text`` is None where the body does not hold the model's words.
    """
    if status < 400 or status in _NEVER_THE_MODEL or len(body) > _LONGEST:
        return None
    return error_fault(read_error(body))


def refusal(status: int, body: bytes) -> RequestRefused | None:
    """What an error means for asking in this way; None for one that another way would not mend.

    Sources: the messages of Ollama, llama.cpp, vLLM and LiteLLM for models without tools.
    """
    if status not in _REFUSING and status != _MISSING:
        return None
    raw = body[:_LONGEST]
    error = read_error(raw)
    heads = [message[:_HEAD] for message in messages_of(error)]
    if overflow(status, raw) is not None or any(_TOO_LONG.search(head) for head in heads):
        return None
    tools = _forbids_tools(error) or any(_NO_TOOLS.search(head) for head in heads)
    return RequestRefused(tools=tools) if tools or status != _MISSING else None


def _forbids_tools(error: Any) -> bool:
    """Whether a server that checks its requests with pydantic knows no ``tools``."""
    detail = error.get("detail") if isinstance(error, Mapping) else None
    return any(
        isinstance(entry, Mapping)
        and entry.get("type") == "extra_forbidden"
        and entry.get("loc") == ["body", "tools"]
        for entry in (detail if isinstance(detail, list) else ())
    )


def about_the_conversation(body: bytes) -> bool:
    """Whether an error speaks of the messages it got, or of the template they go into."""
    messages = messages_of(read_error(body[:_LONGEST]))
    return any(_THE_CONVERSATION.search(message[:_HEAD]) for message in messages)


def error_fault(error: Any) -> ModelOutput | None:
    """The same for an error object that came inside a stream."""
    quoted = _failed_generation(error)
    if quoted is not None:
        return ModelOutput(text=quoted or None)
    for message in messages_of(error):
        if _ABOUT_THE_REQUEST.search(message[:_HEAD]):
            continue
        for fault in _FAULTS:
            match = fault.matches(message)
            if match:
                return _recovered(match)
    return None


def _recovered(match: re.Match[str]) -> ModelOutput:
    groups = match.groupdict()
    arguments = groups.get("arguments")
    if arguments is not None:
        return _from_arguments(arguments)
    text = groups.get("text")
    if text and int(groups["from"] or 0) > 0 and not _CALL_MARKER.match(text):
        text = None
    return ModelOutput(text=text, finish_reason=None if text else UNREADABLE)


def _from_arguments(raw: str) -> ModelOutput:
    """The server knew the call's name and left it out, unless the text itself has one."""
    if '"name"' in raw or "<" in raw[:16]:
        return ModelOutput(text=raw)
    function = {"name": "", "arguments": raw}
    return ModelOutput(tool_calls=({"id": None, "type": "function", "function": function},))


def _failed_generation(error: Any) -> str | None:
    for scope in (error, error.get("error") if isinstance(error, Mapping) else None):
        if isinstance(scope, Mapping) and isinstance(scope.get("failed_generation"), str):
            return str(scope["failed_generation"])
    return None
