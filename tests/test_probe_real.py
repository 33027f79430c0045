"""A probe of a real llama.cpp server.

The tiny model may call or talk as it likes: what is asserted is what its server does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from llama_server import INSTALLED, WHY_NOT, LlamaServer, llama_server
from tiny.template import HERE, source

from gptme_reliability.probe.card import CapabilityCard, facts
from gptme_reliability.probe.context import Context
from gptme_reliability.surfaces.probing import probe_server

pytestmark = [
    pytest.mark.real_server,
    pytest.mark.skipif(not INSTALLED, reason=WHY_NOT),
]

CONTEXT: Final = 1024
READ: Final = (
    *("temperature", "top_p", "top_k", "min_p", "seed"),
    *("presence_penalty", "frequency_penalty", "repeat_penalty"),
)
ANY_TEMPLATE: Final = {
    "usage": {"yes"},
    "finish_length": {"yes"},
    "streaming": {"yes"},
    "stream_usage": {"yes"},
    "response_format": {"enforced"},
    "structured": {"response_format"},
    "tools_with_format": {"format"},
    "overflow": {"refused"},
    # It treats a named choice as a free one, and leaves the tools in the prompt for "none".
    "tool_choice_named": {"no", "unclear"},
}
TEMPLATES: Final = {
    None: {
        "tools_in_prompt": {"yes"},
        "native_tools": {"yes"},
        "leaked": {"none"},
        "finish_calls": {"yes"},
        "stream_calls": {"yes"},
        "tool_choice_required": {"yes", "unclear"},
        "tool_schema": {"enforced", "unclear"},
    },
    "no_tools": {
        "tools_in_prompt": {"no"},
        "native_tools": {"dropped"},
        "stream_calls": {"dropped"},
        "tool_choice_required": {"no", "unclear"},
        "finish_calls": {"unclear"},
        "tool_schema": {"unclear"},
    },
}


@pytest.fixture(scope="module", params=TEMPLATES, ids=str)
def template(request: pytest.FixtureRequest) -> str | None:
    """The name of a chat template, None for the model's own."""
    name: str | None = request.param
    return name


@pytest.fixture(scope="module")
def server(template: str | None) -> Iterator[LlamaServer]:
    text = source(template) if template else None
    with llama_server(HERE / "steady.gguf", template=text, context=CONTEXT) as started:
        yield started


@pytest.fixture(scope="module")
def card(server: LlamaServer) -> CapabilityCard:
    """What the probe finds, asked only for the server's address."""
    card, probed = probe_server(
        server.url, None, key=None, seconds=60.0, started=lambda model, backend: None
    )
    assert probed.requests < 60
    return card


def test_what_a_real_server_does(card: CapabilityCard, template: str | None) -> None:
    wanted = {**ANY_TEMPLATE, **TEMPLATES[template]}
    wrong = {name: card.found[name] for name in wanted if card.value(name) not in wanted[name]}
    assert not wrong
    assert card.sampling == dict.fromkeys(READ, "read")


def test_what_a_real_server_says_of_itself(card: CapabilityCard) -> None:
    assert (card.backend, card.model, card.runs) == ("llama.cpp", "tiny", "steady.gguf")
    assert card.context == Context(CONTEXT, card.context.trained, "/props")
    assert card.context.trained


def test_what_follows_from_it(card: CapabilityCard, template: str | None) -> None:
    known = facts(card)
    assert known.native_tools is (template is None)
    assert known.response_format is True
    assert bool(card.failed()) is (template is not None)
