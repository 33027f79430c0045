"""A host of its own with the real OpenAI SDK, and a scripted weak model at the other end.

The host does what hosts do: it asks, runs what is called, puts the results into the
conversation, and asks again until the answer calls nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
import openai
from recording_host import RecordingHost
from weak_models import COMMAND, OWN_RESPOND, Behaviour, Model
from weak_requests import NOTE, RESULT

from gptme_reliability.evals.faulty_server import FaultyServer
from gptme_reliability.surfaces.client import client_class
from gptme_reliability.surfaces.host import Settings
from gptme_reliability.types import Policy

MOST_TURNS: Final = 12
"""Of the host; a run that has not ended by then does not end."""
# An answer on a connection that is kept waits for an acknowledgement of its head.
_NOT_KEPT: Final = httpx.Limits(max_keepalive_connections=0)
SDK_RETRIES: Final = 2
"""What the SDK does by itself unless it is told otherwise."""


def tool(name: str, required: Sequence[str], **properties: Mapping[str, Any]) -> dict[str, Any]:
    """A tool as it goes over the wire."""
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


_TEXT: Final = {"type": "string"}
TOOLS: Final = (
    tool("shell", ["command"], command=_TEXT, background={"type": "boolean"}),
    tool("read", ["path"], path=_TEXT, start_line={"type": "integer"}),
    tool("save", ["path", "content"], path=_TEXT, content=_TEXT),
)
_RESPOND: Final = tool("respond", ["to", "body"], to=_TEXT, body=_TEXT)


@dataclass(slots=True)
class Run:
    """What came of a conversation.

    ``starts`` are the numbers of upstream requests at which each request of the host began,
    ``executed`` the calls that ran, ``said`` what the user got in the end, ``error`` what stood
    in its place, ``bodies`` the upstream requests and ``messages`` the conversation of the host.
    ``ended`` is False for a run that was broken off here.
    """

    behaviour: Behaviour
    starts: list[int] = field(default_factory=list)
    executed: list[tuple[str, Any]] = field(default_factory=list)
    said: str = ""
    error: openai.APIError | None = None
    ended: bool = False
    bodies: Sequence[Mapping[str, Any]] = ()
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def costs(self) -> list[int]:
        """The upstream requests of each request of the host."""
        ends = [*self.starts[1:], len(self.bodies)]
        return [end - start for start, end in zip(self.starts, ends, strict=True)]

    @property
    def added(self) -> int:
        """Upstream requests beyond those of the host."""
        return len(self.bodies) - len(self.starts)

    @property
    def spurious(self) -> list[tuple[str, Any]]:
        """The calls that ran and that nobody meant."""
        behaviour = self.behaviour
        return [
            (name, arguments)
            for name, arguments in self.executed
            if name not in behaviour.harmless and (name, arguments) != _pair(behaviour)
        ]

    @property
    def right(self) -> bool:
        """Whether the user got what was meant, once, and nothing else was done."""
        wanted = _pair(self.behaviour)
        once = wanted is None or self.executed.count(wanted) == 1
        said = self.behaviour.says in self.said
        return self.ended and not self.error and not self.spurious and once and said


def _pair(behaviour: Behaviour) -> tuple[str, Any] | None:
    wants = behaviour.wants
    return None if wants is None else (wants.name, dict(wants.arguments))


def host_tools(behaviour: Behaviour) -> list[dict[str, Any]]:
    """What the host offers in this conversation."""
    return [*TOOLS, _RESPOND] if behaviour.wants == OWN_RESPOND else list(TOOLS)


def converse(
    behaviour: Behaviour, policy: Policy, *, streamed: bool, mode: Literal["on", "observe"] = "on"
) -> Run:
    """Let the host talk to the model until there is an end."""
    tools = host_tools(behaviour)
    model = Model(behaviour, [entry["function"]["name"] for entry in tools])
    run = Run(behaviour, messages=[{"role": "user", "content": behaviour.user}])
    with FaultyServer(model.answer) as server:
        host = RecordingHost(answer=Settings(f"local/{behaviour.model}", mode, policy))
        client = openai.OpenAI(
            http_client=_counting(run, server)(host, "local", limits=_NOT_KEPT),
            base_url=server.url,
            api_key="sk-scripted",
            max_retries=SDK_RETRIES,
        )
        with client:
            _talk(run, client, tools, streamed)
        run.bodies = server.requests
    return run


def _counting(run: Run, server: FaultyServer) -> type[Any]:
    """The client under test, which counts the requests of the host."""

    class Counting(client_class(openai.DefaultHttpxClient)):  # type: ignore[misc]  # made at run time
        def send(self, *args: Any, **kwargs: Any) -> Any:
            run.starts.append(len(server.requests))
            response = super().send(*args, **kwargs)
            response.headers["retry-after-ms"] = "1"  # the SDK's own waiting is not the subject
            return response

    return Counting


def _talk(run: Run, client: openai.OpenAI, tools: list[Any], streamed: bool) -> None:
    for _ in range(MOST_TURNS):
        asked: dict[str, Any] = {"messages": run.messages, "tools": tools, "stream": streamed}
        try:
            answer = client.chat.completions.create(model=run.behaviour.model, **asked)
            message = _gathered(answer) if streamed else _taken(answer)
        except openai.APIError as error:
            run.error, run.ended = error, True
            return
        run.messages.append(message)
        if not message.get("tool_calls"):
            run.said, run.ended = message["content"] or "", True
            return
        run.messages += [_executed(run, raw) for raw in message["tool_calls"]]


def _taken(answer: Any) -> dict[str, Any]:
    said = answer.choices[0].message
    calls = [_raw(c.id, c.function.name, c.function.arguments) for c in said.tool_calls or ()]
    return _message(said.content, calls)


def _gathered(events: Iterable[Any]) -> dict[str, Any]:
    """A message out of the pieces of a stream, as hosts put them together."""
    text, calls = "", dict[int, dict[str, Any]]()
    for event in events:
        delta = event.choices[0].delta if event.choices else None
        text += (delta.content if delta else None) or ""
        for piece in (delta.tool_calls if delta else None) or ():
            made = calls.setdefault(piece.index, _raw(piece.id, piece.function.name, ""))
            made["function"]["arguments"] += piece.function.arguments or ""
    return _message(text, [calls[index] for index in sorted(calls)])


def _raw(call_id: Any, name: Any, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _message(text: str | None, calls: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    return {**message, "tool_calls": calls} if calls else message


def _executed(run: Run, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a call."""
    name, arguments = raw["function"]["name"], json.loads(raw["function"]["arguments"])
    run.executed.append((name, arguments))
    if arguments.get("command") == COMMAND or (name, arguments) == _pair(run.behaviour):
        result = RESULT
    else:
        result = NOTE if name == "read" else "done"
    return {"role": "tool", "tool_call_id": raw["id"], "content": result}
