"""``/v1/messages`` in front of an upstream that speaks OpenAI's API.

The request is put as a chat completion once, when it comes in; every answer is put as a message
when it comes back, whether anybody checks it or not.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from gptme_reliability.adapters.bridge_adapter import Bridged
from gptme_reliability.adapters.bridge_answer import Translator, to_error, to_message
from gptme_reliability.adapters.bridge_request import to_openai
from gptme_reliability.adapters.density import too_dense
from gptme_reliability.adapters.encoding import encode
from gptme_reliability.adapters.sse import BLANK, TELLING, is_no_event
from gptme_reliability.errors import InputError
from gptme_reliability.surfaces.proxy.chat import Asked
from gptme_reliability.surfaces.proxy.driving import HEAVY, WORKER
from gptme_reliability.surfaces.proxy.headers import Headers, for_client, value_of
from gptme_reliability.surfaces.proxy.inlet import check_density
from gptme_reliability.surfaces.proxy.refusing import Refused
from gptme_reliability.surfaces.proxy.upstream import Answer, Sender, UpstreamFailed
from gptme_reliability.surfaces.task import MOST_BYTES

LOG: Final = logging.getLogger(__name__)

_MESSAGES: Final = "/messages"
_COMPLETIONS: Final = "/chat/completions"
_KEY: Final = b"x-api-key"
_AUTHORIZATION: Final = b"authorization"
_OF_ANTHROPIC: Final = (_KEY, b"anthropic-", b"x-stainless-")
_OF_THE_BODY: Final = frozenset({b"content-length", b"content-encoding", b"content-type"})
_EVENTS: Final = b"text/event-stream"
_MOST_BLANK: Final = 64 * 1024
_EFFORT: Final = "reasoning_effort"
_REFUSES: Final = frozenset({400, 422})
# How servers say that a model does not think, or not that much: Ollama and vLLM, among others.
_OF_THINKING: Final = re.compile(rb"reasoning|think", re.IGNORECASE)
_STRANGE: Final = b'{"error": {"message": "the upstream sent what is no chat completion"}}'

_Result = TypeVar("_Result")


def is_messages(path: str) -> bool:
    """Whether this path, behind ``/v1``, is one of Anthropic's API."""
    path = path.partition("?")[0]
    return path == _MESSAGES or path.startswith(_MESSAGES + "/")


async def bridged(asked: Asked, upstream: Sender) -> tuple[Asked, Sender]:
    """The request as a chat completion, and who sends it.

    Raises:
        Refused: there is no such thing behind the bridge.
    """
    if asked.method != "POST" or asked.path.partition("?")[0].rstrip("/") != _MESSAGES:
        message = "there is nothing here: the upstream speaks OpenAI's API"
        raise Refused(404, "not_found", message)
    try:
        body, written, mark = await off_the_loop(_translated, asked.body or b"")
    except InputError as error:
        raise Refused(400, "not_translatable", str(error)) from None
    told = replace(
        asked,
        path=_COMPLETIONS,
        headers=_headers(asked.headers),
        body=written,
        adapter=Bridged(),
    )
    names = [tool["function"]["name"] for tool in body.get("tools", ())]
    return told, Bridge(upstream, names, mark, streamed=body.get("stream") is True)


def _translated(raw: bytes) -> tuple[dict[str, Any], bytes, str]:
    check_density(raw)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise InputError("the request's body is no JSON") from None
    if not isinstance(body, dict):
        raise InputError("the request's body must be an object")
    completion = to_openai(body)
    return completion, encode(completion), hashlib.blake2b(raw, digest_size=6).hexdigest()


def _headers(headers: Headers) -> Headers:
    """Those that any server understands, the key where OpenAI's API has it."""
    key = value_of(headers, _KEY)
    kept = [pair for pair in headers if not pair[0].startswith(_OF_ANTHROPIC)]
    if key is not None and value_of(headers, _AUTHORIZATION) is None:
        kept.append((_AUTHORIZATION, b"Bearer " + key))
    return kept


async def off_the_loop(work: Callable[[bytes], _Result], raw: bytes) -> _Result:
    """Do it in a thread where it is much, so that other requests go on."""
    if len(raw) <= HEAVY:
        return work(raw)
    return await asyncio.get_running_loop().run_in_executor(WORKER, work, raw)


