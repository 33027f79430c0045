"""Answers that come whole, and ways of coming to nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gptme_reliability.adapters.openai_response import is_completion, read_response
from gptme_reliability.adapters.server_errors import model_fault
from gptme_reliability.surfaces.task import MOST_BYTES, encode
from gptme_reliability.types import ModelOutput


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What a model wrote, the completion it came in (None if it came as an error), the bytes."""

    output: ModelOutput
    body: Mapping[str, Any] | None
    raw: bytes

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """What the server says it used."""
        usage = (self.body or {}).get("usage")
        return usage if isinstance(usage, Mapping) else None


def read_answer(response: Any) -> WholeAnswer | None:
    """The model's answer in a response; None when there is none, or none that can be read."""
    raw: bytes = response.read()
    if len(raw) > MOST_BYTES:
        return None
    if response.status_code >= 400:
        fault = model_fault(response.status_code, raw)
        return None if fault is None else WholeAnswer(fault, None, raw)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return WholeAnswer(read_response(body), body, raw) if is_completion(body) else None


def comes_whole(response: Any) -> bool:
    """Whether a response to a request for a stream is none: an error, or a body in one piece."""
    return response.status_code >= 400 or "json" in response.headers.get("content-type", "")


def why(failure: Any) -> str:
    """Why there is no further answer, from the response or exception there was instead.

    Nothing of what it says, which may quote anything.
    """
    name = type(failure).__name__
    if not isinstance(failure, Exception):
        name = f"HTTP {failure.status_code}"
    return f"asking again failed: {name}"


def event(chunk: Mapping[str, Any]) -> bytes:
    """A chunk as the event of a stream."""
    return b"data: " + encode(chunk) + b"\n\n"


def error_event(raw: bytes) -> bytes:
    """A server's error body as the event that the SDK raises from."""
    try:
        error = json.loads(raw)
    except (ValueError, RecursionError):
        error = raw.decode(errors="replace")
    inner = error.get("error") if isinstance(error, Mapping) else None
    return event({"error": inner or {"message": str(error)[:4096]}})
