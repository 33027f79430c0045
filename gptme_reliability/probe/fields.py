"""What a capability card can say: its fields, their words, and which of them are good news."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

from gptme_reliability.probe.finding import AGREEING, MOST_SAMPLES, UNCLEAR
from gptme_reliability.types import Structured


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that a server does or does not do.

    ``sure`` are the words that one sample proves, of others ``agreeing`` samples are wanted.
    Where it ``matters``, any other word than a ``good`` one and unclear makes the server unusable
    as it stands.
    """

    asks: str
    good: frozenset[str] = frozenset({"yes"})
    sure: frozenset[str] = frozenset({"yes"})
    matters: bool = False
    agreeing: int = AGREEING


def _words(*words: str) -> frozenset[str]:
    return frozenset(words)


# A model that writes a call in a way of its own now and then says little about its server.
_ALL: Final = MOST_SAMPLES
_NONE: Final = _words("none")
_TWICE: Final = _words()
_HELD: Final = _words("enforced")
_BOTH: Final = _words("calls", "format")
STRUCTURED: Final[tuple[Structured, ...]] = get_args(Structured)

FIELDS: Final[dict[str, Field]] = {
    "usage": Field("tokens are counted"),
    "finish_length": Field("a cut answer says so", matters=True),
    "native_tools": Field("calls arrive as calls", matters=True, agreeing=_ALL),
    "tools_in_prompt": Field("the model sees the tools"),
    "leaked": Field("calls leak into the text, as", _NONE, _NONE, agreeing=_ALL),
    "finish_calls": Field("an answer with calls says so"),
    "talks": Field("a greeting is answered in words"),
    "tool_choice_required": Field('tool_choice "required" is honoured', sure=_TWICE),
    "tool_choice_named": Field("a named tool_choice is honoured", sure=_TWICE),
    "tool_choice_none": Field('tool_choice "none" is honoured', sure=_TWICE),
    "parallel_calls": Field("several calls in one answer"),
    "streaming": Field("a stream is well-formed", matters=True),
    "stream_calls": Field("streamed calls arrive as calls", matters=True, agreeing=_ALL),
    "stream_usage": Field("a stream counts its tokens"),
    "response_format": Field("an answer is held to a schema", _HELD, _HELD),
    "structured": Field("the key that holds it", frozenset(STRUCTURED), frozenset(STRUCTURED)),
    "tools_with_format": Field("tools and a schema together", _BOTH, _BOTH),
    "tool_schema": Field("arguments are held to the schema", _HELD, _TWICE),
    "overflow": Field("a prompt beyond the context is", _words("refused"), _words("refused")),
}
"""In the order in which they are shown.

``native_tools``, ``stream_calls``: yes, leaked (as text), dropped (not in the prompt), rejected.
``response_format``, ``tool_schema``: enforced, accepted (without effect), rejected.
``structured``: the key of the request; none where no key works.
``tools_with_format``: calls or format, whichever wins; neither; rejected.
``overflow``: refused; cut (in silence); taken (the context is larger than declared).
Everywhere: unclear, and rejected where the server does not take the request.
"""


def is_bad(name: str, value: str) -> bool:
    """Whether a field says that a server cannot be used as it stands."""
    row = FIELDS[name]
    return row.matters and value not in row.good and value != UNCLEAR
