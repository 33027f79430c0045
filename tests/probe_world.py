"""Servers for probes: they speak like the real ones, do their part or not, and know one model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final, Literal

from local_http import SilentHandler, listening
from scripted_server import DONE, ROLE, call, call_chunks, chunk, completion_body, text_chunks

from gptme_reliability.backends import Backend
from gptme_reliability.probe.card import CapabilityCard
from gptme_reliability.probe.context import Context
from gptme_reliability.probe.finding import Finding
from gptme_reliability.probe.run import Asking, Probed, probe
from gptme_reliability.probe.sample import Ask, Heard

CHAT: Final = "/v1/chat/completions"
MODEL: Final = "tiny"
TOOL_TOKENS: Final = 40
_JSON: Final = "application/json"
_STREAM: Final = "text/event-stream"
_HERMES: Final = '<tool_call>\n{"name": "%s", "arguments": %s}\n</tool_call>'
_CALLS: Final = {"get_weather": {"city": "Paris"}, "set_timer": {"minutes": 5}}
_COLOUR: Final = '{"colour": "ochre"}'
_NUMBERS: Final = " ".join(str(number) for number in range(1, 51))

Forced = Literal["yes", "no", "rejected"]
Held = Literal["yes", "no", "rejected"]


@dataclass(frozen=True)
class Ways:
    """What a server does.

    ``calls`` says how a call leaves it; ``none`` what ``tool_choice: "none"`` brings.  ``keys``
    hold an answer to a schema.  ``reads`` and ``rejects`` are sampling parameters.  ``events``
    changes the events of a stream.  ``model`` gives the answer for a seed where the model fails:
    None for the right one.
    """

    pages: Mapping[str, Any] = field(default_factory=dict)
    calls: Literal["native", "text"] = "native"
    tools_in_prompt: bool = True
    counts_tools: bool = True
    takes_tools: bool = True
    required: Forced = "yes"
    named: Forced = "yes"
    none: Literal["words", "calls", "text"] = "words"
    parallel: bool = True
    keys: frozenset[str] = frozenset({"response_format"})
    format: Held = "yes"
    wins: Literal["format", "calls"] = "format"
    schema: Held = "yes"
    tells_cut: bool = True
    obeys_limit: bool = True
    tells_calls: bool = True
    counts: bool = True
    counts_stream: bool = True
    reads: frozenset[str] = frozenset()
    rejects: frozenset[str] = frozenset()
    context: int | None = None
    overflow: Literal["refused", "cut", "taken"] = "refused"
    events: Callable[[list[bytes]], list[bytes]] = lambda events: events
    stream_type: str = _STREAM
    model: Callable[[Mapping[str, Any]], str | None] = lambda body: None
    down: Callable[[Mapping[str, Any]], Heard | None] = lambda body: None


@dataclass
class Server:
    """A server with its ways; it keeps every request."""

    ways: Ways
    asked: list[Ask] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def hear(self, ask: Ask) -> Heard:
        self.asked.append(ask)
        if ask.path == CHAT:
            assert ask.body is not None
            return self.ways.down(ask.body) or answer(self.ways, ask.body)
        if ask.path == "/apply-template" and "/props" in self.ways.pages:
            return _page(_rendered(self.ways, ask.body or {}))
        page = self.ways.pages.get(ask.path)
        return Heard(404, b'{"error": "not found"}', _JSON) if page is None else _page(page)


def drive(ways: Ways, backend: Backend = "unknown") -> tuple[Probed, Server]:
    """Probe a server without a network."""
    server = Server(ways)
    asking: Asking[Probed] = probe(MODEL, backend)
    try:
        ask = next(asking)
        while True:
            ask = asking.send(server.hear(ask))
    except StopIteration as end:
        probed: Probed = end.value
        return probed, server


@contextmanager
def serving(ways: Ways) -> Iterator[Server]:
    """The same on a free port of 127.0.0.1."""
    server = Server(ways)

    class Handler(SilentHandler):
        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def reply(self, body: dict[str, Any] | None) -> None:
            server.headers.append({k.lower(): v for k, v in self.headers.items()})
            heard = server.hear(Ask(self.path, body))
            if heard.status == 0:
                self.close_connection = True
                return
            self.send_response(heard.status)
            self.send_header("content-type", heard.content_type)
            self.send_header("content-length", str(len(heard.raw) + 9 * heard.broken))
            self.end_headers()
            self.wfile.write(heard.raw)
            self.close_connection = True

    with listening(Handler) as url:
        server.url = f"{url}/v1"
        yield server


# --- what it answers ----------------------------------------------------------------------


def error(status: int, message: str) -> Heard:
    """An error as servers report it."""
    return Heard(status, json.dumps({"error": {"message": message}}).encode(), _JSON)


def _page(page: Any) -> Heard:
    return Heard(200, json.dumps(page).encode(), _JSON)


def _rendered(ways: Ways, body: Mapping[str, Any]) -> dict[str, str]:
    tools = json.dumps(body["tools"]) if ways.tools_in_prompt else ""
    return {"prompt": f"{tools}<|user|>{body['messages'][0]['content']}<|assistant|>"}


def answer(ways: Ways, body: Mapping[str, Any]) -> Heard:
    problem = _refusal(ways, body)
    if problem:
        return error(400, problem)
    said = str(body["messages"][-1]["content"])
    prompt = len(said.split()) + 8
    if body.get("tools") and ways.tools_in_prompt and ways.counts_tools:
        prompt += TOOL_TOKENS
    if ways.context and prompt > ways.context:
        if ways.overflow == "refused":
            return error(400, f"request ({prompt} tokens) exceeds the available context size")
        prompt = ways.context // 2 if ways.overflow == "cut" else prompt
    text, calls = _written(ways, body, said)
    most = int(body["max_tokens"]) if ways.obeys_limit else 10_000
    words = text.split(" ")
    cut = len(words) > most
    text = " ".join(words[:most])
    finish = "length" if cut and ways.tells_cut else "stop"
    if calls:
        finish = "tool_calls" if ways.tells_calls else "stop"
    written = min(len(words), most)
    usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": 0}
    if body.get("stream"):
        return _streamed(ways, body, text, calls, finish, usage)
    whole = completion_body(text, calls or None, finish)
    whole["usage"] = usage
    if not ways.counts:
        del whole["usage"]
    return _page(whole)


def _refusal(ways: Ways, body: Mapping[str, Any]) -> str:
    for name in ways.rejects:
        if name in body:
            return f"Unsupported parameter: {name}"
    for name in ways.reads:
        if name in body and not isinstance(body[name], int | float):
            return f"{name} must be a number"
    choice = body.get("tool_choice")
    if body.get("tools") and not ways.takes_tools:
        return f"{MODEL} does not support tools"
    if choice == "required" and ways.required == "rejected":
        return "tool_choice is not supported"
    if isinstance(choice, Mapping) and ways.named == "rejected":
        return "Invalid tool_choice type: 'object'"
    if "maxLength" in json.dumps(body.get("tools")) and ways.schema == "rejected":
        return "maxLength is not supported"
    if "response_format" in body and ways.format == "rejected":
        return "response_format.type must be 'text' or 'json_object'"
    return ""


def _written(ways: Ways, body: Mapping[str, Any], said: str) -> tuple[str, list[dict[str, Any]]]:
    """Text and native calls, as the model writes them and the server reads them."""
    failed = ways.model(body)
    if failed is not None:
        return failed, []
    keys = ("response_format", "json_schema", "structured_outputs", "format")
    held = any(key in body and key in ways.keys for key in keys)
    names = _wanted(ways, body, said)
    if held and not (names and ways.wins == "calls"):
        return _COLOUR, []
    if not names:
        return (_NUMBERS if "count" in said else "Hello! How can I help?"), []
    narrow = "maxLength" in json.dumps(body.get("tools")) and ways.schema == "yes"
    arguments = {**_CALLS, "get_weather": {"city": "Par"}} if narrow else _CALLS
    choice = body.get("tool_choice")
    if (choice == "none" and ways.none == "text") or ways.calls == "text":
        written = [_HERMES % (name, json.dumps(arguments[name])) for name in names]
        return "\n".join(written), []
    return "", [call(n, arguments[n], f"call_{i}") for i, n in enumerate(names)]


def _wanted(ways: Ways, body: Mapping[str, Any], said: str) -> list[str]:
    """The tools that the model calls."""
    if not body.get("tools") or not ways.tools_in_prompt:
        return []
    choice = body.get("tool_choice")
    if choice == "none" and ways.none == "words":
        return []
    if isinstance(choice, Mapping) and ways.named == "yes":
        return [str(choice["function"]["name"])]
    names = [name for name, word in (("get_weather", "weather"), ("set_timer", "timer"))]
    names = [name for name in names if name.split("_")[1] in said]
    if not names and choice == "required" and ways.required == "yes":
        names = ["get_weather"]
    return names if ways.parallel else names[:1]


def _streamed(
    ways: Ways,
    body: Mapping[str, Any],
    text: str,
    calls: list[dict[str, Any]],
    finish: str,
    usage: Mapping[str, Any],
) -> Heard:
    events = [ROLE, *text_chunks(text)]
    for index, each in enumerate(calls):
        function = each["function"]
        events += call_chunks(index, function["name"], function["arguments"], each["id"])
    events.append(chunk({}, finish))
    if ways.counts_stream and body["stream_options"]["include_usage"]:
        events.append(chunk(usage=usage))
    events = ways.events([*events, DONE])
    return Heard(200, b"".join(events), ways.stream_type)


# --- the real ones ------------------------------------------------------------------------

ALL_PARAMETERS: Final = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty"}
)
_OPENAI: Final = ALL_PARAMETERS - {"top_k", "min_p"}


def listed(owner: str, **more: Any) -> dict[str, Any]:
    """A list of models with one in it."""
    entry = {"id": MODEL, "object": "model", "owned_by": owner, **more}
    return {"object": "list", "data": [entry]}


LLAMA_CPP: Final = Ways(
    pages={
        "/v1/models": listed("llamacpp", meta={"n_ctx_train": 32768}),
        "/props": {
            "default_generation_settings": {"params": {"temperature": 0.8}, "n_ctx": 2048},
            "model_path": "/models/tiny-q8_0.gguf",
        },
    },
    named="no",
    none="text",
    keys=frozenset({"response_format", "json_schema"}),
    reads=ALL_PARAMETERS | {"repeat_penalty"},
    context=2048,
)
OLLAMA: Final = Ways(
    pages={
        "/v1/models": listed("library"),
        "/api/ps": {"models": [{"name": f"{MODEL}:latest", "context_length": 4096}]},
        "/api/show": {"parameters": "temperature 0.6", "model_info": {"q.context_length": 40960}},
    },
    required="no",
    named="no",
    none="calls",
    schema="no",
    reads=_OPENAI,
    context=4096,
    overflow="cut",
)
VLLM: Final = Ways(
    pages={"/v1/models": listed("vllm", root="org/Tiny-2B", max_model_len=8192)},
    schema="no",
    reads=ALL_PARAMETERS | {"repetition_penalty"},
)
LMSTUDIO: Final = Ways(
    pages={
        "/v1/models": listed("organization_owner"),
        "/api/v0/models": {
            "data": [{"id": MODEL, "max_context_length": 32768, "loaded_context_length": 4096}]
        },
    },
    named="rejected",
    wins="calls",
    schema="no",
    counts_stream=False,
    reads=_OPENAI,
    context=4096,
)
PLAIN: Final = Ways(
    pages={"/v1/models": listed("me")},
    calls="text",
    required="no",
    named="no",
    none="text",
    keys=frozenset(),
    schema="no",
    counts_stream=False,
)
"""A server of nobody's kind that reads no calls and holds nothing to a schema."""

