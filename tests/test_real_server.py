"""The client and the proxy in front of a real llama.cpp server with a real, tiny model.

What the model writes may differ between machines by a few tokens, so that shares are asserted
and not texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean
from typing import Any, Final

import anthropic
import httpx
import openai
import pytest
from jsonschema import Draft202012Validator
from llama_server import INSTALLED, WHY_NOT, LlamaServer, llama_server, tail
from proxy_world import proxying
from recording_host import RecordingHost
from tiny.asking import Got, asked, right, sampling, sdk, streamed, usable, whole
from tiny.measure import BARE, GUARDED, SEED, Cell, measured
from tiny.samples import SAMPLES
from tiny.task import Case, cases
from tiny.template import HERE, source

from gptme_reliability.surfaces.host import Settings
from gptme_reliability.surfaces.proxy import counting
from gptme_reliability.surfaces.sampling import Terms
from gptme_reliability.types import ModelFacts, Policy

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not INSTALLED, reason=WHY_NOT),
]

STEADY: Final = HERE / "steady.gguf"
CASES: Final = cases(60, SEED)
CALLING: Final = [case for case in CASES if len(case.calls) == 1][:12]
TALKING: Final = [case for case in CASES if not case.calls][:8]
PROMPTED: Final = ModelFacts(native_tools=False)
GREEDY: Final = sampling(0.0, 1)

Asking = Callable[[openai.OpenAI, dict[str, Any]], Got]


class Running(ExitStack):
    """Servers by model and template, each started at its first use."""

    def __init__(self) -> None:
        super().__init__()
        self.started: dict[str, LlamaServer] = {}

    def __call__(self, model: str = "steady", template: str | None = None) -> LlamaServer:
        key = f"{model} {template or 'tools'}"
        if key not in self.started:
            text = source(template) if template else None
            server = llama_server(HERE / f"{model}.gguf", template=text)
            self.started[key] = self.enter_context(server)
        return self.started[key]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with Running() as servers:
        yield servers


@pytest.fixture
def servers(running: Running) -> Iterator[Running]:
    """Servers by model and template; a test that fails shows what they said meanwhile."""
    before = {server.log: server.log.stat().st_size for server in running.started.values()}
    yield running
    for key, server in running.started.items():
        print(f"server {key}:\n{tail(server.log, before.get(server.log, 0))}")


def host(**settings: Any) -> RecordingHost:
    policy = Policy(backoff=0.0)  # nobody else is served
    return RecordingHost(Settings("local/tiny", policy=policy, **settings))


def share(found: Sequence[bool]) -> float:
    return sum(found) / len(found)


def all_usable(chosen: Sequence[Case], got: Sequence[Got]) -> bool:
    return all(usable(case, one.calls) for case, one in zip(chosen, got, strict=True))


# --- the model is what it was trained to be -----------------------------------------------


def test_training_and_server_see_the_same(servers: Running) -> None:
    """Text and tokens of the training are what the server makes of a conversation."""
    server = servers()
    rows = [json.loads(line) for line in SAMPLES.read_text("utf-8").splitlines()]
    for row in rows:
        body = {"messages": row["messages"], "tools": row["tools"]}
        assert server.post("/apply-template", body).json()["prompt"] == row["text"]
        said = {"content": row["text"], "parse_special": True, "add_special": True}
        assert server.post("/tokenize", said).json()["tokens"] == row["tokens"]


# --- native tools -------------------------------------------------------------------------


@pytest.mark.parametrize("asking", [whole, streamed])
def test_native_tools(servers: Running, asking: Asking) -> None:
    """A steady model is right, and a right answer costs no second request."""
    user = host()
    with sdk(servers().url, user) as client:
        called = [asking(client, asked(case, **GREEDY)) for case in CALLING]
        talked = [asking(client, asked(case, **GREEDY)) for case in TALKING]
    assert share([right(case, got) for case, got in zip(CALLING, called, strict=True)]) >= 0.75
    assert share([right(case, got) for case, got in zip(TALKING, talked, strict=True)]) >= 0.6
    assert all_usable(CALLING, called) and all_usable(TALKING, talked)
    assert len(user.asked) <= 4


def test_whole_is_streamed(servers: Running) -> None:
    """The same seed brings the same calls either way, even from a noisy model."""
    url = servers("noisy").url
    with sdk(url, host()) as once, sdk(url, host()) as again:
        for case in CALLING[:6]:
            body = asked(case, **sampling(1.0, 5))
            one, other = whole(once, body), streamed(again, body)
            assert (one.calls, one.finish) == (other.calls, other.finish)


@pytest.mark.parametrize("asking", [whole, streamed])
def test_through_the_proxy(servers: Running, asking: Asking) -> None:
    """What the proxy hands on is what the client under test makes of the same answers."""
    server = servers()
    with proxying(server.url) as url, sdk(url) as proxied, sdk(server.url, host()) as client:
        for case in (*CALLING[:6], *TALKING[:2]):
            body = asked(case, **GREEDY)
            assert asking(proxied, body) == asking(client, body)


@pytest.mark.parametrize("as_stream", [False, True])
def test_anthropics_sdk_through_the_proxy(servers: Running, as_stream: bool) -> None:
    """Translated there and back, the calls are those of the server's own API."""
    server, same = servers(), []
    with (
        proxying(server.url) as url,
        anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key="none") as other,
        sdk(server.url, host()) as client,
    ):
        for case in (*CALLING[:8], *TALKING[:2]):
            body = asked(case, **GREEDY)
            expected = whole(client, body)
            message = _message(other, body, as_stream)
            called = [
                (block.name, block.input) for block in message.content if block.type == "tool_use"
            ]
            said = "".join(block.text for block in message.content if block.type == "text")
            assert message.stop_reason == ("tool_use" if called else "end_turn")
            wanted = [(name, json.loads(arguments)) for name, arguments in expected.calls]
            same.append((called, said.strip()) == (wanted, expected.text.strip()))
    # What is known of the prompt from the request before may change a token.
    assert share(same) >= 0.8


