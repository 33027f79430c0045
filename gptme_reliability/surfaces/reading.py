"""Whether the server's model read all of a request, or was shown less than was sent.

Servers drop tools for which their chat template has no place, and some cut what does not fit
into their context; both answer 200.  How many tokens they count gives it away.  A count is no
proof: providers leave out what they had in a cache, and templates write tools in all lengths.
So llama.cpp is asked for the prompt itself, and elsewhere the tools are only taken for lost where
all messages were counted and not even the names of the tools can have been.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from typing import Any, Final

from gptme_reliability import prompt_size
from gptme_reliability.adapters.openai_request import write_request
from gptme_reliability.adapters.overflow import SETTINGS, Server
from gptme_reliability.backends import recognise
from gptme_reliability.ladder import Learned
from gptme_reliability.surfaces.effects import Ask, Effect
from gptme_reliability.surfaces.task import Task, where
from gptme_reliability.types import ModelOutput, ModelRequest

_LOG = logging.getLogger(__name__)

IN_THE_PROMPT: Final = "from now on they are told in the prompt"

_Steps = Generator[Effect, Any, None]
_TOLD: Final = frozenset({"messages", "tools", "chat_template_kwargs"})
_USUAL: Final = tuple(1024 * 2**power for power in range(11))
"""Sizes of contexts; the first of 1024 tokens, below which no server cuts."""


def look(
    task: Task, request: ModelRequest, output: ModelOutput, usage: Mapping[str, Any] | None
) -> _Steps:
    """Look at an answer to ``request`` before it is judged.

    Servers of others are none of our business, and neither are answers that hold a call.
    """
    learned = task.memory.servers.of(task.settings.model)
    if output.tool_calls:
        learned.tools_settled = True
    if not task.settings.own_server or output.tool_calls:
        return
    try:
        counts = prompt_size.doubtful(request, usage)
        if counts is None:
            return
        if counts.most < counts.messages:
            yield from _cut(task, request, counts.most)
        yield from _tools(task, learned, request, counts)
    except Exception as error:  # law 11: the answer is there, and this is only about the next
        _LOG.warning("reliability: what the server read is not known: %s", where(error))


def _tools(
    task: Task, learned: Learned, request: ModelRequest, counts: prompt_size.Counts
) -> _Steps:
    """Find out, once for a model, whether it gets to see the tools."""
    native = request.host is None and bool(request.tools)
    if not native or learned.tools_settled or "prompt" not in task.settings.policy.rungs:
        return
    learned.tools_settled = True
    props = yield Ask("/props")
    if props is None:
        return
    if recognise(props.headers, {"/props": props.content}) == "llama.cpp":
        lost = yield from _same_prompt(request)
    else:
        lost = counts.messages <= counts.most < counts.all
    if lost:
        learned.lose("tools")
        task.notes.append(
            f"the server left the tools out of its prompt of {counts.said} tokens, as its chat"
            f" template has no place for them; {IN_THE_PROMPT}"
        )


def _same_prompt(request: ModelRequest) -> Generator[Effect, Any, bool]:
    """Whether llama.cpp makes the same prompt of a request without its tools."""
    told = {key: value for key, value in write_request(request).items() if key in _TOLD}
    prompts = []
    for shown in (told, {key: value for key, value in told.items() if key != "tools"}):
        answer = yield Ask("/apply-template", shown)
        content = None if answer is None else answer.content
        prompts.append(content.get("prompt") if isinstance(content, Mapping) else None)
    return isinstance(prompts[0], str) and prompts[0] == prompts[1]


# --- what did not fit -------------------------------------------------------------------------


def _cut(task: Task, request: ModelRequest, read: int) -> _Steps:
    """Tell, once in a conversation, that the server read less than it was sent."""
    settings = task.settings
    if not task.memory.servers.first_time(f"cut {settings.conversation} {settings.model}"):
        return
    size, server = yield from _context(request.model or "")
    sent = prompt_size.about(request)
    if server is None or (size is not None and sent <= size):
        return
    likely = "" if size is not None else "likely "
    size = size or next((usual for usual in _USUAL if 0.75 * usual <= read <= usual), None)
    if size is not None:
        task.notes.append(
            f"the server read {read} of about {sent} tokens: the rest was cut off, maybe tools or"
            f" instructions. Its context is {likely}{size} tokens; {SETTINGS[server]}"
        )


def _context(model: str) -> Generator[Effect, Any, tuple[int | None, Server | None]]:
    """The context in which a server runs a model, and which server it is.

    No server where it is not to be asked, no size where it does not tell.
    """
    running = yield Ask("/api/ps")
    if running is None:
        return None, None
    entries = _entries(running.content, "models")
    if entries:
        return _size(entries, "name", model, "context_length"), "ollama"
    loaded = yield Ask("/api/v0/models")
    entries = _entries(None if loaded is None else loaded.content, "data")
    if any("loaded_context_length" in entry for entry in entries):
        return _size(entries, "id", model, "loaded_context_length"), "lmstudio"
    return None, "unknown"


def _entries(content: Any, key: str) -> list[Mapping[str, Any]]:
    found = content.get(key) if isinstance(content, Mapping) else None
    return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []


def _size(entries: list[Mapping[str, Any]], name: str, model: str, key: str) -> int | None:
    """The number of the model's entry; Ollama adds a tag to a name without one."""
    for entry in entries:
        if entry.get(name) in (model, f"{model}:latest") and type(entry.get(key)) is int:
            return int(entry[key])
    return None
