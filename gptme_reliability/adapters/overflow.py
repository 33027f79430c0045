"""Errors that say that a prompt does not fit into the server's context, told in one way.

Each server has words of its own for it, and few say what to change.  The error that goes on
names both numbers and the setting, in a shape and with words by which hosts know such an error:
OpenAI's code for it, which makes gptme compact the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from gptme_reliability.adapters.error_texts import messages_of, read_error
from gptme_reliability.backends import Backend
from gptme_reliability.prompt_size import as_tokens

Server: TypeAlias = Backend | Literal["llama-cpp-python", "tgi"]

SETTINGS: Final[Mapping[Server, str]] = {
    "llama.cpp": "start llama-server with a larger -c / --ctx-size; its slots share it",
    "llama-cpp-python": "start it with a larger --n_ctx",
    "ollama": "set OLLAMA_CONTEXT_LENGTH where Ollama runs, or num_ctx in the Modelfile",
    "vllm": "start vLLM with a larger --max-model-len",
    "lmstudio": "load the model with a larger context length in LM Studio",
    "sglang": "start SGLang with a larger --context-length",
    "tgi": "start it with a larger --max-total-tokens",
    "unknown": "give the server a larger context",
}
"""What to change for a larger context.  Source: the documentation of each server."""

CODE: Final = "context_length_exceeded"
"""OpenAI's code for it."""

