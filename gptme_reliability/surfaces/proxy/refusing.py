"""The proxy's own errors, in the shape of the API that was called."""

from __future__ import annotations

import json
from typing import Final

from gptme_reliability.adapters.adapter import Adapter
from gptme_reliability.adapters.bridge_answer import ERROR_TYPES
from gptme_reliability.adapters.openai_adapter import OPENAI

_KINDS: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    501: "invalid_request_error",
    504: "timeout_error",
}
_ANTHROPIC: Final = "/v1/messages"


class Refused(Exception):
    """A request that gets an error of the proxy's own; ``code`` is for programs."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def error_body(refused: Refused, path: str = "") -> bytes:
    """The JSON that the API at ``path`` uses for errors."""
    kind = _KINDS.get(refused.status, "api_error")
    if path.startswith(_ANTHROPIC):
        kind = ERROR_TYPES.get(refused.status, kind)
        return _json({"type": "error", "error": {"type": kind, "message": refused.message}})
    error = {"message": refused.message, "type": kind, "param": None, "code": refused.code}
    return _json({"error": error})


def failure_event(refused: Refused, adapter: Adapter) -> bytes:
    """The same as an event of a stream."""
    if adapter is OPENAI:
        return b"data: " + error_body(refused) + b"\n\n"
    return adapter.error_event(error_body(refused, _ANTHROPIC))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
