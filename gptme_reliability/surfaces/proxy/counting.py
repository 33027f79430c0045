"""``/v1/messages/count_tokens``: how many tokens the request would be, as it would really go out.

What is counted is what the server would be sent first: the conversation mended, with the tools
that are on offer.  A server counts with its own template and tokenizer, or nobody does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from gptme_reliability.adapters.encoding import encode
from gptme_reliability.adapters.error_texts import messages_of, read_error
from gptme_reliability.surfaces.effects import Send
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.proxy.bridge import bridged, off_the_loop
from gptme_reliability.surfaces.proxy.chat import Asked, Offer, offer
from gptme_reliability.surfaces.proxy.contracts import Contracts
from gptme_reliability.surfaces.proxy.headers import CREDENTIALS, Headers
from gptme_reliability.surfaces.proxy.host import ProxyHost
from gptme_reliability.surfaces.proxy.options import UpstreamApi
from gptme_reliability.surfaces.proxy.refusing import Refused
from gptme_reliability.surfaces.proxy.upstream import Answer, Upstream, UpstreamFailed
from gptme_reliability.surfaces.sampling import Terms
from gptme_reliability.surfaces.serving import Serving
from gptme_reliability.surfaces.task import MOST_BYTES, Task

_MESSAGES: Final = "/messages"
_COUNT: Final = "/messages/count_tokens"

# llama.cpp in its newer builds: it reads the request as it reads one that it is to answer.
_COUNTS_CHATS: Final = "/chat/completions/input_tokens"
# vLLM takes conversations here (entrypoints/serve/tokenize), llama.cpp texts.
_TOKENIZE: Final = "/tokenize"
_TEMPLATE: Final = "/apply-template"
_HEARD: Final = ("model", "messages", "tools", "chat_template_kwargs")
# vLLM shows these to the template where it answers, and does not where it counts.
_UNHEARD: Final = ("reasoning_effort", "response_format")

_NOT_THERE: Final = frozenset({*range(300, 400), 404, 405, 501})
# A server that knows the path for something else says one of these.
_NOT_UNDERSTOOD: Final = frozenset({400, 422})


def is_count(method: str, path: str) -> bool:
    """Whether a request, by what follows ``/v1``, wants tokens counted."""
    return method == "POST" and path.partition("?")[0].rstrip("/") == _COUNT


class CountingHost(ProxyHost):
    """Nothing is generated, so that nobody needs to know how it would be sampled."""

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        """As for the request itself, which a missing contract would refuse."""
        terms = super().terms(provider, body)
        return None if terms is None else replace(terms, may_fail=False)


async def counting(
    asked: Asked,
    host: CountingHost,
    memory: Memory,
    contracts: Contracts,
    upstream: Upstream,
    api: UpstreamApi,
) -> Offer:
    """The request to count, and who counts it.

    Raises:
        Refused: it says what the upstream's API has no word for.
    """
    said = replace(asked, path=_MESSAGES)
    if api == "openai":
        said, _ = await bridged(said, upstream)
    # Who only counts takes nothing away from the request that is to come.
    memory = replace(memory, pending=memory.pending.copy())
    offered = await offer(said, host, memory, contracts, upstream)
    body = offered.asked.body
    if offered.task is not None:
        body = _first(offered.task) or body
    if api == "anthropic":
        return Offer(replace(asked, body=body), None, upstream)
    return Offer(replace(offered.asked, body=body), None, Counter(upstream))


def _first(task: Task) -> bytes | None:
    """What the server would be sent first; None where that is the client's own request."""
    steps = Serving(task, UpstreamFailed).run()
    first = next(steps)
    steps.close()
    assert isinstance(first, Send), "an exchange begins with a request"
    return first.content


