"""Whole answers of Anthropic's API ⇄ the values of the core."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gptme_reliability.adapters.anthropic_messages import Block, read_call
from gptme_reliability.enforce import was_cut
from gptme_reliability.types import Accept, Call, ModelOutput, Reject

ID: Final = "msg_reliability"
CHECKED: Final = frozenset({"text", "thinking", "tool_use"})
"""The blocks that are looked at; all others go on as they are."""

SEPARATOR: Final = "\n"
"""What stands between the texts of two blocks."""

_REDACTED: Final = "redacted_thinking"
_READ_WORDS: Final = {
    "refusal": "content_filter",  # it strikes in the middle of what is being written
    "model_context_window_exceeded": "length",
}
_WRITTEN_WORDS: Final = {"content_filter": "refusal", "stop_sequence": "stop_sequence"}
_KNOWN_IN_CALLS: Final = frozenset({"type", "id", "name", "input"})


def is_answer(body: Any) -> bool:
    """Whether this is a whole answer that can be checked."""
    if not isinstance(body, Mapping) or body.get("error"):
        return False
    content = body.get("content")
    if not isinstance(content, list) or body.get("role", "assistant") != "assistant":
        return False
    blocks = [block for block in content if isinstance(block, Mapping)]
    return not goes_on(body.get("stop_reason"), blocks)


def goes_on(stop_reason: Any, blocks: Sequence[Block]) -> bool:
    """Whether an answer is right as it is, though it may say nothing.

    The server paused amid its own tools, refused to answer, or said it in blocks of its own.
    """
    if any(block.get("type") == "tool_use" for block in blocks):
        return False
    if stop_reason == "pause_turn":
        return True
    if any(block.get("type") == "text" and block.get("text") for block in blocks):
        return False
    return stop_reason == "refusal" or any(is_other(block) for block in blocks)


def is_other(block: Block) -> bool:
    """Whether a block goes on without a look at it, as anything but text, thoughts or a call."""
    return block.get("type") not in (*CHECKED, _REDACTED)


def read_answer(body: Mapping[str, Any]) -> ModelOutput:
    """Read a whole answer; calls are passed on as received, however broken."""
    content = body["content"]
    blocks = [block for block in content if isinstance(block, Mapping)]
    calls = [read_call(block) for block in blocks if block.get("type") == "tool_use"]
    calls += [block for block in content if not isinstance(block, Mapping)]
    model = body.get("model")
    return ModelOutput(
        text=joined(blocks, "text") or None,
        tool_calls=tuple(calls),
        reasoning=joined(blocks, "thinking") or None,
        finish_reason=read_word(body.get("stop_reason")),
        model=model if isinstance(model, str) else None,
    )


def read_word(stop_reason: Any) -> str | None:
    """The reason for which an answer ended, as the core knows it."""
    if not isinstance(stop_reason, str):
        return None
    return _READ_WORDS.get(stop_reason, stop_reason)


def stop_word(finish_reason: Any, calls: Sequence[Call]) -> str:
    """The stop reason for the host."""
    if calls:
        return "tool_use"
    return _WRITTEN_WORDS.get(finish_reason) or (
        "max_tokens" if was_cut(finish_reason) else "end_turn"
    )


def joined(blocks: Iterable[Block], kind: str) -> str:
    """The texts of all blocks of a kind, each on a line of its own.

    A host may well begin a line with each block, so that something in it would be run.
    """
    found = (block.get(kind) for block in blocks if block.get("type") == kind)
    return SEPARATOR.join(text for text in found if isinstance(text, str) and text)


def host_readable(body: Mapping[str, Any]) -> bool:
    """Whether every call stands behind what is said and can be read as it is."""
    called = False
    for block in body["content"]:
        if not isinstance(block, Mapping):
            return False
        if block.get("type") == "tool_use":
            called = True
            if not (is_named(block) and isinstance(block.get("input"), Mapping)):
                return False
        elif called and block.get("type") in CHECKED:
            return False
    return True


def is_named(block: Block) -> bool:
    """Whether a call has an id and a name."""
    named = (block.get("id"), block.get("name"))
    return all(isinstance(value, str) and value for value in named)


def write_answer(
    body: Mapping[str, Any] | None,
    verdict: Accept | Reject,
    text: str,
    reasoning: str | None,
    usage: Mapping[str, Any] | None,
    model: str,
) -> dict[str, Any]:
    """An answer that says what the verdict says; blocks we know nothing of are kept."""
    received = body or empty_answer({}, model)
    raw = [block for block in received["content"] if isinstance(block, Mapping)]
    said = [*_thinking(raw, reasoning or ""), *_told(raw, text)]
    extras = call_extras(raw)
    written = dict(received)
    calls = [write_call(call, dict(call.arguments), extras) for call in verdict.calls]
    written["content"] = said + calls
    finish = read_word(received.get("stop_reason"))
    written["stop_reason"] = stop_word(finish, verdict.calls)
    if usage is not None:
        written["usage"] = {**received.get("usage", {}), **usage}
    return written


def empty_answer(template: Mapping[str, Any], model: str) -> dict[str, Any]:
    """An answer that says nothing yet."""
    return {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": model,
        **template,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def call_extras(blocks: Iterable[Block]) -> dict[str, dict[str, Any]]:
    """By id, the fields of received calls that we know nothing of."""
    return {
        block["id"]: {k: v for k, v in block.items() if k not in _KNOWN_IN_CALLS}
        for block in blocks
        if block.get("type") == "tool_use" and isinstance(block.get("id"), str)
    }


def write_call(
    call: Call, given: Mapping[str, Any], extras: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """A call as a block, with whatever else the server had said about the one of this id."""
    known = {"type": "tool_use", "id": call.id, "name": call.name, "input": given}
    return {**known, **extras.get(call.id or "", {})}


def _thinking(raw: Sequence[Block], reasoning: str) -> list[Block]:
    """Blocks for this reasoning.

    A server that signs what its model thought takes nothing back that it did not sign, so that
    the thoughts of earlier attempts are left out where there are signed ones.
    """
    own = joined(raw, "thinking")
    blocks = [block for block in raw if block.get("type") in ("thinking", _REDACTED)]
    if reasoning == own:
        return blocks
    if own and reasoning.endswith(own):
        lead = reasoning.removesuffix(own).removesuffix(SEPARATOR)
        signed = any(block.get("signature") for block in blocks)
        return blocks if signed else [thought(lead), *blocks]
    return [thought(reasoning)] if reasoning else []


def thought(text: str) -> dict[str, Any]:
    """A block of thinking that nobody signed."""
    return {"type": "thinking", "thinking": text, "signature": ""}


def _told(raw: Sequence[Block], text: str) -> list[Block]:
    """Blocks for this text: those that still say a part of it, in order, and what is new.

    The blocks of other kinds stand where they stood.
    """
    told: list[Block] = []
    own = joined(raw, "text")
    if own and text != own and text.endswith(own):
        told = _text_blocks(text.removesuffix(own).removesuffix(SEPARATOR))
        text = own
    between, broken = "", False
    for block in raw:
        if is_other(block):
            told.append(block)
        if block.get("type") != "text" or broken or not block.get("text"):
            continue
        part = f"{between}{block['text']}"
        broken = not text.startswith(part)
        if broken:
            told += _text_blocks(text.removeprefix(between))
        else:
            told.append(block)
            text, between = text.removeprefix(part), SEPARATOR
    return told if broken else told + _text_blocks(text)


def _text_blocks(text: str) -> list[Block]:
    return [{"type": "text", "text": text}] if text else []