_STATUSES: Final = frozenset({400, 413, 422, 500})
_REPEATED: Final = 500
_LONGEST: Final = 1024 * 1024
_HEAD: Final = 4096
_QUOTED: Final = 300
# An SDK or host that finds one of these in an error sends the request again.
# Source: gptme 0.35.1, llm_openai.py.
_REPEATS: Final = re.compile(r"overload|internal|timeout|rate limit|server_error", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Overflow:
    """A prompt too long; numbers of tokens, None where the server does not say.

    ``prompt`` is how long it is, ``room`` the context it was to fit into, and ``answer`` what
    was reserved for the answer where that counts too.
    """

    server: Server
    prompt: int | None = None
    room: int | None = None
    answer: int | None = None


def _says(server: Server, pattern: str) -> tuple[Server, re.Pattern[str]]:
    return server, re.compile(pattern, re.IGNORECASE)


_SAYINGS: Final = (
    _says(
        "llama.cpp",
        r"request \((?P<prompt>\d{1,12}) tokens\) exceeds the available context size"
        r" \((?P<room>\d{1,12}) tokens\)",
    ),
    _says("llama.cpp", r"exceeds the available context size"),
    _says(
        "sglang",
        r"maximum context length of (?P<room>\d{1,12}) tokens\. You requested a total of \d{1,12}"
        r" tokens: (?P<prompt>\d{1,12}) tokens from the input messages and (?P<answer>\d{1,12})",
    ),
    _says(
        "sglang",
        r"input \((?P<prompt>\d{1,12}) tokens\) is longer than the model'?s context length"
        r" \((?P<room>\d{1,12}) tokens\)",
    ),
    _says(
        "sglang",
        r"input length \((?P<prompt>\d{1,12}) tokens\) exceeds the maximum allowed length"
        r" \((?P<room>\d{1,12}) tokens\)",
    ),
    _says(
        "vllm",
        r"maximum context length is (?P<room>\d{1,12}) tokens\. However, you requested"
        r" (?P<answer>\d{1,12}) output tokens and your prompt contains at least"
        r" (?P<prompt>\d{1,12}) input tokens",
    ),
    _says(
        "vllm",
        r"maximum context length is (?P<room>\d{1,12}) tokens\. However, you requested \d{1,12}"
        r" tokens (?:\((?P<prompt>\d{1,12}) in the messages, (?P<answer>\d{1,12}) in)?",
    ),
    _says(
        "vllm",
        r"maximum context length is (?P<room>\d{1,12}) tokens[^\d]{1,60}your (?:request has|"
        r"messages resulted in) (?P<prompt>\d{1,12}) (?:input )?tokens"
        r"(?: \((?P<answer>\d{1,12}) >)?",
    ),
    _says(
        "vllm",
        r"passed (?P<prompt>\d{1,12}) input tokens and requested (?P<answer>\d{1,12}) output"
        r" tokens\. However, the model's context length is only (?P<room>\d{1,12})",
    ),
    _says(
        "vllm",
        r"prompt \(length (?P<prompt>\d{1,12})\) is longer than the maximum model length of"
        r" (?P<room>\d{1,12})",
    ),
    _says("vllm", r"maximum context length is (?P<room>\d{1,12}) tokens"),
    _says(
        "lmstudio",
        r"keep the first (?P<prompt>\d{1,12}) tokens[^\d]{1,100}loaded with context length of"
        r" only (?P<room>\d{1,12})",
    ),
    _says("lmstudio", r"tokens to keep from the initial prompt is greater than the context"),
    _says("lmstudio", r"reached context length of (?P<room>\d{1,12}) tokens"),
    _says(
        "llama-cpp-python",
        r"requested tokens \((?P<prompt>\d{1,12})\) exceed context window of (?P<room>\d{1,12})",
    ),
    _says("ollama", r"(?:input|prompt) (?:length )?exceeds (?:the |maximum )*context length"),
    _says("ollama", r"prompt too long; exceeded max context length"),
    _says(
        "tgi",
        r"`inputs` tokens \+ `max_new_tokens` must be <= (?P<room>\d{1,12})\. Given:"
        r" (?P<prompt>\d{1,12}) `inputs` tokens and (?P<answer>\d{1,12})",
    ),
)
"""How servers say it; the first that fits counts.

Sources: llama.cpp's server-context.cpp and recorded answers; vLLM's serving code and renderers;
SGLang's tokenizer_manager.py; llama-cpp-python's llama.py; Ollama's runner; LM Studio's and text
generation inference's messages as users report them.
"""


def overflow(status: int, body: bytes) -> Overflow | None:
    """What an error says about a prompt that is too long; None where it is about another thing."""
    if status not in _STATUSES or len(body) > _LONGEST:
        return None
    return overflow_of(read_error(body))


def overflow_of(error: Any) -> Overflow | None:
    """The same for an error object that came inside a stream."""
    for message in messages_of(error):
        head = message[:_HEAD]
        for server, pattern in _SAYINGS:
            if match := pattern.search(head):
                said = {name: int(n) for name, n in match.groupdict().items() if n is not None}
                return _completed(Overflow(server, **said), _fields(error))
    fields = _fields(error)
    if fields.get("type") == "exceed_context_size_error":
        return _completed(Overflow("llama.cpp"), fields)
    return _completed(Overflow("unknown"), fields) if fields.get("code") == CODE else None


def status_for(status: int) -> int:
    """The status to say it with: that of the server, unless SDKs and hosts repeat such requests."""
    return 400 if status >= _REPEATED else status


def told(found: Overflow) -> str:
    """One line: both numbers as far as they are known, and what to do."""
    return f"{_numbers(found)}. To raise it: {SETTINGS[found.server]}; or shorten the conversation"


def error_for(body: bytes, found: Overflow) -> dict[str, Any]:
    """The error for the host, as an object ``{"error": ...}``.

    It keeps what the server's had beside the message, and quotes the message; but for words by
    which hosts would take it for a passing trouble.
    """
    error = read_error(body)
    kept = {
        key: value
        for key, value in _fields(error).items()
        if isinstance(value, str | int | float | None) and not _REPEATS.search(f"{key} {value}")
    }
    original = next(messages_of(error), "")[:_QUOTED]
    quoted = f" (the server said: {original})" if original and not _REPEATS.search(original) else ""
    fresh = {"type": "invalid_request_error", **kept, "code": CODE}
    return {"error": {**fresh, "message": told(found) + quoted}}


def told_by_anthropic(found: Overflow) -> str:
    """The same in the words of Anthropic's API, which its clients look for.

    Claude Code shortens its conversation by itself for the one, and asks for less for the other.
    Source: Claude Code 2.1.197, tried with both.
    """
    if found.prompt is None or found.room is None:
        return "prompt is too long"
    if found.answer is None or not _fits(found):
        return f"prompt is too long: {found.prompt} tokens > {found.room} maximum"
    total = f"{found.prompt} + {found.answer} > {found.room}"
    return f"input length and `max_tokens` exceed context limit: {total}"


def _numbers(found: Overflow) -> str:
    prompt = "The prompt" if found.prompt is None else f"The prompt of {found.prompt} tokens"
    # By these words hosts know such an error where its code was lost.
    room = "the server's maximum context length"
    if found.room is not None:
        room += f" of {found.room} tokens"
    if found.answer is None or not _fits(found):
        return f"{prompt} does not fit into {room}"
    return f"{prompt} and the {found.answer} asked for the answer do not fit into {room}"


def _fits(found: Overflow) -> bool:
    """Whether the prompt alone would fit."""
    return found.prompt is not None and found.room is not None and found.prompt < found.room


def _completed(found: Overflow, fields: Mapping[str, Any]) -> Overflow:
    """With the numbers that stand beside the message."""
    prompt = found.prompt if found.prompt is not None else as_tokens(fields.get("n_prompt_tokens"))
    room = found.room if found.room is not None else as_tokens(fields.get("n_ctx"))
    server = found.server
    if server == "vllm" and fields.get("code") == CODE:
        server = "llama-cpp-python"  # which says it in OpenAI's words, code and all
    return Overflow(server, prompt, room, found.answer)


def _fields(error: Any) -> Mapping[str, Any]:
    inner = error.get("error") if isinstance(error, Mapping) else None
    for scope in (inner, error):
        if isinstance(scope, Mapping):
            return scope
    return {}
