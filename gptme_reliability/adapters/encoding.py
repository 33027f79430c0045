"""JSON as the bytes of a body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON bytes of a body; lone surrogates, which UTF-8 cannot hold, are escaped."""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(body, separators=(",", ":")).encode()
