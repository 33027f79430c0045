"""Whether a server answers at an address, and which models it lists; no key is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from gptme_reliability.errors import InputError
from gptme_reliability.surfaces.endpoint import root_of
from gptme_reliability.surfaces.sampling import is_near

_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Listing:
    """The status of the answer to ``/v1/models``, and the names in it."""

    status: int
    models: tuple[str, ...] = ()


def list_models(endpoint: str) -> Listing:
    """Ask a server for its models; waits two seconds at most for each part of an answer.

    Raises:
        InputError: it cannot be reached, or ``endpoint`` is no URL.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise InputError(f"{shown(endpoint)} is no URL of a server")
    try:
        import httpx
    except ImportError:
        raise InputError(
            "asking a server needs httpx, which gptme and openai bring along"
        ) from None
    url = f"{root_of(endpoint)}/v1/models"
    try:
        with httpx.Client(timeout=_SECONDS) as client:
            response = client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(f"no answer from {shown(endpoint)} ({type(error).__name__})") from None
    return Listing(response.status_code, _names(response.content))


def _names(content: bytes) -> tuple[str, ...]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    listed: Any = body.get("data") if isinstance(body, Mapping) else None
    entries = listed if isinstance(listed, list) else []
    names = [entry.get("id") for entry in entries if isinstance(entry, Mapping)]
    return tuple(name for name in names if isinstance(name, str))


def shown(endpoint: str) -> str:
    """An address without what may be secret in it: a user, a password, a query."""
    try:
        parts = urlsplit(endpoint)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "the address"
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{port}{parts.path}" if host else "the address"


def is_near_address(endpoint: str) -> bool:
    """Whether an address is of this machine or of a private network."""
    try:
        host = urlsplit(endpoint).hostname
    except ValueError:
        return False
    return host is not None and is_near(host)