@pytest.mark.parametrize("respond", ["true", "false"])
@pytest.mark.parametrize("knows", ["chats", "texts"])
def test_tokens_are_counted_as_they_are_billed(
    servers: Running, monkeypatch: pytest.MonkeyPatch, respond: str, knows: str
) -> None:
    """Older builds tell what the template makes of a chat, and count texts."""
    if knows == "texts":
        monkeypatch.setattr(counting, "_COUNTS_CHATS", "/chat/completions/not_there")
    with (
        proxying(servers().url, sets=(f"respond={respond}", "retries=0")) as url,
        anthropic.Anthropic(base_url=url.removesuffix("/v1"), api_key="none") as client,
    ):
        for case in (*CALLING[:2], TALKING[0]):
            both = _asked(asked(case, **GREEDY))
            for given in (both, {**both, "tools": []}):
                message = client.messages.create(**{**given, "max_tokens": 400})
                said = {key: given[key] for key in ("model", "messages", "tools")}
                counted = client.messages.count_tokens(**said).input_tokens
                usage = message.usage
                assert counted == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def _message(
    client: anthropic.Anthropic, body: dict[str, Any], as_stream: bool
) -> anthropic.types.Message:
    given = _asked(body)
    if not as_stream:
        return client.messages.create(**given)  # type: ignore[no-any-return]
    with client.messages.stream(**given) as stream:
        return stream.get_final_message()


def _asked(body: dict[str, Any]) -> dict[str, Any]:
    tools = [tool["function"] for tool in body["tools"]]
    return {
        "model": body["model"],
        "messages": body["messages"],
        "max_tokens": body["max_tokens"],
        "extra_body": {"temperature": body["temperature"]},
        "tools": [{"name": tool["name"], "input_schema": tool["parameters"]} for tool in tools],
    }


