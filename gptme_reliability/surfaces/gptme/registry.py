"""Puts the checking HTTP client under gptme's OpenAI-compatible clients.

gptme keeps one client per provider in ``llm_openai.clients``.  That dictionary is replaced by
one that wraps what is put into it, and clients that exist already are wrapped in place.  A
wrapped client imports the SDK no sooner than the bare one: at its first use.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gptme.config import Config

logger = logging.getLogger(__name__)


class CheckedClient:
    """Stands in for an SDK client; at first use it becomes a copy with our HTTP client.

    ``inner`` may be gptme's lazy client, which is what keeps the SDK import deferred.
    """

    def __init__(self, inner: Any, provider: str) -> None:
        self._inner = inner
        self._provider = provider
        self._lock = threading.Lock()
        self._copy: Any = None
        self._fault: str | None = None

    @property
    def _kwargs(self) -> Any:
        # gptme compares recorded credentials without building the client.
        return self._inner._kwargs

    @property
    def state(self) -> str:
        """``waiting`` before the first use, then ``checked`` or why it is not."""
        if self._fault:
            return self._fault
        return "waiting" if self._copy is None else "checked"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._real(), name)

    def _real(self) -> Any:
        with self._lock:
            if self._copy is None:
                try:
                    ours = _http_client(self._base(), self._provider)
                    self._copy = self._inner.with_options(http_client=ours)
                # Whatever goes wrong here, the user's request must still be sent.
                except Exception as error:
                    self._fault = f"not checked: {type(error).__name__}: {error}"
                    logger.warning("reliability: %s client %s", self._provider, self._fault)
                    self._copy = self._inner
            return self._copy

    def _base(self) -> type:
        """The SDK's own HTTP client."""
        import openai

        return openai.DefaultHttpxClient


def _http_client(base: type, provider: str) -> Any:
    from gptme_reliability.surfaces.client import client_class
    from gptme_reliability.surfaces.gptme.host import host

    # One class per base: its instances must be of the HTTP library that the SDK uses.
    if base not in _classes:
        _classes[base] = client_class(base)
    return _classes[base](host, provider)


_classes: dict[type, Callable[..., Any]] = {}


class Clients(dict[Any, Any]):
    """A dictionary of clients that wraps what is put into it."""

    def __setitem__(self, provider: Any, client: Any) -> None:
        super().__setitem__(provider, _wrapped(client, provider))


def _wrapped(client: Any, provider: Any) -> CheckedClient:
    return client if isinstance(client, CheckedClient) else CheckedClient(client, str(provider))


# Providers of gptme whose requests go through other clients.
_ELSEWHERE: Final = frozenset({"anthropic", "openai-subscription", "mock"})


def install(config: Config) -> None:
    """Wrap all clients, those to come included; does no I/O and imports no SDK.

    Raises:
        RuntimeError: gptme does not keep its clients where this package looks for them.
    """
    model = config.chat.model if config.chat else None
    ensure(model)
    if model and config.user.plugin.get("reliability"):
        _anthropic_client().prepare(config, model)
    if model and model.split("/")[0] not in _ELSEWHERE:
        _register(model)


def ensure(model: str | None) -> None:
    """Wrap again what was replaced since; cheap when nothing was.

    Raises:
        RuntimeError: gptme does not keep its clients where this package looks for them.
    """
    _anthropic_client().ensure(model)
    loaded = "gptme.llm.llm_openai" in sys.modules
    if not loaded and model and model.split("/")[0] in _ELSEWHERE:
        # Whoever never talks to an OpenAI-compatible server need not pay for its import.
        return
    from gptme.llm import llm_openai

    current = getattr(llm_openai, "clients", None)
    # Copied before each look: other threads of a server may be making clients.
    if type(current) is Clients and all(type(c) is CheckedClient for c in list(current.values())):
        return
    if not isinstance(current, dict) or not callable(getattr(llm_openai, "init", None)):
        raise RuntimeError("this version of gptme keeps its clients elsewhere; nothing is checked")
    clients = Clients()
    for provider, client in list(current.items()):
        clients[provider] = client
    llm_openai.clients = clients


def _register(model: str) -> None:
    """Create the client of the session's model now, as gptme is about to do anyway."""
    from gptme.llm import get_provider_from_model, llm_openai

    try:
        llm_openai.get_client(get_provider_from_model(model))
    # gptme makes the same call a moment later and reports what is wrong with it.
    except Exception as error:
        logger.debug("no client for %s yet: %s", model, error)


@dataclass(frozen=True, slots=True)
class Check:
    """Whether requests pass through the checks; ``clients`` maps providers to their state."""

    ok: bool
    summary: str
    clients: dict[str, str]


def self_check() -> Check:
    """Look at gptme's clients as they are now; changes nothing."""
    states = _anthropic_client().states()
    whose = "clients" if states else "OpenAI-compatible clients"
    if not states or "gptme.llm.llm_openai" in sys.modules:
        from gptme.llm import llm_openai

        current = getattr(llm_openai, "clients", None)
        if type(current) is not Clients:
            return Check(False, "gptme's clients are not wrapped; nothing is checked", {})
        for provider, client in list(current.items()):
            wrapped = isinstance(client, CheckedClient)
            states[str(provider)] = client.state if wrapped else "not wrapped"
    bad = [name for name, state in states.items() if state not in ("waiting", "checked")]
    if bad:
        return Check(False, f"not checked: {', '.join(bad)}", states)
    return Check(True, f"all {whose} are wrapped", states)


def _anthropic_client() -> Any:
    """The module that does the same for Anthropic's clients."""
    from gptme_reliability.surfaces.gptme import anthropic_client as found

    return found
