"""What a probe found of the server that gptme is about to ask."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gptme_reliability.surfaces.capabilities import Measured
    from gptme_reliability.surfaces.sampling import Agreement

logger = logging.getLogger(__name__)


def found(model: str, agreement: Agreement | None) -> Measured:
    """What a probe found of a model, given by its full name; never raises."""
    from gptme_reliability.surfaces.capabilities import Measured

    try:
        from gptme_reliability.surfaces.gptme import notices

        measured = of_model(model, agreement)
        if measured.notice:
            notices.say_once(measured.notice)
        return measured
    # A request is on its way, and goes without a probe as well.
    except Exception:
        logger.warning("reliability: a capability card could not be read", exc_info=True)
        return Measured()


def of_model(model: str, agreement: Agreement | None) -> Measured:
    """What the card of this model's server says; nothing before the first request to it."""
    from gptme.llm import llm_openai

    from gptme_reliability.surfaces.capabilities import Measured, measured

    provider, _, name = model.partition("/")
    client: Any = dict(llm_openai.clients).get(provider)  # type: ignore[call-overload]
    # To ask one that waits would make it, and import the SDK for nothing.
    if getattr(client, "state", None) != "checked":
        return Measured()
    return measured(str(client.base_url), name, agreement.served if agreement else None)