# --- servers without tools ----------------------------------------------------------------


@pytest.mark.parametrize("asking", [whole, streamed])
def test_tools_in_words(servers: Running, asking: Asking) -> None:
    """A template without tools: told in words, the model calls them in text."""
    user = host(facts=PROMPTED)
    with sdk(servers(template="no_tools").url, user) as client:
        got = [asking(client, asked(case, **GREEDY)) for case in CALLING]
    assert share([right(case, one) for case, one in zip(CALLING, got, strict=True)]) >= 0.6
    assert all_usable(CALLING, got)


def test_tools_dropped_in_silence(servers: Running) -> None:
    """Nobody said that the server drops tools: what the model then makes up is never run."""
    chosen = (*CALLING[:5], *TALKING[:3])
    with sdk(servers(template="no_tools").url, host()) as client:
        got = [whole(client, asked(case, **GREEDY)) for case in chosen]
    assert all_usable(chosen, got)
    assert all(one.error is None for one in got)


RESULTS: Final = [
    {"role": "user", "content": "look here"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
        ],
    },
    {"role": "tool", "tool_call_id": "a", "content": "amber fox"},
]
"""A conversation that strict templates refuse: a result has a role of its own."""


def test_strict_roles(servers: Running) -> None:
    """A template that raises at a tool's role: the conversation in words has none."""
    server = servers(template="strict")
    for case in CALLING[:4]:
        body = asked(case, **GREEDY)
        body["messages"] = [*RESULTS, *body["messages"]]
        with sdk(server.url) as bare:
            refused = whole(bare, body)
        assert refused.error and "roles must alternate" in refused.error
        with sdk(server.url, host(facts=PROMPTED)) as client:
            got = whole(client, body)
        assert got.error is None and usable(case, got.calls)


# --- what servers do to answers and requests ----------------------------------------------


@pytest.mark.parametrize("tokens", [4, 16])
@pytest.mark.parametrize("asking", [whole, streamed])
def test_cut_off_is_never_run(servers: Running, asking: Asking, tokens: int) -> None:
    """The server hands over calls whose arguments are cut; none of them gets through."""
    user, chosen = host(), CALLING[:6]
    with sdk(servers().url, user) as client:
        got = [asking(client, asked(case, **{**GREEDY, "max_tokens": tokens})) for case in chosen]
    for report, one in zip(user.reports, got, strict=True):
        assert report.outcome is not None
        assert not one.calls or report.outcome.attempts[-1].output.finish_reason != "length"
    assert all_usable(chosen, got) and any(not one.calls for one in got) and user.asked


def test_cut_calls_are_really_handed_over(servers: Running) -> None:
    """What the test above is about: without this project they come through."""
    with sdk(servers().url) as bare:
        got = [whole(bare, asked(case, **{**GREEDY, "max_tokens": 20})) for case in CALLING]
    assert any(one.calls and not usable(c, one.calls) for c, one in zip(CALLING, got, strict=True))


@pytest.mark.parametrize("asking", [whole, streamed])
def test_context_overflow(servers: Running, asking: Asking) -> None:
    """The server's own error, at once: no other way to ask would be shorter."""
    user = host()
    body = asked(CALLING[0], **GREEDY)
    body["messages"] = [{"role": "user", "content": "amber " * 3_000}]
    with sdk(servers().url, user) as client:
        got = asking(client, body)
    assert got.error and "exceeds the available context size" in got.error
    assert not user.asked


def test_required(servers: Running) -> None:
    """The model has to call something; what it makes up for it fits the tools."""
    with sdk(servers().url, host()) as client:
        got = [whole(client, asked(case, **GREEDY, tool_choice="required")) for case in CALLING]
    assert all_usable(CALLING, got)
    assert share([bool(one.calls) for one in got]) >= 0.75


