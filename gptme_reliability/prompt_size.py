"""How many tokens a prompt must have at least, to tell what a server left out of it.

No tokenizer is at hand, so that these are bounds.  The lower ones hold for every tokenizer that
never makes one token of two words, which are all in use, and for every template that shows the
messages and the names of tools and arguments: one that writes tools as bare signatures too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.quotations import text_parts
from gptme_reliability.types import ModelRequest, ToolDefinition

_WORD: Final = re.compile(r"[^\W\d_]+|\d+")
# One search holds up all other threads, so a long text is searched in windows.
_WINDOW: Final = 16_384
_CHARACTERS: Final = 4  # of a token, in English
_DENSE: Final = 3  # where there is much code
_CACHED: Final = ("cached_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens")
# What a model said before may be shortened: templates leave its reasoning out.
_ALWAYS_SHOWN: Final = frozenset({"system", "developer", "user", "tool"})


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of one prompt.

    ``said`` is what the server counted, and ``most`` what it may have read: some leave out what
    they had in a cache.  The messages need ``messages`` at least, and with the tools ``all``.
    """

    said: int
    most: int
    messages: int
    all: int


def as_tokens(said: Any) -> int | None:
    """A number of tokens as a server says it; None for anything else."""
    return said if type(said) is int and said > 0 else None


def doubtful(request: ModelRequest, usage: Mapping[str, Any] | None) -> Counts | None:
    """The counts of a prompt that may lack something.

    None where the server counted enough for all of it, or says nothing.
    """
    said = as_tokens((usage or {}).get("prompt_tokens"))
    if said is None:
        return None
    if said >= _said(request) // _DENSE + _written(request.tools) // (2 * _CHARACTERS):
        return None
    messages = least_for_messages(request.messages)
    return Counts(said, said + _cached(usage or {}), messages, messages + _names(request.tools))


def least_for_messages(messages: Sequence[Mapping[str, Any]]) -> int:
    """What messages need at least: a token a word, of those that every template shows."""
    shown = (message for message in messages if message.get("role") in _ALWAYS_SHOWN)
    return sum(_words(text) for message in shown for text in _texts(message))


def _words(text: str) -> int:
    starts = range(0, len(text), _WINDOW)
    across = sum(_within_a_word(text, start) for start in starts[1:])
    return sum(len(_WORD.findall(text, at, at + _WINDOW)) for at in starts) - across


def _within_a_word(text: str, place: int) -> bool:
    word = _WORD.match(text, place - 1, place + 1)
    return word is not None and word.end() > place


def about(request: ModelRequest) -> int:
    """About how many tokens a request is: a quarter of its characters."""
    return (_said(request) + _written(request.tools)) // _CHARACTERS


def _said(request: ModelRequest) -> int:
    return sum(len(text) for message in request.messages for text in _texts(message))


def _written(tools: Sequence[ToolDefinition]) -> int:
    told = [[tool.name, tool.description, tool.parameters] for tool in tools]
    return len(json.dumps(told, default=str)) if tools else 0


def _names(tools: Sequence[ToolDefinition]) -> int:
    """What tools need at least: a token for each name of a tool and of an argument."""
    declared = (tool.parameters.get("properties") for tool in tools)
    return len(tools) + sum(len(names) for names in declared if isinstance(names, Mapping))


def _cached(usage: Mapping[str, Any]) -> int:
    details = usage.get("prompt_tokens_details")
    scopes = (usage, details if isinstance(details, Mapping) else {})
    return max(as_tokens(scope.get(key)) or 0 for scope in scopes for key in _CACHED)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    yield from text_parts(message.get("content"))
