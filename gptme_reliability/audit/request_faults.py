"""Requests that failed, as gptme logs them, and which of them are about tools."""

from __future__ import annotations

import re
from typing import Final

from gptme_reliability.adapters.server_errors import error_fault, refusal
from gptme_reliability.audit.classes import stage_of_class
from gptme_reliability.audit.exchanges import FAILED_REQUEST
from gptme_reliability.audit.failure import Failure
from gptme_reliability.audit.reading import Message

_STATUS: Final = re.compile(r"\bError code: (\d{3})\b")
_TOO_LONG: Final = re.compile(
    r"context[ _](?:size|length|window)|(?:prompt|input|context) is too (?:long|large)",
    re.IGNORECASE,
)
_EMPTY: Final = re.compile(
    r"LLM returned empty response|Provider stream for [^\n]{1,200} ended without any output"
)
_ELSEWHERE: Final = frozenset({"rate_limit", "auth_error", "model_unavailable"})
_THE_WAY: Final = re.compile(
    r"connection|timed? ?out|unreachable|refused|max retries", re.IGNORECASE
)
_HEAD: Final = 4_096


def judge_request(message: Message) -> Failure | None:
    """The failure of a request; None where it is about the way to the server, or an account."""
    text = message.content.removeprefix(FAILED_REQUEST).strip()[:_HEAD]
    kind = _kind(text, message.error)
    return Failure(kind, stage_of_class(kind)) if kind else None


def _kind(text: str, error: str | None) -> str | None:
    if _EMPTY.search(text):
        return "empty_answer"
    status = _STATUS.search(text)
    code = int(status[1]) if status else 0
    refused = refusal(code, text.encode(errors="replace"))
    if refused is not None and refused.tools:
        return "refused"
    if _TOO_LONG.search(text):
        return "context_overflow"
    if error_fault(text) is not None:
        return "unreadable"
    if error in _ELSEWHERE or status or _THE_WAY.search(text):
        return None
    return "unclassified"
