"""The calls that a conversation holds in its texts, for a host that has them there.

Such a host puts results into messages of its own, without a word of which call they belong to.
As many messages as calls are taken in order; otherwise each call of an answer has all of them
for its result, so that calls look less alike than they are, never more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.dialects.host_body import Offered
from gptme_reliability.dialects.host_fences import own_blocks
from gptme_reliability.dialects.host_tags import own_tags
from gptme_reliability.dialects.shapes import RawCall
from gptme_reliability.errors import ToolDefinitionError
from gptme_reliability.nudges import is_nudge
from gptme_reliability.past_calls import PastCall, Written, as_json
from gptme_reliability.quotations import text_parts
from gptme_reliability.settle import settle
from gptme_reliability.types import Policy

# gptme says these beside results (0.35.1, hooks/token_awareness.py and others like it).
_BESIDE: Final = re.compile(r"\s{0,8}<(?:system_warning|budget:\w{1,40})>")


def past_text_calls(messages: Sequence[Mapping[str, Any]], offered: Offered) -> list[PastCall]:
    """The calls since the user last spoke, the latest first."""
    made: list[Written] = []
    answer, results = _Answer(), 0
    for message in messages:
        role = message.get("role")
        if role == "assistant":
            answer.settle()
            answer, results = _Answer(_calls(message, offered)), 0
            made += answer.calls
        elif role == "system":
            results += answer.take(message)
        elif is_nudge(message):
            # Where results are in the user's role, for servers that take no others, so are nudges.
            if not results:
                answer.take(message)
        elif role == "user":
            made.clear()
            answer = _Answer()
    answer.settle()
    return [PastCall(one) for one in reversed(made)]


class _Answer:
    """An answer of the model: its calls, and what the host said behind it."""

    def __init__(self, calls: Sequence[Written] = ()) -> None:
        self.calls = calls
        self._said: list[Any] = []

    def take(self, message: Mapping[str, Any]) -> bool:
        """Whether a message may be a result; kept if so."""
        content = message.get("content")
        texts = text_parts(content)
        if not self.calls or (texts and _BESIDE.match(texts[0])):
            return False
        self._said.append(content)
        return True

    def settle(self) -> None:
        """Give the calls what was said behind them."""
        each = len(self._said) == len(self.calls)
        for index, call in enumerate(self.calls):
            call.results += self._said[index : index + 1] if each else self._said


def _calls(message: Mapping[str, Any], offered: Offered) -> list[Written]:
    text = "".join(text_parts(message.get("content")))
    return [Written(raw.name or "", _arguments(raw, offered)) for raw in _raw(text, offered)]


def _raw(text: str, offered: Offered) -> Iterator[RawCall]:
    if offered.host.form == "xml":
        for span in own_tags(text, offered):
            yield from span.calls
    else:
        for span, _ in own_blocks(text, offered):
            yield from span.calls


def _arguments(raw: RawCall, offered: Offered) -> str | None:
    """What a call was given, as JSON; None where that is not known for certain."""
    tool = offered.tool(raw.name or "")
    if tool is None or raw.flaw is not None:
        return None
    if offered.is_own(tool.name):
        # Without arguments nothing is known of what stood there.
        return as_json(dict(raw.arguments)) if raw.arguments else None
    try:
        call = settle(raw, offered.tools, Policy(), 0).call
    except ToolDefinitionError:
        return None
    return None if call is None else as_json(dict(call.arguments))
