"""The sampling contract on the wire: agreed once for a model, applied to each of its requests."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from gptme_reliability.backends import canonical
from gptme_reliability.cards import Card, load_cards
from gptme_reliability.contract import Broken, Contract, Wire, contract, on_wire
from gptme_reliability.contract_values import Unknown
from gptme_reliability.contract_words import in_python
from gptme_reliability.data import card_dirs
from gptme_reliability.errors import CardError, ContractError
from gptme_reliability.identity import identify
from gptme_reliability.surfaces.endpoint import ask_server
from gptme_reliability.surfaces.served import Fetch, Served, look, meant

_LONGEST: Final = 65_536
_OF_A_LOCAL_NETWORK: Final = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
_UNSUPPORTED: Final = re.compile(
    r"unsupported|not support|unrecognized|unrecognised|unknown|unexpected|extra (?:inputs|fields)"
    r"|not permitted|not allowed|invalid (?:parameter|argument|field)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the host says about the sampling of a request.

    ``model`` is the full name, provider and all.  ``given`` is what the user set for it, as a
    request's body has it; ``overrides`` is the config of the model.  ``may_fail`` says whether
    the request may be refused where there is no contract.
    """

    model: str
    given: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    unknown: Unknown = "refuse"
    may_fail: bool = True


@dataclass(frozen=True, slots=True)
class Agreement:
    """A contract and how it goes out; what came before it is ``served``."""

    model: str
    contract: Contract
    wire: Wire
    served: Served


class Unreachable(Exception):
    """Nobody listens where a server should be; the request itself will say so."""


class Sampling:
    """What one client knows of the servers it talks to.

    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._served: dict[tuple[str, str], Served] = {}
        self._refused: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()

    def agree(
        self, terms: Terms, body: Mapping[str, Any], server: str, fetch: Fetch | None
    ) -> Agreement | Broken:
        """What a request with this body is to be sampled with.

        ``server`` names the server; ``fetch`` asks it, None where it is not to be asked.

        Raises:
            Unreachable: ``fetch`` did.
        """
        name = str(body.get("model") or terms.model)
        return self.settle(terms, body, self._look(server, name, fetch))

    def settle(self, terms: Terms, body: Mapping[str, Any], served: Served) -> Agreement | Broken:
        """The same, of a server that was asked already."""
        try:
            family = identify(served.name or "").family or identify(terms.model).family
            cards = _cards(family or "")
            identity = meant(terms.model, served, cards)
            if identity.family is None:
                cards = _cards(None)  # all of them, to name the nearest
            agreed = contract(
                identity,
                cards,
                given=terms.given,
                overrides=terms.overrides,
                declared=served.declared,
                tools=bool(body.get("tools")),
                unknown=terms.unknown,
            )
        except CardError as error:
            return Broken("config", str(error))
        if isinstance(agreed, Broken):
            # Whoever mends this writes a card, and tries again without a new start.
            _cards.cache_clear()
            return agreed
        wire = on_wire(agreed, served.backend, self.refused(terms.model))
        if isinstance(wire, Broken):
            return wire
        return Agreement(terms.model, agreed, wire, served)

    def refused(self, model: str) -> frozenset[str]:
        """The parameters that the server of this model was found to reject."""
        return self._refused.get(model, frozenset())

    def refuse(self, model: str, names: Collection[str]) -> None:
        """The server rejected these."""
        with self._lock:
            self._refused[model] = self.refused(model) | frozenset(names)

    def _look(self, server: str, name: str, fetch: Fetch | None) -> Served:
        if fetch is None:
            return Served()
        with self._lock:
            key = (server, name)
            if key not in self._served:
                try:
                    self._served[key] = look(fetch, name)
                except Unreachable:
                    raise
                except Exception:  # whatever a server does when it is asked, it is no contract
                    return Served()  # and not kept: it may do better the next time
            return self._served[key]


def sampling_for(
    model: str,
    *,
    endpoint: str | None = None,
    given: Mapping[str, Any] | None = None,
    mode: str | None = None,
    tools: bool = True,
    unknown: Unknown = "refuse",
) -> dict[str, Any]:
    """The sampling parameters for requests to a model, as its card and its server have them.

    ``endpoint`` is the server's URL, asked for what it is and declares; without one the names
    of OpenAI's API are used, and those of vLLM beside them.  ``given`` is what you set yourself
    and counts first.  ``mode`` is ``"thinking"``, ``"instruct"`` or ``"base"`` where a model has
    several.  ``tools`` says whether tools will be on offer.

    Raises:
        ContractError: nobody describes the model, or what is given may not be; one paragraph.
        CardError: a file of cards is none.
        InputError: the server cannot be reached.
    """
    served = Served() if endpoint is None else ask_server(endpoint, model)
    cards = _cards(None)
    identity = meant(model, served, cards)
    agreed = contract(
        identity,
        cards,
        given=given,
        declared=served.declared,
        mode=mode,
        tools=tools,
        unknown=unknown,
    )
    wire = agreed if isinstance(agreed, Broken) else on_wire(agreed, served.backend)
    if isinstance(wire, Broken):
        raise ContractError(in_python(wire.message, identity))
    return dict(wire.params)


def applied(body: Mapping[str, Any], wire: Wire) -> dict[str, Any]:
    """The body as the contract wants it."""
    kept = {key: value for key, value in body.items() if key not in wire.remove}
    return {**kept, **wire.params}


def rejected(status: int, raw: bytes, sent: Collection[str]) -> frozenset[str]:
    """Which of the parameters that were sent a server says it does not take, as cards call them."""
    if status not in (400, 422):
        return frozenset()
    said = raw[:_LONGEST].decode(errors="replace")
    if not _UNSUPPORTED.search(said):
        return frozenset()
    return frozenset(canonical(key) for key in sent if re.search(rf"\b{re.escape(key)}\b", said))


@lru_cache(maxsize=64)
def _cards(family: str | None) -> tuple[Card, ...]:
    return load_cards(card_dirs(), family)


def is_near(host: str) -> bool:
    """Whether a host is this machine or in a private network."""
    if host.endswith(_OF_A_LOCAL_NETWORK):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host  # a name of the local network
    return address.is_loopback or address.is_private or address.is_link_local


def describe(agreement: Agreement) -> Sequence[str]:
    """The contract in lines for people: each value with who chose it, and what is not applied."""
    agreed = agreement.contract
    lines = [f"card {agreed.card_id or 'none'}" + (f", {agreed.url}" if agreed.url else "")]
    for name, chosen in agreed.values.items():
        grade = f", {chosen.grade}" if chosen.grade else ""
        lines.append(f"{name} = {chosen.value:g}  ({chosen.source}{grade})")
    for key, value in agreed.chat_template_kwargs.items():
        lines.append(f"chat_template_kwargs.{key} = {value}")
    for loss in agreement.wire.not_applied:
        how = f"; {loss.how}" if loss.how else ""
        lines.append(f"{loss.parameter} = {loss.value} is not applied: {loss.why}{how}")
    return lines
