"""The client of the proxy as the host of the checks: nothing is known of it but its request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.surfaces.facts import known
from gptme_reliability.surfaces.host import Report, Settings
from gptme_reliability.surfaces.proxy.contracts import Contracts, said
from gptme_reliability.surfaces.proxy.options import LONGEST_MODEL, ModelSettings
from gptme_reliability.surfaces.quiet import QuietHost
from gptme_reliability.surfaces.sampling import Agreement, Terms
from gptme_reliability.types import ModelFacts

# Whatever a server made up that can stand in a header, a log and JSON alike.
_CALL_ID: Final = re.compile(r"[!-~]{1,256}")


class ProxyHost(QuietHost):
    """The ``Host`` of one request; ``report`` is what was done about it."""

    def __init__(
        self,
        settings: ModelSettings,
        done: Callable[[Report], None],
        contracts: Contracts,
    ) -> None:
        self._settings = settings
        self._done = done
        self._contracts = contracts
        self.model = ""
        self.report: Report | None = None
        self.agreement: Agreement | None = None

    def card(self) -> list[tuple[bytes, bytes]]:
        """The header that names the card the request goes out under; none without a contract."""
        if self.agreement is None:
            return []
        card = self.agreement.contract.card_id or "none"
        said = "".join(c if " " <= c <= "~" else "?" for c in card)
        return [(b"x-reliability-card", said.encode())]

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """Contracts hold for servers nearby; elsewhere the provider knows its models."""
        self.model = model = _model(body)
        if not self._contracts.cover(body):
            return None
        config = self._settings.of(model)
        if not (config.values["enabled"] and config.values["contracts"]):
            return None
        if config.values["mode"] == "observe":
            return None
        return Terms(
            model,
            given=said(body, values=self._contracts.client_counts),
            overrides=config.overrides(),
            unknown=config.values["unknown"],
            # Titles and summaries offer no tools, and are nothing to fail over.
            may_fail=bool(body.get("tools")),
        )

    def agreed(self, agreement: Agreement) -> None:
        """Keep it, for the headers and the trace."""
        self.agreement = agreement

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        """What is set for the model; None where it is not to be checked."""
        self.model = model = _model(body)
        settings = self._settings.settings(model)
        if settings is None:
            return None
        policy = settings.policy
        if policy.respond is None and not self._contracts.near:
            policy = replace(policy, respond=False)
        return replace(
            settings,
            policy=policy,
            facts=self._facts(settings),
            own_server=self._contracts.near,
        )

    def _facts(self, settings: Settings) -> ModelFacts:
        return known(
            settings.model,
            settings.facts,
            self.agreement,
            self._settings.measured(settings.model),
        )

    def usable_id(self, call_id: str) -> bool:
        """Whether an id can go through every client."""
        return _CALL_ID.fullmatch(call_id) is not None

    def done(self, report: Report) -> None:
        """Keep what was done, for the headers, the log and the counts."""
        self.report = report
        self._done(report)


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    return model[:LONGEST_MODEL] if isinstance(model, str) else ""
