"""The sampling contract of each model, put on what goes to the upstream.

What the upstream is and declares is asked once for a model and remembered; a request under a
contract that is known costs a look into a table.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from gptme_reliability.adapters.openai_adapter import OPENAI
from gptme_reliability.backends import TEMPLATE_ARGUMENTS, canonical, spellings
from gptme_reliability.cards.reading import BOUNDS
from gptme_reliability.contract import Broken, on_wire
from gptme_reliability.surfaces.host import Host
from gptme_reliability.surfaces.proxy.driving import HEAVY, WORKER
from gptme_reliability.surfaces.proxy.headers import CREDENTIALS, Headers
from gptme_reliability.surfaces.proxy.options import Options
from gptme_reliability.surfaces.proxy.refusing import Refused
from gptme_reliability.surfaces.proxy.upstream import Answer, Sender, Upstream, UpstreamFailed
from gptme_reliability.surfaces.sampling import (
    Agreement,
    Sampling,
    Terms,
    applied,
    is_near,
    rejected,
)
from gptme_reliability.surfaces.served import Answer as Page
from gptme_reliability.surfaces.served import Served, looking
from gptme_reliability.surfaces.task import encode, where

_LOG = logging.getLogger(__name__)

_ASKING_S: Final = 2.0
_LOOKING_S: Final = 4.0
# Somebody may put another model behind the same URL.
_FRESH_S: Final = 300.0
_FAILED_S: Final = 30.0
# Whoever mends it tries again soon; whoever does not must not keep the proxy busy.
_BROKEN_S: Final = 5.0
_MOST: Final = 256
_LONGEST: Final = 2_000
_LONGEST_NAME: Final = 120
_LARGEST_PAGE: Final = 1024 * 1024
# It is starting, or does not know this caller: it says nothing of itself.
_TELLS_NOTHING: Final = frozenset({401, 403, 503})
_NOT_TAKEN: Final = frozenset({400, 422})
_SAMPLING: Final = frozenset(key for name in BOUNDS for key in spellings(name))
# The settings stand elsewhere for the plugin, whose words these are.
_PLUGINS_TABLE: Final = "[plugin.reliability."
_OWN_TABLE: Final = "[reliability."
_OF_CLIENTS: Final = frozenset({"range", "greedy", "config"})
_HARD_WIRED: Final = (
    " Where a client cannot be kept from sending such values, start the proxy with"
    " --client-sampling ignored."
)


def said(body: Mapping[str, Any], *, values: bool = True) -> dict[str, Any]:
    """What a client says on sampling: whatever it sends counts as the user's word.

    Without ``values`` only the template's arguments do, which choose a mode.
    """
    return {
        key: value
        for key, value in body.items()
        if (key in _SAMPLING and values) or key == TEMPLATE_ARGUMENTS
    }


class _Silent(Exception):
    """The server does not tell."""


class Contracts:
    """All contracts with one upstream."""

    def __init__(self, options: Options, upstream: Upstream) -> None:
        self.upstream = upstream
        self.sampling = Sampling()
        self.near = is_near(urlsplit(options.upstream).hostname or "")
        self.client_counts = options.client_sampling == "counts"
        self._scope = options.contracts
        self._served: OrderedDict[str, tuple[Served | None, float]] = OrderedDict()
        self._agreed: OrderedDict[str, tuple[Agreement | Broken, float]] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()
        self._looking: dict[str, asyncio.Task[Served | None]] = {}

    def cover(self, body: Mapping[str, Any]) -> bool:
        """Whether a chat completion with this body is to go out under a contract.

        Servers elsewhere know their models.  What is not checked goes through in its own bytes,
        unless all are to be covered.
        """
        if not self.near or self._scope == "off":
            return False
        return self._scope == "all" or (bool(body.get("tools")) and OPENAI.wanted(body))

    async def bind(
        self, host: Host, body: Mapping[str, Any], headers: Headers, sender: Sender
    ) -> Bound | None:
        """The contract for a request with this body; None leaves it as it came.

        Raises:
            Refused: there is none, and without one nothing is to be generated.
        """
        terms = host.terms("", body)
        if terms is None:
            return None
        try:
            served = await self._known(terms.model, headers)
            agreed = await self._settled(terms, body, served or Served())
        except UpstreamFailed:  # the request itself will say so
            return None
        except Exception as error:  # law 11: never worse than absent
            _LOG.warning("no sampling contract: %s", where(error))
            return None
        if isinstance(agreed, Broken):
            # A server that could not be asked may well have said enough.
            if served is None or not terms.may_fail:
                return None
            raise refused(agreed, terms.model)
        self.tell(agreed)
        host.agreed(agreed)
        return Bound(self, host, agreed, sender)

    def tell(self, agreed: Agreement) -> None:
        """Log once what to know of a contract, and what of it the server will not apply."""
        said = [notice.text for notice in agreed.contract.notices]
        for loss in agreed.wire.not_applied:
            how = f"; {loss.how}" if loss.how else ""
            said.append(f"{loss.parameter} = {loss.value} is not applied: {loss.why}{how}")
        for text in said:
            if text not in self._told:
                _LOG.info("%s", text)
                _keep(self._told, text, None)

    def forget(self) -> None:
        """What was agreed holds no more."""
        self._agreed.clear()

    def close(self) -> None:
        """Nobody waits for what the upstream declares any more."""
        for task in self._looking.values():
            task.cancel()

    async def ask(self, path: str, body: Mapping[str, Any] | None, headers: Headers) -> Page | None:
        """What a near upstream says at a path from its root; by POST if there is a body.

        None where it is not near, or says nothing in time.
        """
        if not self.near:
            return None
        try:
            return await asyncio.wait_for(self._page(path, body, headers), _ASKING_S)
        # Whatever a server does when it is asked, nobody waits for this answer.
        except Exception:
            return None

    async def _settled(self, terms: Terms, body: Mapping[str, Any], served: Served) -> Any:
        key = repr((terms.model, bool(body.get("tools")), terms.given, served.name, served.backend))
        found = self._agreed.get(key)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        # The first one reads cards from the disk.
        loop = asyncio.get_running_loop()
        agreed = await loop.run_in_executor(WORKER, self.sampling.settle, terms, body, served)
        if len(key) <= _LONGEST:
            lasts = _BROKEN_S if isinstance(agreed, Broken) else _FRESH_S
            _keep(self._agreed, key, (agreed, time.monotonic() + lasts))
        return agreed

    async def _known(self, model: str, headers: Headers) -> Served | None:
        """What the upstream is; None where it could not be asked.

        Raises:
            UpstreamFailed: nobody is there.
        """
        if self.upstream.reachable is False:  # whoever comes up again may be another
            self._served.clear()
            self.forget()
        found = self._served.get(model)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        task = self._looking.get(model)
        if task is None:
            task = self._looking[model] = asyncio.ensure_future(self._look(model, headers))
            task.add_done_callback(lambda done: self._looked(model, done))
        # What is old still serves while it is asked for again.
        return found[0] if found is not None else await asyncio.shield(task)

    def _looked(self, model: str, task: asyncio.Task[Served | None]) -> None:
        self._looking.pop(model, None)
        if task.cancelled() or task.exception() is not None:
            return
        served = task.result()
        lasts = _FAILED_S if served is None else _FRESH_S
        old, _ = self._served.get(model, (None, 0.0))
        if served is None:  # what it said before is the best that is known
            served = old
        elif old is not None and old != served:
            self.forget()
        _keep(self._served, model, (served, time.monotonic() + lasts))

    async def _look(self, model: str, headers: Headers) -> Served | None:
        try:
            return await asyncio.wait_for(self._asked(model, headers), _LOOKING_S)
        except UpstreamFailed as failed:
            if failed.why == "unreachable":
                raise
            return None
        # Whatever a server does when it is asked, it is no contract.
        except Exception:
            return None

    async def _asked(self, model: str, headers: Headers) -> Served:
        steps = looking(model)
        page = next(steps)
        while True:
            answer = await asyncio.wait_for(self._page(*page, headers), _ASKING_S)
            try:
                page = steps.send(answer)
            except StopIteration as stop:
                served: Served = stop.value
                return served

    async def _page(self, path: str, body: Mapping[str, Any] | None, headers: Headers) -> Page:
        content = None if body is None else encode(body)
        credentials = [pair for pair in headers if pair[0] in CREDENTIALS]
        answer = await self.upstream.fetch(path, credentials, content)
        try:
            told = {
                name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers
            }
            if answer.status_code in _TELLS_NOTHING:
                raise _Silent
            if answer.status_code != 200:
                return Page(told)
            await answer.read(_LARGEST_PAGE)
            return Page(told, _content(answer.content))
        finally:
            answer.close()


class Bound:
    """Sends requests as one contract wants them."""

    def __init__(
        self, contracts: Contracts, host: Host, agreement: Agreement, sender: Sender
    ) -> None:
        self._sender = sender
        self._contracts = contracts
        self._host = host
        self._agreement = agreement

    def body(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a request as the contract wants it."""
        return applied(body, self._agreement.wire)

    async def send(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes | None,
        *,
        decode: bool = False,
    ) -> Answer:
        """Send a request; what the server rejects is left out, now and from then on.

        Raises:
            UpstreamFailed: there is no answer.
            Refused: the server rejects what the contract cannot do without.
        """
        mine = await self._without_refused(body)
        answer = await self._sender.send(method, path, headers, mine, decode=decode)
        if answer.status_code not in _NOT_TAKEN:
            return answer
        await answer.read(_LARGEST_PAGE)
        agreed, sampling = self._agreement, self._contracts.sampling
        names = rejected(answer.status_code, answer.content, agreed.wire.params)
        names -= sampling.refused(agreed.model)
        if not names:
            return answer
        answer.close()
        sampling.refuse(agreed.model, names)
        wire = on_wire(agreed.contract, agreed.served.backend, sampling.refused(agreed.model))
        if isinstance(wire, Broken):
            raise refused(wire, agreed.model)
        self._contracts.forget()
        self._agreement = replace(agreed, wire=wire)
        self._contracts.tell(self._agreement)
        self._host.agreed(self._agreement)
        mine = await self._without_refused(body)
        return await self._sender.send(method, path, headers, mine, decode=decode)

    async def _without_refused(self, body: bytes | None) -> bytes | None:
        names = self._contracts.sampling.refused(self._agreement.model)
        if not names or body is None:
            return body
        if len(body) > HEAVY:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(WORKER, _without, body, names)
        return _without(body, names)


def refused(broken: Broken, model: str) -> Refused:
    """Why there is no contract, as an error that nobody tries again."""
    message = broken.message.replace(_PLUGINS_TABLE, _OWN_TABLE)
    name = json.dumps(model[:_LONGEST_NAME], ensure_ascii=False)
    left = f"Or set contracts = false under {_OWN_TABLE}models.{name}] in the proxy's --config."
    hard_wired = _HARD_WIRED if broken.kind in _OF_CLIENTS else ""
    return Refused(422, f"sampling_contract_{broken.kind}", f"{message} {left}{hard_wired}")


def _without(body: bytes, names: frozenset[str]) -> bytes:
    given = json.loads(body)
    kept = {key: value for key, value in given.items() if canonical(key) not in names}
    return body if len(kept) == len(given) else encode(kept)


def _content(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode(errors="replace")


def _keep(table: OrderedDict[str, Any], key: str, value: Any) -> None:
    table[key] = value
    table.move_to_end(key)
    while len(table) > _MOST:
        table.popitem(last=False)