class Bridge:
    """Sends chat completions and brings back messages, whose ids have ``mark`` in them."""

    def __init__(
        self, upstream: Sender, tool_names: list[str], mark: str, *, streamed: bool
    ) -> None:
        self._upstream = upstream
        self._tool_names = tool_names
        self._mark = mark
        self._streamed = streamed
        self._thoughtless = False

    async def send(
        self, method: str, path: str, headers: Headers, body: bytes | None, *, decode: bool = False
    ) -> Answer:
        """Send a request; see ``Upstream``."""
        answer = await self._sent(method, path, headers, body)
        try:
            if answer.status_code < 300 and self._streamed and not await _is_page(answer):
                return _Streamed(answer, Translator(self._tool_names, self._mark), self._mark)
            await answer.read(MOST_BYTES)
            return await self._whole(answer, body or b"")
        except BaseException:
            answer.close()
            raise

    async def _sent(self, method: str, path: str, headers: Headers, body: bytes | None) -> Answer:
        """The upstream's answer.

        How much to think is a wish that clients send to whatever model they talk to; one that
        cannot is asked without it.
        """
        given = body or b""
        less = await off_the_loop(_without_effort, given) if self._thoughtless else None
        answer = await self._upstream.send(method, path, headers, less or body, decode=True)
        if less is not None or answer.status_code not in _REFUSES:
            return answer
        try:
            await answer.read(MOST_BYTES)
            less = await off_the_loop(_without_effort, given)
        except BaseException:
            answer.close()
            raise
        if less is None or not _OF_THINKING.search(answer.content):
            return answer
        answer.close()
        self._thoughtless = True
        LOG.info("the upstream refuses the request for its %s, and is asked without", _EFFORT)
        return await self._upstream.send(method, path, headers, less, decode=True)

    async def _whole(self, answer: Answer, asked: bytes) -> Answer:
        raw, status = answer.content, answer.status_code
        if status < 300 and len(raw) <= MOST_BYTES:
            message = await off_the_loop(partial(_message, mark=self._mark), raw)
            if message is not None:
                return _Whole(answer, status, message)
        status, error = to_error(502, _STRANGE) if status < 400 else to_error(status, raw, asked)
        return _Whole(answer, status, encode(error))


async def _is_page(answer: Answer) -> bool:
    """Whether an answer is no stream.

    What says that it is one is not waited for: the client may be told at once.

    Raises:
        UpstreamFailed: it broke off or fell silent.
    """
    if (value_of(for_client(answer.headers), b"content-type") or b"").startswith(_EVENTS):
        return False
    size = 0
    while len(answer.content.lstrip(BLANK)) < TELLING and size <= _MOST_BLANK:
        before, size = size, await answer.read(size)
        if size == before:
            break
    return is_no_event(answer.content)


def _without_effort(raw: bytes) -> bytes | None:
    """The body of a request without its effort; None where it has none."""
    body = json.loads(raw)
    return encode(body) if body.pop(_EFFORT, None) is not None else None


def _message(raw: bytes, mark: str) -> bytes | None:
    if too_dense(raw):
        return None
    try:
        message = to_message(json.loads(raw.removeprefix(b"\xef\xbb\xbf")), mark)
    except (ValueError, RecursionError):
        return None
    return None if message is None else encode(message)


class _Whole(Answer):
    """An answer that was read and put in other words."""

    def __init__(self, answer: Answer, status: int, body: bytes) -> None:
        self._answer = answer
        self._status = status
        self._body: bytes | None = body
        self._parts = []

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self._status

    @property
    def headers(self) -> Headers:
        """The upstream's, but for those of its body."""
        kept = [pair for pair in self._answer.headers if pair[0].lower() not in _OF_THE_BODY]
        return [*kept, (b"content-type", b"application/json")]

    async def next(self) -> bytes | None:
        """All of the body, once."""
        body, self._body = self._body, None
        return body

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()


class _Streamed(Answer):
    """An answer that is put in other words as it comes."""

    def __init__(self, answer: Answer, translator: Translator, mark: str) -> None:
        self._answer = answer
        self._mark = mark
        self._translator: Translator | None = translator
        self._whole: bool | None = None  # unknown until the first byte
        self._read = answer.content
        self._size = 0
        self._parts = []

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        return self._answer.status_code

    @property
    def headers(self) -> Headers:
        """The upstream's, but for those of its body."""
        without = _OF_THE_BODY - {b"content-type"}
        return [pair for pair in self._answer.headers if pair[0].lower() not in without]

    async def next(self) -> bytes | None:
        """The next bytes; None behind the last.

        Raises:
            UpstreamFailed: it broke off, fell silent or is without end.
        """
        while self._translator is not None:
            chunk, self._read = self._read or await self._answer.next(), b""
            self._size += len(chunk or b"")
            if self._size > MOST_BYTES:  # it is put together until its end
                raise UpstreamFailed("garbled")
            if self._whole is None and chunk and chunk.strip():
                # Servers send streams under any content type; JSON begins with a brace.
                self._whole = chunk.lstrip(BLANK).startswith(b"{")
            if self._whole:
                return await self._all(chunk)
            if chunk is None:
                rest, self._translator = self._translator.close(), None
                return rest or None
            if written := self._translator.feed(chunk):
                return written
        return None

    async def _all(self, first: bytes | None) -> bytes:
        """An answer in one piece, where a stream was asked for."""
        self._translator = None
        raw = bytearray(first or b"")
        while len(raw) <= MOST_BYTES and (chunk := await self._answer.next()) is not None:
            raw += chunk
        message = await off_the_loop(partial(_message, mark=self._mark), bytes(raw))
        return message or encode(to_error(502, _STRANGE)[1])

    def close(self) -> None:
        """Let go of the connection."""
        self._answer.close()
