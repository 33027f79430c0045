"""Asks a server by its URL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from gptme_reliability.errors import InputError
from gptme_reliability.surfaces.served import Answer, Fetch, Served, look

_SECONDS: Final = 5.0


def ask_server(endpoint: str, model: str) -> Served:
    """What a server is and declares; ``model`` as requests name it.

    Raises:
        InputError: it cannot be reached, or ``endpoint`` is no URL.
    """
    if not endpoint.startswith(("http://", "https://")):
        raise InputError(f"{endpoint} is no URL of a server; such as http://127.0.0.1:8080/v1")
    try:
        import httpx
    except ImportError:
        raise InputError(
            "asking a server needs httpx, which gptme and openai bring along"
        ) from None
    root = root_of(endpoint)
    try:
        with httpx.Client(timeout=_SECONDS) as client:
            return look(fetching(client, root), model.removeprefix("local/"))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{endpoint} cannot be asked ({reason}); is the server up?") from None


def root_of(endpoint: str) -> str:
    """The URL of a server without the ``/v1`` at its end, and without a slash."""
    return endpoint.rstrip("/").removesuffix("/v1")


def fetching(client: Any, root: str) -> Fetch:
    """Fetches by an ``httpx.Client``, whose exceptions go to the caller."""

    def fetch(path: str, body: Mapping[str, Any] | None) -> Answer:
        url = f"{root}{path}"
        response = client.get(url) if body is None else client.post(url, json=body)
        headers = dict(response.headers)
        if response.status_code != 200:
            return Answer(headers)
        try:
            return Answer(headers, json.loads(response.content))
        except (ValueError, RecursionError):
            return Answer(headers, response.text)

    return fetch
