"""The checking HTTP client under gptme's Anthropic clients, for models that it is enabled for.

gptme keeps one client for Anthropic and one for its own gateway, each in a variable of
``llm_anthropic``.  Importing that module brings in the SDK, which takes more than a second: so
it is only looked at where gptme has imported it, or is about to.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

from gptme_reliability.surfaces.gptme.registry import CheckedClient

if TYPE_CHECKING:
    from gptme.config import Config

logger = logging.getLogger(__name__)

_MODULE: Final = "gptme.llm.llm_anthropic"
_VARIABLES: Final = {"anthropic": "_anthropic", "gptme": "_anthropic_gptme"}
_GATEWAY: Final = "gptme/"


class CheckedAnthropic(CheckedClient):
    """Stands in for a client of Anthropic's SDK."""

    def _base(self) -> type:
        import anthropic

        return anthropic.DefaultHttpxClient


def prepare(config: Config, model: str) -> None:
    """Make the client of the session's model now, as gptme is about to do anyway."""
    if not model.startswith("anthropic/") or not _wanted(model):
        return
    module: Any = importlib.import_module(_MODULE)
    try:
        if module.get_client() is None:
            module.init(config)
    # gptme makes the same call a moment later and reports what is wrong with it.
    except Exception as error:
        logger.debug("no client for %s yet: %s", model, error)
        return
    ensure(model)


def ensure(model: str | None) -> None:
    """Wrap what gptme has made since; cheap where there is nothing to do."""
    module = sys.modules.get(_MODULE)
    if module is None or not _wanted(model):
        return
    if model is not None and model.startswith(_GATEWAY):
        _make_gateway_client(module)
    for provider, variable in _VARIABLES.items():
        client = getattr(module, variable, None)
        if client is not None and not isinstance(client, CheckedClient):
            setattr(module, variable, CheckedAnthropic(client, provider))


def states() -> dict[str, str]:
    """The state of each client by its provider."""
    module = sys.modules.get(_MODULE)
    found = {}
    for provider, variable in _VARIABLES.items():
        client = getattr(module, variable, None)
        if isinstance(client, CheckedClient):
            found[provider if provider == "anthropic" else "gptme (anthropic)"] = client.state
        elif client is not None and provider == "anthropic" and _wanted(None):
            found[provider] = "not wrapped"
    return found


def _make_gateway_client(module: Any) -> None:
    """gptme makes it with the first request, which would be too late."""
    try:
        module._get_gptme_client()
    # Without it, or without a login, gptme itself has to say so.
    except Exception as error:
        logger.debug("no client for gptme's gateway yet: %s", error)


def _wanted(model: str | None) -> bool:
    from gptme_reliability.surfaces.gptme.host import is_enabled

    return is_enabled(model)
