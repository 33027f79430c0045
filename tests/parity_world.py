"""One answer of a model through the library, the plugin's client and the proxy; no sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest
from recording_host import RecordingHost
from scenario_tables import CASES

from gptme_reliability.adapters.openai_response import read_response
from gptme_reliability.evals.faulty_server import chunks, whole
from gptme_reliability.exchange import exchange
from gptme_reliability.refusals import final_text
from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Report, Saying, Settings
from gptme_reliability.surfaces.memory import Memory
from gptme_reliability.surfaces.proxy import app as proxy
from gptme_reliability.surfaces.proxy.options import ModelSettings, Options
from gptme_reliability.surfaces.proxy.upstream import Answer
from gptme_reliability.types import ModelRequest, Policy, ToolDefinition, Verdict

MESSAGES: list[Any] = [{"role": "user", "content": "go on"}]
GPTME_TOOLS: list[Any] = json.loads((CASES / "gptme_tools.json").read_text(encoding="utf-8"))
POLICY = Policy(retries=0)
SETS = ("retries=0", "respond=false")


@dataclass(frozen=True)
class Case:
    """What a model answers to what; ``answer`` is written as in ``evals/scenarios.py``."""

    id: str
    answer: Mapping[str, Any]
    tools: list[Any]
    messages: list[Any] = field(default_factory=lambda: MESSAGES)

    def request(self, *, streamed: bool) -> dict[str, Any]:
        body = {"model": "tiny", "messages": self.messages, "tools": self.tools}
        return {**body, "stream": streamed}

    def reply(self, *, streamed: bool) -> bytes:
        if not streamed:
            return json.dumps(whole(self.answer)).encode()
        pieces = chunks(self.answer)
        events = [b"data: " + json.dumps(piece).encode() + b"\n\n" for piece in pieces]
        return b"".join([*events, b"data: [DONE]\n\n"])


@dataclass(frozen=True)
class Said:
    """The verdict, and what of it reaches whoever asked."""

    verdict: Verdict | None
    calls: Sequence[tuple[str, Any]] = ()
    words: Sequence[str] = ()


def through_the_library(case: Case) -> Said:
    tools = tuple(ToolDefinition.from_openai(tool) for tool in case.tools)
    request = ModelRequest(messages=tuple(case.messages), tools=tools)
    steps = exchange(request, POLICY)
    next(steps)
    try:
        steps.send(read_response(whole(case.answer)))
    except StopIteration as stop:
        verdict = stop.value.verdict
        calls = [(call.name, dict(call.arguments)) for call in verdict.calls]
        return Said(verdict, calls, final_text(verdict).split())
    raise AssertionError("asked again without a budget")


def read_reply(raw: bytes, *, streamed: bool) -> tuple[list[tuple[str, Any]], list[str]]:
    """The calls and the words of an answer on the wire."""
    if not streamed:
        message = json.loads(raw)["choices"][0]["message"]
        made = [entry["function"] for entry in message.get("tool_calls") or ()]
        text = message["content"] or ""
    else:
        text, made = "", []
        for line in raw.splitlines():
            if line.startswith(b"data: {"):
                delta = (json.loads(line[6:])["choices"] or [{}])[0].get("delta", {})
                text += delta.get("content") or ""
                for entry in delta.get("tool_calls") or ():
                    _add(made, entry)
    return [(f["name"], json.loads(f["arguments"] or "{}")) for f in made], text.split()


def _add(made: list[dict[str, str]], entry: Any) -> None:
    """One piece of a streamed call."""
    function = entry["function"]
    if function.get("name"):
        made.append({"name": function["name"], "arguments": ""})
    made[-1]["arguments"] += function.get("arguments") or ""


class PlainHost(RecordingHost):
    """A host that runs nothing from text."""

    def defuse(self, said: Saying, calls: Any) -> Any:
        return said.reasoning, said.text, ()

    def runnable_tag(self, tag: str) -> bool:
        return False


class Client:
    """The plugin's client, on a server that answers ``reply``."""

    def __init__(self) -> None:
        self._host = PlainHost(Settings("local/tiny", policy=POLICY))
        self._reply = b""
        transport = httpx.MockTransport(self._answer)
        made = client_class(openai.DefaultHttpxClient)(self._host, "local", transport=transport)
        self.client: Any = made

    def _answer(self, request: httpx.Request) -> httpx.Response:
        streamed = json.loads(request.content)["stream"]
        kind = "text/event-stream" if streamed else "application/json"
        return httpx.Response(200, headers={"content-type": kind}, content=self._reply)

    def ask(self, case: Case, *, streamed: bool) -> Said:
        self._reply = case.reply(streamed=streamed)
        self._host.reports.clear()
        self.client._reliability_memory = Memory()
        body = case.request(streamed=streamed)
        with self.client.stream("POST", "http://server/v1/chat/completions", json=body) as response:
            raw = response.read()
        return _said(self._host.reports, raw, streamed)


def _said(reports: list[Report], raw: bytes, streamed: bool) -> Said:
    (report,) = reports
    if report.outcome is None:
        return Said(None)
    return Said(report.outcome.verdict, *read_reply(raw, streamed=streamed))


@dataclass
class _Response:
    """What the proxy's HTTP client would hand over."""

    left: list[bytes]
    status: int = 200
    raw_headers: Any = ((b"content-type", b"text/event-stream"),)

    @property
    def content(self) -> _Response:
        return self

    async def readany(self) -> bytes:
        return self.left.pop() if self.left else b""

    def close(self) -> None:
        self.left.clear()


class _Upstream:
    """An upstream that answers ``reply``."""

    reachable: bool | None = None
    reply = b""

    def __init__(self, _options: Options) -> None: ...

    async def send(self, *_: Any, **__: Any) -> Answer:
        response: Any = _Response([type(self).reply])
        return Answer(response)

    async def close(self) -> None: ...


class Proxy:
    """The proxy as an ASGI application."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.reports: list[Report] = []
        self._asked = 0

    async def ask(self, case: Case, *, streamed: bool) -> Said:
        _Upstream.reply = case.reply(streamed=streamed)
        self.reports.clear()
        body = json.dumps(case.request(streamed=streamed)).encode()
        raw = await self._post(body)
        return _said(self.reports, raw, streamed)

    async def _post(self, body: bytes) -> bytes:
        # Everybody is somebody else: what one is told later is not the next one's.
        self._asked += 1
        headers = [
            (b"host", b"localhost"),
            (b"content-length", b"%d" % len(body)),
            (b"authorization", b"Bearer %d" % self._asked),
        ]
        path = "/v1/chat/completions"
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "state": {},
        }
        incoming = [{"type": "http.request", "body": body}]
        parts: list[bytes] = []

        async def receive() -> Any:
            return incoming.pop() if incoming else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return b"".join(parts)


@contextmanager
def replaced() -> Iterator[None]:
    """The proxy asks ``_Upstream``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proxy, "Upstream", _Upstream)
        yield


def through_the_proxy(cases: Sequence[Case], *, streamed: bool) -> list[Said]:
    """All cases, one behind the other, on one event loop."""

    async def run() -> list[Said]:
        options = Options("http://127.0.0.1:9/v1", sets=SETS, contracts="off")
        settings = ModelSettings(sets=SETS)
        service = proxy.Service(options, settings)
        asking = Proxy(service)
        service._metrics.reported = asking.reports.append  # type: ignore[assignment,method-assign]
        async with service.lifespan(Any):  # type: ignore[arg-type]
            return [await asking.ask(case, streamed=streamed) for case in cases]

    with replaced():
        return asyncio.run(run())
