"""OpenAI chat completions ⇄ the values of the core: the names that most tests use."""

from __future__ import annotations

from gptme_reliability.adapters.openai_history import mend_history
from gptme_reliability.adapters.openai_request import read_request
from gptme_reliability.adapters.openai_response import read_response
from gptme_reliability.adapters.openai_stream import StreamReader
from gptme_reliability.adapters.server_errors import model_fault

__all__ = ["StreamReader", "mend_history", "model_fault", "read_request", "read_response"]
