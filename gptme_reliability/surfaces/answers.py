"""Answers that come whole, and ways of coming to nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gptme_reliability.adapters.adapter import Adapter
from gptme_reliability.adapters.density import too_dense
from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.adapters.server_errors import model_fault
from gptme_reliability.surfaces.task import MOST_BYTES
from gptme_reliability.types import ModelOutput

UNKNOWN_SHAPE: Final = "an answer of a shape that is not known here"
TOO_LARGE: Final = "an answer too large to be read"


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What a model wrote, and the body it came in (None if it came as an error)."""

    output: ModelOutput
    body: Mapping[str, Any] | None
    status: int = 200

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """What the server says it used."""
        usage = (self.body or {}).get("usage")
        return usage if isinstance(usage, Mapping) else None

    @property
    def says_nothing(self) -> bool:
        """Whether it is an error that holds no word of the model."""
        return self.body is None and not self.output.text and not self.output.tool_calls


def read_whole(status: int, raw: bytes, adapter: Adapter = OPENAI) -> WholeAnswer | None:
    """The model's answer in the bytes of a response; None when there is none, or none that can
    be read."""
    if len(raw) > MOST_BYTES or too_dense(raw):
        return None
    if status >= 400:
        fault = model_fault(status, raw)
        return None if fault is None else WholeAnswer(fault, None, status)
    try:
        body = json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return WholeAnswer(adapter.read_answer(body), body, status) if adapter.is_answer(body) else None


def why(failure: Any) -> str:
    """Why there is no further answer, from the response or exception there was instead.

    Nothing of what it says, which may quote anything.
    """
    name = type(failure).__name__
    if not isinstance(failure, Exception):
        name = f"HTTP {failure.status_code}"
    return f"asking again failed: {name}"
