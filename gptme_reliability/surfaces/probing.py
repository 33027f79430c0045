"""Probes a server by its URL."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import urlsplit

from gptme_reliability.backends import Backend
from gptme_reliability.errors import InputError
from gptme_reliability.probe.card import CapabilityCard
from gptme_reliability.probe.context import LIST
from gptme_reliability.probe.run import Asking as Steps
from gptme_reliability.probe.run import CannotProbe, Probed, probe
from gptme_reliability.probe.sample import Ask, Heard
from gptme_reliability.surfaces.endpoint import fetching, root_of
from gptme_reliability.surfaces.served import Fetch, Served, look

_LOOKING_S: Final = 5.0
_CONNECT_S: Final = 5.0
_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_NAMES: Final = 5

Started = Callable[[str, Backend], None]
"""Told the model and the backend before the first canary goes out."""

Asking = Callable[[int], None]
"""Told before each request how many were made."""


def probe_server(
    endpoint: str,
    model: str | None,
    *,
    key: str | None,
    seconds: float,
    started: Started,
    asking: Asking = lambda made: None,
) -> tuple[CapabilityCard, Probed]:
    """Probe a server for a model, by default the only one it has.

    ``model`` is named as requests name it, or as gptme does.  ``key`` goes out as a bearer
    token; a request may take ``seconds``.

    Raises:
        InputError: it cannot be reached or probed, or ``endpoint`` is no URL.
    """
    _check(endpoint)
    try:
        import httpx
    except ImportError:
        raise InputError("probing needs httpx, which gptme and openai bring along") from None
    root = root_of(endpoint)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        with httpx.Client(timeout=_LOOKING_S, headers=headers) as client:
            fetch = fetching(client, root)
            name = (model or "").removeprefix("local/") or _only_model(endpoint, fetch)
            served = look(fetch, name)
            started(name, served.backend)
            steps = probe(name, served.backend)
            probed = _drive(client, root, steps, seconds, asking)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise InputError(f"{endpoint} cannot be probed ({reason}); is the server up?") from None
    except CannotProbe as error:
        raise InputError(f"{endpoint} cannot be probed: {error}") from None
    return _card(endpoint, name, served, probed), probed


def _check(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError("that is no URL of a server; such as http://127.0.0.1:8080/v1")
    if parts.username is not None or parts.password is not None or parts.query:
        raise InputError("the URL must hold no password and no query; a key goes into a variable")


def _only_model(endpoint: str, fetch: Fetch) -> str:
    """The model of a server that has one.

    Raises:
        InputError: it has none, or several.
    """
    answer = fetch(LIST, None).content
    listed = answer.get("data") if isinstance(answer, dict) else None
    entries = listed if isinstance(listed, list) else []
    names = [str(entry["id"]) for entry in entries if isinstance(entry, dict) and entry.get("id")]
    if len(names) == 1:
        return names[0]
    if not names:
        raise InputError(f"{endpoint} lists no models; say which one with --model")
    shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    raise InputError(f"{endpoint} has several models ({shown}); say which one with --model")


def _card(endpoint: str, model: str, served: Served, probed: Probed) -> CapabilityCard:
    return CapabilityCard(
        endpoint=endpoint,
        model=model,
        backend=served.backend,
        probed=datetime.now(timezone.utc),
        runs=served.name,
        found=probed.found,
        sampling=probed.sampling,
        context=probed.context,
    )


def _drive(client: Any, root: str, steps: Steps[Probed], seconds: float, asking: Asking) -> Probed:
    made = 0
    try:
        ask = next(steps)
        while True:
            asking(made)
            ask = steps.send(_send(client, root, ask, seconds))
            made += 1
    except StopIteration as end:
        result: Probed = end.value
        return result


def _send(client: Any, root: str, ask: Ask, seconds: float) -> Heard:
    import httpx

    until = time.monotonic() + seconds
    raw, broken = bytearray(), False
    method = "GET" if ask.body is None else "POST"
    timeout = httpx.Timeout(seconds, connect=_CONNECT_S)
    try:
        with client.stream(method, root + ask.path, json=ask.body, timeout=timeout) as response:
            status, kind = response.status_code, response.headers.get("content-type", "")
            try:
                for chunk in response.iter_bytes():
                    raw += chunk
                    # A server that never falls silent is none that waits for its own end.
                    broken = len(raw) > _MOST_BYTES or time.monotonic() > until
                    if broken:
                        break
            except (httpx.HTTPError, httpx.StreamError):
                broken = True
    except httpx.HTTPError:
        return Heard(0)
    return Heard(status, bytes(raw), kind, broken)
