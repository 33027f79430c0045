"""OpenAI chat completions ⇄ the values of the core: the names other modules use."""

from __future__ import annotations

from gptme_reliability.adapters.openai_history import mend_history
from gptme_reliability.adapters.openai_ids import assign_ids, new_id
from gptme_reliability.adapters.openai_request import read_request, write_request
from gptme_reliability.adapters.openai_response import (
    host_readable,
    is_completion,
    read_response,
    sum_usage,
    write_response,
)
from gptme_reliability.adapters.openai_stream import StreamReader, write_chunks
from gptme_reliability.adapters.server_errors import model_fault

__all__ = [
    "StreamReader",
    "assign_ids",
    "host_readable",
    "is_completion",
    "mend_history",
    "model_fault",
    "new_id",
    "read_request",
    "read_response",
    "sum_usage",
    "write_chunks",
    "write_request",
    "write_response",
]