def test_response_format_is_left_alone(servers: Running) -> None:
    """Who asks for JSON gets it, in one request."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"enum": [1, 2, 3]}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}}
    user = host()
    with sdk(servers().url, user) as client:
        for offered in (False, True):
            body = asked(CALLING[0], **GREEDY, response_format=wanted)
            if not offered:
                del body["tools"]
            got = whole(client, body)
            assert Draft202012Validator(schema).is_valid(json.loads(got.text)) and not got.calls
    assert not user.asked


@pytest.mark.parametrize("asking", [whole, streamed])
def test_a_bad_call_in_the_history(servers: Running, asking: Asking) -> None:
    """It makes the server refuse every later request; mended on the way, it does no harm."""
    function = {"name": CALLING[0].tools[0].name, "arguments": '{"a": "b'}
    poison = [
        {"role": "user", "content": "hello"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "bad", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "bad", "content": "Error: no JSON"},
    ]
    body = asked(CALLING[0], **GREEDY)
    body["messages"] = [*poison, *body["messages"]]
    with sdk(servers().url) as bare:
        refused = asking(bare, body)
    assert refused.error and "Failed to parse tool call arguments as JSON" in refused.error
    with sdk(servers().url, host()) as client:
        got = asking(client, body)
    assert got.error is None and usable(CALLING[0], got.calls)


# --- a noisy model ------------------------------------------------------------------------


def exact(cell: Cell) -> float:
    """The share of the cases that want calls in which exactly these came."""
    wanting = [right for case, right in zip(CASES, cell.right, strict=False) if case.calls]
    return mean(wanting)


def test_a_noisy_model_with_tools_in_words_gets_better(servers: Running) -> None:
    """More answers are right, and of many unusable calls none reaches the host."""
    bare = measured(servers("noisy"), CASES[:24], "prompted", 1.0, BARE)
    guarded = measured(servers("noisy"), CASES[:24], "prompted", 1.0, GUARDED)
    assert mean(bare.defects) >= 0.2 and not any(guarded.defects)
    assert exact(guarded) >= exact(bare) and guarded.errors == 0
    assert 1 < mean(guarded.requests) <= 1 + Policy().retries


def test_a_noisy_model_with_native_tools_gets_no_worse(servers: Running) -> None:
    """The server holds its calls to the schemas already."""
    bare = measured(servers("noisy"), CASES[:40], "native", 1.0, BARE)
    guarded = measured(servers("noisy"), CASES[:40], "native", 1.0, GUARDED)
    assert 0.2 <= exact(bare) <= 0.9
    assert exact(guarded) >= exact(bare) and not any(guarded.defects) and not guarded.errors


# --- sampling -----------------------------------------------------------------------------

CARDED: Final = "Qwen2.5-7B-Instruct"


def test_the_sampling_contract_reaches_the_sampler() -> None:
    """What the server says that it sampled with is the card of the model."""
    user = RecordingHost(Settings(f"local/{CARDED}"), sampling=Terms(f"local/{CARDED}"))
    wanted = {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repeat_penalty": 1.05}
    body = {**asked(CALLING[0], max_tokens=8), "model": CARDED, "temperature": 0.0}
    with llama_server(STEADY, alias=CARDED) as server, sdk(server.url, user) as client:
        whole(client, body)
        (slot,) = server.get("/slots")
    params = slot["params"]
    assert {name: round(params[name], 3) for name in wanted} == wanted
    assert dict(user.agreements[-1].wire.params) == wanted


# --- the servers themselves ---------------------------------------------------------------


def test_servers_end_with_their_test() -> None:
    """Nothing is left running."""
    with pytest.raises(ZeroDivisionError), llama_server(STEADY) as server:
        raise ZeroDivisionError
    with pytest.raises(httpx.ConnectError):
        server.get("/health")


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="no-such-model"),
        llama_server(tmp_path / "no-such-model"),
    ):
        pass
