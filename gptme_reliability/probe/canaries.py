"""The canaries: each a request, and who judges what comes back.  One more is one more row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gptme_reliability.backends import Backend, for_backend
from gptme_reliability.probe import judging
from gptme_reliability.probe.judging import Judge
from gptme_reliability.probe.offer import (
    ANSWER_SCHEMA,
    COUNTING,
    FILLER,
    GREETING,
    NARROW_OFFER,
    OFFER,
    ONE_CALL,
    TIMER,
    TWO_CALLS,
)
from gptme_reliability.prompting import held_to
from gptme_reliability.types import Structured

_A_CALL: Final = 256
"""Tokens for an answer with a call; three times that where the first was cut off."""
_FEW: Final = 4
CHEAP_CONTEXT: Final = 4096
"""Tokens up to which it is cheap to send more than the context holds."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A request and its judges, by the field that each fills.

    ``body`` goes out beside the model's name and the sampling; ``tokens`` are those the answer
    may have.  ``refused`` is what it means that the server does not take the request.
    """

    says: str
    judges: Mapping[str, Judge]
    body: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = _A_CALL
    streamed: bool = False
    refused: str = "rejected"


_TOOLS: Final = {"tools": OFFER}

CANARIES: Final = (
    Canary(
        COUNTING,
        {"usage": judging.counts_tokens, "finish_length": judging.cut_is_told(_FEW)},
        tokens=_FEW,
    ),
    Canary(
        ONE_CALL,
        {
            "tools_in_prompt": judging.sees_tools,
            "native_tools": judging.arrives,
            "leaked": judging.leaks,
            "finish_calls": judging.calls_are_told,
        },
        _TOOLS,
    ),
    Canary(GREETING, {"talks": judging.talks}, _TOOLS),
    Canary(
        GREETING,
        {"tool_choice_required": judging.must_call},
        {**_TOOLS, "tool_choice": "required"},
    ),
    Canary(
        ONE_CALL,
        {"tool_choice_named": judging.must_call_timer},
        {**_TOOLS, "tool_choice": {"type": "function", "function": {"name": TIMER}}},
    ),
    Canary(
        ONE_CALL, {"tool_choice_none": judging.must_not_call}, {**_TOOLS, "tool_choice": "none"}
    ),
    Canary(TWO_CALLS, {"parallel_calls": judging.calls_twice}, _TOOLS),
    Canary(
        ONE_CALL,
        {
            "streaming": judging.well_formed,
            "stream_calls": judging.arrives,
            "stream_usage": judging.stream_counts,
        },
        {**_TOOLS, "stream": True, "stream_options": {"include_usage": True}},
        streamed=True,
    ),
    Canary(ONE_CALL, {"tool_schema": judging.holds_arguments}, {"tools": NARROW_OFFER}),
    Canary(
        GREETING,
        {"response_format": judging.holds_answer("enforced")},
        held_to("response_format", ANSWER_SCHEMA),
    ),
    Canary(
        ONE_CALL,
        {"tools_with_format": judging.which_wins},
        {**_TOOLS, **held_to("response_format", ANSWER_SCHEMA)},
    ),
)
"""In this order: a later judge may know what an earlier one found."""

OTHER_KEYS: Final[Mapping[Backend, Structured]] = {
    "llama.cpp": "json_schema",
    "vllm": "structured_outputs",
    "ollama": "format",
}
"""Where a server may take a schema that does not hold it to OpenAI's key."""


def other_key(how: Structured) -> Canary:
    """The canary for another key than OpenAI's."""
    judge = judging.holds_answer(how)
    return Canary(GREETING, {"structured": judge}, held_to(how, ANSWER_SCHEMA))


def overflow(context: int) -> Canary:
    """The canary for a prompt that is longer than ``context`` tokens."""
    words = " ".join([FILLER] * (context + context // 4))
    return Canary(words, {"overflow": judging.stays_within}, tokens=1, refused="refused")


NONSENSE: Final = "much"
"""What no sampling parameter is: a server that takes it did not look."""

_PARAMETERS: Final = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 20,
    "min_p": 0.05,
    "seed": 1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "repetition_penalty": 1.05,
}


def parameters(backend: Backend) -> dict[str, Any]:
    """Sampling parameters with a right value each, as the backend spells them."""
    sent, lost = for_backend(_PARAMETERS, backend)
    return {**sent, **{loss.parameter: loss.value for loss in lost}}
