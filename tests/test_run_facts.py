"""What ``run_tools`` makes of the name of a model, and of what it is told beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gptme_reliability import (
    ModelFacts,
    ModelOutput,
    ModelRequest,
    Policy,
    run_tools,
    run_tools_async,
)


def weather(city: str) -> str:
    return f"{city}: sun"


def _run(*given: Any, **options: Any) -> None:
    run_tools(*given, **options)


def _run_async(*given: Any, **options: Any) -> None:
    asyncio.run(run_tools_async(*given, **options))


RUNNERS: tuple[Callable[..., None], ...] = (_run, _run_async)


def first_request(run: Callable[..., None], **options: Any) -> ModelRequest:
    """What the model is asked first."""
    asked: list[ModelRequest] = []

    def model(request: ModelRequest) -> ModelOutput:
        asked.append(request)
        return ModelOutput("Done.")

    run(model, "hi", [weather], **options)
    return asked[0]


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize(
    ("options", "offered"),
    [
        ({}, ["weather"]),
        ({"model": "tiny"}, ["weather"]),
        ({"model": "x" * 600 + ":1b"}, ["weather"]),
        ({"model": "qwen2.5:1b"}, ["weather", "respond"]),
        ({"model": "qwen2.5:72b"}, ["weather"]),
        ({"model": "my-own-3b"}, ["weather", "respond"]),
        ({"model": "qwen2.5:1b", "facts": ModelFacts(family="Llama 3.1")}, ["weather", "respond"]),
        ({"model": "qwen2.5:1b", "facts": ModelFacts(size_b=70)}, ["weather"]),
        ({"model": "tiny", "facts": ModelFacts(size_b=1)}, ["weather", "respond"]),
        ({"model": "qwen2.5:1b", "policy": Policy(respond=False)}, ["weather"]),
    ],
)
def test_small_models_can_talk(
    run: Callable[..., None], options: dict[str, Any], offered: list[str]
) -> None:
    """By the size in the name, unless the facts or the policy say otherwise."""
    assert [tool.name for tool in first_request(run, **options).tools] == offered


@pytest.mark.parametrize(
    ("model", "said", "written"),
    [
        ("qwen2.5:7b", {}, "<tool_call>"),
        ("qwen3-coder:30b", {}, "<function="),
        ("llama3.1:8b", {}, '"parameters": {"city"'),
        ("qwen2.5:7b", {"dialect": "qwen3_coder"}, "<function="),
        ("qwen2.5:7b", {"family": "Llama 3.1"}, '"parameters": {"city"'),
        (None, {"family": "Llama 3.1"}, '"parameters": {"city"'),
    ],
)
def test_tools_are_told_in_the_dialect_of_the_family(
    model: str | None, said: dict[str, Any], written: str
) -> None:
    facts = ModelFacts(native_tools=False, **said)
    request = first_request(_run, model=model, facts=facts)
    assert written in request.messages[0]["content"]
    assert request.tools == ()