# --- what is found of them ----------------------------------------------------------------

GOOD: Final = {
    "usage": "yes",
    "finish_length": "yes",
    "native_tools": "yes",
    "tools_in_prompt": "yes",
    "leaked": "none",
    "finish_calls": "yes",
    "talks": "yes",
    "tool_choice_required": "yes",
    "tool_choice_named": "yes",
    "tool_choice_none": "yes",
    "parallel_calls": "yes",
    "streaming": "yes",
    "stream_calls": "yes",
    "stream_usage": "yes",
    "response_format": "enforced",
    "structured": "response_format",
    "tools_with_format": "format",
    "tool_schema": "enforced",
    "overflow": "unclear",
}

CARD: Final = CapabilityCard(
    endpoint="http://127.0.0.1:8080/v1",
    model=MODEL,
    backend="llama.cpp",
    probed=datetime(2026, 3, 4, 5, 6, 7, tzinfo=timezone.utc),
    runs="tiny.gguf",
    found={name: Finding(value) for name, value in GOOD.items()},
    sampling={"top_k": "read"},
    context=Context(2048, None, "/props"),
)

LEAK: Final = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'


def values(probed: Probed) -> dict[str, str]:
    return {name: found.value for name, found in probed.found.items()}


def with_tools(heard: Heard) -> Callable[[Mapping[str, Any]], Heard | None]:
    return lambda body: heard if body.get("tools") else None


def only(*seeds: int, says: str, text: str = "") -> Callable[[Mapping[str, Any]], str | None]:
    """A model that answers so for these seeds, where it is asked ``text``."""

    def model(body: Mapping[str, Any]) -> str | None:
        asked = body["messages"][0]["content"]
        return says if body.get("seed") in seeds and text in asked else None

    return model
