"""A host for the client under test: says what it is told to, keeps what it is told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import openai
from scripted_server import TOOLS, Reply, Script, serving

from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Piece, Report, Saying, Settings, Settled
from gptme_reliability.surfaces.sampling import Agreement, Terms
from gptme_reliability.types import Call, HostFormat, Repair, Retry

MESSAGES: list[Any] = [{"role": "user", "content": "look around"}]


@dataclass
class RecordingHost:
    """``broken`` names the methods that raise."""

    answer: Settings | None = field(default_factory=lambda: Settings("local/tiny"))
    sampling: Terms | None = None
    broken: frozenset[str] = frozenset()
    agreements: list[Agreement] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    shown: list[Piece] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    answered: int = 0

    def terms(self, provider: str, body: Mapping[str, Any]) -> Terms | None:
        self._maybe_break("terms")
        return self.sampling

    def agreed(self, agreement: Agreement) -> None:
        self.agreements.append(agreement)

    def settings(self, provider: str, body: Mapping[str, Any]) -> Settings | None:
        self._maybe_break("settings")
        assert provider == "local"
        return self.answer

    def defuse(self, said: Saying, calls: Sequence[Call]) -> Settled:
        self.shown = list(said.shown)
        self._maybe_break("defuse")
        inert = re.sub(r"(?m)^@(?=\w+\()", r"\\@", said.text)
        if inert == said.text:
            return said.reasoning, said.text, ()
        change = Repair("host_call", "$.text", said.text, inert, "presentation")
        return said.reasoning, inert, (change,)

    def settle_text(self, said: Saying, written: Sequence[str], form: HostFormat) -> Settled:
        self.shown, self.written = list(said.shown), list(written)
        self._maybe_break("settle_text")
        assert all(one in said.text for one in written)
        return said.reasoning, said.text, ()

    def runnable_tag(self, tag: str) -> bool:
        self._maybe_break("runnable_tag")
        return tag.split(" ")[0] == "shell"

    def usable_id(self, call_id: str) -> bool:
        return bool(re.fullmatch(r"[\w\-:.]+", call_id))

    def asking_again(self, attempt: int, retries: int, verdict: Retry) -> None:
        self._maybe_break("asking_again")
        assert verdict.feedback
        self.asked.append((attempt, retries))

    def answering(self) -> None:
        self.answered += 1

    def done(self, report: Report) -> None:
        self.reports.append(report)
        self._maybe_break("done")

    @cached_property
    def report(self) -> Report:
        """The only report there is."""
        (only,) = self.reports
        return only

    def _maybe_break(self, method: str) -> None:
        if method in self.broken:
            raise LookupError("a secret that must not be told")


def sdk(script: Script, host: RecordingHost | None) -> openai.OpenAI:
    """The real SDK on a scripted server; without a host, as it is without this project."""
    base = openai.DefaultHttpxClient
    http_client = base() if host is None else client_class(base)(host, "local")
    return openai.OpenAI(
        http_client=http_client, base_url=script.url, api_key="sk-secret", max_retries=0
    )


def ask(script: Script, host: RecordingHost | None, **body: Any) -> Any:
    """One request as gptme sends it; the raw response, read."""
    given = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, **body}
    with sdk(script, host) as client:
        return client.chat.completions.with_raw_response.create(**given)


@dataclass
class Seen:
    """What gptme makes of a stream."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[Any, Any, str]] = field(default_factory=list)
    finish: str | None = None
    usage: Any = None
    order: str = ""


def watch(script: Script, host: RecordingHost | None, **body: Any) -> Seen:
    """One streamed request, read the way gptme reads it."""
    given = {"model": "tiny", "messages": MESSAGES, "tools": TOOLS, "stream": True, **body}
    seen = Seen()
    with sdk(script, host) as client:
        for chunk in client.chat.completions.create(**given):
            seen.usage = chunk.usage or seen.usage
            if not chunk.choices:
                continue
            choice = chunk.choices[0]
            seen.finish = choice.finish_reason or seen.finish
            seen.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            seen.text += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                assert call.function is not None
                if call.function.name:
                    seen.calls.append((call.id, call.function.name, ""))
                call_id, name, arguments = seen.calls[-1]
                seen.calls[-1] = (call_id, name, arguments + (call.function.arguments or ""))
    return seen


def received(reply: Reply, host: RecordingHost | None) -> bytes:
    """The bytes that the SDK would get."""
    base = openai.DefaultHttpxClient
    client = base() if host is None else client_class(base)(host, "local")
    with serving(reply) as script, client:
        body = {"messages": MESSAGES, "tools": TOOLS, "stream": True}
        with client.stream("POST", f"{script.url}/chat/completions", json=body) as response:
            assert response.headers["content-type"] == "text/event-stream"
            return b"".join(response.iter_bytes())