class Counter:
    """Has chat completions counted by a server, in whatever way it can."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._headers: Headers = ()
        self._misunderstood: Refused | None = None

    async def send(
        self, method: str, path: str, headers: Headers, body: bytes | None, *, decode: bool = False
    ) -> Answer:
        """The count of a request, as Anthropic's API says it.

        Raises:
            UpstreamFailed: there is no answer.
            Refused: the server counts no such request.
        """
        self._headers = [pair for pair in headers if pair[0] in CREDENTIALS]
        chat = await off_the_loop(json.loads, body or b"")
        if any(_shows(message) for message in chat["messages"]):
            raise Refused(400, "not_counted", "what is not text cannot be counted here")
        count = await self._whole(headers, body)
        if count is None:
            count = await self._looking_at_tools(chat)
        if count is not None:
            return _Counted(count)
        if self._misunderstood is not None:
            raise self._misunderstood
        raise Refused(404, "not_counted", "the upstream cannot count the tokens of this request")

    async def _whole(self, headers: Headers, body: bytes | None) -> int | None:
        answer = await self._upstream.send("POST", _COUNTS_CHATS, headers, body, decode=True)
        return _number((await self._read(answer)).get("input_tokens"))

    async def _looking_at_tools(self, chat: Mapping[str, Any]) -> int | None:
        """The count, where it tells that the tools were looked at.

        Old servers pass over them in silence when they count, and not when they answer.
        """
        for way in (self._conversation, self._rendered):
            count = await way(chat)
            if count is None:
                continue
            if not chat.get("tools"):
                return count
            bare = await way({key: value for key, value in chat.items() if key != "tools"})
            if bare is not None and bare < count:
                return count
        return None

    async def _conversation(self, chat: Mapping[str, Any]) -> int | None:
        if chat.get("tool_choice") not in (None, "auto") or any(key in chat for key in _UNHEARD):
            return None
        heard = {key: chat[key] for key in _HEARD if key in chat}
        return _number((await self._ask(_TOKENIZE, heard)).get("count"))

    async def _rendered(self, chat: Mapping[str, Any]) -> int | None:
        prompt = (await self._ask(_TEMPLATE, chat)).get("prompt")
        if not isinstance(prompt, str):
            return None
        # As llama.cpp takes the prompt of a chat.
        text = {"content": prompt, "add_special": True, "parse_special": True}
        tokens = (await self._ask(_TOKENIZE, text)).get("tokens")
        return len(tokens) if isinstance(tokens, list) else None

    async def _ask(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._upstream.fetch(path, self._headers, encode(body))
        return await self._read(answer)

    async def _read(self, answer: Answer) -> Mapping[str, Any]:
        """The object that a server answered with; an empty one where it knows nothing of this."""
        try:
            if answer.status_code in _NOT_THERE:
                return {}
            await answer.read(MOST_BYTES)
            raw, status = answer.content, answer.status_code
        finally:
            answer.close()
        said = await off_the_loop(read_error, raw)
        if status >= 400:
            words = next(messages_of(said), "")
            refused = Refused(status, "not_counted", f"the upstream did not count: {words}")
            if status not in _NOT_UNDERSTOOD:
                raise refused
            self._misunderstood = self._misunderstood or refused
        return said if status < 300 and isinstance(said, Mapping) else {}


class _Counted(Answer):
    """A count as Anthropic's API says it."""

    def __init__(self, count: int) -> None:
        self._body: bytes | None = encode({"input_tokens": count})
        self._parts = []

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return 200

    @property
    def headers(self) -> Headers:
        """That it is JSON."""
        return [(b"content-type", b"application/json")]

    async def next(self) -> bytes | None:
        """All of the body, once."""
        body, self._body = self._body, None
        return body

    def close(self) -> None:
        """Nothing is open."""


def _shows(message: Mapping[str, Any]) -> bool:
    """Whether a message holds something else than text: what a picture costs no tokenizer says."""
    content = message.get("content")
    return isinstance(content, list) and any(part.get("type") != "text" for part in content)


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
