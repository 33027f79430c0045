"""A host that speaks Anthropic's API, before a server that speaks OpenAI's.

Requests are those of chat completions from the start (``bridge_request``), answers come as
messages (``bridge_answer``): so each side is the adapter of its own API.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gptme_reliability.adapters.anthropic_adapter import Anthropic
from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.types import ModelFacts, ModelRequest, Repair


class Bridged(Anthropic):
    """The adapter for one request."""

    def wanted(self, body: Mapping[str, Any]) -> bool:
        """As in chat completions."""
        return OPENAI.wanted(body)

    def read_request(self, body: Mapping[str, Any]) -> ModelRequest:
        """As in chat completions."""
        return OPENAI.read_request(body)

    def mend(self, request: ModelRequest) -> tuple[ModelRequest, tuple[Repair, ...]]:
        """As in chat completions."""
        return OPENAI.mend(request)

    def view(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """As in chat completions."""
        return OPENAI.view(body)

    def limits(self, facts: ModelFacts, request: ModelRequest) -> ModelFacts:
        """As in chat completions."""
        return OPENAI.limits(facts, request)

    def write_request(self, request: ModelRequest) -> dict[str, Any]:
        """As in chat completions."""
        return OPENAI.write_request(request)
